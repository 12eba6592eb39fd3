"""Recovery beside the source: a base backup and WAL become a server of their own, on another port of another folder.

Each step goes on where a process that died has left it, or begins anew; the source and its archive are only read.
"""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import PurePosixPath

from pgops import units
from pgops.errors import PgOpsError, Refused
from pgops.physical import state
from pgops.physical.cluster import Cluster
from pgops.physical.configure import (
    from_control,
    make_configurable,
    overrule,
    quiet_settings,
    recovery_settings,
    refuse_foreign_tablespaces,
    write_hba,
)
from pgops.physical.engines.source import tablespace_directory
from pgops.physical.follow import PORT_TAKEN, RecoveryFailed, follow, judge
from pgops.physical.intervals import told
from pgops.physical.model import Engine
from pgops.physical.needs import refuse_unfit
from pgops.physical.plan import RecoveryPlan
from pgops.physical.state import Place, Recovery

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 600.0
_SPARE_BYTES = 256 << 20  # for what a server writes beside its data


def prepare(place: Place, recovery_id: str, plan: RecoveryPlan, now: datetime, keep: timedelta) -> Recovery:
    """Look whether the host can take it, and make the recovery's folder; one that is there already goes on.

    Args:
        place: where.
        recovery_id: the folder's name.
        plan: what is recovered.
        now: when it was asked for.
        keep: after that it may be removed, finished or not.

    Raises:
        Refused: the host lacks something; nothing was touched.
    """
    known = state.read(place, recovery_id)
    if known is None:
        refuse_full(place, plan)
        if plan.needs is not None:
            refuse_unfit(place.host, place.bindir, plan.needs)
    return state.begin(place, Recovery(recovery_id, plan.server, plan, 0, now, now + keep))


def refuse_full(place: Place, plan: RecoveryPlan) -> None:
    """Look whether the volume has room.

    Raises:
        Refused: it has not.
    """
    free, wanted = place.host.free_bytes(place.base), plan.disk_bytes + _SPARE_BYTES
    if free < wanted:
        raise Refused(
            f"The recovery needs {units.size(wanted)} and the volume has {units.size(free)} left",
            where=f"{place.host.name}:{place.base}",
            remedy="Free space there, or give the recovery another directory; nothing was touched",
        )


def restore(place: Place, recovery: Recovery, engine: Engine, watch: Callable[[str], None] = log.info) -> Recovery:
    """Fetch the base backup; what a try before this one left half is thrown away.

    Raises:
        PgOpsError: it could not be fetched, or it is another server's.
    """
    if recovery.phase != "fetching":
        return recovery
    server = state.cluster(place, recovery)
    clear(server, server.data)
    started = time.monotonic()
    engine.fetch(recovery.plan.backup, server.data, place.host, watch)
    refuse_other(server, recovery.plan)
    seconds = time.monotonic() - started
    watch(f"{recovery.plan.backup.backup_id} fetched in {units.duration(seconds)}")
    return state.advanced(place, recovery, "fetched", fetch_seconds=seconds)


def clear(server: Cluster, data: PurePosixPath) -> None:
    """Remove what an earlier try fetched; its server, if it runs, first."""
    if server.host.exists(data) and server.running():
        server.stop()
    tablespaces = tablespace_directory(data, "")
    server.host.run(["rm", "-rf", "--", str(data), str(tablespaces)])
    server.host.run(["rm", "-f", "--", str(server.log)])


def refuse_other(server: Cluster, plan: RecoveryPlan) -> None:
    """Look whether what was fetched is what the plan means, before a server starts on it.

    Raises:
        Refused: it is not.
    """
    server.host.run(["chmod", "700", str(server.data)])
    found = server.control().get("Database system identifier", "")
    if found != plan.backup.system_identifier:
        raise Refused(
            f"What was fetched is of another server: {found}, not {plan.backup.system_identifier}",
            where=server.where,
            remedy="Two servers share this archive: give each its own, and look for a base backup of the right one",
        )
    if not server.host.exists(server.data / "backup_label"):
        raise Refused(
            "What was fetched holds no backup_label, without which recovery would begin at the wrong place",
            where=server.where,
            remedy="This base backup is damaged: verify it, and recover from another one",
        )


