"""Proves that a candidate index helps: HypoPG lets the planner believe in it; else it is built on a copy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import psycopg2
from psycopg2 import sql

from pgops.include import query, sql_text
from pgops.postgres import Dsn, Limits, connect
from pgops.queries.candidates import Index, Table, candidates, tables
from pgops.queries.explain import (
    APPLICATION,
    NotExplained,
    Parsed,
    catalog_session,
    fresh_session,
    planned,
    readable,
    refuse_own_code,
)
from pgops.queries.shape import Plan

LEAST_GAIN = 0.2  # of the planner's cost: less is within what the planner errs by
MOST_CANDIDATES = 6  # of one query
Proof = Literal["HypoPG", "built on a copy", "unverified"]


@dataclass(frozen=True)
class Slow:
    """A query that costs much: seconds a day."""

    fingerprint: str
    text: str
    whole: bool
    seconds: float


@dataclass(frozen=True)
class Gain:
    """What a query gains: the planner's cost without the index and with it, and what the query costs a day now."""

    fingerprint: str
    text: str
    before: float
    after: float
    seconds: float

    @property
    def saved(self) -> float:
        """Seconds a day, if time goes with cost."""
        return self.seconds * (1 - self.after / self.before) if self.before else 0.0


@dataclass(frozen=True)
class Candidate:
    """An index, how sure it is, and who gains. `bytes` is None where nobody could estimate it."""

    index: Index
    proof: Proof
    gains: tuple[Gain, ...]
    bytes: int | None = None
    note: str = ""

    @property
    def saved(self) -> float:
        """Seconds a day."""
        return sum(one.saved for one in self.gains)


@dataclass(frozen=True)
class _Wish:
    """A query that may be planned, with the indexes it might want."""

    slow: Slow
    parsed: Parsed
    indexes: tuple[Index, ...]


class Bench(Protocol):
    """Where an index is tried."""

    proof: Proof

    def plan(self, parsed: Parsed) -> Plan:
        """The query's plan as things are."""

    def with_index(self, index: Index) -> Any:
        """A context in which the index is there; gives its size and its name in plans."""


class HypoBench:
    """Hypothetical indexes in one session of the server itself: no lock, no write, nothing left."""

    proof: Proof = "HypoPG"

    def __init__(self, connection: Any, schema: str) -> None:
        self.connection, self.schema = connection, schema

    def plan(self, parsed: Parsed) -> Plan:
        """The query's plan as things are."""
        return planned(self.connection, parsed)

    @contextmanager
    def with_index(self, index: Index) -> Iterator[tuple[int, str]]:
        """The planner believes in the index."""
        schema = {"schema": sql.Identifier(self.schema)}
        with self.connection.cursor() as cursor:
            statement = query("queries/index_plain.sql", **index.parts).as_string(cursor)
            cursor.execute(query("queries/hypopg_create.sql", **schema), {"statement": statement})
            size, name = cursor.fetchone()
        try:
            yield int(size), str(name)
        finally:
            if not self.connection.closed:
                with self.connection.cursor() as cursor:
                    cursor.execute(query("queries/hypopg_reset.sql", **schema))


class CopyBench:
    """A copy that nobody else uses: the index is built, and dropped again."""

    proof: Proof = "built on a copy"

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def plan(self, parsed: Parsed) -> Plan:
        """The query's plan as things are."""
        return planned(self.connection, parsed)

    @contextmanager
    def with_index(self, index: Index) -> Iterator[tuple[int, str]]:
        """The index is there."""
        with self.connection.cursor() as cursor:
            cursor.execute(query("queries/index_plain.sql", **index.parts))
            cursor.execute(sql_text("queries/index_bytes.sql"), {"index": index.parts["index"].as_string(cursor)})
            (size,) = cursor.fetchone()
        try:
            yield int(size), index.name
        finally:
            with self.connection.cursor() as cursor:
                cursor.execute(query("queries/drop_index_plain.sql", **index.parts))


def advise(dsn: Dsn, slow: Sequence[Slow], copy: Dsn | None = None) -> tuple[Candidate, ...]:
    """Indexes that slow queries would use, those that save most first.

    Args:
        dsn: the database, as a role that may read and not write.
        slow: its slow queries, the slowest first.
        copy: a throw-away copy of it, for servers without HypoPG.
    """
    with catalog_session(dsn) as catalog:
        known = tables(catalog, _relations(slow))
        wishes = list(_wishes(catalog, slow, known))
        with catalog.cursor() as cursor:
            cursor.execute(sql_text("queries/hypopg.sql"))
            hypopg = cursor.fetchone()
    if not wishes:
        return ()
    if hypopg:
        with fresh_session(dsn) as connection:
            return _proven(HypoBench(connection, hypopg[0]), wishes)
    if copy is not None:
        with connect(copy, APPLICATION, Limits(statement=3600, lock=10, idle_in_transaction=0)) as connection:
            return _proven(CopyBench(connection), wishes)
    return _unverified(dsn, wishes)


