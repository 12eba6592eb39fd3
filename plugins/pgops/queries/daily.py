"""The daily review of one database's queries: counted, compared, planned, advised, kept, and shown."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import psycopg2

from pgops.errors import PgOpsError
from pgops.ledger import Ledger
from pgops.postgres import Dsn
from pgops.queries.advice import Advice, most_useful, of_candidate, structural
from pgops.queries.explain import Plans, explain_all
from pgops.queries.page import html_page
from pgops.queries.pair import Pair, pairs
from pgops.queries.prove import Candidate, Slow, advise
from pgops.queries.review import USUAL, Deployment, Part, Query, Regression, Review, Thresholds, review
from pgops.queries.shape import Plan
from pgops.queries.snapshot import take_snapshot
from pgops.queries.text import one_line
from pgops.queries.usage import WEEK, WEEKS
from pgops.storage import Bucket

log = logging.getLogger(__name__)

PAGE_DAYS = 90  # a report stays in the bucket for so long
_PAST = "reviewed afterwards, from what was counted that day: plans and advice would be of today"
SLOW = 20  # queries for which indexes are tried
_STAMP = "%Y%m%dT%H%M%S.%fZ"


@dataclass(frozen=True)
class Desk:
    """Where a review is kept, and for which DAG run."""

    ledger: Ledger
    bucket: Bucket
    run_id: str


@dataclass(frozen=True)
class Target:
    """The database that is reviewed.

    Attributes:
        name: in the fleet file.
        dsn: the role that may look and not write, on the primary.
        standbys: by name.
        copy: gives a throw-away copy of the database, for servers without HypoPG; None where none is wanted.
        first_version: the number of the first migration that may be written; None where the database has no folder.
    """

    name: str
    dsn: Dsn
    server: str = ""
    standbys: Mapping[str, Dsn] = field(default_factory=lambda: MappingProxyType({}))
    copy: Callable[[], AbstractContextManager[Dsn]] | None = None
    first_version: int | None = None


@dataclass(frozen=True)
class ChangedPlan:
    """A query whose plan is another one than before."""

    fingerprint: str
    text: str
    before: str
    after: str


@dataclass(frozen=True)
class Whole:
    """All that a review found: for the page and the table."""

    review: Review
    plans: Mapping[str, str]
    changed: tuple[ChangedPlan, ...]
    without_plan: Mapping[str, int]
    advice: tuple[Advice, ...]
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]
    blind: str = ""


@dataclass(frozen=True)
class Reviewed:
    """What a review came to, small enough to be handed on.

    Attributes:
        regressions: cause, seconds added a day, evidence and text of each, the worst first.
        new: seconds a day and text of each new query.
        advice: kind, object and evidence of each, the most useful first.
        pairs: keys of migration files in the bucket.
        blind: why queries could not be counted; empty where they could.
        notes: what could not be told.
        page: key of the report in the bucket.
    """

    database: str
    at: datetime
    queries: int
    seconds: float
    regressions: tuple[Mapping[str, Any], ...]
    new: tuple[Mapping[str, Any], ...]
    slowest: tuple[Mapping[str, Any], ...]
    deployments: tuple[str, ...]
    advice: tuple[Mapping[str, Any], ...]
    pairs: tuple[str, ...]
    notes: tuple[str, ...]
    blind: str = ""
    page: str | None = None


def review_queries(
    desk: Desk,
    target: Target,
    limits: Thresholds = USUAL,
    *,
    plans: int = 50,
    plan_seconds: float = 60,
) -> tuple[Reviewed, Whole]:
    """Review the 24 hours before now. What cannot be told is said; the rest is still done.

    Args:
        desk: where it is kept.
        target: what is reviewed.
        limits: from where on something is worth a line.
        plans: of how many queries the plan is taken.
        plan_seconds: what that may take.

    Raises:
        PgOpsError: the ledger does not answer.
    """
    notes: list[str] = []
    blind, at = _counted(desk, target)
    found = review(desk.ledger, target.name, at, limits)
    planned = _planned(target, _interesting(found)[:plans], plan_seconds, notes)
    before = _plans_before(desk, target.name, planned, at)
    found = replace(found, regressions=_with_plans(found.regressions, planned.plans, before))
    advice = _advised(target, found, notes)
    made = tuple(pairs(advice, target.first_version)) if target.first_version is not None else ()
    whole = Whole(
        review=found,
        plans={name: plan.text for name, plan in planned.plans.items()},
        changed=tuple(_changed(found, planned.plans, before)),
        without_plan=planned.without,
        advice=tuple(advice),
        pairs=made,
        notes=(*found.notes, *notes),
        blind=blind,
    )
    return _kept(desk, whole, planned)


def review_past(desk: Desk, database: str, until: datetime, limits: Thresholds = USUAL) -> tuple[Reviewed, Whole]:
    """Review the 24 hours before `until` once more, from what was counted then.

    There are no plans and no advice: those would be of today.

    Raises:
        PgOpsError: the ledger does not answer.
    """
    found = review(desk.ledger, database, until, limits)
    return _kept(desk, Whole(found, {}, (), {}, (), (), (*found.notes, _PAST)), Plans({}, {}))


def _kept(desk: Desk, whole: Whole, planned: Plans) -> tuple[Reviewed, Whole]:
    """Put it into the bucket and the ledger."""
    notes: list[str] = []
    keys, page = _keep_files(desk, whole, notes)
    whole = replace(whole, notes=(*whole.notes, *notes))
    reviewed = _reviewed(whole, keys, page)
    _keep(desk, planned, reviewed)
    return reviewed, whole


def _counted(desk: Desk, target: Target) -> tuple[str, datetime]:
    """Count up to now; why that was not possible, and the end of the review's day."""
    try:
        taken = take_snapshot(desk.ledger, target.name, target.dsn, target.server)
    except PgOpsError as error:
        log.error("%s", error)
        return str(error), datetime.now(UTC)
    return "", taken.at


