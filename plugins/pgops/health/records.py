"""What the ledger keeps of health checks: what was counted, what is open and since when, what is muted.

A run that is tried again first takes back what its earlier try has recorded, so it compares with the run before it and
counts once, wherever that try died.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from pgops.errors import Refused
from pgops.health.compare import Changes, Mute
from pgops.health.judge import WINDOWS
from pgops.health.model import Finding, Report, Sample, Snapshot, Status
from pgops.ledger import Figure, Ledger
from pgops.ledger.store import figures_json
from pgops.postgres import DatabaseError

_NO_PARTITION = "23514"  # check_violation: no partition of the table takes the row
_HISTORY = max(WINDOWS) + timedelta(days=1)


@dataclass(frozen=True)
class Past:
    """What the ledger knew of a target before this run.

    Attributes:
        before: what was open; its status is ok where it was muted, so that nobody was told.
    """

    history: tuple[Snapshot, ...] = ()
    before: tuple[Finding, ...] = ()
    mutes: tuple[Mute, ...] = ()


def past(ledger: Ledger, database: str, run_id: str, now: datetime) -> Past:
    """What a run compares with; an earlier try of the same run is not part of it."""
    with ledger.transaction() as rows:
        counted = rows("health_history", database=database, run_id=run_id, after=now - _HISTORY)
        before = rows("health_before", database=database, run_id=run_id)
        muted = rows("health_mutes", database=database)
    return Past(
        tuple(_snapshots(counted)),
        tuple(_finding(row) for row in before),
        tuple(Mute(database, row["reason"], row["until"], row["fingerprint"]) for row in muted),
    )


def record(ledger: Ledger, run_id: str, report: Report, changes: Changes, page: str | None = None) -> str:
    """Keep what a run saw, all of it or nothing; doing so again is harmless.

    Args:
        ledger: where.
        run_id: of the DAG run.
        report: what was seen.
        changes: beside what was open before this run.
        page: key of the report in the bucket.

    Returns:
        What could not be kept, and what to do about it; empty when all was.
    """
    figures = tuple(_figures(report))
    try:
        _write(ledger, run_id, report, changes, page, figures)
    except DatabaseError as error:
        if error.sqlstate != _NO_PARTITION:
            raise
        _write(ledger, run_id, report, changes, page, ())
        return (
            "the figures of this run are not kept, so the next one cannot compare: the ledger has no partition of "
            "pgops.health_figures for this month; run the DAG partition_maintenance"
        )
    return ""


def _write(
    ledger: Ledger, run_id: str, report: Report, changes: Changes, page: str | None, figures: Sequence[Figure]
) -> None:
    database, at = report.target, report.at
    muted = [finding for finding, _ in changes.muted]
    told = [*changes.new, *changes.worse, *changes.better, *changes.same]
    still = [{"fingerprint": one.fingerprint, "first_seen": _instant(one.since or at)} for one in changes.open]
    said = {one.fingerprint: one.status for one in (*told, *changes.unseen)}
    said |= {one.fingerprint: Status.OK for one in muted}
    with ledger.transaction() as rows:
        for tried in rows("take_back_health_run", run_id=run_id, database=database):
            rows("take_back_health_findings", database=database, at=tried["at"])
            rows("take_back_health_figures", database=database, at=tried["at"])
        rows("resolve_health_findings", database=database, at=at, open=json.dumps(still))
        found = json.dumps([_row(one, at) for one in (*told, *muted)])
        rows("record_health_findings", database=database, at=at, findings=found)
        rows("record_figures", database=database, at=at, figures=figures_json(figures))
        rows(
            "record_health_run",
            run_id=run_id,
            database=database,
            at=at,
            grade=str(report.grade),
            counts=json.dumps(report.counts),
            seconds=report.seconds,
            report=page,
            told=json.dumps(said),
        )


def mute(ledger: Ledger, database: str, fingerprint: str, until: datetime, reason: str, by: str) -> str:
    """Say nothing of an open finding until then; an empty fingerprint means all of the database.

    Returns:
        What is muted, for people.

    Raises:
        Refused: no such finding is open.
    """
    title = _open_title(ledger, database, fingerprint)
    ledger.rows("begin_health_mute", database=database, fingerprint=fingerprint, until=until, reason=reason, by=by)
    return title


def unmute(ledger: Ledger, database: str, fingerprint: str) -> bool:
    """Speak of it again; whether it was muted."""
    return bool(ledger.rows("end_health_mute", database=database, fingerprint=fingerprint))


def _open_title(ledger: Ledger, database: str, fingerprint: str) -> str:
    if not fingerprint:
        return f"all findings of {database}"
    found = ledger.rows("health_open", database=database)
    titles = {row["fingerprint"]: f"{row['title']} {row['object']}".strip() for row in found}
    if fingerprint not in titles:
        known = "; ".join(f"{key}: {title}" for key, title in titles.items()) or "none"
        raise Refused(
            f"No finding {fingerprint!r} is open",
            where=f"database {database} in the ledger",
            remedy=f"Name one of those that are (the dashboard shows them too): {known}",
        )
    return titles[fingerprint]


def _figures(report: Report) -> Iterator[Figure]:
    """What was measured, one for each check and object, with the sample that the next run compares with."""
    counted = {(one.check, one.object): one for one in report.snapshot.samples}
    seen: set[tuple[str, str]] = set()
    for outcome in report.outcomes:
        for measure in outcome.measures:
            key = (outcome.check.name, measure.object)
            if key in seen:  # several sessions of one application: the first is the worst
                continue
            seen.add(key)
            facts: dict[str, Any] = {"unit": outcome.check.dimension}
            sample = counted.get(key)
            if sample is not None and math.isfinite(sample.amount):
                facts |= {
                    "amount": sample.amount,
                    "other": _number(sample.other),
                    "since": sample.since.isoformat() if sample.since else None,
                    "server": sample.server,
                    "identity": report.snapshot.identity,
                }
            yield Figure(*key, _number(measure.value), facts)


def _snapshots(rows: Sequence[dict[str, Any]]) -> Iterator[Snapshot]:
    """The samples of earlier runs, the oldest first."""
    for at, group in groupby(rows, key=lambda row: row["at"]):
        found = list(group)
        samples = tuple(
            Sample(
                row["name"],
                row["facts"]["server"],
                row["object"],
                row["facts"]["amount"],
                row["facts"]["other"],
                datetime.fromisoformat(row["facts"]["since"]) if row["facts"]["since"] else None,
            )
            for row in found
        )
        yield Snapshot(at, found[0]["facts"]["identity"], samples)


def _finding(row: dict[str, Any]) -> Finding:
    return Finding(
        check=row["check_name"],
        fingerprint=row["fingerprint"],
        title=row["title"],
        status=Status(row["status"]),
        server="",  # what the ledger does not keep, no comparison needs
        database="",
        object=row["object"],
        value=row["value"],
        dimension=row["unit"] or "count",
        says=row["says"],
        mend=row["mend"],
        risk=row["risk"],
        since=row["first_seen"],
    )


def _row(finding: Finding, at: datetime) -> dict[str, Any]:
    return {
        "fingerprint": finding.fingerprint,
        "check_name": finding.check,
        "object": finding.object,
        "status": finding.status,
        "title": finding.title,
        "value": _number(finding.value),
        "unit": finding.dimension,
        "says": finding.says,
        "mend": finding.mend,
        "risk": finding.risk,
        "first_seen": _instant(finding.since or at),
    }


def _number(value: float | None) -> float | None:
    """JSON knows no infinity."""
    return value if value is not None and math.isfinite(value) else None


def _instant(at: datetime) -> str:
    return at.isoformat()