def _relations(slow: Sequence[Slow]) -> set[str]:
    names: set[str] = set()
    for one in slow:
        try:
            names |= readable(one.text, whole=one.whole).relations
        except NotExplained:
            continue
    return names


def _wishes(catalog: Any, slow: Sequence[Slow], known: Mapping[str, Table]) -> Iterator[_Wish]:
    for one in slow:
        try:
            parsed = readable(one.text, whole=one.whole)
            refuse_own_code(catalog, parsed)
        except NotExplained:
            continue
        if indexes := candidates(parsed, known)[:MOST_CANDIDATES]:
            yield _Wish(one, parsed, indexes)


def _proven(bench: Bench, wishes: Sequence[_Wish]) -> tuple[Candidate, ...]:
    """Each index with all queries that gain by it; of each query's choices only the best."""
    plain = {}
    for wish in wishes:
        try:
            plain[wish.slow.fingerprint] = bench.plan(wish.parsed).cost
        except NotExplained:
            continue
    gains: dict[Index, list[Gain]] = defaultdict(list)
    sizes: dict[Index, int] = {}
    unsure: dict[Index, str] = {}
    planning = [wish for wish in wishes if wish.slow.fingerprint in plain]
    for index in dict.fromkeys(index for wish in planning for index in wish.indexes):
        try:
            with bench.with_index(index) as (size, name):
                sizes[index] = size
                for wish in planning:
                    if index.table in wish.parsed.relations:
                        gain = _gain(bench, wish, plain[wish.slow.fingerprint], name)
                        if gain is not None:
                            gains[index].append(gain)
        except psycopg2.Error as error:  # HypoPG knows no index of a partitioned table
            unsure[index] = error.diag.message_primary or str(error)
    chosen = _choose(gains, sizes)
    found = [Candidate(index, bench.proof, tuple(some), sizes[index]) for index, some in chosen.items()]
    found += [
        Candidate(wish.indexes[0], "unverified", (_hope(wish),), note=unsure[wish.indexes[0]])
        for wish in planning
        if all(index in unsure for index in wish.indexes)
    ]
    return tuple(sorted(found, key=lambda one: -one.saved))


def _gain(bench: Bench, wish: _Wish, before: float, name: str) -> Gain | None:
    try:
        plan = bench.plan(wish.parsed)
    except NotExplained:
        return None
    if name not in plan.indexes or plan.cost > before * (1 - LEAST_GAIN):
        return None
    return Gain(wish.slow.fingerprint, wish.slow.text, before, plan.cost, wish.slow.seconds)


def _choose(gains: Mapping[Index, Sequence[Gain]], sizes: Mapping[Index, int]) -> dict[Index, list[Gain]]:
    """One index for each query: that which saves most over all queries first; of equals the smallest."""
    chosen: dict[Index, list[Gain]] = {}
    most = max((sum(one.saved for one in some) for some in gains.values()), default=0.0) or 1.0

    def worth(index: Index) -> tuple[float, int]:
        return round(sum(one.saved for one in left[index]) / most, 2), -sizes[index]

    left = {index: list(some) for index, some in gains.items()}
    while left:
        best = max(left, key=worth)
        if not left[best]:
            break
        chosen[best] = left.pop(best)
        served = {one.fingerprint for one in chosen[best]}
        left = {index: [one for one in some if one.fingerprint not in served] for index, some in left.items()}
    return chosen


def _unverified(dsn: Dsn, wishes: Sequence[_Wish]) -> tuple[Candidate, ...]:
    """Without a proof: the most complete index of each query that reads one of its tables from end to end."""
    found: dict[Index, list[Gain]] = defaultdict(list)
    for wish in wishes:
        try:
            with fresh_session(dsn) as connection:
                plan = planned(connection, wish.parsed)
        except NotExplained:
            continue
        whole = {name for _, name in plan.relations}
        index = next((one for one in wish.indexes if one.table in whole), None)
        if index is not None:
            found[index].append(_hope(wish, plan.cost))
    for index in sorted(found, key=lambda one: len(one.columns)):  # one that begins another is served by it
        longer = next((one for one in found if one != index and _begins(index, one)), None)
        if longer is not None:
            found[longer] += found.pop(index)
    note = "HypoPG is not installed here and no copy was asked for: try it before you trust it"
    return tuple(Candidate(index, "unverified", tuple(gains), note=note) for index, gains in found.items())


def _begins(index: Index, longer: Index) -> bool:
    table = (index.schema, index.table) == (longer.schema, longer.table)
    return table and longer.columns[: len(index.columns)] == index.columns


def _hope(wish: _Wish, cost: float = 0.0) -> Gain:
    return Gain(wish.slow.fingerprint, wish.slow.text, cost, cost, wish.slow.seconds)