def _interesting(found: Review) -> list[Query]:
    """Queries whose plans are worth a look, the most important first."""
    every = [
        *(one.query for one in found.regressions),
        *found.new,
        *found.by_total,
        *found.by_mean,
        *found.by_hit,
        *found.costliest,
    ]
    return list({one.key.fingerprint: one for one in every}.values())


def _planned(target: Target, queries: Sequence[Query], seconds: float, notes: list[str]) -> Plans:
    try:
        return explain_all(target.dsn, ((one.key.fingerprint, one.text, one.whole) for one in queries), seconds)
    except PgOpsError as error:
        log.error("%s", error)
        notes.append(f"no plans were taken: {error}")
        return Plans({}, {})


def _plans_before(desk: Desk, database: str, planned: Plans, at: datetime) -> dict[str, str]:
    """The plan that a query had before, where it has another one now."""
    if not planned.plans:
        return {}
    rows = desk.ledger.rows(
        "query_plans_before",
        database=database,
        after=at - WEEKS * WEEK,
        shapes=json.dumps([{"fingerprint": name, "shape": plan.shape} for name, plan in planned.plans.items()]),
    )
    return {row["fingerprint"]: row["plan"] for row in rows}


def _with_plans(
    regressions: Iterable[Regression], plans: Mapping[str, Plan], before: Mapping[str, str]
) -> tuple[Regression, ...]:
    """A changed plan is why calls are slower: it is named with them."""

    def named(one: Regression) -> Regression:
        fingerprint = one.query.key.fingerprint
        if fingerprint not in before or not any(part.cause == "slower calls" for part in one.parts):
            return one
        changed = Part("changed plan", 0.0, plan_change(before[fingerprint], plans[fingerprint].text))
        place = next(number for number, part in enumerate(one.parts) if part.cause == "slower calls")
        return replace(one, parts=(*one.parts[: place + 1], changed, *one.parts[place + 1 :]))

    return tuple(map(named, regressions))


def plan_change(before: str, after: str) -> str:
    """The first step that differs, in both plans."""

    def steps(plan: str) -> list[str]:
        named = (line.split("  (cost=")[0] for line in plan.splitlines() if "  (cost=" in line)
        return [line.strip().removeprefix("-> ") for line in named]

    old, new = steps(before), steps(after)
    gone = [one for one in old if one not in new]
    come = [one for one in new if one not in old]
    if gone and come:
        return f"{gone[-1]} -> {come[-1]}"
    return f"without {gone[-1]}" if gone else f"with {come[-1]}" if come else "its steps come in another order"


def _changed(found: Review, plans: Mapping[str, Plan], before: Mapping[str, str]) -> Iterable[ChangedPlan]:
    texts = {one.key.fingerprint: one.text for one in _interesting(found)}
    for fingerprint, plan in before.items():
        yield ChangedPlan(fingerprint, texts[fingerprint], plan, plans[fingerprint].text)


def _advised(target: Target, found: Review, notes: list[str]) -> list[Advice]:
    try:
        advice, doubts = structural(target.dsn, target.standbys)
        notes += doubts
        candidates = _candidates(target, found, notes)
        return most_useful([*advice, *(of_candidate(target.dsn, one) for one in candidates)])
    except (PgOpsError, psycopg2.Error) as error:
        log.error("%s", error)
        notes.append(f"indexes were not looked at: {error}")
        return []


