"""The deployment's checklist: each item is a question to the world, and its answer is kept.

Nothing here changes anything. An item that fails is an answer; an exception means that there is none (the store or the
database does not answer).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg2.extras import RealDictCursor

from pgops import units
from pgops.catalog import Catalog
from pgops.errors import PgOpsError
from pgops.fleet import Canary
from pgops.include import sql_text
from pgops.postgres import DatabaseError, Dsn, Limits, connect
from pgops.storage import StorageError

APPLICATION = "pgops.evidence"
MEGABYTE = 1024 * 1024
_CLOCKS_DIFFER_HOURS = 0.1
_GRANT = "GRANT pg_monitor TO the role (include/sql/roles/monitor.sql)"


@dataclass(frozen=True)
class Evidence:
    """One item of the checklist: whether it is as it should be, in words, and what that was judged by (plain JSON)."""

    item: str
    passed: bool
    summary: str
    facts: dict[str, Any]


def backup_evidence(catalog: Catalog, max_age_hours: float, now: datetime | None = None) -> Evidence:
    """There is a proven backup, no drill refuted it, its objects are all there, and it is young enough.

    Raises:
        StorageError: the store does not answer.
    """
    item = "backup"
    try:
        manifest, verdict, refuted = catalog.newest_usable()
        missing = catalog.missing(manifest) if manifest else []
    except StorageError:
        raise
    except PgOpsError as error:
        return Evidence(item, False, str(error), {})
    if manifest is None or manifest.verification is None:
        return Evidence(item, False, "there is no proven backup that no drill refuted", {"refuted": list(refuted)})
    # The state that can be brought back is the snapshot's: the age counts from the start.
    age_hours = ((now or datetime.now(UTC)) - manifest.started_at).total_seconds() / 3600
    drill = "never drilled" if verdict is None else "restored and compared by its drill"
    facts = {
        "backup_id": manifest.backup_id,
        "age_hours": round(age_hours, 2),
        "max_age_hours": max_age_hours,
        "level": manifest.verification.level,
        "drill": None if verdict is None else verdict.passed,
        "refuted": list(refuted),
        "missing": missing,
    }
    summary = f"{manifest.backup_id} is {age_hours:.1f} h old (limit {max_age_hours:g} h), verified, {drill}"
    if missing:
        summary += f"; of it {missing[0]} is missing or cut off"
    if refuted:
        summary += f"; newer ones do not count, since their drills failed: {', '.join(refuted)}"
    if age_hours < -_CLOCKS_DIFFER_HOURS:
        summary += "; it lies in the future: a clock is wrong"
    passed = not missing and -_CLOCKS_DIFFER_HOURS <= age_hours <= max_age_hours
    return Evidence(item, passed, summary, facts)


def lag_evidence(dsn: Dsn, max_lag_mb: float = 256, expected: int = 0) -> Evidence:
    """No standby is further behind than allowed, and as many as expected are streaming; asked on the primary."""
    standbys = _ask(dsn, "lag.sql")
    facts = {"standbys": standbys, "max_lag_mb": max_lag_mb, "expected": expected}
    if any(one["lag_bytes"] is None for one in standbys):
        return Evidence("lag", False, f"the standbys' positions are hidden from this role: {_GRANT}", facts)
    if len(standbys) < expected:
        return Evidence("lag", False, f"{len(standbys)} of {expected} standbys are streaming", facts)
    if not standbys:
        return Evidence("lag", True, "no standby streams from this server, and none is expected", facts)
    worst = max(standbys, key=lambda one: int(one["lag_bytes"]))
    count = "1 standby" if len(standbys) == 1 else f"{len(standbys)} standbys"
    summary = f"{count}, {worst['application_name']} is {units.size(worst['lag_bytes'])} behind"
    return Evidence("lag", worst["lag_bytes"] <= max_lag_mb * MEGABYTE, f"{summary} (limit {max_lag_mb:g} MB)", facts)


def connections_evidence(dsn: Dsn, max_share: float = 0.8) -> Evidence:
    """The server has connections left."""
    rows = _ask(dsn, "connections.sql")
    used, allowed = sum(row["connections"] for row in rows), rows[0]["allowed"]
    states = {row["state"]: row["connections"] for row in rows}
    words = ", ".join(f"{count} {state}" for state, count in states.items())
    facts = {"states": states, "used": used, "allowed": allowed, "max_share": max_share}
    summary = f"{used} of {allowed} connections in use, {100 * used / allowed:.0f} % (limit {100 * max_share:.0f} %)"
    return Evidence("connections", used <= max_share * allowed, f"{summary}: {words}", facts)


def long_transactions_evidence(dsn: Dsn, max_seconds: float = 60) -> Evidence:
    """No transaction has been open for so long that the migration would have to wait for it."""
    rows = _ask(dsn, "long_transactions.sql", seconds=max_seconds)
    facts = {"transactions": rows, "max_seconds": max_seconds}
    limit = units.duration(max_seconds)
    if not rows:
        return Evidence("long transactions", True, f"none is older than {limit}", facts)
    oldest = rows[0]
    who = f"pid {oldest['pid']} ({oldest['application_name']}, {oldest['user']}, {oldest['state']})"
    summary = f"{len(rows)} are older than {limit}; the oldest, {who}, is open for {units.duration(oldest['seconds'])}"
    return Evidence("long transactions", False, summary, facts)


def downtime_evidence(estimate_seconds: float, limit_seconds: float) -> Evidence:
    """The longest time for which a table cannot be used is below the limit."""
    summary = f"estimated {units.moment(estimate_seconds)}, allowed {units.moment(limit_seconds)}"
    facts = {"estimate_seconds": estimate_seconds, "limit_seconds": limit_seconds}
    return Evidence("downtime", estimate_seconds < limit_seconds, summary, facts)


def ownership_evidence(dsn: Dsn, tables: Sequence[str]) -> Evidence:
    """The role that deploys may alter what the migration touches, and may keep the version ledger."""
    rows = _ask(dsn, "ownership.sql", tables=list(tables))
    facts = {"tables": rows}
    foreign = [f"{row['relation']} belongs to {row['owner']}" for row in rows if not row["may_alter"]]
    if foreign:
        shown = "; ".join(foreign[:5])
        return Evidence("ownership", False, f"{dsn.user} is no member of the owner: {shown}", facts)
    return Evidence("ownership", True, f"{dsn.user} may alter each table that is there ({len(rows)})", facts)


def smoke_evidence(dsn: Dsn, canaries: Sequence[Canary]) -> Evidence:
    """The fleet file's questions get their known answers, asked read-only, each in a session of its own."""
    answers = [_answer(dsn, canary) for canary in canaries]
    wrong = [f"{one['name']}: {one['problem']}" for one in answers if one["problem"]]
    summary = "; ".join(wrong) or f"all answered as expected ({len(answers)})"
    if not canaries:
        summary = "the fleet file has no smoke tests for this database"
    return Evidence("smoke tests", not wrong, summary, {"answers": answers})


def _answer(dsn: Dsn, canary: Canary) -> dict[str, Any]:
    expected = str(canary.expect)
    found: str | None = None
    try:
        with (
            connect(dsn, f"{APPLICATION}.smoke", Limits(statement=30), readonly=True) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(canary.sql)
            row = cursor.fetchone() if cursor.description else None
            found = str(row[0]) if row else None
            problem = "" if found == expected else f"the answer is {found}, expected {expected}"
    except DatabaseError as error:
        if not error.sqlstate:
            raise  # the database does not answer at all
        problem = error.what
    return {"name": canary.name, "expected": expected, "answer": found, "problem": problem}


def _ask(dsn: Dsn, name: str, **values: Any) -> list[dict[str, Any]]:
    with (
        connect(dsn, APPLICATION, Limits(statement=60), readonly=True, system_names=True) as connection,
        connection.cursor(cursor_factory=RealDictCursor) as cursor,
    ):
        cursor.execute(sql_text(f"migration/evidence/{name}"), values or None)
        return [dict(row) for row in cursor.fetchall()]
