"""Partitions of a new partition, where its siblings are partitioned themselves.

They are made before it is attached: nobody is disturbed, and there is no instant at which rows find no place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from pgops.errors import Refused
from pgops.fleet.partitions import PartitionPolicies
from pgops.include import query
from pgops.partitions.bounds import clause
from pgops.partitions.discovery import discover
from pgops.partitions.family import Family
from pgops.partitions.model import NewPartition, Parent
from pgops.partitions.plan import free_names, misfit, needed, policy_for


def children_of(
    connection: Connection, family: Family, new: NewPartition, policies: PartitionPolicies, now: datetime
) -> list[sql.Composed]:
    """Statements that make the partitions of a new partition.

    By list and by hash they are those of the newest sibling; by range those that the policy wants which fits the new
    partition's name.

    Raises:
        Refused: the sibling's are partitioned once more.
    """
    if family.sub_strategy is None:
        return []
    schema = family.parent.schema
    parent = replace(family.parent, name=new.name, partitions=())
    children: list[tuple[str, sql.Composable]] = [(label, sql.SQL(bounds)) for label, bounds in _copied(family)]
    if family.sub_strategy == "r":
        ranges = _by_policy(connection, family, new, policies, now)
        children = [one for one in children if one[1] == sql.SQL("DEFAULT")] + ranges
    names = free_names(connection, [(parent, label) for label, _ in children])
    return [
        query(
            "partitions/create/child.sql",
            table=sql.Identifier(schema, name),
            parent=sql.Identifier(schema, new.name),
            bounds=bounds,
            tablespace=family.tablespace,
        )
        for name, (_, bounds) in zip(names, children, strict=True)
    ]


def _copied(family: Family) -> Iterator[tuple[str, str]]:
    """Labels and bounds of the sibling's own partitions."""
    sibling = family.sibling
    for number, (name, bounds, partitioned) in enumerate(family.siblings_children):
        if partitioned:
            raise Refused(
                "Its partitions' partitions are partitioned once more",
                where=f"{family.parent.title}, {name}",
                remedy="Make the next partition by hand: partition_maintenance goes down two levels",
            )
        start = f"{sibling.name}_" if sibling else ""
        yield (name.removeprefix(start) if name.startswith(start) else str(number)), bounds


def _by_policy(
    connection: Connection, family: Family, new: NewPartition, policies: PartitionPolicies, now: datetime
) -> list[tuple[str, sql.Composable]]:
    policy = policy_for(f"{family.parent.schema}.{new.name}", policies)
    sibling = family.sibling
    if policy is None or sibling is None:
        return []
    found = discover(connection, sibling.oid)
    like: Parent | None = found[0].parent if found else None
    if like is None or misfit(like, policy):
        return []
    within = new.range if like.within is not None else None
    imagined = replace(like, name=new.name, partitions=(), within=within)
    return [(label, clause(bounds, imagined)) for label, bounds in needed(imagined, policy, now)]