def recover(
    place: Place,
    recovery: Recovery,
    engine: Engine,
    watch: Callable[[str], None] = log.info,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Recovery:
    """Replay the WAL up to the target and promote; only the server's owner can reach it.

    Raises:
        RecoveryFailed: the server died, or has another state than the one that was asked for.
    """
    if recovery.phase == "fetching":
        raise Refused(
            "The base backup was not fetched", where=place.where(recovery.id), remedy="Clear the task that restores it"
        )
    server = state.cluster(place, recovery)
    server.make_sockets()
    if recovery.phase == "fetched":
        recovery = _configured(place, recovery, server, engine.restore_command(place.host))
    if recovery.phase == "configured":
        started = time.monotonic()
        try:
            follow(server, recovery.plan, start_settings(server), patience_seconds, watch)
            reached = judge(server, recovery.plan)
        except RecoveryFailed as error:
            if error.anew:
                server.stop()
                state.advanced(place, recovery, "fetching")
            elif PORT_TAKEN in error.what:  # before anything was replayed
                state.advanced(place, recovery, "fetched", port=state.another_port(place, recovery))
            raise
        seconds = time.monotonic() - started
        recovery = state.advanced(place, recovery, "recovered", replay_seconds=seconds, reached=reached)
    elif not server.running():  # the host was restarted since
        server.start(start_settings(server))
    assert recovery.reached is not None
    watch(f"recovered on timeline {recovery.reached.timeline}: {recovery.reached.words}")
    return recovery


def start_settings(server: Cluster) -> dict[str, str]:
    """Settings for the command line, since no file's may lead the server to other files."""
    return {"data_directory": str(server.data), "hba_file": str(server.folder / "hba.conf")}


def _configured(place: Place, recovery: Recovery, server: Cluster, restore_command: str) -> Recovery:
    """Everything that makes it a recovery, the signal last; a server that was promoted must never see it again."""
    plan = recovery.plan
    refuse_foreign_tablespaces(server, server.folder)
    make_configurable(server, plan.needs.libraries if plan.needs else ())
    settings = {
        **from_control(server.control()),
        **place.settings,
        **quiet_settings(
            server, f"{recovery.server}-{recovery.id}", ",".join(filter(None, ("localhost", place.listen)))
        ),
        "archive_mode": "off",  # else the copy writes into the source's archive
        **recovery_settings(plan, restore_command),
    }
    overrule(server, settings)
    write_hba(server)
    forget_runtime(server)
    server.host.write(server.data / "recovery.signal", b"")
    return state.advanced(place, recovery, "configured")


def forget_runtime(server: Cluster) -> None:
    """Remove what a base backup may carry of the source's running server."""
    names = ("postmaster.pid", "postmaster.opts", "standby.signal", "recovery.signal", "recovery.conf")
    server.host.run(["rm", "-f", "--", *(str(server.data / name) for name in names)])


def let_in(place: Place, recovery: Recovery, roles: Sequence[str], until: datetime) -> Recovery:
    """Let roles in, with their own passwords. Call it when all that must happen before has happened.

    Args:
        until: when the copy may be removed; the time that recovery took is not theirs.
    """
    server = state.cluster(place, recovery)
    write_hba(server, roles, place.networks if place.listen else ())
    server.ask("SELECT pg_catalog.pg_reload_conf()")
    return state.advanced(place, recovery, "open", until=until)


def running(place: Place, recovery: Recovery) -> Cluster:
    """The recovered server, which must be there.

    Raises:
        PgOpsError: it is not.
    """
    server = state.cluster(place, recovery)
    if recovery.phase not in ("recovered", "open") or not server.running():
        raise PgOpsError(
            f"The recovered server does not run ({recovery.phase})",
            where=server.where,
            remedy="Clear the task that recovers: it starts it again",
            retry=True,
        )
    return server


def address(place: Place, recovery: Recovery) -> str:
    """How people reach it."""
    return f"{place.listen or place.host.name}:{recovery.port}"


def looks(place: Place, recovery: Recovery, role: str, database: str) -> tuple[str, ...]:
    """How to look into it, and how to copy one table back."""
    host = place.listen or "localhost"
    reach = shlex.join([f"--host={host}", f"--port={recovery.port}", f"--username={role}", database])
    return (
        f"psql {reach}",
        f"pg_dump --table=public.<table> {reach} | psql --dbname={shlex.quote(database)} <the live server>",
    )


def summary(recovery: Recovery) -> str:
    """What a log says of it."""
    return (
        f"{recovery.server} as of {recovery.plan.target.text}, port {recovery.port}, until {told(recovery.until)},"
        f" fetched in {units.duration(recovery.fetch_seconds)}, replayed in {units.duration(recovery.replay_seconds)}"
    )
