"""A way to fill a column, in a process of its own.

Reads a Job as a line of JSON, makes ready, says so, and begins at the line "go"; ends early at the line "stop" or when
whoever started it is gone. Prints what it measured as one line of JSON.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from io import RawIOBase
from typing import Any

import psycopg2
import psycopg2.errors

from benchmarks.rig.people import DATABASE
from pgops import backfill
from pgops.backfill.throttle import Throttle
from pgops.errors import PgOpsError
from pgops.fleet.backfills import BackfillPolicy
from pgops.postgres import Dsn

TIER = "CASE WHEN spent > 500 THEN 'gold' ELSE 'standard' END"
SPEC = {"database": DATABASE, "table": "people", "set": {"tier": TIER}, "where": "tier IS NULL"}

# The source document's loop as it stands there, but for the names of table and column and the value.
_LOOP = """
DO $$
DECLARE
    batch_size INT := 10000;
    updated_rows INT;
BEGIN
    LOOP
        UPDATE people
        SET tier = {tier}
        WHERE id IN (
            SELECT id FROM people
            WHERE tier IS NULL
            LIMIT batch_size
        );

        GET DIAGNOSTICS updated_rows = ROW_COUNT;
        EXIT WHEN updated_rows = 0;

        RAISE NOTICE 'Updated % rows', updated_rows;
        COMMIT;
        {sleep}
    END LOOP;
END $$;
"""
STATEMENTS = {
    "source": _LOOP.format(tier=TIER, sleep="PERFORM pg_sleep(0.1);  -- Throttle to avoid overload"),
    "source_no_sleep": _LOOP.format(tier=TIER, sleep=""),
    "single_update": f"UPDATE people SET tier = {TIER} WHERE tier IS NULL",
    "create_table_as": f"""
        CREATE TABLE people_new AS
            SELECT id, name, email, country, spent, note, created_at, {TIER} AS tier FROM people;
        ALTER TABLE people_new ADD PRIMARY KEY (id);
        DROP TABLE people_new;
    """,
}


@dataclass(frozen=True)
class Job:
    """What to do: one of STATEMENTS, or work on a backfill that was begun.

    Attributes:
        backfill, table_oid: of the job that was begun.
        throttled: by a default policy; without it as fast as it goes.
        baseline_seconds: how long the throttle looks at what is usual; None as the policy has it.
        vacuum: whether the engine vacuums in between, as it does by default.
    """

    step: str
    port: int
    password: str
    backfill: int = 0
    table_oid: int = 0
    throttled: bool = False
    baseline_seconds: float | None = None
    vacuum: bool = True

    @property
    def dsn(self) -> Dsn:
        """The database."""
        return Dsn("127.0.0.1", self.port, DATABASE, "postgres", self.password)


def policy(baseline_seconds: float | None = None) -> BackfillPolicy:
    """A default policy."""
    latency = {} if baseline_seconds is None else {"baseline_seconds": baseline_seconds}
    return BackfillPolicy.model_validate({"connection": "people", "latency": latency})


class Statement:
    """One statement in one session."""

    def __init__(self, job: Job) -> None:
        self._text = STATEMENTS[job.step]
        self._connection = psycopg2.connect(job.dsn.conninfo(), password=job.password)
        self._connection.autocommit = True

    def run(self) -> dict[str, Any]:
        """To its end, or until it is stopped."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(self._text)
        except psycopg2.errors.QueryCanceled:
            pass  # what it had committed counts
        finally:
            self._connection.close()
        return {}

    def stop(self) -> None:
        """Called in another thread."""
        with suppress(psycopg2.InterfaceError):  # it has just ended by itself
            self._connection.cancel()


class Ours:
    """A worker as the DAG's task starts one."""

    def __init__(self, job: Job, stack: ExitStack) -> None:
        limits = policy(job.baseline_seconds)
        self._job, self._stop, self._name = job, threading.Event(), f"pgops.backfill.{job.backfill}"
        # With nothing beside it the engine keeps its own 40 ms; the policy's few are for an application's tail.
        self._options = backfill.Options(
            target_ms=limits.batch_ms if job.throttled else backfill.Options.target_ms,
            on_error=limits.on_error,
            vacuum_dead_share=limits.vacuum_dead_share if job.vacuum else None,
            vacuum_cost_limit=limits.vacuum_cost_limit if job.throttled else None,
        )
        self._throttle: Throttle | None = None
        if job.throttled:
            throttle = Throttle(job.dsn, job.table_oid, limits, workers=self._name, stop=self._stop.is_set)
            self._throttle = stack.enter_context(throttle)

    def run(self) -> dict[str, Any]:
        """To its end, or until it is stopped."""
        worked = backfill.work(
            self._job.dsn,
            self._job.backfill,
            None,
            self._throttle,
            options=self._options,
            stop=self._stop.is_set,
            application_name=f"{self._name}.worker",
        )
        if worked.outcome == "throttled":
            raise PgOpsError(
                f"It was stopped by a critical limit: {worked.reason}", where="people", remedy="Look at the server"
            )
        held_up = self._throttle.reasons() if self._throttle else {}
        return {"outcome": worked.outcome, "batches": worked.batches, "retries": worked.retries, "held_up": held_up}

    def stop(self) -> None:
        """Called in another thread."""
        self._stop.set()


def main() -> int:
    """Run the job that is the first line of standard input."""
    orders = open(0, "rb", buffering=0)  # noqa: SIM115
    job = Job(**json.loads(orders.readline()))
    try:
        with ExitStack() as stack:
            doing: Statement | Ours = Statement(job) if job.step in STATEMENTS else Ours(job, stack)
            print("ready", flush=True)
            if orders.readline() != b"go\n":
                return 1
            threading.Thread(target=_stop_when_told, args=(orders, doing.stop), daemon=True).start()
            begun = time.time()
            measured = doing.run()
            print(json.dumps({"begun": begun, "ended": time.time(), **measured}), flush=True)
    except PgOpsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _stop_when_told(orders: RawIOBase, stop: Callable[[], None]) -> None:
    # Unbuffered: a thread that waits in a buffered reader does not let the interpreter end.
    orders.readline()
    stop()


if __name__ == "__main__":
    sys.exit(main())
