"""The minutes after a deployment, compared with the minutes before it; the first lasting breach ends the watch.

Four figures: transactions that were rolled back, the mean time of the application's queries, how far the standbys are
behind, and how long a read of a touched table takes. A breach has to show in two samples in a row: one alone is noise.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from pgops import units
from pgops.errors import PgOpsError
from pgops.fleet.migrations import Watch
from pgops.include import query, sql_text
from pgops.postgres import Dsn, Limits, connect

log = logging.getLogger(__name__)

APPLICATION = "pgops.watch"
INTERVAL = 5.0
BASELINE_SECONDS = 60.0
MEGABYTE = 1024 * 1024
_WINDOW = 60.0
_IN_A_ROW = 2
_READS = 5
_KEPT = 120
_CALLS = 5
# Those that take most of the server's time; the baseline travels from task to task.
_MOST_QUERIES = 200
# A query that became slower by less than this is noise, whatever the ratio.
_NOISE_MS = 5.0
_PROGRESS_SECONDS = 10.0

OnProgress = Callable[[str], None]


@dataclass(frozen=True)
class Baseline:
    """What was usual before the deployment; plain enough for JSON.

    Attributes:
        seconds: for how long it was looked at.
        rollbacks_per_minute: transactions that were rolled back.
        query_ms: mean time by query (user/id/level).
        queries: their texts, shortened.
        standbys: how many streamed, by name and address.
        latency_ms: median of reading a row, by table.
        notes: what could not be measured, and why.
    """

    seconds: float
    rollbacks_per_minute: float
    query_ms: Mapping[str, float]
    queries: Mapping[str, str]
    standbys: Mapping[str, int]
    latency_ms: Mapping[str, float]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sample:
    """One look. `slowdown` is of the query that became slowest; None where nothing could be measured.

    `breaches` are the figures beyond their limits, in words.
    """

    at_seconds: float
    rollbacks: int
    slowdown: float | None
    lag_mb: float | None
    latency_ms: float | None
    breaches: tuple[str, ...] = ()


@dataclass(frozen=True)
class Watched:
    """How the watch ended: `breach` names the figure, what was usual and the limit; None when all went well.

    `looks` counts the samples; of a long watch only the newest are kept.
    """

    breach: str | None
    seconds: float
    looks: int
    samples: tuple[Sample, ...]
    notes: tuple[str, ...] = ()


@dataclass
class _Counters:
    """What the server counted up to one instant."""

    at: float
    rollbacks: int
    statements: dict[str, tuple[int, float]]
    texts: dict[str, str]
    standbys: dict[str, int]
    lag_bytes: int | None
    latency_ms: dict[str, float]
    notes: list[str] = field(default_factory=list)


def baseline(
    dsn: Dsn,
    tables: Sequence[str],
    seconds: float = BASELINE_SECONDS,
    *,
    interval: float = INTERVAL,
    on_progress: OnProgress | None = None,
) -> Baseline:
    """Look at what is usual, for `seconds`.

    Args:
        dsn: the primary; standbys are seen from there.
        tables: that the migration touches, with their schemas; those that are not there yet are left out.
        seconds: how long.
        interval: between two looks.
        on_progress: is given a line now and then; else they are logged.
    """
    progress = _Progress("baseline", seconds, on_progress)
    looks = [_look(dsn, tables)]
    while (left := seconds - (looks[-1].at - looks[0].at)) > 0:
        time.sleep(min(interval, left))
        looks.append(_look(dsn, tables))
        progress.tell(f"{looks[-1].rollbacks - looks[0].rollbacks} rolled back")
    first, last = looks[0], looks[-1]
    took = max(last.at - first.at, 1e-3)
    rollbacks = _rolled_back(looks)
    found = {name for look in looks for name in look.latency_ms}
    latencies = {
        name: statistics.median(look.latency_ms[name] for look in looks if name in look.latency_ms) for name in found
    }
    means = {key: _usual(first.statements.get(key), after) for key, after in last.statements.items()}
    known = {key: mean for key, mean in means.items() if mean is not None}
    known = {key: known[key] for key in sorted(known, key=lambda key: -last.statements[key][1])[:_MOST_QUERIES]}
    return Baseline(
        seconds=took,
        # A window shorter than a minute is not extrapolated: one error in five seconds is not twelve a minute.
        rollbacks_per_minute=rollbacks * 60 / max(took, _WINDOW),
        query_ms=known,
        queries={key: last.texts[key] for key in known},
        standbys=last.standbys,  # one that left before the end is none of the deployment's
        latency_ms=latencies,
        notes=tuple(dict.fromkeys(note for look in looks for note in look.notes)),
    )


def watch(
    dsn: Dsn,
    usual: Baseline,
    limits: Watch,
    tables: Sequence[str],
    on_progress: OnProgress | None = None,
    *,
    interval: float = INTERVAL,
) -> Watched:
    """Watch until the window is over or something is beyond its limit in two samples in a row.

    Args:
        dsn: the primary.
        usual: what was usual before.
        limits: how long, and what counts as a breach.
        tables: that the migration touched, with their schemas.
        on_progress: is given a line now and then; else they are logged.
        interval: between two samples.
    """
    started = time.monotonic()
    seconds = limits.minutes * 60
    progress = _Progress("watch", seconds, on_progress)
    looks: list[_Counters] = []
    samples: list[Sample] = []
    in_a_row: dict[str, int] = {}
    while True:
        breaches: dict[str, str]
        try:
            looks.append(_look(dsn, tables))
            looks = [look for look in looks if look.at >= looks[-1].at - _WINDOW - interval]
            sample, breaches = _judge(looks, usual, limits, time.monotonic() - started)
        except PgOpsError as error:
            breaches = {"answer": f"the database does not answer: {error.what}"}
            sample = Sample(time.monotonic() - started, 0, None, None, None, tuple(breaches.values()))
        samples.append(sample)
        in_a_row = {figure: in_a_row.get(figure, 0) + 1 for figure in breaches}
        lasting = [breaches[figure] for figure, times in in_a_row.items() if times >= _IN_A_ROW]
        for words in breaches.values():
            log.warning("%s", words)
        elapsed = time.monotonic() - started
        if lasting or elapsed >= seconds:
            notes = tuple(dict.fromkeys(note for look in looks for note in look.notes))
            return Watched("; ".join(lasting) or None, elapsed, len(samples), tuple(samples[-_KEPT:]), notes)
        progress.tell("; ".join(sample.breaches) or "nothing beyond its limit")
        time.sleep(min(interval, max(seconds - elapsed, 0.01)))


# --- judging ---


def _judge(looks: list[_Counters], usual: Baseline, limits: Watch, at_seconds: float) -> tuple[Sample, dict[str, str]]:
    now = looks[-1]
    rollbacks = _rolled_back(looks)
    means = _means(looks, usual)
    breaches = {
        **_errors(rollbacks, usual, limits),
        **_slow_queries(means, usual, limits),
        **_lag(now, usual, limits),
        **_latency(now, usual, limits),
    }
    sample = Sample(
        at_seconds=at_seconds,
        rollbacks=rollbacks,
        slowdown=max((mean / usual.query_ms[key] for key, mean in means.items() if usual.query_ms[key]), default=None),
        lag_mb=None if now.lag_bytes is None else now.lag_bytes / MEGABYTE,
        latency_ms=max(now.latency_ms.values(), default=None),
        breaches=tuple(breaches.values()),
    )
    return sample, breaches


def _errors(rollbacks: int, usual: Baseline, limits: Watch) -> dict[str, str]:
    limit = usual.rollbacks_per_minute + limits.max_errors
    if rollbacks <= limit:
        return {}
    return {
        "errors": f"errors: {rollbacks} transactions rolled back within a minute; usual were "
        f"{units.short(usual.rollbacks_per_minute)}, the limit is {units.short(limit)}"
    }


def _slow_queries(means: Mapping[str, float], usual: Baseline, limits: Watch) -> dict[str, str]:
    breaches = {}
    for key, mean in means.items():
        before = usual.query_ms[key]
        limit = max(before * limits.max_slowdown, before + _NOISE_MS)
        if mean > limit:
            breaches[f"query {key}"] = (
                f"query time: {mean:.1f} ms on average; usual were {before:.1f} ms, the limit is {limit:.1f} ms: "
                f"{usual.queries[key]}"
            )
    return breaches


def _lag(now: _Counters, usual: Baseline, limits: Watch) -> dict[str, str]:
    gone = [name for name, count in usual.standbys.items() if now.standbys.get(name, 0) < count]
    if gone:
        return {"standby": f"standby: {', '.join(gone)} no longer streams; it did before the deployment"}
    if now.lag_bytes is None or now.lag_bytes <= limits.max_lag_mb * MEGABYTE:
        return {}
    return {"lag": f"standby lag: {now.lag_bytes / MEGABYTE:.0f} MB behind, the limit is {limits.max_lag_mb:g} MB"}


def _latency(now: _Counters, usual: Baseline, limits: Watch) -> dict[str, str]:
    breaches = {}
    for table, latency in now.latency_ms.items():
        before = usual.latency_ms.get(table)
        limit = max(limits.max_latency_ms, (before or 0) * limits.max_slowdown)
        if latency > limit:
            words = "it is new" if before is None else f"usual were {before:.1f} ms"
            breaches[f"latency {table}"] = (
                f"read latency of {table}: {latency:.1f} ms; {words}, the limit is {limit:.1f} ms"
            )
    return breaches


def _means(looks: list[_Counters], usual: Baseline) -> dict[str, float]:
    """The mean time within the window of every known query that ran often enough in it.

    A look in which a query is missing (evicted) or its counters went back (reset) starts it anew.
    """
    found = {}
    for key in usual.query_ms:
        calls, total = 0, 0.0
        for earlier, later in pairwise(looks):
            first, second = earlier.statements.get(key), later.statements.get(key)
            if first is None or second is None or second[0] < first[0] or second[1] < first[1]:
                calls, total = 0, 0.0
                continue
            calls, total = calls + second[0] - first[0], total + second[1] - first[1]
        if calls >= _CALLS:
            found[key] = total / calls
    return found


def _usual(first: tuple[int, float] | None, last: tuple[int, float]) -> float | None:
    """A query's mean within the baseline; of all its calls so far when it ran too seldom; None if that is unknown."""
    if first is not None and last[0] - first[0] >= _CALLS and last[1] >= first[1]:
        return (last[1] - first[1]) / (last[0] - first[0])
    return last[1] / last[0] if last[0] >= _CALLS else None


