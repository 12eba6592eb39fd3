"""What a database said, with its SQLSTATE, in the form that people read; retries go by SQLSTATE."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2

from pgops.errors import PgOpsError
from pgops.postgres.dsn import Dsn

# Classes after which the same call may succeed: connection, transaction rollback, resources, operator intervention.
_RETRY_CLASSES = ("08", "40", "53", "57P")
_RETRY_CODES = ("55P03",)  # lock_not_available

_REMEDIES = {
    "28P01": "Correct the password in the Airflow connection",
    "28000": "Allow this role and host in pg_hba.conf, or correct the Airflow connection",
    "3D000": "Create the database, or correct the connection's schema field",
    "42501": "Grant what is missing: include/sql/roles/ holds the roles that the workflows use",
    "53100": "Free disk space on the server",
    "53200": "Raise max_locks_per_transaction, or lower what runs beside this",
    "53300": "Raise the role's CONNECTION LIMIT or max_connections",
    "55P03": "Find who holds the lock in pg_stat_activity; the task tries again by itself",
    "57014": "It ran into its statement_timeout or was cancelled: look at the load on the server",
}


class DatabaseError(PgOpsError):
    """A server's error, or no answer from it (then `sqlstate` is empty)."""

    def __init__(self, doing: str, sqlstate: str, message: str, *, where: str, remedy: str, retry: bool) -> None:
        label = f"SQLSTATE {sqlstate}: " if sqlstate else ""
        super().__init__(f"{doing} failed: {label}{message}", where=where, remedy=remedy, retry=retry)
        self.sqlstate = sqlstate


@contextmanager
def explained(doing: str, dsn: Dsn) -> Iterator[None]:
    """Turn a psycopg2 error in the block into a DatabaseError that names the place and the remedy."""
    try:
        yield
    except psycopg2.Error as error:
        code = error.pgcode or ""
        message = " ".join(str(error).split()) or type(error).__name__
        if not code and "password authentication failed" in message:
            code = "28P01"
        if not code and "does not exist" in message and "database" in message:
            code = "3D000"
        lost = not code and isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
        remedy = _REMEDIES.get(code) or (
            "Check that the server runs and that host and port of the Airflow connection are right"
            if lost
            else "Read the server's log at this time"
        )
        raise DatabaseError(
            doing,
            code,
            message,
            where=dsn.where,
            remedy=remedy,
            retry=lost or code.startswith(_RETRY_CLASSES) or code in _RETRY_CODES,
        ) from error
