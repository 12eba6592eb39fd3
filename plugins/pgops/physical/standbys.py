"""Standbys of a server that was recovered in place: they hold what it no longer knows, and are seeded anew from it.

How far each is can be seen on its host: without the dated name nothing was done; without a data directory the copy is
not whole; with both it is the new one. So whoever died in between begins at the top.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import ClassVar

from psycopg2.extensions import make_dsn

from pgops import units
from pgops.errors import PgOpsError, Refused
from pgops.include import sql_text
from pgops.physical.cluster import Cluster, log_words
from pgops.physical.configure import configuration
from pgops.physical.in_place import APPLICATION, InPlace, Seeded, Site, Slot, note, recreate_slots, refuse_without_kept
from pgops.physical.plan import RecoveryPlan
from pgops.physical.service import Service
from pgops.postgres import connect
from pgops.processes import ProgramFailed
from pgops.progress import Progress

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 600.0
_DEAD_SECONDS = 10.0  # what was started just now may not have its pid file yet
_COPIED = re.compile(r"\s*(\d+)/(\d+) kB")


@dataclass(frozen=True)
class Standby(Service):
    """A standby that the fleet file names.

    Attributes:
        name: its application_name.
        slot: through which it follows; empty leaves it to its own configuration.
    """

    name: str
    slot: str = ""

    settings: ClassVar[str] = "in_place.standbys"
    otherwise: ClassVar[str] = "take it out of in_place.standbys and seed it by hand"

    @property
    def cluster(self) -> Cluster:
        """Its server, which is never asked over a port: its files and the primary say how it is."""
        return Cluster(self.host, self.bindir, self.data, self.folder, 0)

    @property
    def half(self) -> PurePosixPath:
        """The copy that is not whole yet; nothing else is ever removed."""
        return self.folder / "copy"


Named = Mapping[str, Callable[[], Standby]]  # made one by one, since making one may fail: its host is asked


def refuse_unfit(standby: Standby, plan: RecoveryPlan) -> None:
    """Look whether a standby can be seeded anew.

    Raises:
        Refused: it cannot; it was not touched.
    """
    standby.refuse_unfit(plan.disk_bytes)
    found = standby.cluster.control().get("Database system identifier", "")
    if found != plan.backup.system_identifier:
        raise Refused(
            f"This is no standby of {plan.server}: its system identifier is {found}, not"
            f" {plan.backup.system_identifier}",
            where=standby.where,
            remedy="Correct its data_directory and host in the fleet file",
        )
    if not standby.host.exists(standby.data / "standby.signal"):
        raise Refused(
            "This is no standby: standby.signal is not in its data directory",
            where=standby.where,
            remedy=f"Look whether somebody promoted it; correct its data_directory, or {standby.otherwise}",
        )
    links = ["find", str(standby.data / "pg_tblspc"), "-mindepth", "1", "-type", "l"]
    if standby.host.run(links).stdout.strip():
        raise Refused("It has tablespaces", where=standby.where, remedy=f"Please {standby.otherwise}")


def planned(named: Named, plan: RecoveryPlan, at: datetime, *, begun: bool) -> tuple[list[str], list[str]]:
    """What will be done to each, and its way back, in words. A recovery that was begun is not refused any more.

    Raises:
        Refused: one of them cannot be seeded; nothing was touched.
    """
    lines, back = [], []
    for name, make in named.items():
        try:
            standby = make()
            if not begun:
                refuse_unfit(standby, plan)
        except PgOpsError as error:
            if begun:
                lines.append(f"standby {name}: {error.what}")
                continue
            raise Refused(
                f"The standby {name} could not be seeded afterwards: {error.what}",
                where=error.where,
                remedy=f"{error.remedy}. Or {Standby.otherwise}; nothing was touched",
                retry=error.retry,
            ) from error
        kept = standby.kept_name(at)
        lines.append(
            f"standby {name}: afterwards it is stopped, {standby.where} becomes {kept}, and a copy of the recovered"
            f" server takes its place, about {units.size(plan.backup.directory_bytes)}"
        )
        back += [f"# standby {name}, on {standby.host.name}:", *standby.way_back(kept)]
    return lines, back


def seed_all(site: Site, state: InPlace, named: Named, watch: Callable[[str], None] = log.info) -> InPlace:
    """Seed one after the other; one that fails does not keep the next from it.

    Raises:
        PgOpsError: some do not follow; each is named.
    """
    if state.phase != "done":
        raise Refused("The server does not serve yet", where=site.where, remedy="Clear the task hand_over")
    refuse_without_kept(site, state)
    failed: dict[str, PgOpsError] = {}
    for name, make in named.items():
        try:
            seeded = seed(site, state, make(), watch)
        except PgOpsError as error:
            log.error("standby %s: %s", name, error)
            failed[name] = error
        else:
            others = tuple(one for one in state.seeded if one.name != name)
            state = note(site, state, seeded=(*others, seeded))
    if failed:
        raise PgOpsError(
            "The server is in service, but not all of its standbys: "
            + "; ".join(f"{name}: {error}" for name, error in failed.items()),
            where=site.where,
            remedy="Mend that and clear the task seed_standbys, which goes on from there",
            retry=any(error.retry for error in failed.values()),
        )
    return state


def seed(
    site: Site,
    state: InPlace,
    standby: Standby,
    watch: Callable[[str], None] = log.info,
    seconds: float = PATIENCE_SECONDS,
) -> Seeded:
    """Make a standby a copy of the recovered server that follows it; its old data directory stays.

    Args:
        site: the recovered server, which serves.
        state: its recovery.
        standby: what is stopped and copied over, unless it follows already.
        watch: gets words.
        seconds: how long it may take until it streams once it was started.

    Raises:
        Refused: it cannot be seeded, and was not touched.
        PgOpsError: it could not be copied, or does not stream.
    """
    host, kept = standby.host, PurePosixPath(standby.kept_name(state.started_at))
    if not _follows(site, state, standby):
        if not host.exists(kept):
            refuse_unfit(standby, state.plan)
            host.run(["mkdir", "-p", "-m", "700", str(standby.folder)])
            standby.set_aside(kept, watch)
        if not host.exists(standby.data):
            _copy(site, standby, watch)
            _configure(site, standby, kept)
            host.run(["mv", "-T", "--", str(standby.half), str(standby.data)])
        if not standby.cluster.running():
            standby.launch()
        _wait_until_it_follows(site, state, standby, seconds)
    watch(f"standby {standby.name} streams")
    return Seeded(standby.name, host.name, str(kept) if host.exists(kept) else "")


def _copy(site: Site, standby: Standby, watch: Callable[[str], None]) -> None:
    """Copy the server beside the standby's place. Under a name of our own, since commits may wait for the standby's."""
    if standby.slot:
        recreate_slots(site.dsn, [Slot(standby.slot)], watch)
    standby.host.run(["rm", "-rf", "--", str(standby.half)])
    command = [str(standby.bindir / "pg_basebackup"), "-D", str(standby.half), "-d", site.dsn.conninfo(), "-w", "-P"]
    command += ["-X", "stream", "-c", "fast", *(["-S", standby.slot] if standby.slot else [])]
    said = _Said(standby.name, watch)
    code = standby.host.run(command, site.dsn.environment(APPLICATION), watch=said, check=False).code
    if code != 0:
        raise ProgramFailed("pg_basebackup", code, "\n".join(said.words), standby.host.name)


class _Said:
    """What pg_basebackup says: progress, and words."""

    def __init__(self, name: str, watch: Callable[[str], None]) -> None:
        self.progress, self.watch = Progress(f"copy for the standby {name}"), watch
        self.words: list[str] = []

    def __call__(self, line: str) -> None:
        copied = _COPIED.match(line)
        if copied is None:
            self.words.append(line)
            self.watch(line)
        else:
            self.progress.total = int(copied[2]) << 10
            self.progress.add((int(copied[1]) << 10) - self.progress.done)


def _configure(site: Site, standby: Standby, kept: PurePosixPath) -> None:
    """Its own settings, not those of the primary; but it follows as it was copied."""
    standby.copy_configuration(kept, standby.half)
    conninfo = {**site.dsn.parameters(), "password": site.dsn.password or None, "application_name": standby.name}
    follow = {"primary_conninfo": make_dsn(**conninfo)}
    if standby.slot:
        follow["primary_slot_name"] = standby.slot
    path = standby.half / "postgresql.auto.conf"
    of_old = re.compile(rf"^[ \t]*({'|'.join(follow)})\b.*\n?", re.MULTILINE)
    own = of_old.sub("", standby.host.read(path).decode()).rstrip()
    standby.host.write(path, f"{own}\n{configuration(follow)}".lstrip("\n").encode())
    standby.host.write(standby.half / "standby.signal", b"")


def _follows(site: Site, state: InPlace, standby: Standby) -> bool:
    """Whether the primary sees it stream, and its own control file says that it recovers on the new timeline."""
    assert state.reached is not None
    with connect(site.dsn, APPLICATION) as connection, connection.cursor() as cursor:
        cursor.execute(sql_text("physical/standby_streams.sql"), {"name": standby.name})
        if cursor.fetchone() != (True,) or not standby.host.exists(standby.data):
            return False
    control = standby.cluster.control()
    on_timeline = int(control["Latest checkpoint's TimeLineID"]) >= state.reached.timeline
    return on_timeline and control["Database cluster state"] == "in archive recovery"


def _wait_until_it_follows(site: Site, state: InPlace, standby: Standby, seconds: float) -> None:
    started = alive = time.monotonic()
    while not _follows(site, state, standby):
        now = time.monotonic()
        if standby.cluster.running():
            alive = now
        if now - started > seconds or now - alive > _DEAD_SECONDS:
            raise PgOpsError(
                f"It does not stream on timeline {state.reached.timeline if state.reached else ''}: "
                + log_words(standby.cluster.said()),
                where=standby.where,
                remedy="Read its log; its old data directory stays beside it",
                retry=True,
            )
        time.sleep(0.5)


def told(state: InPlace, named: Named) -> tuple[str, ...]:
    """What became of those that the fleet file names."""
    seeded = {one.name: one for one in state.seeded}
    return tuple(
        f"{name} streams; its old data directory is {seeded[name].kept or 'gone'}, on {seeded[name].host}"
        if name in seeded
        else f"{name} was NOT seeded anew"
        for name in named
    )


def commands(site: Site, state: InPlace, named: Named) -> tuple[str, ...]:
    """What seeds each of the others anew, on its own host: it has WAL that the primary no longer knows."""
    reach = f"host={site.dsn.host} port={site.dsn.port} user={site.dsn.user}"
    seed = f"pg_basebackup -D <its data directory> -d '{reach}' -X stream -c fast -R -S <its slot>"
    unknown = f"# which slots and standbys it had is not known, as it did not answer: ls {state.kept}/pg_replslot"
    others = (one for one in state.standbys if one not in named and one.rpartition(" at ")[0] not in named)
    return (
        *(f"# {standby}: stop it, move its data directory away, then on its host\n{seed}" for standby in others),
        *(() if state.asked else (unknown,)),
    )
