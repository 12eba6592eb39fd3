"""Sessions in which bounds are read and written the same way on every server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg2.extensions import connection as Connection

from pgops.include import sql_text
from pgops.postgres import Dsn, Limits, connect

APPLICATION = "pgops.partitions"
_LIMITS = Limits(statement=60, lock=5)


@contextmanager
def session(dsn: Dsn) -> Iterator[Connection]:
    """An open session in autocommit mode; names without a schema are the system's."""
    with connect(dsn, APPLICATION, _LIMITS, system_names=True) as connection:
        with connection.cursor() as cursor:
            cursor.execute(sql_text("partitions/session.sql"))
        yield connection
