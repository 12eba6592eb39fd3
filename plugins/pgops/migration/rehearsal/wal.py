"""How much WAL one session's statements write: what every standby will have to receive."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg2
from psycopg2 import sql

from pgops.include import query, sql_text


class WalMeter:
    """WAL of a worker session, statement by statement, read from a second session.

    With pg_stat_statements in the database it is exact whatever else the server does: the entry of the query that the
    worker ran last. Without it there is only the position in the server's WAL, which counts for the worker if nobody
    else ran anything meanwhile; else the answer is None. (pg_stat_get_backend_wal of PostgreSQL 18 cannot be used: it
    is brought up to date between transactions, not between their statements.)

    Args:
        cursor: of the second session, in autocommit mode.
        pid: the worker's.
    """

    def __init__(self, cursor: Any, pid: int) -> None:
        self._cursor = cursor
        self._pid = pid
        self._by_query: dict[int, int] = {}
        self._position: int | None = None
        self._sessions = 0
        self._read_at: datetime | None = None
        cursor.execute("SELECT pg_backend_pid()")
        self._own_pids = [pid, cursor.fetchone()[0]]
        self._schema = self._statements_schema()

    def _statements_schema(self) -> sql.Identifier | None:
        """The schema of pg_stat_statements if it can be read; its counts so far are taken down."""
        self._cursor.execute(sql_text("migration/rehearsal/statements_schema.sql"))
        row = self._cursor.fetchone()
        if row is None:
            return None
        schema = sql.Identifier(row[0])
        try:
            self._cursor.execute(query("migration/rehearsal/wal_by_query.sql", schema=schema))
        except psycopg2.Error:  # installed, but not loaded by the server, or not for this role
            return None
        self._by_query = dict(self._cursor.fetchall())
        return schema

    def reset(self) -> None:
        """Count from here."""
        if self._schema is None:
            self._since_last_position()

    def read(self) -> int | None:
        """WAL of the worker's last statement; None when nobody can tell."""
        if self._schema is None:
            return self._since_last_position()
        try:
            self._cursor.execute(
                query("migration/rehearsal/wal_of_last_query.sql", schema=self._schema), {"pid": self._pid}
            )
        except psycopg2.Error:  # the migration may have dropped the extension
            self._schema = None
            self.reset()
            return None
        row = self._cursor.fetchone()
        if row is None:
            return None
        before = self._by_query.get(row[0], 0)
        self._by_query[row[0]] = row[1]
        return int(row[1] - before) if row[1] >= before else None  # less than before: it was reset meanwhile

    def _since_last_position(self) -> int | None:
        parameters = {"own_pids": self._own_pids, "since": self._read_at}
        self._cursor.execute(sql_text("migration/rehearsal/wal_position.sql"), parameters)
        position, alone, sessions, self._read_at = self._cursor.fetchone()
        alone = alone and sessions == self._sessions
        before, self._position, self._sessions = self._position, position, sessions
        return int(position - before) if alone and before is not None else None
