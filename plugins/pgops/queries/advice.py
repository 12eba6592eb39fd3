"""What is wrong with the indexes there are: missing under a foreign key, unused, duplicate, redundant, invalid.

The questions are those of the daily health check (include/sql/health/), asked here for all that a change needs: sizes,
what the index costs in writes, and the statements that make the change and take it back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import psycopg2
from pglast.keywords import RESERVED_KEYWORDS, TYPE_FUNC_NAME_KEYWORDS

from pgops.include import sql_text
from pgops.postgres import DatabaseError, Dsn
from pgops.queries.candidates import Index
from pgops.queries.explain import catalog_session
from pgops.queries.prove import Candidate, Gain

Kind = Literal["candidate", "missing", "invalid", "duplicate", "redundant", "unused"]
_CHECKS: Mapping[Kind, str] = {
    "missing": "health/missing_fk_index.sql",
    "invalid": "health/invalid_indexes.sql",
    "duplicate": "health/duplicate_indexes.sql",
    "redundant": "health/redundant_indexes.sql",
    "unused": "health/unused_indexes.sql",
}
MOST = 20  # of each kind
_MOST_PARTITIONS = 200
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")


@dataclass(frozen=True)
class Advice:
    """A change of one index.

    Attributes:
        object: the index that is to go, or the table that lacks one.
        says: the evidence.
        apply, revert: statements, in order; empty where a person must decide (a constraint stands on it).
        bytes: what it takes, or frees.
        writes: entries a day that the index costs, or costs no more; None where statistics are too young to tell.
        proof: of a candidate: how sure it is.
        gains: of a candidate: the queries, those that gain most first.
        label: a few words for a file's name.
        makes: the index that comes of it.
        keys: of an index that is to go: its table and columns, so that one whose first columns another has begins that.
    """

    kind: Kind
    object: str
    says: str
    apply: tuple[str, ...]
    revert: tuple[str, ...]
    bytes: int | None = None
    writes: float | None = None
    proof: str = ""
    gains: tuple[Gain, ...] = ()
    label: str = ""
    makes: Index | None = None
    keys: str = ""

    @property
    def saved(self) -> float:
        """Seconds a day."""
        return sum(one.saved for one in self.gains)


@dataclass(frozen=True)
class _TableFacts:
    """A table that is to get an index; `partitions` are those that hold rows, `deep` those that lie below others."""

    partitioned: bool
    partitions: tuple[tuple[str, str], ...]
    deep: bool
    writes: float | None
    bytes: int | None
    names: frozenset[str]


def structural(dsn: Dsn, standbys: Mapping[str, Dsn]) -> tuple[list[Advice], list[str]]:
    """Advice from the catalog alone, and what could not be told.

    Args:
        dsn: the primary.
        standbys: by name; an index is unused only where none of them uses it either.
    """
    notes: list[str] = []
    found: list[Advice] = []
    with catalog_session(dsn) as catalog:
        for kind in _CHECKS:
            try:
                rows = _asked(catalog, kind)
            except psycopg2.Error as error:
                notes.append(f"{kind} indexes: {error.diag.message_primary or error}")
                continue
            if kind == "unused":
                rows = _agreed(catalog, rows, standbys, notes)
            for row in rows[:MOST]:
                found.append(_missing(catalog, row) if kind == "missing" else _superfluous(catalog, kind, row))
    # An index that is both a duplicate and unused is one piece of advice.
    once = list({one.object: one for one in reversed(found)}.values())[::-1]
    return [one for one in once if not _leans_on(once, one)], notes


def _leans_on(advice: Sequence[Advice], one: Advice) -> bool:
    """Whether a twin or a shorter index is to go because this one answers for it; then nobody asks this one yet."""
    spare = (other for other in advice if other.kind in ("duplicate", "redundant"))
    return one.kind == "unused" and any(one.keys.startswith(other.keys) for other in spare)


def of_candidate(dsn: Dsn, candidate: Candidate) -> Advice:
    """A candidate index as advice."""
    index = candidate.index
    with catalog_session(dsn) as catalog:
        facts = _table_facts(catalog, index)
    apply, revert = _creating(index, facts)
    queries = f"{len(candidate.gains)} quer{'y' if len(candidate.gains) == 1 else 'ies'}"
    says = (
        f"{queries} would use it, about {candidate.saved:.0f} s a day less"
        if candidate.proof != "unverified"
        else f"{queries} might use it. {candidate.note}"
    )
    return Advice(
        "candidate",
        f"{index.schema}.{index.table} ({', '.join(index.columns)})",
        says,
        apply,
        revert,
        candidate.bytes if candidate.bytes is not None else facts.bytes,
        facts.writes,
        candidate.proof,
        tuple(sorted(candidate.gains, key=lambda one: -one.saved)),
        f"index_{index.table}_{'_'.join(index.columns)}",
        index,
    )


def _asked(catalog: Any, kind: Kind) -> list[dict[str, Any]]:
    with catalog.cursor() as cursor:
        cursor.execute(sql_text(_CHECKS[kind]))
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _agreed(
    catalog: Any, rows: list[dict[str, Any]], standbys: Mapping[str, Dsn], notes: list[str]
) -> list[dict[str, Any]]:
    """Those that no standby uses either; nothing is unused while one of them does not say."""
    if not rows:
        return []
    with catalog.cursor() as cursor:
        cursor.execute(sql_text("queries/followers.sql"))
        (followers,) = cursor.fetchone()
    if followers > len(standbys):
        notes.append(
            f"no index is called unused, for {followers} standbys follow and the fleet file names {len(standbys)}"
        )
        return []
    for name, dsn in standbys.items():
        try:
            with catalog_session(dsn) as catalog:
                idle = {row["object"] for row in _asked(catalog, "unused")}
        except (DatabaseError, psycopg2.Error) as error:
            notes.append(f"no index is called unused, for the standby {name} does not say whether it uses it: {error}")
            return []
        rows = [row for row in rows if row["object"] in idle]
    return rows


def _missing(catalog: Any, row: Mapping[str, Any]) -> Advice:
    index = Index(row["table_schema"], row["table_name"], tuple(row["columns"]))
    facts = _table_facts(catalog, index)
    apply, revert = _creating(index, facts)
    return Advice(
        "missing", row["object"], row["says"], apply, revert, facts.bytes, facts.writes,
        label=f"index_{index.table}_{'_'.join(index.columns)}", makes=index,
    )  # fmt: skip


def _superfluous(catalog: Any, kind: Kind, row: Mapping[str, Any]) -> Advice:
    with catalog.cursor() as cursor:
        cursor.execute(sql_text("queries/index_facts.sql"), {"index": row["object"]})
        schema, name, definition, size, writes, partitioned, keys, constrained = cursor.fetchone()
    found = Advice(kind, row["object"], row["says"], (), (), size, writes, label=f"drop_{name}", keys=keys)
    if kind == "invalid" or constrained:
        return replace(found, says=f"{row['says']}. {row['mend']}")
    # A partitioned index cannot be dropped without a lock.
    dropped = f"DROP INDEX{'' if partitioned else ' CONCURRENTLY'} {quoted(schema)}.{quoted(name)}"
    made = (
        definition.replace(" ON ONLY ", " ON ", 1)  # else it would come back without its partitions' parts, invalid
        if partitioned
        else re.sub(r"^(CREATE (?:UNIQUE )?INDEX) ", r"\1 CONCURRENTLY ", definition)
    )
    return replace(found, apply=(dropped,), revert=(made,))


def _table_facts(catalog: Any, index: Index) -> _TableFacts:
    with catalog.cursor() as cursor:
        cursor.execute(
            sql_text("queries/table_facts.sql"),
            {"schema": index.schema, "table": index.table, "columns": list(index.columns)},
        )
        partitioned, partitions, deep, writes, size, names = cursor.fetchone()
    return _TableFacts(partitioned, tuple(map(tuple, partitions)), deep, writes, size, frozenset(names))


def _creating(index: Index, facts: _TableFacts) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Statements that make it without a lock against writes, and those that take it back."""
    columns = ", ".join(map(quoted, index.columns))
    table = f"{quoted(index.schema)}.{quoted(index.table)}"
    name = _free(index.name, facts.names)
    whole = f"{quoted(index.schema)}.{quoted(name)}"
    if not facts.partitioned:
        return (
            (f"CREATE INDEX CONCURRENTLY {quoted(name)} ON {table} ({columns})",),
            (f"DROP INDEX CONCURRENTLY IF EXISTS {whole}",),
        )
    if facts.deep or len(facts.partitions) > _MOST_PARTITIONS:
        return (), ()
    # A partitioned table's index is made in parts: each without a lock, then tied to that of the parent.
    made = [f"CREATE INDEX {quoted(name)} ON ONLY {table} ({columns})"]
    tied = []
    for schema, partition in facts.partitions:
        part = _free(Index(schema, partition, index.columns).name, facts.names)
        made.append(f"CREATE INDEX CONCURRENTLY {quoted(part)} ON {quoted(schema)}.{quoted(partition)} ({columns})")
        tied.append(f"ALTER INDEX {whole} ATTACH PARTITION {quoted(schema)}.{quoted(part)}")
    return (*made, *tied), (f"DROP INDEX IF EXISTS {whole}",)


