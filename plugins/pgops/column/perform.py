"""Runs one step: short waits for locks, again and again; long ones only where nobody queues behind them."""

from __future__ import annotations

import logging
import random
import time

import psycopg2
from psycopg2.extensions import connection as Connection

from pgops import units
from pgops.column.spec import ColumnSpec
from pgops.column.steps import Step
from pgops.errors import PgOpsError
from pgops.include import sql_text
from pgops.postgres import Dsn, Limits, connect

log = logging.getLogger(__name__)

APPLICATION = "pgops.column"
# lock_not_available, deadlock_detected, serialization_failure
_AGAIN = ("55P03", "40P01", "40001")
_LONGEST_PAUSE_SECONDS = 10.0


def perform(
    dsn: Dsn,
    spec: ColumnSpec,
    step: Step,
    *,
    lock_timeout_ms: int = 500,
    attempts: int = 30,
    patience_seconds: float = 3600,
) -> float:
    """Run a step's statements; seconds of the attempt that went through.

    A step that stopped half way is no harm: read the state anew and plan again.

    Args:
        dsn: the primary, as the role that owns the table.
        spec: what is wanted.
        step: no backfill.
        lock_timeout_ms: of each attempt: whoever comes after a statement that waits has to wait too.
        attempts: how often a lock is asked for.
        patience_seconds: how long a patient step may wait and work.

    Raises:
        DatabaseError: it failed, or got no lock at all attempts.
    """
    if step.fill is not None:
        raise PgOpsError("A backfill is no statement", where=spec.label, remedy="Give this step to pgops.backfill")
    patient_ms = int(patience_seconds * 1000)
    limits = {
        "lock_ms": patient_ms if step.patient else lock_timeout_ms,
        "statement_ms": patient_ms if step.patient else 10 * lock_timeout_ms + 10_000,
    }
    with connect(dsn, APPLICATION, Limits(statement=30, lock=5)) as connection:
        for name, values in (("path", {"schema": spec.schema}), ("limits", limits)):
            with connection.cursor() as cursor:
                cursor.execute(sql_text(f"column/{name}.sql"), values)
        for attempt in range(1, attempts + 1):
            started = time.perf_counter()
            try:
                _run(connection, step)
                return time.perf_counter() - started
            except psycopg2.Error as error:
                # What a statement alone leaves behind (an invalid index) is planned away first.
                if connection.closed or error.pgcode not in _AGAIN or attempt == attempts or step.alone:
                    raise
                pause = random.uniform(0, min(lock_timeout_ms / 1000 * 2**attempt, _LONGEST_PAUSE_SECONDS))
                log.warning(
                    "%s: %s got no lock at attempt %d of %d; again in %s",
                    *(spec.label, step.name, attempt, attempts, units.duration(pause)),
                )
                time.sleep(pause)
    raise AssertionError("unreachable")


def waited_for(dsn: Dsn, seconds: float = 5) -> list[str]:
    """Whose transactions, open for so long, a CREATE or DROP INDEX CONCURRENTLY would have to wait for, in words."""
    limits = Limits(statement=30)
    with connect(dsn, APPLICATION, limits, readonly=True) as connection, connection.cursor() as cursor:
        cursor.execute(sql_text("column/waited_for.sql"), {"seconds": seconds})
        return [
            f"pid {pid} ({name or 'unnamed'}, {what}, transaction open for {units.duration(age)})"
            for pid, name, what, age in cursor.fetchall()
        ]


def _run(connection: Connection, step: Step) -> None:
    with connection.cursor() as cursor:
        if step.alone:
            for statement in step.statements:
                cursor.execute(statement)
            return
        cursor.execute("BEGIN")
        try:
            for statement in step.statements:
                cursor.execute(statement)
            cursor.execute("COMMIT")
        except psycopg2.Error:
            if not connection.closed:
                cursor.execute("ROLLBACK")
            raise
