"""What a worker has in its hand: its session, its time, and what the operator wants of it."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from pgops.backfill import job as jobs
from pgops.backfill.check import ask, run, session
from pgops.backfill.job import Job, RangeState, State
from pgops.backfill.pace import Go, Pace, Stop
from pgops.backfill.stall import Stall, StallWatch
from pgops.backfill.walk import Count, Ended, Options, Walk
from pgops.errors import LostOwnership, PgOpsError
from pgops.postgres import Dsn, Limits

# A batch is small: a plan that reads the whole table for it is always a mistake of the planner's, and so is compiling.
_PLANNER = ("enable_seqscan=off", "jit=off")
# A range belongs to a session: the server has to notice soon when nobody is behind it any longer.
_ALIVE = ("tcp_keepalives_idle=10", "tcp_keepalives_interval=5", "tcp_keepalives_count=3")
LONGEST_NAP = 0.2
WAITING_EVERY = 5.0
LISTEN_EVERY = 1.0


class Hand:
    """Holds all that the parts of one worker share; `connection` and `job` are there while a session is open."""

    connection: Connection
    job: Job

    def __init__(
        self,
        dsn: Dsn,
        job: int,
        pace: Pace,
        options: Options,
        stop: Callable[[], bool],
        on_progress: Callable[[State], None],
        on_stall: Callable[[Stall], None],
        application_name: str,
    ) -> None:
        self.dsn, self.id, self.pace, self.options, self.stop = dsn, job, pace, options, stop
        self.application_name = application_name
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self.count = Count()
        self.watch = StallWatch(job, options.stall_after, dsn.where, on_stall)
        self.started = self._progressed = self._reported = time.monotonic()
        self._on_progress = on_progress
        self._desired, self._speed, self._heard = "run", 1.0, 0.0

    # --- the session ---

    @contextmanager
    def session(self) -> Iterator[None]:
        """Open the session of the batches and read the job."""
        options = self.options
        limits = Limits(statement=options.statement_timeout, lock=options.lock_timeout, idle_in_transaction=30)
        with session(self.dsn, limits, self.application_name, (*_PLANNER, *_ALIVE)) as connection:
            self.connection = connection
            self.job = self.read_job()
            self.obey({"desired": self.job.desired, "speed": self.job.speed})
            yield

    def run(self, statement: str | sql.Composable) -> RealDictCursor:
        """Execute one statement and return its cursor."""
        return run(self.connection, statement)

    def ask(self, file: str, /, **values: Any) -> list[dict[str, Any]]:
        """The rows of a query file about this job."""
        return ask(self.connection, file, job=self.id, **values)

    def ask_owned(self, file: str, walk: Walk, **values: Any) -> dict[str, Any]:
        """The row of a query file that moves a range on as long as it is this worker's."""
        rows = self.ask(file, n=walk.n, pass_=walk.pass_, **values)
        if not rows:
            raise LostOwnership(
                f"Range {walk.n} of backfill {self.id} was moved by somebody else",
                where=self.dsn.where,
                remedy="Look into pgops.backfill_ranges who works on it",
            )
        return rows[0]

    def read_job(self) -> Job:
        """The job as it is now."""
        return jobs.read_job(self.connection, self.id, self.dsn.where)

    def ranges(self) -> list[RangeState]:
        """The ranges of the job as they are now."""
        return jobs.read_ranges(self.connection, self.id)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One transaction; whatever ends it early rolls it back."""
        self.connection.autocommit = False
        try:
            yield
            self.connection.commit()
        except BaseException:
            with contextlib.suppress(psycopg2.Error):
                self.roll_back()
            raise
        self.connection.autocommit = True

    def roll_back(self) -> None:
        """End the transaction, if there is one."""
        if self.connection.closed:
            return
        if self.connection.info.transaction_status != TRANSACTION_STATUS_IDLE:
            self.connection.rollback()
        self.connection.autocommit = True

    def allow(self, seconds: float) -> None:
        """How long a statement of this transaction may take."""
        self.run(sql.SQL("SET LOCAL statement_timeout = {}").format(sql.Literal(int(seconds * 1000))))

    # --- the operator and the throttle ---

    def obey(self, wish: dict[str, Any]) -> None:
        """Note what the operator wants, as a checkpoint or a waiting line has brought it."""
        self._desired, self._speed, self._heard = wish["desired"], wish["speed"], time.monotonic()

    def listen(self, walk: Walk, reason: str = "") -> None:
        """Show that this worker lives, and why its range stands still, if it does; and hear what the operator wants."""
        self.obey(self.ask("work/waiting.sql", n=walk.n, reason=reason)[0])

    def until_go(self, walk: Walk) -> None:
        """Wait until the operator, the throttle and the caller let the next batch begin."""
        while True:
            if self.stop():
                raise Ended("stopped")
            if time.monotonic() - self._heard >= LISTEN_EVERY:  # a sweep that finds nothing writes no checkpoints
                self.listen(walk, self.count.reason)
            if self._desired == "cancel":
                raise Ended("cancelled")
            if self._desired == "pause":
                self.wait(walk, "paused by the operator", 0.5)
                self.progressed()  # standing still on demand is no stall
                continue
            said = self.pace.before_batch()
            if isinstance(said, Go):
                return
            if isinstance(said, Stop):
                raise Ended("throttled", said.reason)
            self.wait(walk, said.reason, said.seconds)
            self.progressed()

    def sleep_after(self, walk: Walk, rows: int, ms: float, wal_bytes: int) -> None:
        """The sleep after a batch: what the throttle says, at the speed that the operator wants meanwhile."""
        busy, slept = ms / 1000, 0.0
        asked = max(0.0, self.pace.after_batch(rows, ms, wal_bytes))
        while (left := (busy + asked) / self._speed - busy - slept) > 0:
            seconds = min(left, WAITING_EVERY)
            self.nap(seconds)
            self.count.wait(seconds)
            slept += seconds
            if self.stop() or seconds == left:
                return
            self.listen(walk)
            if self._desired != "run":
                return
            self.report()

    # --- time ---

    def wait(self, walk: Walk, reason: str, seconds: float) -> None:
        """Stand still, say why, and listen to the operator."""
        left = max(seconds, 0.01)
        while left > 0 and not self.stop():
            self.listen(walk, reason)
            slept = min(left, WAITING_EVERY)
            self.nap(slept)
            left -= slept
            self.count.wait(slept)
            self.count.reason = reason
            self.watch.held_up(self.connection, reason)
            self.report()
            if self._desired == "cancel":
                return

    def nap(self, seconds: float) -> None:
        """Sleep, but wake up when the caller says stop."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self.stop():
            time.sleep(min(left, LONGEST_NAP))

    def progressed(self) -> None:
        """Patience begins anew."""
        self._progressed = time.monotonic()

    def be_patient(self, error: PgOpsError) -> None:
        """Raise the error if there has been no progress for too long."""
        if time.monotonic() - self._progressed > self.options.patience:
            raise error

    def report(self, force: bool = False) -> None:
        """Tell the caller how far the job is, every few seconds."""
        now = time.monotonic()
        if force or now - self._reported >= self.options.progress_every:
            self._reported = now
            self._on_progress(jobs.read_state(self.connection, self.id, self.dsn.where))


def jitter(attempt: int) -> float:
    """Full jitter: anything up to a limit that doubles."""
    return random.uniform(0, min(5.0, 0.05 * 2 ** min(attempt, 10)))
