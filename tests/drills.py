"""A backup and its drill in one go, for tests that ask whether a restore compares as equal."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from pgops.postgres import Dsn
from pgops.recovery import Check, compare, make_empty, restore
from tests.nights import Night, execute


@contextmanager
def scratch_database(dsn: Dsn, encoding: str = "UTF8") -> Iterator[Dsn]:
    """An empty database on the same server."""
    scratch = dsn.on(f"scratch_{secrets.token_hex(4)}")
    make_empty(dsn.on("postgres"), scratch.dbname, encoding)
    try:
        yield scratch
    finally:
        execute(dsn.on("postgres"), f'DROP DATABASE "{scratch.dbname}" WITH (FORCE)')


def drilled(night: Night) -> Check:
    """Back up, restore and compare."""
    committed = night.backup()
    encoding = night.catalog.manifest(committed.backup_id).encoding
    with scratch_database(night.dsn, encoding) as scratch:
        restore(night.catalog, committed.backup_id, scratch, jobs=2)
        return compare(night.catalog, committed.backup_id, scratch, jobs=2)
