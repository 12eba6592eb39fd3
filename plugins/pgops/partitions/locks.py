"""Strong locks, asked for in short waits: whoever queues behind a waiting ALTER TABLE is the application."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from pgops import units
from pgops.errors import PgOpsError
from pgops.fleet.partitions import PartitionPolicies

log = logging.getLogger(__name__)

# lock_not_available, deadlock_detected, serialization_failure
AGAIN = ("55P03", "40P01", "40001")
_Result = TypeVar("_Result")


def with_ladder(
    connection: Connection,
    policies: PartitionPolicies,
    statement: sql.Composable | Callable[[Any], _Result],
    *,
    what: str = "",
) -> _Result | None:
    """Do something in a transaction of its own, again with a longer lock_timeout whenever it gets no lock.

    Args:
        connection: in autocommit mode; a transaction that fails is rolled back as a whole.
        policies: the ladder, the number of tries and the budget.
        statement: one statement, or what is to be done with a cursor in that transaction; its result is returned.
        what: as log lines name it.

    Raises:
        PgOpsError: no lock in all tries, or the budget is spent; nothing has changed.
        psycopg2.Error: anything else that the server said.
    """
    deadline = time.monotonic() + policies.parent_budget_seconds
    for attempt in range(1, policies.lock_tries + 1):
        try:
            return _once(connection, _timeout(policies, attempt), statement)
        except psycopg2.Error as error:
            if connection.closed or error.pgcode not in AGAIN:
                raise
            pause = random.uniform(0, min(0.1 * 2**attempt, 5.0))
            if attempt == policies.lock_tries or time.monotonic() + pause > deadline:
                raise PgOpsError(
                    f"{what or 'A statement'} got no lock at {attempt} tries",
                    where=f"{connection.info.host}:{connection.info.port}/{connection.info.dbname}",
                    remedy="Find the long transaction in pg_stat_activity; the next run tries again",
                    retry=True,
                ) from error
            log.info("%s got no lock at try %d; again in %s", what or "a statement", attempt, units.moment(pause))
            time.sleep(pause)
    raise AssertionError("unreachable")


def _timeout(policies: PartitionPolicies, attempt: int) -> int:
    """Milliseconds: from the first to the last timeout in even steps."""
    first, last = policies.first_lock_timeout_ms, policies.last_lock_timeout_ms
    return first + (last - first) * (attempt - 1) // max(policies.lock_tries - 1, 1)


def _once(
    connection: Connection, timeout_ms: int, statement: sql.Composable | Callable[[Any], _Result]
) -> _Result | None:
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        try:
            cursor.execute("SELECT pg_catalog.set_config('lock_timeout', %s, true)", [f"{timeout_ms}ms"])
            if isinstance(statement, sql.Composable):
                cursor.execute(statement)
                result = None
            else:
                result = statement(cursor)
            cursor.execute("COMMIT")
        except BaseException:
            if not connection.closed:
                cursor.execute("ROLLBACK")
            raise
        return result
