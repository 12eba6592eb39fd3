"""The one session of a database that may deploy there."""

from __future__ import annotations

import time
from typing import Any

from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from pgops.errors import Refused
from pgops.include import sql_text
from pgops.postgres import Dsn

_MARK = "2s"  # what connect() asks of every session


def take_place(connection: Connection, dsn: Dsn, queue_seconds: float) -> int:
    """Wait until nobody else deploys here; the place is this session's until it ends.

    Returns:
        Its pid.

    Raises:
        Refused: this is a standby or a pooler's session, or another deployment does not end in time.
    """
    server = _server(connection)
    if server["in_recovery"]:
        raise Refused(
            "This is a standby", where=dsn.where, remedy="Name the primary under migrations.deploy.connection"
        )
    if server["session_mark"] != _MARK:
        raise Refused(
            "A transaction pooler stands between: a session's settings do not reach the server",
            where=dsn.where,
            remedy="Connect directly to PostgreSQL: locks and timeouts live in one session",
        )
    _take_lock(connection, dsn, queue_seconds)
    return int(server["pid"])


def _server(connection: Connection) -> dict[str, Any]:
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(sql_text("migration/deploy/server.sql"))
        return dict(cursor.fetchone() or {})


def _take_lock(connection: Connection, dsn: Dsn, seconds: float) -> None:
    """Ask again and again; between two questions this session holds no snapshot."""
    until = time.monotonic() + seconds
    with connection.cursor() as cursor:
        while True:
            cursor.execute(sql_text("migration/deploy/try_lock.sql"))
            if cursor.fetchone() == (True,):
                return
            if time.monotonic() >= until:
                break
            time.sleep(min(0.25, max(until - time.monotonic(), 0.01)))
        cursor.execute(sql_text("migration/deploy/lock_holder.sql"))
        holder = cursor.fetchone()
    who = f": pid {holder[0]} ({holder[1]}, {holder[2]})" if holder else ""
    raise Refused(
        f"Another deployment runs in this database{who}",
        where=dsn.where,
        remedy="Wait until it has ended; a killed one ends within seconds",
        retry=True,
    )
