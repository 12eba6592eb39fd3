"""Ends an interrupted DETACH PARTITION CONCURRENTLY: until then its range takes no rows, and no other detaches."""

from __future__ import annotations

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from pgops.fleet.partitions import PartitionPolicies
from pgops.include import query, sql_text
from pgops.partitions.locks import Effort, Patience
from pgops.partitions.session import prepare, session
from pgops.postgres import Dsn


def finalize(dsn: Dsn, oid: int, policies: PartitionPolicies) -> Effort | None:
    """Detach what is half detached, by the partition's oid; None when it is not any more.

    FINALIZE waits for every older snapshot, with locks held: so old transactions are waited for before it is begun.

    Raises:
        CircuitOpen, Blocked: no lock was to be had, or a transaction is too old; the message names it.
        DatabaseError: the server refused.
    """
    with session(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(sql_text("partitions/create/pending.sql"), {"partition": oid})
        row = cursor.fetchone()
        if row is None:
            return None
        schema, name, partition_schema, partition_name, deadlock_timeout_ms = row
        statement = query(
            "partitions/create/finalize.sql",
            parent=sql.Identifier(schema, name),
            partition=sql.Identifier(partition_schema, partition_name),
        )
        prepare(connection, "locks/old_snapshots")
        patience = Patience(connection, policies, f"{dsn.where}, {schema}.{name}", deadlock_timeout_ms)
        _, effort = patience.run(
            f"Finalizing the detaching of {partition_name}",
            {},
            lambda lock_ms: _finalize(connection, statement, patience, lock_ms),
            look="old_snapshots",
        )
        return effort


def _finalize(connection: Connection, statement: sql.Composed, patience: Patience, lock_ms: int) -> None:
    limits = query(
        "partitions/locks/limits.sql",
        lock=sql.Literal(lock_ms),
        statement=sql.Literal(max(1000, int(patience.seconds_left * 1000))),
    )
    with connection.cursor() as cursor:
        cursor.execute(limits)
        cursor.execute(statement)