def _free(name: str, taken: frozenset[str]) -> str:
    numbered = (f"{name[:58]}{number}" for number in range(1, 1000))
    return next(one for one in (name, *numbered) if one not in taken)


def quoted(name: str) -> str:
    """An identifier as a person would write it: in quotes only where it needs them."""
    if _PLAIN.fullmatch(name) and name not in RESERVED_KEYWORDS and name not in TYPE_FUNC_NAME_KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


def most_useful(advice: Sequence[Advice]) -> list[Advice]:
    """Sorted: what saves time first, then what is missing or broken, then what frees most space. A foreign key whose
    index another piece of advice makes anyway is named there."""
    order = ("candidate", "missing", "invalid", "duplicate", "redundant", "unused")
    found: list[Advice] = []
    for one in sorted(advice, key=lambda one: (order.index(one.kind), -one.saved, -(one.bytes or 0))):
        place = next((place for place, other in enumerate(found) if _serves(other, one)), None)
        if place is None:
            found.append(one)
        else:
            found[place] = replace(found[place], says=f"{found[place].says}; the foreign key {one.object} needs it too")
    return found


def _serves(other: Advice, one: Advice) -> bool:
    """Whether a foreign key's index is spared by another index that begins with its columns, in whatever order."""
    if one.kind != "missing" or one.makes is None or other.makes is None:
        return False
    table = (one.makes.schema, one.makes.table) == (other.makes.schema, other.makes.table)
    return table and set(other.makes.columns[: len(one.makes.columns)]) == set(one.makes.columns)
