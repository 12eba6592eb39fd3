"""Counters of pg_stat_statements, and what was added to them between two looks: never negative, never invented."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from pgops import units

LONG_GAP = timedelta(hours=2)


class Key(NamedTuple):
    """A statement, as one server version knows it within a database."""

    username: str
    queryid: int
    toplevel: bool


class Counts(NamedTuple):
    """What a statement has cost: times in ms; hit, read and temp in blocks; wal in bytes."""

    calls: int
    exec_ms: float
    plan_ms: float
    rows: int
    hit: int
    read: int
    temp: int
    read_ms: float
    wal: int


@dataclass(frozen=True)
class Counter:
    """A statement's counters; `since` is when they began, which PostgreSQL 17 and later say."""

    counts: Counts
    since: datetime | None = None


@dataclass(frozen=True)
class Origin:
    """Whose counters, and what has happened to all of them.

    Attributes:
        at: when they were read, by the server's clock.
        identity: system identifier and timeline.
        started_at: of the server.
        stats_reset: when all counters began.
        dealloc: how often the server made room by forgetting the statements that are used least.
    """

    at: datetime
    major: int
    identity: str
    started_at: datetime
    stats_reset: datetime | None
    dealloc: int


@dataclass(frozen=True)
class Known:
    """What the look before left of a statement; `present` says whether it was there then."""

    id: int
    counter: Counter
    present: bool


@dataclass(frozen=True)
class Difference:
    """What was added since the look before.

    Attributes:
        added: only statements that moved.
        gone: ids of those that were there and are no more.
        counted: False where this look only begins to count.
        notes: what could not be told.
    """

    added: Mapping[Key, Counts] = field(default_factory=dict)
    gone: tuple[int, ...] = ()
    counted: bool = True
    notes: tuple[str, ...] = ()


def difference(
    before: Origin | None, known: Mapping[Key, Known], now: Origin, counters: Mapping[Key, Counter]
) -> Difference:
    """What each statement did between two looks.

    Args:
        before: the look before; None for the first one.
        known: what it left, of the same major version.
        now: this look.
        counters: what it saw.
    """
    if before is None:
        return Difference(counted=False, notes=("the first snapshot: counting begins now",))
    gone = tuple(one.id for key, one in known.items() if one.present and key not in counters)
    if (before.identity, before.major) != (now.identity, now.major):
        return _of_another_server(before, now, counters, gone)
    anew, notes = _all_anew(before, now)
    left: dict[tuple[int, bool], list[Known]] = {}
    for key, one in known.items():
        if one.present and key not in counters:
            left.setdefault((key.queryid, key.toplevel), []).append(one)
    added = {}
    for key, counter in counters.items():
        here = known.get(key)
        if here is None or not here.present:
            here = _renamed(counter, left.get((key.queryid, key.toplevel), ()))
        counts = _added(here, counter, anew=anew)
        if counts.calls > 0 or counts.exec_ms > 0:
            added[key] = counts
    return Difference(added, gone, notes=tuple(notes + _gaps(before, now, anew=anew)))


def _of_another_server(
    before: Origin, now: Origin, counters: Mapping[Key, Counter], gone: tuple[int, ...]
) -> Difference:
    """After an upgrade or a failover only what surely began since the look before counts."""
    whole = now.stats_reset is not None and now.stats_reset > before.at
    added = {
        key: one.counts
        for key, one in counters.items()
        if one.counts.calls > 0 and (whole or (one.since is not None and one.since > before.at))
    }
    what = (
        f"PostgreSQL {before.major} has become {now.major}"
        if before.major != now.major
        else "another server, or another timeline, answers than before"
    )
    note = f"{what}: counters of before {_clock(before.at)} are not comparable, only what began since then is counted"
    # Where nothing says when counters began, this look is the beginning.
    return Difference(added, gone, counted=whole or bool(added), notes=(note,))


def _all_anew(before: Origin, now: Origin) -> tuple[bool, list[str]]:
    """Whether all counters have begun again since the look before: a server that starts without them says so, too."""
    if before.stats_reset == now.stats_reset:
        return False, []
    restarted = before.started_at != now.started_at
    what = "the server restarted without its counters" if restarted else "pg_stat_statements was reset"
    at = f" at {_clock(now.stats_reset)}" if now.stats_reset else ""
    return True, [f"{what}{at}: what ran between {_clock(before.at)} and then is lost"]


def _renamed(now: Counter, left: Sequence[Known]) -> Known | None:
    """Counters that went on under another name: a role was renamed, or dropped and goes by its number since."""
    went_on = (one for one in left if one.counter.since == now.since and not _backwards(one.counter.counts, now.counts))
    return next(went_on, None)


def _added(known: Known | None, now: Counter, *, anew: bool) -> Counts:
    if known is None:
        return now.counts  # it was not there at the look before, so all of it is of since then
    before = known.counter
    if before.since is not None and now.since is not None:
        if before.since != now.since:
            return now.counts
    elif anew:
        return now.counts
    if _backwards(before.counts, now.counts):
        return now.counts  # it was reset or forgotten, and has begun again
    return Counts._make(after - first for first, after in zip(before.counts, now.counts, strict=True))


def _backwards(before: Counts, now: Counts) -> bool:
    return any(after < first for first, after in zip(before, now, strict=True))


def _gaps(before: Origin, now: Origin, *, anew: bool) -> list[str]:
    notes = []
    forgotten = now.dealloc - (0 if anew and now.dealloc < before.dealloc else before.dealloc)
    if forgotten > 0:
        notes.append(
            f"pg_stat_statements made room {forgotten} times and forgot statements: some of what ran is missed;"
            " raise pg_stat_statements.max"
        )
    if now.at - before.at > LONG_GAP:
        span = units.duration((now.at - before.at).total_seconds())
        notes.append(f"no snapshot for {span}: what was reset or forgotten in between is missed")
    return notes


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S %Z}".strip()
