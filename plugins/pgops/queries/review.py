"""What a day of queries says: the slowest, what costs more than usual, what is new, and what deployments did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pgops import units
from pgops.ledger import Ledger
from pgops.queries.usage import (
    LEAST_COVERED,
    NOTHING,
    WEEKS,
    Past,
    QueryKey,
    Usage,
    Window,
    past,
    windows,
)

TOP = 10
MOST = 1000
LEAST_BLOCKS = 10_000  # fewer touched in a day say nothing about the cache
LEAST_AFTER = timedelta(minutes=30)  # a deployment is judged no sooner
_MORE_READS = 1.5
_UNKNOWN = ("(its text is not known)", False)

Cause = Literal["more calls", "slower calls", "more reads", "changed plan"]
_DEEPER: tuple[Cause, ...] = ("changed plan", "more reads")


@dataclass(frozen=True)
class Query:
    """A query with what it cost in the window.

    Attributes:
        text: as it may be shown; whole is False where it was cut.
        share: of the time of all queries, in percent.
        usual: what it cost before; None where nothing is known of before, or nobody asks for it.
    """

    key: QueryKey
    text: str
    whole: bool
    usage: Usage
    share: float
    usual: Usage | None = None


@dataclass(frozen=True)
class Part:
    """One reason for added time: how many seconds a day it adds, and the evidence. A changed plan adds none of its own:
    it is why calls are slower."""

    cause: Cause
    seconds: float
    says: str


@dataclass(frozen=True)
class Regression:
    """A query that costs more than usual, in seconds a day."""

    query: Query
    added: float
    parts: tuple[Part, ...]

    @property
    def cause(self) -> Cause:
        """The reason that stands for all: what made calls slower says more than that they are."""
        first = self.parts[0].cause
        if first != "slower calls":
            return first
        known = {part.cause for part in self.parts}
        return next((cause for cause in _DEEPER if cause in known), first)


@dataclass(frozen=True)
class Effect:
    """What a query cost in an hour before and after a deployment, in seconds."""

    key: QueryKey
    text: str
    before: float
    after: float


@dataclass(frozen=True)
class Deployment:
    """A deployed migration, and the queries whose time it changed most; `note` where that cannot be told yet."""

    version: str
    at: datetime
    hours: float = 0
    effects: tuple[Effect, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Review:
    """A day of one database's queries.

    Attributes:
        covered: share of the day that snapshots counted.
        seconds: that all queries took in the day.
        costliest: more of those that cost most, for their plans.
        past_windows, same_weekday: how many windows the usual is made of, and of which days.
        notes: what could not be told.
    """

    database: str
    at: datetime
    covered: float
    seconds: float
    queries: int
    by_mean: tuple[Query, ...]
    by_total: tuple[Query, ...]
    by_hit: tuple[Query, ...]
    costliest: tuple[Query, ...]
    regressions: tuple[Regression, ...]
    new: tuple[Query, ...]
    deployments: tuple[Deployment, ...]
    past_windows: int
    same_weekday: bool
    watched_since: datetime | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Thresholds:
    """From where on something is worth a line; seconds and calls are a day's."""

    seconds: float = 60
    calls: int = 100
    new_seconds: float = 60


USUAL = Thresholds()


def review(ledger: Ledger, database: str, until: datetime, limits: Thresholds = USUAL) -> Review:
    """Review the 24 hours before `until`."""
    today, *before = windows(ledger, database, until, earlier=WEEKS)
    since = _watched_since(ledger, database)
    born = _born(ledger, database, before[-1].after, until, since)
    new = {key for key in today.usage if born.get(key[:2], today.after) > today.after}
    costly = [key for key, one in today.usage.items() if key not in new and one.exec_ms / 1000 >= limits.seconds]
    usual = past(ledger, database, until, before, costly, born)
    texts = _texts(ledger, database, today)
    total = sum(one.exec_ms for key, one in today.usage.items() if key.toplevel) or 1.0
    queries = {
        key: Query(key, *texts.get(key.fingerprint, _UNKNOWN), usage, 100 * usage.exec_ms / total, usual.usage.get(key))
        for key, usage in today.usage.items()
    }
    worth_a_line = (queries[key] for key in new if queries[key].usage.exec_ms / 1000 >= limits.new_seconds)
    return Review(
        database=database,
        at=until,
        covered=today.covered,
        seconds=total / 1000 if queries else 0.0,
        queries=len(queries),
        by_mean=_top(queries.values(), lambda one: one.usage.mean_ms),
        by_total=_top(queries.values(), lambda one: one.usage.exec_ms),
        by_hit=_top(
            (one for one in queries.values() if one.usage.blocks >= LEAST_BLOCKS),
            lambda one: -(one.usage.hit_ratio or 0.0),
        ),
        costliest=_top(queries.values(), lambda one: one.usage.exec_ms, MOST),
        regressions=regressions(queries.values(), limits),
        new=_top(worth_a_line, lambda one: one.usage.exec_ms),
        deployments=_deployments(ledger, database, until, texts),
        past_windows=usual.windows,
        same_weekday=usual.same_weekday,
        watched_since=since,
        notes=(*today.notes, *_doubts(today, usual, since)),
    )


def _top(queries: Iterable[Query], by: Callable[[Query], float], most: int = TOP) -> tuple[Query, ...]:
    return tuple(sorted(queries, key=by, reverse=True)[:most])