def _rolled_back(looks: list[_Counters]) -> int:
    """Between the first look and the last. Statistics that were reset in between count from zero."""
    pairs = ((before.rollbacks, after.rollbacks) for before, after in pairwise(looks))
    return sum(after - before if after >= before else after for before, after in pairs)


# --- looking ---


def _look(dsn: Dsn, tables: Sequence[str]) -> _Counters:
    with connect(dsn, APPLICATION, Limits(statement=10, lock=10), readonly=True, system_names=True) as connection:
        counters = _rows(connection, "migration/watch/counters.sql")[0]
        notes: list[str] = []
        statements, texts = _statements(connection, notes)
        standbys = _rows(connection, "migration/evidence/lag.sql")
        names = [f"{one['application_name']} at {one['client']}" for one in standbys if one["state"]]
        if len(names) < len(standbys):
            notes.append("the standbys' positions are hidden from this role: grant it pg_monitor")
        lags = [one["lag_bytes"] for one in standbys if one["lag_bytes"] is not None]
        return _Counters(
            at=time.monotonic(),
            rollbacks=counters["rollbacks"],
            statements=statements,
            texts=texts,
            standbys={name: names.count(name) for name in names},
            lag_bytes=max(lags, default=None),
            latency_ms=_latencies(connection, tables, notes),
            notes=notes,
        )


