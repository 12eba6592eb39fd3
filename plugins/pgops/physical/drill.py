"""The drill: two rows, one before an instant and one after it. A copy as of that instant must hold the first alone."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from psycopg2.extras import RealDictCursor

from pgops import units
from pgops.errors import PgOpsError, Refused
from pgops.include import sql_text
from pgops.physical.checks import Check, literal
from pgops.physical.cluster import Cluster
from pgops.physical.model import Engine
from pgops.postgres import Dsn, connect

log = logging.getLogger(__name__)

APPLICATION = "pgops.recovery_drill"
_APART_SECONDS = 0.05  # commits have microseconds; a clock that is put right may go back by some
_POLL_SECONDS = 1.0
FORCED_SECONDS = 120.0  # a segment that was switched by hand needs only its archiving


@dataclass(frozen=True)
class Marker:
    """What a drill left in the server. Times are the server's own, in UTC.

    Attributes:
        target: the instant between both rows.
        wal: the segment that must be in the archive before the instant can be reached.
        archived_at: when it was; None when it did not get there within the policy's RPO.
        notes: what hindered it.
    """

    id: str
    dbname: str
    committed_at: datetime
    target: datetime
    wal: str
    archived_at: datetime | None = None
    notes: tuple[str, ...] = ()

    @property
    def rpo_seconds(self) -> float | None:
        """From the commit until it was safe: what is lost when the server is."""
        if self.archived_at is None:
            return None
        return max(0.0, (self.archived_at - self.committed_at).total_seconds())


def leave_marker(dsn: Dsn) -> Marker:
    """Commit the row before and the row after; a role that may create a schema in that database."""
    marker_id = secrets.token_hex(8)
    with connect(dsn, APPLICATION) as connection, connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(sql_text("physical/make_markers.sql"))
        committed = _left(cursor, marker_id, "before")
        time.sleep(_APART_SECONDS)
        cursor.execute(sql_text("physical/wal_position.sql"))
        target = _one(cursor)["at"].astimezone(UTC)
        time.sleep(_APART_SECONDS)
        _left(cursor, marker_id, "after")
        cursor.execute(sql_text("physical/wal_position.sql"))
        wal = str(_one(cursor)["wal"])
    log.info("marker %s at %s, in %s", marker_id, target, wal)
    return Marker(marker_id, dsn.dbname, committed, target, wal)


def forget_marker(dsn: Dsn, marker_id: str) -> None:
    """Remove a drill's rows; harmless when they are gone."""
    with connect(dsn, APPLICATION) as connection, connection.cursor() as cursor:
        cursor.execute(sql_text("physical/make_markers.sql"))
        cursor.execute(sql_text("physical/forget_markers.sql"), {"id": marker_id})


def wait_until_archived(
    dsn: Dsn, engine: Engine, marker: Marker, rpo_seconds: float, watch: Callable[[str], None] = log.info
) -> Marker:
    """Wait for the marker's WAL to arrive, as it does by itself; help only when the policy's time is over.

    Raises:
        PgOpsError: it does not arrive at all, with what the archiver says.
    """
    archived_at = _arrival(dsn, engine, marker.wal, rpo_seconds)
    if archived_at is not None:
        return replace(marker, archived_at=archived_at)
    facts = archiver(dsn)
    watch(f"{marker.wal} did not arrive within {units.duration(rpo_seconds)}: {_why(facts)}; switching the segment")
    push_out(dsn)
    if _arrival(dsn, engine, marker.wal, FORCED_SECONDS) is None:
        waited = units.duration(rpo_seconds + FORCED_SECONDS)
        raise PgOpsError(
            f"WAL stopped arriving: {marker.wal} is not in the archive after {waited}: {_why(archiver(dsn))}",
            where=dsn.where,
            remedy="Look at the server's log: archive_command says there why it fails; until then nothing new is safe",
        )
    return replace(marker, notes=(f"RPO missed: {_why(facts)}",))


def push_out(dsn: Dsn) -> str:
    """Commit something and complete the segment that holds it; return its name.

    A target in time is reached only if the archive holds a commit after it. On a server that nobody uses there is none,
    and the segment would wait for archive_timeout.
    """
    with connect(dsn, APPLICATION) as connection, connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute("SELECT pg_catalog.pg_current_xact_id()")  # a transaction that has an id is one that commits
        cursor.execute(sql_text("physical/wal_position.sql"))
        wal = str(_one(cursor)["wal"])
        cursor.execute("SELECT pg_catalog.pg_switch_wal()")
    return wal


def wait_for_wal(dsn: Dsn, engine: Engine, wal: str, seconds: float) -> bool:
    """Whether a segment arrives in time."""
    return _arrival(dsn, engine, wal, seconds) is not None


def archiver(dsn: Dsn) -> Mapping[str, Any]:
    """What the server's archiver did last."""
    with connect(dsn, APPLICATION) as connection, connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(sql_text("physical/archiver.sql"))
        return dict(_one(cursor))


def unarchived_since(dsn: Dsn) -> datetime | None:
    """Since when the server has WAL that is not in the archive; None when it has none, or does not answer.

    A server that wrote nothing since has nothing to archive, however long that is.
    """
    try:
        with connect(dsn, APPLICATION) as connection, connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(sql_text("physical/unarchived.sql"))
            since = _one(cursor)["since"]
    except PgOpsError as error:
        log.warning("the server does not say what it has not archived: %s", error)
        return None
    return since.astimezone(UTC) if since else None


def _arrival(dsn: Dsn, engine: Engine, wal: str, seconds: float) -> datetime | None:
    """When a segment was archived; None when it was not in time. The archive is listed only when it is due."""
    deadline = time.monotonic() + seconds
    while True:
        facts = archiver(dsn)
        if (facts["last_archived_wal"] or "")[8:24] >= wal[8:24] and wal in (found := engine.archive().segments):
            exact = facts["last_archived_wal"] == wal  # by the clock that the commit was measured with
            at: datetime = facts["last_archived_time"] if exact else found[wal]
            return at.astimezone(UTC)
        if time.monotonic() > deadline:
            return None
        time.sleep(_POLL_SECONDS)


def _why(facts: Mapping[str, Any]) -> str:
    if facts["archive_mode"] == "off":
        return "archive_mode is off"
    if facts["failing"]:
        return f"archive_command failed on {facts['last_failed_wal']} at {facts['last_failed_time']:%H:%M:%S} UTC"
    if not facts["archive_timeout"]:
        return "archive_timeout is 0, so a quiet server keeps its last segment to itself"
    return f"archive_timeout is {facts['archive_timeout']} s, and the archiver is behind"


def check_marker(cluster: Cluster, marker: Marker) -> Check:
    """The row before is there, the row after is not."""
    started = time.monotonic()
    found = cluster.ask(sql_text("physical/markers_found.sql") % {"id": literal(marker.id)}, marker.dbname).split()
    problems = []
    if "before" not in found:
        problems.append("the row that was committed before the target is not there")
    if "after" in found:
        problems.append("the row that was committed after the target is there")
    return Check(
        "marker", not problems, time.monotonic() - started, "what was before is there, nothing later", tuple(problems)
    )


def _left(cursor: Any, marker_id: str, kind: str) -> datetime:
    cursor.execute(sql_text("physical/leave_marker.sql"), {"id": marker_id, "kind": kind})
    at: datetime = _one(cursor)["at"]
    return at.astimezone(UTC)


def _one(cursor: Any) -> Mapping[str, Any]:
    row = cursor.fetchone()
    if row is None:
        raise Refused("The server gave no answer", where="the recovery drill", remedy="Look at its log")
    found: Mapping[str, Any] = row
    return found
