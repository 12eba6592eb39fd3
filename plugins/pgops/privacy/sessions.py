"""Sessions about one person: the key is told once, and no error repeats a value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from psycopg2.extensions import connection as Connection

from pgops.include import sql_text
from pgops.postgres import DatabaseError, Dsn, Limits, connect

APPLICATION = "pgops.privacy"
# SQLSTATE classes whose messages name objects of the database, never values of rows.
_WITHOUT_VALUES = ("", "08", "28", "3D", "3F", "40", "42", "53", "54", "55", "57")


@contextmanager
def subject_session(dsn: Dsn, key: str | None, limits: Limits, *, readonly: bool = False) -> Iterator[Connection]:
    """A session in autocommit mode that knows the subject's key as the setting pgops.subject.

    Raises:
        DatabaseError: whose text names no value of any row.
    """
    with without_values(), connect(dsn, APPLICATION, limits, readonly=readonly) as connection:
        with connection.cursor() as cursor:
            cursor.execute(sql_text("privacy/session.sql"))
            if key is not None:
                cursor.execute(sql_text("privacy/set_subject.sql"), {"key": key})
        yield connection


@contextmanager
def without_values() -> Iterator[None]:
    """Take the values out of a database's errors: "Key (id)=(7) is still referenced" names a person."""
    try:
        yield
    except DatabaseError as error:
        if error.sqlstate[:2] in _WITHOUT_VALUES:
            cleaned = error
        else:
            cleaned = DatabaseError(
                APPLICATION,
                error.sqlstate,
                _described(error.__cause__),
                where=error.where,
                remedy=error.remedy,
                retry=error.retry,
            )
    else:
        return
    # Outside of the handler: the driver's error, which quotes rows, must not be printed as this one's cause.
    cleaned.__cause__ = None
    cleaned.__suppress_context__ = True
    raise cleaned


def _described(cause: BaseException | None) -> str:
    if not isinstance(cause, psycopg2.Error):
        return "an error whose words are withheld"
    diag = cause.diag
    table = ".".join(part for part in (diag.schema_name, diag.table_name) if part)
    on = f" on {table}" if table else ""
    constraint = f", constraint {diag.constraint_name}" if diag.constraint_name else ""
    return f"{type(cause).__name__}{on}{constraint} (its words are withheld: they may name a person)"
