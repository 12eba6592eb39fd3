"""A review of one server: looked at, judged, planned, kept, and shown."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pgops.errors import PgOpsError
from pgops.ledger import Ledger
from pgops.postgres import Dsn
from pgops.storage import Bucket
from pgops.tuning import records
from pgops.tuning.effect import Effect, counters, measure_effects
from pgops.tuning.facts import read_facts
from pgops.tuning.judge import verdicts
from pgops.tuning.model import Facts, Grade, Machine, Plan, Verdict
from pgops.tuning.page import html_page
from pgops.tuning.plan import make_plan, make_reverse

log = logging.getLogger(__name__)

PAGE_DAYS = 365
_STAMP = "%Y%m%dT%H%M%S.%fZ"
# No database can be named so: a name of the fleet file begins with a letter or a digit.
_FOLDER = "_servers"
_DRIFT = (Grade.ADVICE, Grade.DANGEROUS)


@dataclass(frozen=True)
class Target:
    """A server and what is known of it.

    Attributes:
        standbys: by name.
        effect_hours: how old a change is when its effect is measured.
    """

    name: str
    dsn: Dsn
    machine: Machine
    standbys: Mapping[str, Dsn] = field(default_factory=dict)
    effect_hours: float = 20


@dataclass(frozen=True)
class Desk:
    """Where a review is kept, and for which DAG run."""

    ledger: Ledger
    bucket: Bucket
    run_id: str


@dataclass(frozen=True)
class Reviewed:
    """What a review came to, small enough to be handed on.

    Attributes:
        verdicts: all of them, those to look at first.
        plan: what may be applied.
        news: what is judged otherwise than by the review before.
        unfinished: changes that somebody began and nobody saw done.
        notes: what could not be seen or kept.
        page: key of the report in the bucket.
    """

    server: str
    version: int
    at: datetime
    counts: Mapping[str, int]
    verdicts: tuple[Verdict, ...]
    plan: Plan
    effects: tuple[Effect, ...] = ()
    unfinished: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    page: str | None = None
    news: tuple[str, ...] = ()

    def of(self, *grades: Grade) -> tuple[Verdict, ...]:
        """Verdicts with one of these grades."""
        return tuple(one for one in self.verdicts if one.grade in grades)


def review(
    desk: Desk, target: Target, plan_name: str, only: Collection[str] = (), now: datetime | None = None
) -> Reviewed:
    """Judge a server's settings, and plan what a reload can change. Nothing is changed.

    Args:
        desk: where it is kept; a ledger or bucket that is down costs only what it would have given.
        target: the server.
        plan_name: id of the plan.
        only: settings to plan for; all that are advised when empty.
        now: the time of the review.

    Raises:
        DatabaseError: the server does not answer.
        Refused: the request or the server is not fit for it.
    """
    at = now or datetime.now(UTC)
    facts = read_facts(target.dsn, target.machine, target.standbys)
    found = tuple(sorted(verdicts(facts), key=lambda one: -one.grade.rank))
    plan = make_plan(facts, found, plan_name, target.name, at, only)
    notes = list(_notes(facts))
    figures = counters(target.dsn)
    effects, unfinished, news = _history(desk, target, found, figures, at, notes)
    reviewed = Reviewed(
        target.name,
        facts.server.version,
        at,
        records.counts(found),
        found,
        plan,
        effects,
        unfinished,
        tuple(notes),
        news=news,
    )
    page = _keep_page(desk, reviewed, notes)
    try:
        records.record_review(desk.ledger, desk.run_id, target.name, at, found, figures, page)
    except PgOpsError as error:
        notes.append(f"this review is not kept: {error}")
    return Reviewed(**{**vars(reviewed), "notes": tuple(notes), "page": page})


def plan_reverse(desk: Desk, target: Target, change: str, plan_name: str, now: datetime | None = None) -> Reviewed:
    """Plan what takes an applied change back. Nothing is changed.

    Raises:
        DatabaseError: the server or the ledger does not answer.
        Refused: there is no such change, or nothing of it is in place.
    """
    at = now or datetime.now(UTC)
    undone, settings = records.applied_plan(desk.ledger, change, target.name)
    facts = read_facts(target.dsn, target.machine, {})
    plan = make_reverse(facts, undone, settings, plan_name, target.name, at)
    return Reviewed(target.name, facts.server.version, at, {}, (), plan)


def _notes(facts: Facts) -> list[str]:
    notes = []
    if facts.files is None and facts.machine.managed == "none":
        notes.append(
            "the configuration files may not be read, so nothing can be applied: run include/sql/roles/tuner.sql"
        )
    for line in facts.files or ():
        if line.broken:
            notes.append(f"{line.file}:{line.line}: {line.error}: a reload takes nothing, and the next start fails")
    major = facts.server.major
    notes += [
        f"the fleet file means a value of {name}, which PostgreSQL {major} does not have: correct tuning.deliberate"
        for name in facts.machine.deliberate
        if name not in facts.settings
    ]
    notes += [f"standby {one.name} is not compared: {one.why}" for one in facts.followers if one.why]
    return notes


def _history(
    desk: Desk,
    target: Target,
    found: Sequence[Verdict],
    figures: Mapping[str, Any],
    at: datetime,
    notes: list[str],
) -> tuple[tuple[Effect, ...], tuple[str, ...], tuple[str, ...]]:
    """What became of earlier changes: effects, what is unfinished, and what is judged otherwise than before."""
    try:
        news = _news(records.last_verdicts(desk.ledger, target.name, desk.run_id), found)
        effects = measure_effects(desk.ledger, target.name, figures, at, target.effect_hours)
        unfinished = tuple(
            f"{change.setting} of {plan}, begun {begun:%Y-%m-%d %H:%M} UTC: nobody saw it done;"
            f" clear its task to go on, or take it back with mode reverse and change {plan}"
            for plan, change, begun in records.unfinished(desk.ledger, target.name)
        )
    except PgOpsError as error:
        log.error("%s", error)
        notes.append(f"the ledger does not say what became of earlier changes: {error}")
        return (), (), ()
    return effects, unfinished, news


def _news(last: Sequence[Mapping[str, Any]] | None, found: Sequence[Verdict]) -> tuple[str, ...]:
    if last is None:
        return ("the first review",)
    before = {one["setting"]: f"{one['grade']} ({one['now']})" for one in last if one["grade"] in _DRIFT}
    after = {one.setting: f"{one.grade} ({one.now})" for one in found if one.grade in _DRIFT}
    names = [name for name in after | before if after.get(name) != before.get(name)]
    return tuple(f"{name}: {before.get(name, 'well')} → {after.get(name, 'well')}" for name in names)


def _keep_page(desk: Desk, reviewed: Reviewed, notes: list[str]) -> str | None:
    """Put the report into the bucket, and remove those whose time is over."""
    folder = desk.bucket.key(_FOLDER, reviewed.server, "configuration") + "/"
    key = f"{folder}{reviewed.at.astimezone(UTC):{_STAMP}}.html"
    oldest = f"{folder}{reviewed.at.astimezone(UTC) - timedelta(days=PAGE_DAYS):{_STAMP}}"
    try:
        desk.bucket.put(key, html_page(reviewed).encode(), "text/html; charset=utf-8")
        desk.bucket.delete([one.key for one in desk.bucket.objects(folder) if one.key < oldest])
    except PgOpsError as error:
        log.error("%s", error)
        notes.append(f"there is no report in the bucket: {error}")
        return None
    return key
