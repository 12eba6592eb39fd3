"""Sessions in which bounds are read and written the same way on every server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from pgops.include import query, sql_text
from pgops.postgres import Dsn, Limits, connect

APPLICATION = "pgops.partitions"
# Queries of include/sql/partitions/ that are asked again and again, and the types of their parameters.
_PREPARED = {
    "create/parent": "oid, oid",
    "locks/look": "oid[], text[], float8",
    "locks/old_snapshots": "oid[], text[], float8",
}
_LIMITS = Limits(statement=60, lock=5)


@contextmanager
def session(dsn: Dsn) -> Iterator[Connection]:
    """An open session in autocommit mode; names without a schema are the system's."""
    with connect(dsn, APPLICATION, _LIMITS, system_names=True) as connection:
        with connection.cursor() as cursor:
            cursor.execute(sql_text("partitions/session.sql"))
        yield connection


def prepare(connection: Connection, *names: str) -> None:
    """Have these queries planned once: their planning takes longer than their work."""
    with connection.cursor() as cursor:
        for name in names:
            text = sql.SQL(sql_text(f"partitions/{name}.sql"))
            types = sql.SQL(_PREPARED[name])
            cursor.execute(query("partitions/prepare.sql", statement=sql.Identifier(name), types=types, text=text))


def ask(cursor: Any, name: str, *values: object) -> None:
    """Ask a query that `prepare` has prepared."""
    given = sql.SQL(", ").join(sql.Literal(value) for value in values)
    cursor.execute(query("partitions/execute.sql", statement=sql.Identifier(name), values=given))
