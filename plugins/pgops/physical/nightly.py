"""A server's night: a base backup, its proof, and the end of what no rule keeps. Each step may be repeated."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from psycopg2.extras import RealDictCursor

from pgops import units
from pgops.errors import PgOpsError, Refused
from pgops.fleet import PhysicalPolicy, PhysicalRetention
from pgops.fleet.base import Tls
from pgops.include import sql_text
from pgops.ledger import Lease, Ledger, held_lease
from pgops.physical.archive import gaps, rewritten
from pgops.physical.engines.shelf import Shelf
from pgops.physical.model import BaseBackup, Engine
from pgops.physical.wal import lsn_text
from pgops.postgres import Dsn, Limits, check_tls, connect

log = logging.getLogger(__name__)

_POLL_SECONDS = 1.0
_EARLY = 0.1  # of full_every_days: a night may begin a little sooner than the one before


class NightlyEngine(Engine, Protocol):
    """What a night needs of an engine beside what recoveries need."""

    shelf: Shelf

    def unfinished(self) -> tuple[str, ...]:
        """Base backups that were begun and not finished."""

    def sweep(self) -> tuple[str, ...]:
        """Remove those; only while nobody takes a backup."""


@dataclass(frozen=True)
class ServerState:
    """A server as include/sql/physical/server_state.sql tells of it."""

    in_recovery: bool
    server_version: int
    system_identifier: str
    archive_mode: str
    wal_level: str
    archives: bool
    archived_count: int
    failed_count: int
    last_archived_wal: str | None
    last_archived_at: datetime | None
    last_failed_wal: str | None
    last_failed_at: datetime | None
    failing: bool
    waiting: int
    waiting_seconds: float
    backups_running: int


@dataclass(frozen=True)
class BaseTaken:
    """A base backup of tonight, or the one that is still young enough; small enough for XCom."""

    server: str
    engine: str
    backup_id: str
    kind: str
    taken: bool
    why: str
    bytes: int
    directory_bytes: int
    seconds: float
    ended_at: datetime
    swept: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class BaseVerified:
    """A base backup that was read back, with the WAL that it needs."""

    server: str
    engine: str
    backup_id: str
    seconds: float
    how: str


@dataclass(frozen=True)
class BasePruned:
    """What was removed, or would have been, and how many base backups stay."""

    server: str
    removed: tuple[str, ...]
    kept: int
    dry_run: bool


def server_state(dsn: Dsn) -> ServerState:
    """Ask a server about its archiver and who takes backups of it."""
    with (
        connect(dsn, "pgops.physical", Limits(statement=30)) as connection,
        connection.cursor(cursor_factory=RealDictCursor) as cursor,
    ):
        cursor.execute(sql_text("physical/server_state.sql"))
        return ServerState(**(cursor.fetchone() or {}))


def refuse_unfit_server(state: ServerState, where: str, delay_minutes: float) -> None:
    """Refuse to take a base backup that could not be restored, or would wait for WAL for ever.

    Raises:
        Refused: it is a standby, or its WAL goes nowhere.
        PgOpsError: its archiver fails, or is far behind.
    """
    if state.in_recovery:
        raise Refused(
            "This server is a standby, and its archiver does not run",
            where=where,
            remedy="Let physical.connection lead to the primary: what a standby gives could not be made consistent",
        )
    if state.archive_mode == "off" or state.wal_level == "minimal" or not state.archives:
        raise Refused(
            "This server does not archive its WAL: a base backup alone cannot be recovered to any instant",
            where=where,
            remedy="Set archive_mode = on and archive_command as docs/physical.md says, and restart it",
        )
    if state.failing:
        raise PgOpsError(
            f"The WAL archiver fails: segment {state.last_failed_wal} at {_moment(state.last_failed_at)}, "
            f"{state.failed_count} failures; the last one archived is {state.last_archived_wal or 'none'}",
            where=where,
            remedy="Read what archive_command says in the server's log; pg_wal grows until it works again",
            retry=True,
        )
    if state.waiting_seconds > delay_minutes * 60:
        raise PgOpsError(
            f"The WAL archiver is behind: {state.waiting} segments wait, the oldest for "
            f"{units.duration(state.waiting_seconds)}",
            where=where,
            remedy="Look whether archive_command hangs; else take a faster engine (docs/physical.md)",
            retry=True,
        )


def why_due(backups: Sequence[BaseBackup], proven: set[str], policy: PhysicalPolicy, now: datetime) -> str:
    """Why a base backup has to be taken now; empty when there is no need."""
    if policy.engine == "walg" and policy.host is not None and policy.max_deltas:
        return "every night, as a difference where it can be one"
    full = [backup for backup in backups if backup.parent is None and backup.backup_id in proven]
    if not full:
        return "there is no proven one"
    age = now - full[-1].ended_at
    if age >= timedelta(days=policy.full_every_days * (1 - _EARLY)):
        return f"the newest proven one is {units.duration(age.total_seconds())} old"
    return ""


def take_base_backup(
    server: str,
    engine: NightlyEngine,
    dsn: Dsn,
    policy: PhysicalPolicy,
    ledger: Ledger,
    lease: Lease,
    now: datetime,
    *,
    force: bool = False,
    tls: Tls = "warn",
) -> BaseTaken:
    """Take a base backup if one is due; first sweep up what a dead run left.

    Args:
        force: also when none is due.
        tls: what the policy asks of the way to the server.

    Raises:
        Refused: the server, or what the archive holds, does not allow it.
        PgOpsError: the archiver fails, or the engine does.
    """
    with held_lease(lease):
        state = server_state(dsn)
        record_wal_state(ledger, server, engine, state, now)
        refuse_unfit_server(state, dsn.where, policy.archive_delay_minutes)
        tls_notes = check_tls(dsn, tls, "pgops.physical")
        backups = engine.backups()
        _refuse_foreign(backups, state, engine)
        swept = _sweep(engine, state)
        why = "asked for" if force else why_due(backups, engine.shelf.proven(), policy, now)
        started = time.monotonic()
        if why:
            log.info("%s: taking a base backup: %s", server, why)
            newest = engine.push(lambda line: log.info("%s: %s", engine.name, line))
        else:
            newest = [one for one in backups if one.backup_id in engine.shelf.proven()][-1]
            log.info("%s: %s is young enough", server, newest.backup_id)
        seconds = time.monotonic() - started
        record_base_backup(ledger, server, newest, seconds if why else None)
    return BaseTaken(
        server=server,
        engine=engine.name,
        backup_id=newest.backup_id,
        kind="delta" if newest.parent else "full",
        taken=bool(why),
        why=why,
        bytes=newest.bytes,
        directory_bytes=newest.directory_bytes,
        seconds=seconds,
        ended_at=newest.ended_at,
        swept=swept,
        notes=(*tls_notes, *_archive_notes(engine), *_store_notes(engine, newest)),
    )


def verify_base_backup(
    server: str,
    engine: NightlyEngine,
    backup_id: str,
    ledger: Ledger,
    lease: Lease,
    wait_seconds: float,
    *,
    again: bool = True,
) -> BaseVerified:
    """Wait for the WAL that a base backup needs, then read everything back.

    Args:
        again: also one that was proven before; without it that is believed.

    Raises:
        PgOpsError: the WAL does not arrive, or something is damaged; the backup is not proven.
    """
    with held_lease(lease):
        started = time.monotonic()
        backup = find(engine, backup_id)
        if not again and backup_id in engine.shelf.proven():
            return BaseVerified(server, engine.name, backup_id, 0.0, "read back when it was taken")
        _wait_for_wal(engine, backup, wait_seconds)
        problems = engine.verify(backup)
        if problems:
            more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
            raise PgOpsError(
                f"The base backup {backup_id} is damaged: {'; '.join(problems[:3])}{more}",
                where=engine.shelf.bucket.where(engine.shelf.base),
                remedy="Take another one (param base_backup of nightly_backup) and look for the cause in the store",
            )
        seconds = time.monotonic() - started
        if engine.shelf.sealed:
            how = "every object read back: hashed, encrypted; what is in it is for a recovery drill to prove"
        else:
            how = "every object read back: decompressed, hashed, tars whole; its WAL whole and of this server"
        ledger.rows("record_base_verified", server=server, engine=engine.name, backup_id=backup_id, how=how)
    return BaseVerified(server, engine.name, backup_id, seconds, how)


def prune_base_backups(
    server: str,
    engine: NightlyEngine,
    retention: PhysicalRetention,
    tonight: str,
    ledger: Ledger,
    lease: Lease,
    now: datetime,
    *,
    dry_run: bool,
) -> BasePruned:
    """Remove the base backups that no rule keeps, with the WAL that only they need.

    Raises:
        Refused: tonight's base backup is not proven.
    """
    with held_lease(lease):
        proven = engine.shelf.proven()
        if tonight not in proven:
            raise Refused(
                f"Tonight's base backup {tonight} is not proven: nothing is removed",
                where=engine.shelf.bucket.where(engine.shelf.base),
                remedy="Clear the step verify_base_backup",
            )
        backups = engine.backups()
        keep = kept(backups, proven, retention, now)
        would = engine.prune(keep, dry_run=True)
        for backup_id in would:
            log.info("%s %s: no rule keeps it", "would remove" if dry_run else "remove", backup_id)
        removed = would if dry_run or not would else engine.prune(keep, dry_run=False)
        if removed and not dry_run:
            ledger.rows("record_base_pruned", server=server, engine=engine.name, backup_ids=list(removed))
    lease.release()
    return BasePruned(server, removed, len(backups) - len(removed), dry_run)


def kept(
    backups: Sequence[BaseBackup], proven: set[str], retention: PhysicalRetention, now: datetime
) -> tuple[str, ...]:
    """Ids of the base backups that stay: everything from the oldest chain on that a rule needs.

    A chain is a full backup with the differences to it; it stays or goes as one. To restore an instant one needs a base
    backup that ended before it, so the newest proven one that is older than the window stays too.
    """
    roots = {backup.backup_id: backup for backup in backups if backup.parent is None}
    sound = [backup for backup in roots.values() if backup.backup_id in proven]
    window = now - timedelta(days=retention.keep_days)
    before_window = [backup for backup in sound if backup.ended_at <= window]
    if not before_window or len(sound) < retention.keep_full:
        return tuple(backup.backup_id for backup in backups)
    oldest = min(before_window[-1].ended_at, sound[-retention.keep_full].ended_at)
    known = {backup.backup_id: backup for backup in backups}
    return tuple(backup.backup_id for backup in backups if backup.permanent or _root(backup, known).ended_at >= oldest)


def find(engine: Engine, backup_id: str) -> BaseBackup:
    """A base backup by its id.

    Raises:
        Refused: it is gone.
    """
    for backup in engine.backups():
        if backup.backup_id == backup_id:
            return backup
    raise Refused(
        f"There is no base backup {backup_id}", where=f"the archive of {engine.name}", remedy="Take another one"
    )


def record_base_backup(ledger: Ledger, server: str, backup: BaseBackup, seconds: float | None) -> None:
    """Remember a base backup; doing so twice is harmless."""
    facts = {name: value for name, value in asdict(backup).items() if name not in ("permanent", "tablespaces")}
    lsns = {"start_lsn": lsn_text(backup.start_lsn), "end_lsn": lsn_text(backup.end_lsn)}
    ledger.rows("record_base_backup", **(facts | lsns | {"server": server, "seconds": seconds}))


def record_wal_state(ledger: Ledger, server: str, engine: NightlyEngine, state: ServerState, now: datetime) -> None:
    """Remember what the archiver did and what the archive holds."""
    archive = engine.archive()
    facts: Mapping[str, Any] = {
        "segments": len(archive.segments),
        "gaps": [asdict(gap) for gap in gaps(archive)],
        "rewritten": rewritten(archive),
    }
    ledger.rows(
        "record_wal_state",
        server=server,
        engine=engine.name,
        at=now,
        last_archived_wal=state.last_archived_wal,
        last_archived_at=state.last_archived_at,
        last_failed_wal=state.last_failed_wal,
        last_failed_at=state.last_failed_at,
        failing=state.failing,
        waiting=state.waiting,
        facts=json.dumps(facts),
    )


def _sweep(engine: NightlyEngine, state: ServerState) -> tuple[str, ...]:
    """Remove what nobody will finish: a base backup needs its session on the server to its end."""
    if state.backups_running:
        log.info("somebody takes a backup of this server now: nothing is swept")
        return ()
    swept = engine.sweep()
    for backup_id in swept:
        log.warning("swept up: %s was begun and never finished", backup_id)
    return swept


def _refuse_foreign(backups: Sequence[BaseBackup], state: ServerState, engine: NightlyEngine) -> None:
    if backups and backups[-1].system_identifier != state.system_identifier:
        raise Refused(
            f"The archive holds backups of another server: system identifier {backups[-1].system_identifier}, "
            f"this one is {state.system_identifier}",
            where=engine.shelf.bucket.where(engine.shelf.base),
            remedy="After initdb or pg_upgrade give the server another name in the fleet file: its WAL would mix with "
            "that of the old one",
        )


def _wait_for_wal(engine: NightlyEngine, backup: BaseBackup, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while backup.last_wal not in engine.archive().segments:
        if time.monotonic() > deadline:
            raise PgOpsError(
                f"WAL segment {backup.last_wal}, which {backup.backup_id} needs, has not arrived in "
                f"{units.duration(seconds)}",
                where=engine.shelf.bucket.where(engine.shelf.wal),
                remedy="Look at pg_stat_archiver and the server's log: archive_command fails or hangs",
                retry=True,
            )
        time.sleep(_POLL_SECONDS)


def _archive_notes(engine: NightlyEngine) -> tuple[str, ...]:
    """What a reader must know of the archive."""
    archive = engine.archive()
    backups = engine.backups()
    since = min((backup.first_wal for backup in backups if backup.timeline == backups[-1].timeline), default=None)
    lost = gaps(archive, since)
    twice = rewritten(archive)
    notes = []
    if lost:
        names = lost[0].first if lost[0].count == 1 else f"{lost[0].first} to {lost[0].last}"
        notes.append(f"WAL is missing: {names}" + (f", and {len(lost) - 1} more gaps" if len(lost) > 1 else ""))
    if twice:
        notes.append(f"WAL segments were archived again long after their successors: {', '.join(twice[:3])}")
    return tuple(notes)


def _store_notes(engine: NightlyEngine, backup: BaseBackup) -> tuple[str, ...]:
    """What the store did otherwise than the policy asks; engines ask for no lock: the bucket's default must do."""
    largest = max(engine.shelf.of_backup(backup.backup_id), key=lambda one: one.bytes, default=None)
    if largest is None:
        return ()
    return engine.shelf.bucket.ignored(largest.key, backup.started_at, locked=True)


def _root(backup: BaseBackup, known: Mapping[str, BaseBackup]) -> BaseBackup:
    """The full backup at the beginning of a chain; of a broken chain the oldest that is left."""
    while backup.parent is not None and backup.parent in known:
        backup = known[backup.parent]
    return backup


def _moment(at: datetime | None) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if at else "an unknown time"


__all__ = [
    "BasePruned",
    "BaseTaken",
    "BaseVerified",
    "NightlyEngine",
    "ServerState",
    "find",
    "kept",
    "prune_base_backups",
    "refuse_unfit_server",
    "server_state",
    "take_base_backup",
    "verify_base_backup",
    "why_due",
]