def _statements(connection: Connection, notes: list[str]) -> tuple[dict[str, tuple[int, float]], dict[str, str]]:
    schema = _rows(connection, "migration/watch/statements_schema.sql")
    if not schema:
        notes.append("pg_stat_statements is not installed: query times are not watched")
        return {}, {}
    if not schema[0]["loaded"]:
        notes.append("pg_stat_statements is not in shared_preload_libraries: query times are not watched")
        return {}, {}
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(query("migration/watch/statements.sql", schema=sql.Identifier(schema[0]["nspname"])))
        rows = cursor.fetchall()
    found = {row["key"]: (row["calls"], row["total_ms"]) for row in rows}
    return found, {row["key"]: " ".join(row["query"].split())[:100] for row in rows}


def _latencies(connection: Connection, tables: Sequence[str], notes: list[str]) -> dict[str, float]:
    """The median of a few reads of each table that is there and may be read."""
    found = {}
    for table in tables:
        row = _rows(connection, "migration/watch/table.sql", table=table)
        if not row:
            notes.append(f"{table} is not there or may not be read: its latency is not watched")
            continue
        name = sql.Identifier(row[0]["schema"], row[0]["table"])
        found[table] = _latency_of(connection, name)
    return found


def _latency_of(connection: Connection, table: sql.Identifier) -> float:
    """Milliseconds of a read, the median of a few; if one is cut off, for as long as that took."""
    took = []
    for _ in range(_READS):
        started = time.perf_counter()
        try:
            with connection.cursor() as cursor:
                cursor.execute(query("migration/watch/canary.sql", table=table))
                cursor.fetchall()
        except (psycopg2.errors.QueryCanceled, psycopg2.errors.LockNotAvailable):
            return (time.perf_counter() - started) * 1000
        took.append((time.perf_counter() - started) * 1000)
    return statistics.median(took)


def _rows(connection: Connection, name: str, **values: Any) -> list[dict[str, Any]]:
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(sql_text(name), values or None)
        return [dict(row) for row in cursor.fetchall()]


class _Progress:
    """A line at the beginning of every ten seconds."""

    def __init__(self, what: str, seconds: float, on_progress: OnProgress | None) -> None:
        self._what, self._seconds, self._on_progress = what, seconds, on_progress
        self._started = time.monotonic()
        self._last = self._started - _PROGRESS_SECONDS

    def tell(self, words: str) -> None:
        now = time.monotonic()
        if now - self._last < _PROGRESS_SECONDS:
            return
        self._last = now
        elapsed = now - self._started
        percent = min(99, int(100 * elapsed / self._seconds)) if self._seconds else 99
        left = units.duration(max(self._seconds - elapsed, 0))
        line = f"{self._what}: {units.duration(elapsed)}, {percent} %, {left} left: {words}"
        if self._on_progress:
            self._on_progress(line)
        else:
            log.info("%s", line)