def _doubts(today: Window, usual: Past, since: datetime | None) -> Iterable[str]:
    if since is None:
        yield "nothing has been counted yet: query_snapshot has not run"
        return
    if today.covered < LEAST_COVERED:
        yield f"snapshots counted {today.covered * 24:.1f} of the 24 hours; amounts are only of these"
    elif today.covered < 0.9:
        yield f"snapshots counted {today.covered * 24:.1f} of the 24 hours; amounts are brought to a whole day"
    if not usual.windows:
        yield "there is nothing to compare with yet: regressions show from tomorrow on"
    elif not usual.same_weekday:
        yield f"there is no week of history yet: compared with the {usual.windows} day(s) before, not the same weekday"


def regressions(queries: Iterable[Query], limits: Thresholds) -> tuple[Regression, ...]:
    """Queries that cost more than usual, by seconds added a day, the most first."""
    found = []
    for one in queries:
        if one.usual is None:
            continue
        added = (one.usage.exec_ms - one.usual.exec_ms) / 1000
        if added >= limits.seconds and one.usage.calls >= limits.calls:
            found.append(Regression(one, added, parts(one.usual, one.usage)))
    return tuple(sorted(found, key=lambda one: -one.added))


def parts(usual: Usage, now: Usage) -> tuple[Part, ...]:
    """Why a query costs more, the greatest part first; the seconds of the first two add up to what was added.

    More reads are the part of slower calls that was spent reading from disk, where track_io_timing measures it; else
    they are evidence only.
    """
    calls = (now.calls - usual.calls) * (usual.mean_ms if usual.calls else now.mean_ms) / 1000
    slower = (now.mean_ms - usual.mean_ms) * now.calls / 1000 if usual.calls else 0.0
    found: list[Part] = []
    if calls > 0:
        found.append(Part("more calls", calls, f"{_times(usual.calls, now.calls)} calls a day"))
    if slower > 0:
        says = f"{milliseconds(usual.mean_ms)} -> {milliseconds(now.mean_ms)} a call"
        found.append(Part("slower calls", slower, says))
    found.sort(key=lambda one: -one.seconds)
    blocks = usual.per_call(usual.blocks), now.per_call(now.blocks)
    if slower > 0 and usual.calls and blocks[1] > max(_MORE_READS * blocks[0], blocks[0] + 1):
        reading = (now.per_call(now.read_ms) - usual.per_call(usual.read_ms)) * now.calls / 1000
        disk = f", {units.short(usual.per_call(usual.read))} -> {units.short(now.per_call(now.read))} of them from disk"
        says = f"{_times(*blocks)} blocks a call{disk if now.read else ', all from the cache'}"
        found.append(Part("more reads", max(0.0, reading), says))
    return tuple(found)


def _times(before: float, after: float) -> str:
    factor = f" (x {units.short(after / before)})" if before else ""
    return f"{before:,.0f} -> {after:,.0f}{factor}"


def milliseconds(value: float) -> str:
    """A time as people read it, however short."""
    return f"{value:.3g} ms" if value < 1000 else units.duration(value / 1000)


def _texts(ledger: Ledger, database: str, today: Window) -> dict[str, tuple[str, bool]]:
    wanted = list({key.fingerprint for key in today.usage})
    return {row["fingerprint"]: (row["text"], row["whole"]) for row in ledger.rows("query_texts", fingerprints=wanted)}


def _watched_since(ledger: Ledger, database: str) -> datetime | None:
    found = ledger.rows("query_watched_since", database=database)
    since: datetime | None = found[0]["watched_since"] if found else None
    return since


def _born(
    ledger: Ledger, database: str, after: datetime, until: datetime, since: datetime | None
) -> dict[tuple[str, str], datetime]:
    """When queries were first seen, of those that were not there from the beginning. An upgrade makes none new."""
    if since is None or since >= until:
        return {}
    rows = ledger.rows("query_first_seen", database=database, after=max(after, since))
    return {(row["username"], row["fingerprint"]): row["first_seen"] for row in rows}


def _deployments(
    ledger: Ledger, database: str, until: datetime, texts: Mapping[str, tuple[str, bool]]
) -> tuple[Deployment, ...]:
    found = []
    for row in ledger.rows("query_deployments", database=database, after=until - timedelta(days=1), until=until):
        begun, ended, version = row["started_at"], row["finished_at"], row["version"]
        width = min(timedelta(days=1), until - ended)
        if width < LEAST_AFTER:
            found.append(Deployment(version, ended, note="too young to judge: see tomorrow's review"))
            continue
        (before,) = windows(ledger, database, begun, width=width)
        (after,) = windows(ledger, database, until if width < timedelta(days=1) else ended + width, width=width)
        if min(before.covered, after.covered) < LEAST_COVERED:
            note = "snapshots counted less than half of the time before it, or after it"
            found.append(Deployment(version, ended, note=note))
            continue
        found.append(Deployment(version, ended, width.total_seconds() / 3600, tuple(_effects(before, after, texts))))
    return tuple(found)


def _effects(before: Window, after: Window, texts: Mapping[str, tuple[str, bool]]) -> Sequence[Effect]:
    """The five whose time changed most, in seconds an hour."""
    every = [
        Effect(
            key,
            texts.get(key.fingerprint, ("(not seen today)", False))[0],
            before.usage.get(key, NOTHING).exec_ms / 1000 / 24,
            after.usage.get(key, NOTHING).exec_ms / 1000 / 24,
        )
        for key in dict.fromkeys((*before.usage, *after.usage))
    ]
    return sorted(every, key=lambda one: -abs(one.after - one.before))[:5]
