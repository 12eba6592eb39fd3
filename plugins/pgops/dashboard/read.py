"""Reads the ledger for a page: one short read-only session, and an area that fails takes no other with it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg2
from psycopg2 import errors
from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from pgops.include import sql_text
from pgops.postgres import Dsn, Limits, connect

_PAGE_SECONDS = 10  # whoever waits longer has closed the page
_NOT_THERE = (errors.UndefinedTable, errors.UndefinedColumn, errors.InvalidSchemaName)
NOT_RECORDED = "not recorded yet: the ledger has no table for it"


class Reader:
    """The ledger, as one page sees it.

    Attributes:
        missing: areas that could not be read, and why.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._until = time.monotonic() + _PAGE_SECONDS
        self.missing: dict[str, str] = {}

    def rows(self, name: str, /, **parameters: Any) -> list[dict[str, Any]]:
        """Run include/sql/dashboard/<name>.sql. What cannot be answered is no row, and named in `missing`."""
        if time.monotonic() > self._until:
            self.missing[name] = "not asked: the ledger answers too slowly"
            return []
        try:
            with self._connection.cursor(cursor_factory=RealDictCursor) as cursor:
                cursor.execute(sql_text(f"dashboard/{name}.sql"), parameters)
                return [dict(row) for row in cursor.fetchall()]
        except _NOT_THERE:
            self.missing[name] = NOT_RECORDED
        except psycopg2.Error as error:
            if self._connection.closed:
                raise
            self.missing[name] = f"unknown: {(str(error) or type(error).__name__).splitlines()[0]}"
        return []


@contextmanager
def reading(dsn: Dsn) -> Iterator[Reader]:
    """A session with the ledger; it never changes anything, not even an old schema.

    Raises:
        DatabaseError: the ledger does not answer.
    """
    soon = replace(dsn, options={"connect_timeout": "3", **dsn.options})
    limits = Limits(statement=_PAGE_SECONDS, lock=1)
    with connect(soon, "pgops.dashboard", limits, readonly=True, system_names=True) as connection:
        yield Reader(connection)
