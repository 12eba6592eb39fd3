"""Where a database is dumped from: its standby when the policy prefers it and it follows closely, else the primary."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from pgops.errors import PgOpsError, Refused
from pgops.fingerprint import Table
from pgops.fleet import BackupPolicy
from pgops.include import sql_text
from pgops.postgres import Dsn, Limits, connect

log = logging.getLogger(__name__)

APPLICATION = "pgops.backup"


@dataclass(frozen=True)
class Facts:
    """What a server says about itself and about this role (include/sql/backup/server.sql)."""

    version: int
    in_recovery: bool
    bytes: int
    encoding: str
    session_mark: str
    lock_entries: int
    sees_all_rows: bool
    reads_large_objects: bool
    has_large_objects: bool
    row_security_tables: int


@dataclass(frozen=True)
class Source:
    """A server to dump from; `role` is "primary" or "standby"."""

    dsn: Dsn
    role: str
    facts: Facts


def facts_of(connection: Connection) -> Facts:
    """Ask the server."""
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(sql_text("backup/server.sql"))
        row = cursor.fetchone()
        assert row is not None
        return Facts(**row)


def sources(primary: Dsn, standby: Dsn | None, policy: BackupPolicy) -> tuple[list[Source], list[str]]:
    """The servers to try, in order, and why a preferred standby is not among them.

    Raises:
        DatabaseError: the primary cannot be reached.
        Refused: the primary's connection leads to a server in recovery.
    """
    notes: list[str] = []
    found: list[Source] = []
    if standby is not None and policy.prefer_standby:
        try:
            found.append(_standby(standby, policy))
        except PgOpsError as error:
            log.warning("the standby is not used: %s", error)
            notes.append(f"dumped from the primary, since the standby cannot be used: {error.what}")
    found.append(_primary(primary))
    return found, notes


def unlogged_note(tables: Sequence[Table]) -> tuple[str, ...]:
    """What a reader of a standby's backup must know about its unlogged tables."""
    names = ", ".join(f"{table.schema}.{table.name}" for table in tables)
    return (f"taken from the standby: the rows of unlogged tables are absent ({names})",) if tables else ()


def _primary(dsn: Dsn) -> Source:
    with connect(dsn, APPLICATION, Limits(statement=30), system_names=True) as connection:
        facts = facts_of(connection)
    if facts.in_recovery:
        raise Refused(
            "The connection for the primary leads to a standby",
            where=dsn.where,
            remedy="Correct the Airflow connection, or put it under standby_connection in the fleet file",
        )
    return Source(dsn, "primary", facts)


def _standby(dsn: Dsn, policy: BackupPolicy) -> Source:
    with connect(dsn, APPLICATION, Limits(statement=30), system_names=True) as connection:
        facts = facts_of(connection)
        with connection.cursor() as cursor:
            cursor.execute(sql_text("backup/standby_lag.sql") if facts.in_recovery else "SELECT 0")
            (lag,) = cursor.fetchone() or (None,)
    if not facts.in_recovery:
        raise Refused(
            "The standby's connection leads to a server that is no standby",
            where=dsn.where,
            remedy="After a failover, exchange connection and standby_connection",
        )
    if lag is None or lag > policy.max_standby_lag_seconds:
        behind = "an unknown time" if lag is None else f"{lag:.0f} s"
        raise Refused(
            f"The standby is {behind} behind",
            where=dsn.where,
            remedy=f"Look at its replication; the policy allows {policy.max_standby_lag_seconds} s",
        )
    return Source(dsn, "standby", facts)
