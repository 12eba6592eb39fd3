"""Rows of DEFAULT that belong into a new partition move there in the transaction that makes it."""

from __future__ import annotations

from typing import Any

from psycopg2 import sql

from pgops.errors import PgOpsError, Refused
from pgops.include import query, sql_text
from pgops.partitions.bounds import condition
from pgops.partitions.model import Parent, Partition, Range


def lock_default(cursor: Any, parent: Parent) -> None:
    """Nobody writes to DEFAULT until the transaction ends."""
    default = parent.default
    assert default is not None
    cursor.execute(
        query(
            "partitions/create/drain_lock.sql",
            parent=sql.Identifier(parent.schema, parent.name),
            default=_identifier(default),
        )
    )


def move_rows(cursor: Any, parent: Parent, bounds: Range, table: sql.Identifier, most: int) -> int:
    """Move the rows of `bounds` from the locked DEFAULT into `table`, which is not attached yet; how many.

    Raises:
        Refused: there are more than `most`, or a trigger or foreign key would notice.
        PgOpsError: not as many arrived as left.
    """
    default = parent.default
    assert default is not None
    parts = {"default": _identifier(default), "condition": condition(bounds, parent)}
    cursor.execute(query("partitions/create/drain_count.sql", limit=sql.Literal(most + 1), **parts))
    ((count,),) = cursor.fetchall()
    if count > most:
        raise Refused(
            f"More than {most} rows of DEFAULT belong into it",
            where=f"{default.schema}.{default.name}",
            remedy="Raise drain_rows of the policy, or move them by hand",
        )
    cursor.execute(sql_text("partitions/create/drain_facts.sql"), {"default": default.oid})
    may_replicate, fires, fires_always, columns = cursor.fetchone()
    if fires_always or (fires and not may_replicate):
        raise Refused(
            "Triggers or foreign keys with an action would notice that rows leave DEFAULT",
            where=f"{default.schema}.{default.name}",
            remedy="GRANT SET ON PARAMETER session_replication_role to the role, or move the rows by hand"
            if not fires_always
            else "It has triggers that are ENABLE ALWAYS or REPLICA: move the rows by hand",
        )
    if fires:
        cursor.execute(sql_text("partitions/create/drain_quietly.sql"))
    named = sql.SQL(", ").join(sql.Identifier(column) for column in columns)
    cursor.execute(query("partitions/create/drain.sql", table=table, columns=named, **parts))
    ((left, arrived),) = cursor.fetchall()
    if fires:
        cursor.execute(sql_text("partitions/create/drain_loudly.sql"))
    if not left == arrived == count:
        raise PgOpsError(
            f"{count} rows were counted in DEFAULT, {left} left it and {arrived} arrived: nothing was changed",
            where=f"{default.schema}.{default.name}",
            remedy="Look for rules and triggers on the partition that change rows",
        )
    return int(left)


def _identifier(partition: Partition) -> sql.Identifier:
    return sql.Identifier(partition.schema, partition.name)