def _candidates(target: Target, found: Review, notes: list[str]) -> Sequence[Candidate]:
    slow = [
        Slow(one.key.fingerprint, one.text, one.whole, one.usage.exec_ms / 1000) for one in _interesting(found)[:SLOW]
    ]
    if not slow:
        return ()
    if target.copy is None:
        return advise(target.dsn, slow)
    try:
        with target.copy() as copy:
            return advise(target.dsn, slow, copy)
    except PgOpsError as error:
        log.error("%s", error)
        notes.append(f"index candidates are not proven, for there is no copy: {error}")
        return advise(target.dsn, slow)


def _keep_files(desk: Desk, whole: Whole, notes: list[str]) -> tuple[tuple[str, ...], str | None]:
    """Put the report and the migration files into the bucket, and remove those whose time is over."""
    folder = desk.bucket.key(whole.review.database, "queries") + "/"
    at = whole.review.at.astimezone(UTC)
    here = f"{folder}{at:{_STAMP}}/"
    page = f"{here}report.html"
    keys = []
    try:
        for pair in whole.pairs:
            for file, text in ((pair.file, pair.up), (pair.rollback_file, pair.down)):
                desk.bucket.put(f"{here}{file}", text.encode(), "text/plain; charset=utf-8")
                keys.append(f"{here}{file}")
        desk.bucket.put(page, html_page(whole).encode(), "text/html; charset=utf-8")
        oldest = f"{folder}{at - timedelta(days=PAGE_DAYS):{_STAMP}}"
        desk.bucket.delete([one.key for one in desk.bucket.objects(folder) if one.key < oldest])
    except PgOpsError as error:
        log.error("%s", error)
        notes.append(f"there is no report in the bucket: {error}")
        return tuple(keys), None
    return tuple(keys), page


def _keep(desk: Desk, planned: Plans, reviewed: Reviewed) -> None:
    database, at = reviewed.database, reviewed.at
    rows_of_plans = [
        {"fingerprint": name, "shape": plan.shape, "cost": plan.cost, "plan": plan.text}
        for name, plan in planned.plans.items()
    ]
    with desk.ledger.transaction() as rows:
        rows("record_query_plans", database=database, at=at, plans=json.dumps(rows_of_plans))
        rows(
            "record_query_review",
            run_id=desk.run_id,
            database=database,
            at=at,
            facts=json.dumps(asdict(reviewed), default=str),
            report=reviewed.page,
        )
        rows("forget_queries", database=database, at=at)


def _reviewed(whole: Whole, keys: tuple[str, ...], page: str | None) -> Reviewed:
    found = whole.review
    return Reviewed(
        database=found.database,
        at=found.at,
        queries=found.queries,
        seconds=found.seconds,
        regressions=tuple(
            {
                "cause": one.cause,
                "added": round(one.added, 3),
                "why": "; ".join(f"{part.cause}: {part.says}" for part in one.parts),
                "query": one_line(one.query.text, 200),
                "user": one.query.key.username,
                "fingerprint": one.query.key.fingerprint,
            }
            for one in found.regressions[:20]
        ),
        new=tuple(_named(one) for one in found.new),
        slowest=tuple(_named(one) for one in found.by_mean[:3]),
        deployments=tuple(map(deployment_line, found.deployments)),
        advice=tuple(
            {"kind": one.kind, "object": one.object, "says": one_line(one.says, 300), "proof": one.proof,
             "apply": [one_line(line, 300) for line in one.apply[:3]], "saved": round(one.saved, 1)}
            for one in whole.advice[:20]
        ),
        pairs=keys,
        notes=whole.notes,
        blind=whole.blind,
        page=page,
    )  # fmt: skip


def _named(one: Query) -> dict[str, Any]:
    return {
        "seconds": round(one.usage.exec_ms / 1000, 3),
        "mean_ms": round(one.usage.mean_ms, 3),
        "calls": round(one.usage.calls),
        "query": one_line(one.text, 200),
        "user": one.key.username,
    }


def deployment_line(one: Deployment) -> str:
    """A deployment in one line."""
    if one.note:
        return f"{one.version}: {one.note}"
    effects = [
        f"{one_line(effect.text, 60)} {effect.before:.2f} -> {effect.after:.2f} s an hour"
        for effect in one.effects[:3]
        if effect.before != effect.after
    ]
    return f"{one.version}, {one.hours:.1f} h before and after: {'; '.join(effects) or 'no query changed'}"
