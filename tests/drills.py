"""A backup and its drill in one go, for tests that ask whether a restore compares as equal."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg2 import sql

from pgops.postgres import Dsn, connect
from pgops.recovery import Check, compare, restore
from tests.nights import Night


@contextmanager
def scratch_database(dsn: Dsn) -> Iterator[Dsn]:
    """An empty database on the same server."""
    scratch = dsn.on(f"scratch_{secrets.token_hex(4)}")
    name = sql.Identifier(scratch.dbname)
    with connect(dsn.on("postgres"), "the.tests") as connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
        try:
            yield scratch
        finally:
            cursor.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def drilled(night: Night) -> Check:
    """Back up, restore and compare."""
    committed = night.backup()
    with scratch_database(night.dsn) as scratch:
        restore(night.catalog, committed.backup_id, scratch, jobs=2)
        return compare(night.catalog, committed.backup_id, scratch, jobs=2)
