"""The indexes of a partitioned table: none can be built CONCURRENTLY, so each partition's is built and attached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Index = Literal["absent", "building", "invalid", "valid", "foreign"]


@dataclass(frozen=True)
class PartIndex:
    """The index of one table of a partition tree.

    Attributes:
        leaf: whether the table holds rows; the others are partitioned themselves.
        foreign_table: whether it lies on another server, where nothing can be built.
        index: the name of its index, in the table's schema.
        state: of what bears that name, or of what is attached; "invalid" of a partitioned table: not all are attached.
        attached: whether it belongs to the index of the table above; of the top: whether it is there.
        above: schema and name of the index that it belongs to; None at the top.
    """

    schema: str
    table: str
    leaf: bool
    foreign_table: bool
    index: str
    state: Index
    attached: bool
    above: tuple[str, str] | None


def part_indexes(
    tables: Sequence[Mapping[str, Any]], names: Mapping[int, str], indexes: Sequence[Mapping[str, Any]]
) -> tuple[PartIndex, ...]:
    """The indexes of a partition tree, from the top down.

    Args:
        tables: of partitions.sql.
        names: the name that each table's index would have, by the table's oid.
        indexes: of partition_indexes.sql.
    """
    found: dict[int, PartIndex] = {}
    oids: dict[int, int | None] = {}
    for table in tables:
        oid, top = table["oid"], table["level"] == 0
        own = [one for one in indexes if one["oid"] == oid]
        parent_index = None if top else oids[table["parent"]]
        attached = [one for one in own if parent_index is not None and one["attached_to"] == parent_index]
        named = [one for one in own if one["index"] == names[oid]]
        one = next(iter(attached or named), None)
        oids[oid] = one["index_oid"] if one else None
        above = None if top else found[table["parent"]]
        found[oid] = PartIndex(
            schema=table["schema"],
            table=table["name"],
            leaf=table["kind"] != "p",
            foreign_table=table["kind"] == "f",
            index=one["index"] if one else names[oid],
            state=_state(one, parent_index),
            attached=bool(attached) or (top and one is not None),
            above=(above.schema, above.index) if above else None,
        )
    return tuple(found.values())


def _state(one: Mapping[str, Any] | None, parent_index: int | None) -> Index:
    if one is None:
        return "absent"
    elsewhere = one["attached_to"] is not None and one["attached_to"] != parent_index
    if not one["wanted"] or elsewhere:
        return "foreign"
    return "valid" if one["valid"] else "building" if one["building"] else "invalid"
