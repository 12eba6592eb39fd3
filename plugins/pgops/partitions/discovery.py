"""Which partitioned tables a database has, and which of them can be planned: one query."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from pgops.include import query
from pgops.partitions.bounds import KINDS, Unreadable, parse, tail
from pgops.partitions.model import Parent, Partition

_STRATEGIES = {"r": "range", "l": "list", "h": "hash"}


@dataclass(frozen=True)
class Found:
    """A partitioned table.

    Attributes:
        nested: it is a partition itself.
        by_range: of whatever columns; only such tables need partitions ahead of time.
        parent: None when it cannot be planned, `reason` says why.
    """

    title: str
    nested: bool
    by_range: bool
    parent: Parent | None
    reason: str = ""


def discover(connection: Connection, oid: int | None = None) -> list[Found]:
    """Every partitioned table, or the one; a session of `session()`."""
    with connection.cursor() as cursor:
        cursor.execute(query("partitions/plan/catalog.sql", parent=sql.Literal(oid)))
        columns = [column.name for column in cursor.description or ()]
        rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    return list(_found(rows))


def _found(rows: list[dict[str, Any]]) -> Iterator[Found]:
    for _, group in groupby(rows, key=lambda row: row["parent_oid"]):
        partitions = list(group)
        first = partitions[0]
        title = f"{first['parent_schema']}.{first['parent_name']}"
        try:
            parent, reason = _parent(first, partitions), ""
        except Unreadable as error:
            parent, reason = None, str(error)
        yield Found(title, first["nested"], first["strategy"] == "r", parent, reason)


def _parent(first: dict[str, Any], rows: list[dict[str, Any]]) -> Parent:
    if first["strategy"] != "r":
        raise Unreadable(f"it is partitioned by {_STRATEGIES[first['strategy']]}")
    if first["columns"] != 1:
        raise Unreadable(f"it is partitioned by {first['columns']} columns")
    if first["key"] is None:
        raise Unreadable("it is partitioned by an expression")
    kind = KINDS.get(first["key_type"])
    if kind is None:
        raise Unreadable(f"its key {first['key']} is of type {first['key_type']}")
    partitions = []
    for row in rows:
        if row["oid"] is None:
            continue
        try:
            bounds = parse(row["bound"], kind)
        except Unreadable as error:
            raise Unreadable(f"the bounds of {row['schema']}.{row['name']} cannot be read: {error}") from None
        partitions.append(
            Partition(
                oid=row["oid"],
                schema=row["schema"],
                name=row["name"],
                range=bounds,
                pending=row["pending"],
                rows=row["rows"],
                bytes=int(row["bytes"] or 0),
                has_partitions=row["has_partitions"],
            )
        )
    ordered = sorted(partitions, key=_order)
    bounds_of = {row["oid"]: row["bound"] for row in rows}
    newest = next((one for one in reversed(ordered) if one.range is not None), None)
    return Parent(
        oid=first["parent_oid"],
        schema=first["parent_schema"],
        name=first["parent_name"],
        key=first["key"],
        kind=kind,
        partitions=tuple(ordered),
        key_type=first["key_type"],
        within=parse(first["within"], kind) if first["within"] else None,
        uuid_tail=tail(bounds_of[newest.oid]) if kind == "uuidv7" and newest else 0,
    )


def _order(partition: Partition) -> tuple[Any, ...]:
    """By lower bound; what has none first, DEFAULT last."""
    if partition.range is None:
        return (2,)
    return (0,) if partition.range.lower is None else (1, partition.range.lower)
