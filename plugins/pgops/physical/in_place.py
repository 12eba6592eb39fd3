"""Recovery over the source itself: the old data directory stays, under a dated name, until somebody removes it.

Each step looks at what is there before it acts, so a run that died goes on by beginning at the top.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePosixPath
from typing import ClassVar, Literal

from psycopg2.extras import RealDictCursor
from pydantic import TypeAdapter

from pgops.errors import PgOpsError, Refused
from pgops.include import sql_text
from pgops.physical.cluster import Cluster
from pgops.physical.configure import (
    from_control,
    make_configurable,
    overrule,
    quiet_settings,
    recovery_settings,
    write_hba,
)
from pgops.physical.follow import RecoveryFailed, follow, judge
from pgops.physical.model import Engine
from pgops.physical.plan import RecoveryPlan
from pgops.physical.recover import clear, forget_runtime, refuse_other, start_settings
from pgops.physical.service import STOP_SECONDS, Service
from pgops.physical.state import Reached
from pgops.postgres import Dsn, connect

log = logging.getLogger(__name__)

Phase = Literal["begun", "aside", "fetched", "configured", "recovered", "serving", "done"]
APPLICATION = "pgops.recovery"


@dataclass(frozen=True)
class Site(Service):
    """The server that is recovered over.

    Attributes:
        dsn: as it is reached in service, as a role with REPLICATION.
        superuser: a role that is one; used while nobody else is let in.
    """

    dsn: Dsn
    superuser: str = "postgres"

    settings: ClassVar[str] = "in_place"
    otherwise: ClassVar[str] = "recover it side by side"

    @property
    def cluster(self) -> Cluster:
        """The server while it recovers: only the owner of its files reaches it."""
        return Cluster(self.host, self.bindir, self.data, self.folder, self.dsn.port, self.superuser)


@dataclass(frozen=True)
class Slot:
    """A replication slot as it was before."""

    name: str
    plugin: str | None = None
    database: str | None = None


@dataclass(frozen=True)
class Seeded:
    """A standby that follows the recovered server.

    Attributes:
        kept: its old data directory, on its host; empty where there is none.
    """

    name: str
    host: str
    kept: str


@dataclass(frozen=True)
class InPlace:
    """A recovery in place. Times are UTC.

    Attributes:
        kept: the old data directory's new name.
        slots, standbys: what hung on the server before it was stopped.
        asked: whether it could tell.
        seeded: the standbys that follow it again.
    """

    id: str
    server: str
    plan: RecoveryPlan
    kept: str
    started_at: datetime
    slots: tuple[Slot, ...] = ()
    standbys: tuple[str, ...] = ()
    asked: bool = True
    phase: Phase = "begun"
    fetch_seconds: float = 0.0
    replay_seconds: float = 0.0
    reached: Reached | None = None
    seeded: tuple[Seeded, ...] = ()


_STATE = TypeAdapter(InPlace)


def read(site: Site) -> InPlace | None:
    """The recovery that was begun there; None where there is none."""
    path = site.folder / "in_place.json"
    return _STATE.validate_json(site.host.read(path)) if site.host.exists(path) else None


def _write(site: Site, state: InPlace) -> InPlace:
    text = json.dumps(_STATE.dump_python(state, mode="json"), indent=1)
    site.host.write(site.folder / "in_place.json", text.encode())
    return state


def note(site: Site, state: InPlace, *, seeded: tuple[Seeded, ...]) -> InPlace:
    """Keep which standbys follow it."""
    return _write(site, replace(state, seeded=seeded))


def begin(site: Site, recovery_id: str, plan: RecoveryPlan, at: datetime) -> InPlace:
    """Look whether it can be done, and note what hangs on the server. The server is not touched.

    One of this id goes on where it was, also when it is done: doing it again would throw away what was written since.

    Raises:
        Refused: it cannot; or another one was begun, has not ended and was not taken back; or this one was.
    """
    known = read(site)
    if known is not None and known.id == recovery_id:
        if known.phase != "begun":
            refuse_without_kept(site, known)
        return known
    if known is not None and known.phase != "done" and site.host.exists(PurePosixPath(known.kept)):
        raise Refused(
            f"A recovery in place was begun by {known.id} and has come to {known.phase!r}",
            where=f"{site.host.name}:{site.folder}",
            remedy="Clear that run's failed task, which goes on; or undo it: " + "; ".join(site.way_back(known.kept)),
        )
    refuse_unfit_site(site, plan)
    hanging = _hanging_on(site)
    site.host.run(["mkdir", "-p", "-m", "700", str(site.folder)])
    return _write(site, InPlace(recovery_id, plan.server, plan, site.kept_name(at), at, *hanging))


def refuse_unfit_site(site: Site, plan: RecoveryPlan) -> None:
    """Look whether a server can be recovered over.

    Raises:
        Refused: it cannot; nothing was touched.
    """
    if plan.backup.tablespaces:
        raise Refused(
            f"{plan.server} has tablespaces ({', '.join(place for _, place in plan.backup.tablespaces)})",
            where=site.where,
            remedy="Recover it side by side and copy back what is needed, or put that server in the place of this one",
        )
    site.refuse_unfit(plan.disk_bytes)


def _hanging_on(site: Site) -> tuple[tuple[Slot, ...], tuple[str, ...], bool]:
    """Slots and standbys, and whether the server could be asked; it may be down, which is why it is recovered."""
    try:
        with connect(site.dsn, APPLICATION) as connection, connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(sql_text("physical/slots.sql"))
            slots = tuple(Slot(row["name"], row["plugin"], row["database"]) for row in cursor.fetchall())
            cursor.execute(sql_text("physical/standbys.sql"))
            return slots, tuple(row["standby"] for row in cursor.fetchall()), True
    except PgOpsError as error:
        log.warning("the server cannot say which slots and standbys it has: %s", error)
        return (), (), False


def set_aside(site: Site, state: InPlace, watch: Callable[[str], None] = log.info) -> InPlace:
    """Stop the server within a bound, and give its data directory the dated name."""
    if state.phase != "begun":
        return state
    site.set_aside(PurePosixPath(state.kept), watch)
    return _write(site, replace(state, phase="aside"))


def restore(site: Site, state: InPlace, engine: Engine, watch: Callable[[str], None] = log.info) -> InPlace:
    """Fetch the base backup into the place of the old directory."""
    if state.phase != "aside":
        return state
    refuse_without_kept(site, state)
    clear(site.cluster, site.data)
    started = time.monotonic()
    engine.fetch(state.plan.backup, site.data, site.host, watch)
    refuse_other(site.cluster, state.plan)
    return _write(site, replace(state, phase="fetched", fetch_seconds=time.monotonic() - started))


def refuse_without_kept(site: Site, state: InPlace) -> None:
    """Nothing is removed or written while the old files have not their dated name: the others may be somebody's.

    Raises:
        Refused: they have not.
    """
    if not site.host.exists(PurePosixPath(state.kept) / "global" / "pg_control"):
        raise Refused(
            f"The old data directory is not at {state.kept}",
            where=site.where,
            remedy="Somebody took the way back, or removed it: then this recovery is over, and another run begins anew."
            " Nothing was touched",
        )


def recover(
    site: Site,
    state: InPlace,
    engine: Engine,
    watch: Callable[[str], None] = log.info,
    patience_seconds: float = 600.0,
) -> InPlace:
    """Replay up to the target and promote; nobody but the owner of the files is let in."""
    if state.phase in ("begun", "aside"):
        raise Refused(
            "The base backup was not fetched", where=site.where, remedy="Clear the task that restores it, restore_copy"
        )
    if state.phase not in ("serving", "done"):
        refuse_without_kept(site, state)
    if state.phase == "fetched":
        state = _configured(site, state, engine.restore_command(site.host))
    if state.phase == "configured":
        started = time.monotonic()
        try:
            follow(site.cluster, state.plan, start_settings(site.cluster), patience_seconds, watch)
            reached = judge(site.cluster, state.plan)
        except RecoveryFailed as error:
            if error.anew:
                site.cluster.stop()
                _write(site, replace(state, phase="aside"))
            raise
        seconds = time.monotonic() - started
        state = _write(site, replace(state, phase="recovered", replay_seconds=seconds, reached=reached))
    if state.phase == "recovered" and not site.cluster.running():
        site.cluster.start(start_settings(site.cluster))
    return state


def _configured(site: Site, state: InPlace, restore_command: str) -> InPlace:
    """Today's settings, not those of the backup; and over them those of a recovery.

    Where postgresql.conf lies elsewhere, as on Debian, there are none until the service starts the server again.
    """
    cluster = site.cluster
    cluster.make_sockets()
    site.copy_configuration(PurePosixPath(state.kept), site.data)
    elsewhere = _configured_elsewhere(site, state)
    make_configurable(cluster, state.plan.needs.libraries if state.plan.needs else ())
    overrule(
        cluster,
        {
            **(from_control(cluster.control()) if elsewhere else {}),
            **quiet_settings(cluster, f"recovery of {state.server}"),
            # It promotes into a timeline of its own, whose history must be in the archive before anything else is.
            "archive_mode": "on",
            **recovery_settings(state.plan, restore_command),
        },
    )
    write_hba(cluster)
    forget_runtime(cluster)
    site.host.write(site.data / "recovery.signal", b"")
    return _write(site, replace(state, phase="configured"))


def _configured_elsewhere(site: Site, state: InPlace) -> bool:
    return not site.host.exists(PurePosixPath(state.kept) / "postgresql.conf")


def serve(site: Site, state: InPlace, watch: Callable[[str], None] = log.info, seconds: float = 120) -> InPlace:
    """Start the server as it always was, and let everybody in again."""
    if state.phase == "recovered":
        refuse_without_kept(site, state)
        _stop_recovered(site, watch)
        overrule(site.cluster, {})
        if _configured_elsewhere(site, state):
            site.host.run(["rm", "-f", "--", str(site.data / "postgresql.conf")])
        site.launch()
        _wait_until_it_serves(site, seconds)
        state = _write(site, replace(state, phase="serving"))
    return state


def _stop_recovered(site: Site, watch: Callable[[str], None]) -> None:
    if site.cluster.running() and not site.cluster.stop(STOP_SECONDS):
        watch("its archiver does not get rid of its WAL: it was stopped at once")


def _wait_until_it_serves(site: Site, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with connect(site.dsn, APPLICATION) as connection, connection.cursor() as cursor:
                cursor.execute("SELECT pg_catalog.pg_is_in_recovery()")
                if cursor.fetchone() == (False,):
                    return
        except PgOpsError as error:
            if time.monotonic() > deadline:
                raise PgOpsError(
                    f"The recovered server does not serve: {error.what}",
                    where=site.where,
                    remedy="Read its log and start it; this task goes on from there when it is cleared",
                    retry=True,
                ) from error
        time.sleep(0.5)


def finish(site: Site, state: InPlace, engine: Engine, watch: Callable[[str], None] = log.info) -> InPlace:
    """Make the slots again, and take a new base backup, since the old ones are of the timeline before."""
    if state.phase == "serving":
        recreate_slots(site.dsn, state.slots, watch)
        made = engine.push(watch)
        watch(f"new base backup {made.backup_id}")
        state = _write(site, replace(state, phase="done"))
    return state


def recreate_slots(dsn: Dsn, slots: Sequence[Slot], watch: Callable[[str], None]) -> None:
    """Make those of the slots that are not there."""
    for slot in slots:
        with connect(dsn.on(slot.database or dsn.dbname), APPLICATION) as connection, connection.cursor() as cursor:
            cursor.execute(sql_text("physical/make_slot.sql"), {"name": slot.name, "plugin": slot.plugin})
            made = bool(cursor.fetchall())
        if made and slot.plugin:
            watch(f"logical slot {slot.name} begins anew: its subscriber must copy its tables again")
        elif made:
            watch(f"slot {slot.name} is there again")
