"""psycopg2 sessions that name themselves, limit themselves, and end with the task that opened them."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2
import psycopg2.extensions
import psycopg2.extras
from psycopg2.extensions import make_dsn

from pgops.postgres.dsn import Dsn
from pgops.postgres.errors import explained

# Without this callback a blocking execute() is a C call during which no Python signal handler runs: a killed task
# could not cancel its query. (COPY through psycopg2 cannot run under it: pg_dump and psql do the copying here.)
psycopg2.extensions.set_wait_callback(psycopg2.extras.wait_select)

_open: weakref.WeakSet[Any] = weakref.WeakSet()


@dataclass(frozen=True)
class Limits:
    """A session's limits in seconds; 0 means none.

    `idle_in_transaction` is 0 for whoever holds a snapshot: an idle limit would end the session, and the snapshot
    with it, in the middle of a dump.
    """

    statement: float = 300
    lock: float = 10
    idle_in_transaction: float = 60


@contextmanager
def connect(
    dsn: Dsn,
    application_name: str,
    limits: Limits = Limits(),
    *,
    readonly: bool = False,
    system_names: bool = False,
) -> Iterator[psycopg2.extensions.connection]:
    """An open session in autocommit mode, closed at the end of the block.

    Args:
        dsn: the database.
        application_name: shown in pg_stat_activity.
        limits: of the session.
        readonly: whether it may only read.
        system_names: names without a schema are the system's. Else a function that anybody made in "public" may stand
            in for the system's (pg_relation_size(oid) fits an oid better) and run with this role's rights.

    Raises:
        DatabaseError: the server cannot be reached or refuses; also for every psycopg2 error inside the block.
    """
    settings = {
        "statement_timeout": _milliseconds(limits.statement),
        "lock_timeout": _milliseconds(limits.lock),
        "idle_in_transaction_session_timeout": _milliseconds(limits.idle_in_transaction),
        # The server notices within two seconds that a killed task is gone, also in the middle of a query.
        "client_connection_check_interval": "2000",
        **({"search_path": ""} if system_names else {}),
    }
    parameters = {"connect_timeout": "10", "keepalives_idle": "30", **dsn.parameters()}
    options = " ".join([parameters.get("options", ""), *(f"-c {name}={value}" for name, value in settings.items())])
    with explained(application_name, dsn):
        connection = psycopg2.connect(
            make_dsn(
                **{
                    **parameters,
                    "password": dsn.password,
                    "application_name": application_name[:63],
                    "options": options.strip(),
                }
            )
        )
        _open.add(connection)
        try:
            connection.set_session(readonly=readonly or None, autocommit=True)
            if connection.server_version >= 170000:  # a role's own limit would end a snapshot in the middle of a dump
                connection.cursor().execute("SET transaction_timeout = 0")
            yield connection
        finally:
            _open.discard(connection)
            with contextlib.suppress(psycopg2.Error):
                connection.close()


def cancel_all() -> None:
    """Cancel whatever this process's sessions are running: for a task that is being killed."""
    for connection in list(_open):
        with contextlib.suppress(psycopg2.Error):
            connection.cancel()


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))
