"""The daily look at one database: checked, compared with the day before, kept, and shown."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pgops.errors import PgOpsError
from pgops.health.compare import Changes, compare
from pgops.health.model import Budget, Check, Finding, Report, Scope, Status, Target
from pgops.health.page import html_page
from pgops.health.records import Past, past, record
from pgops.health.run import SCOPES, run
from pgops.ledger import Ledger
from pgops.storage import Bucket

log = logging.getLogger(__name__)

MOST = 100  # findings of a kind that are handed on; all of them lie in the ledger
PAGE_DAYS = 90  # a report stays in the bucket for so long
_STAMP = "%Y%m%dT%H%M%S.%fZ"


@dataclass(frozen=True)
class Desk:
    """Where a look is kept, and for which DAG run."""

    ledger: Ledger
    bucket: Bucket
    run_id: str


@dataclass(frozen=True)
class Checked:
    """What a look at one database came to, small enough to be handed on.

    Attributes:
        database: its name in the fleet file.
        counts: number of checks by status.
        open: number of findings by status, the muted ones left out.
        new, worse, better, resolved: beside the run before; at most MOST of each, the worst first.
        numbers: how many there are of each.
        blind: why checks could not tell, with how many.
        notes: what could not be done beside the look.
        compared: false where the ledger did not say what was open before, so everything counts as new.
        page: key of the report in the bucket.
    """

    database: str
    server: str
    grade: Status
    at: datetime
    seconds: float
    counts: Mapping[str, int]
    open: Mapping[str, int]
    new: tuple[Finding, ...]
    worse: tuple[Finding, ...]
    better: tuple[Finding, ...]
    resolved: tuple[Finding, ...]
    numbers: Mapping[str, int]
    muted: int
    blind: Mapping[str, int]
    notes: tuple[str, ...] = ()
    compared: bool = True
    page: str | None = None


def check_health(
    desk: Desk,
    target: Target,
    *,
    scopes: Collection[Scope] = SCOPES,
    budget: Budget | None = None,
    checks: Sequence[Check] | None = None,
    now: datetime | None = None,
) -> tuple[Checked, Report, Changes]:
    """Look at a target, compare, keep. A ledger or bucket that is down costs only what it would have given.

    Args:
        desk: where it is kept.
        target: what to look at.
        scopes: see pgops.health.run.
        budget: see pgops.health.run.
        checks: see pgops.health.run.
        now: the time of the look; the present unless given.

    Raises:
        PgOpsError: a check's file is not right; no server has been touched.
    """
    at = now or datetime.now(UTC)
    known, notes = _known(desk, target.name, at)
    report = run(target, scopes=scopes, history=known.history if known else (), budget=budget, checks=checks, now=at)
    changes = compare(report, known.before if known else (), known.mutes if known else ())
    page, trouble = _keep_page(desk, report, changes, compared=known is not None)
    notes += trouble
    if known is not None:  # else what is open since long would be recorded as new
        notes += _keep(desk, report, changes, page)
    return _checked(report, changes, notes, page, compared=known is not None), report, changes


def _known(desk: Desk, database: str, at: datetime) -> tuple[Past | None, list[str]]:
    try:
        return past(desk.ledger, database, desk.run_id, at), []
    except PgOpsError as error:
        log.error("%s", error)
        return None, [f"the ledger does not say what was open before, and keeps nothing of this run: {error}"]


def _keep(desk: Desk, report: Report, changes: Changes, page: str | None) -> list[str]:
    try:
        trouble = record(desk.ledger, desk.run_id, report, changes, page)
    except PgOpsError as error:
        log.error("%s", error)
        trouble = f"this run is not kept, so the next one compares with the one before it: {error}"
    return [trouble] if trouble else []


def _keep_page(desk: Desk, report: Report, changes: Changes, *, compared: bool) -> tuple[str | None, list[str]]:
    """Put the report into the bucket, and remove those whose time is over."""
    folder = desk.bucket.key(report.target, "health") + "/"
    key = f"{folder}{report.at.astimezone(UTC):{_STAMP}}.html"
    oldest = f"{folder}{report.at.astimezone(UTC) - timedelta(days=PAGE_DAYS):{_STAMP}}"
    try:
        desk.bucket.put(key, html_page(report, changes, compared=compared).encode(), "text/html; charset=utf-8")
        desk.bucket.delete([one.key for one in desk.bucket.objects(folder) if one.key < oldest])
    except PgOpsError as error:
        log.error("%s", error)
        return None, [f"there is no report in the bucket: {error}"]
    return key, []


def _checked(report: Report, changes: Changes, notes: list[str], page: str | None, *, compared: bool) -> Checked:
    # What nobody was told of needs no good news.
    kinds = {
        "new": changes.new,
        "worse": changes.worse,
        "better": changes.better,
        "resolved": tuple(one for one in changes.resolved if one.status is not Status.OK),
    }
    muted = {finding.fingerprint for finding, _ in changes.muted}
    still = Counter(
        str(one.status) for one in changes.open if one.fingerprint not in muted and one.status is not Status.OK
    )
    return Checked(
        database=report.target,
        server=report.server,
        grade=report.grade,
        at=report.at,
        seconds=report.seconds,
        counts={str(status): number for status, number in report.counts.items()},
        open=still,
        **{name: worst_first(found)[:MOST] for name, found in kinds.items()},
        numbers={name: len(found) for name, found in kinds.items()},
        muted=len(muted),
        blind=Counter(one.why or "not all of it could be seen" for one in report.blind),
        notes=tuple(notes),
        compared=compared,
        page=page,
    )


def worst_first(findings: Collection[Finding]) -> tuple[Finding, ...]:
    """Sorted by how soon a person should look; among equals as they came."""
    return tuple(sorted(findings, key=lambda one: -one.status.rank))
