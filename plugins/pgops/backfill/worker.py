"""Walks through the ranges of a job, batch by batch.

A batch and its checkpoint commit together, and a range belongs to the session that holds its advisory lock: so whatever
dies, and whenever, every row is changed exactly once. Nothing is kept in memory that the database does not know: after
a lost connection the worker begins as if it were a new one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import psycopg2
import psycopg2.errors
from psycopg2 import sql
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from psycopg2.extensions import connection as Connection
from psycopg2.extras import Json

from pgops.backfill import job as jobs
from pgops.backfill.check import APPLICATION, ask, part_of, run, session
from pgops.backfill.job import Job, RangeState, State, as_json
from pgops.backfill.pace import Go, Pace, Stop, Unthrottled
from pgops.backfill.stall import Stall, StallWatch
from pgops.backfill.statements import Position, Statements
from pgops.backfill.steering import Steering
from pgops.errors import LostOwnership, PgOpsError, Refused
from pgops.include import sql_text
from pgops.postgres import DatabaseError, Dsn, Limits

log = logging.getLogger(__name__)

Outcome = Literal["done", "idle", "stopped", "cancelled", "throttled"]
_TRY_AGAIN = ("55P03", "40P01", "40001", "57014", "53100", "53200", "53300", "53400")
_LOCKED = ("55P03", "40P01")
_CHANGED = ("42P01", "42703", "3F000", "XX000")  # renamed, dropped, or dropped while the statement ran
_LOST = ("", "57P01", "57P02", "57P03", "57P05", "25P02", "25P03", "25006")
# A batch is small: a plan that reads the whole table for it is always a mistake of the planner's, and so is compiling.
_PLANNER = ("enable_seqscan=off", "jit=off")
ONE_BY_ONE = 16  # rows
LONGEST_NAP = 0.2
KEPT_BATCHES = 200
WAITING_EVERY = 5.0


@dataclass(frozen=True)
class Options:
    """How a worker works.

    Attributes:
        target_ms: how long a batch shall take; the application waits no longer than that for a row.
        first_batch, least_batch, most_batch: rows.
        lock_timeout, statement_timeout: seconds, of one statement of a batch.
        proof_timeout: seconds, of the one scan that proves that a table without key is done.
        patience: seconds without progress (rows locked, server away) after which the work fails, to be tried again.
        on_error: what becomes of a row that cannot be changed: "stop" the work, or "skip" it and write it down.
        vacuum_dead_share: dead rows, as a share of all, from which on the table is vacuumed in between; None never.
        vacuum_least_rows: rows changed between two looks at that.
        most_passes: sweeps after which rows that keep coming are an error.
        progress_every: seconds between calls of on_progress.
        stall_after: seconds without a batch of any worker after which on_stall is called.
    """

    target_ms: float = 40
    first_batch: int = 1_000
    least_batch: int = 100
    most_batch: int = 20_000
    lock_timeout: float = 0.5
    statement_timeout: float = 5
    proof_timeout: float = 3600
    patience: float = 600
    on_error: Literal["stop", "skip"] = "stop"
    vacuum_dead_share: float | None = 0.2
    vacuum_least_rows: int = 100_000
    most_passes: int = 10
    progress_every: float = 5
    stall_after: float = 600


@dataclass(frozen=True)
class Worked:
    """What a worker has done.

    Attributes:
        outcome: "done": the whole job is finished; "idle": nothing is left for this worker, others are at work;
            "stopped": it was asked to; "cancelled": by the operator; "throttled": a critical limit, see `reason`.
        rows: changed and committed by this call.
    """

    job: int
    outcome: Outcome
    rows: int
    batches: int
    retries: int
    skipped: int
    seconds: float
    waited: float
    reason: str = ""


class BadRow(PgOpsError):
    """A row that a trigger, a constraint or the expression refuses."""


class _Ended(Exception):
    """The work ends before its ranges do."""

    def __init__(self, outcome: Outcome, reason: str = "") -> None:
        super().__init__(outcome, reason)
        self.outcome, self.reason = outcome, reason


@dataclass
class _Walk:
    """A range that this worker owns, and how it fares."""

    state: RangeState
    statements: Statements
    steering: Steering
    rows_per_unit: float
    last: Position | None
    known: Position | None  # what the checkpoint has; behind `last` only in a sweep that finds nothing
    pass_: int
    pass_rows: int
    left_behind: bool
    attempts: int = 0
    retries: int = 0
    unlocked: bool = False
    left_at: str | None = None
    pages: int | None = None

    @property
    def n(self) -> int:
        return self.state.n


@dataclass
class _Count:
    """Of this call, over all its sessions."""

    before: dict[int, RangeState] = field(default_factory=dict)
    waited: float = 0.0
    unsaved_wait: float = 0.0
    reason: str = ""
    since_vacuum: int = 0


def work(
    dsn: Dsn,
    job: int,
    ranges: Sequence[int] | None = None,
    pace: Pace | None = None,
    *,
    options: Options = Options(),
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[State], None] = lambda state: None,
    on_stall: Callable[[Stall], None] = lambda stall: None,
    application_name: str = APPLICATION,
) -> Worked:
    """Work on a job until it is finished, or until it may not go on.

    Args:
        job: as `begin` made it.
        ranges: the numbers of the ranges to walk; None takes any that is free. The closing sweep of a table without
            key is taken by whoever comes last.
        pace: may slow or stop the work.
        stop: asked several times a second; after a True the work ends with its last checkpoint.
        on_progress: called every few seconds.
        on_stall: called once when the job stands still for long, and once when it goes on, by one of its workers.

    Raises:
        BadRow: a row cannot be changed, and the policy says stop.
        PgOpsError: the table is gone, rows stay locked, rows keep coming, or the server stays away.
    """
    worker = _Worker(dsn, job, ranges, pace or Unthrottled(), options, stop, on_progress, on_stall, application_name)
    try:
        return worker.work()
    except (Refused, LostOwnership):
        raise  # about this worker, not about the job: another one may be well at work
    except PgOpsError as error:
        _remember(dsn, job, error)
        raise


class _Worker:
    def __init__(
        self,
        dsn: Dsn,
        job: int,
        ranges: Sequence[int] | None,
        pace: Pace,
        options: Options,
        stop: Callable[[], bool],
        on_progress: Callable[[State], None],
        on_stall: Callable[[Stall], None],
        application_name: str,
    ) -> None:
        self.dsn, self.id, self.only, self.pace, self.options = dsn, job, ranges, pace, options
        self.stop, self.on_progress, self.application_name = stop, on_progress, application_name
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self.count = _Count()
        self.started = self.progressed = self.reported = time.monotonic()
        self.job: Job
        self.connection: Connection
        self.desired, self.speed = "run", 1.0
        self.wal = 0
        self.watch = StallWatch(job, options.stall_after, dsn.where, on_stall)
        self.stalled = False

    # --- sessions ---

    def work(self) -> Worked:
        """Work through any number of lost connections."""
        lost = 0
        while True:
            try:
                with self._session():
                    return self._result(*self._outcome())
            except DatabaseError as error:
                if not _is_lost(error.sqlstate):
                    raise
                if self.stop():
                    return self._uncounted("stopped", "the connection was lost")
                lost += 1
                self._be_patient(error)
                log.warning("Connection lost, backfill %s goes on from its checkpoint: %s", self.id, error)
                self._nap(_jitter(lost))

    @contextmanager
    def _session(self) -> Iterator[None]:
        options = self.options
        limits = Limits(statement=options.statement_timeout, lock=options.lock_timeout, idle_in_transaction=30)
        with session(self.dsn, limits, self.application_name, _PLANNER) as connection:
            self.connection = connection
            self.job = jobs.read_job(connection, self.id, self.dsn.where)
            self.desired, self.speed = self.job.desired, self.job.speed
            yield

    def _outcome(self) -> tuple[Outcome, str]:
        try:
            if self.job.status == "cancelled":
                raise _Ended("cancelled")
            while True:
                while (walk := self._claim()) is not None:
                    self._walk(walk)
                    ask(self.connection, "work/release.sql", job=self.id, n=walk.n)
                if self.job.status == "done":
                    return "done", ""
                ranges = jobs.read_ranges(self.connection, self.id)
                if not all(one.done for one in ranges):
                    return "idle", ""
                if self._nothing_moved(ranges):
                    break
                self.only = None
            ask(self.connection, "job/finish.sql", id=self.id)
            return "done", ""
        except _Ended as ended:
            return ended.outcome, ended.reason

    def _result(self, outcome: Outcome, reason: str) -> Worked:
        self._roll_back()
        self._report(force=True)
        before = self.count.before
        now = [one for one in jobs.read_ranges(self.connection, self.id) if one.n in before]
        return Worked(
            job=self.id,
            outcome=outcome,
            rows=sum(one.rows_done - before[one.n].rows_done for one in now),
            batches=sum(one.batches - before[one.n].batches for one in now),
            retries=sum(one.retries - before[one.n].retries for one in now),
            skipped=sum(one.skipped - before[one.n].skipped for one in now),
            seconds=time.monotonic() - self.started,
            waited=self.count.waited,
            reason=reason,
        )

    def _uncounted(self, outcome: Outcome, reason: str) -> Worked:
        """Nobody can be asked how far it came; the checkpoints know."""
        return Worked(self.id, outcome, 0, 0, 0, 0, time.monotonic() - self.started, self.count.waited, reason)

    # --- ranges ---

    def _claim(self) -> _Walk | None:
        """A range that is not done and that nobody else owns."""
        deadline = time.monotonic() + 10
        while True:
            ranges = jobs.read_ranges(self.connection, self.id)
            mine = [one for one in ranges if not one.done and self._may_take(one, ranges)]
            for one in mine:
                if ask(self.connection, "work/claim.sql", job=self.id, n=one.n)[0]["mine"]:
                    fresh = next(again for again in jobs.read_ranges(self.connection, self.id) if again.n == one.n)
                    if fresh.done:
                        ask(self.connection, "work/release.sql", job=self.id, n=one.n)
                        continue
                    ask(self.connection, "work/claimed.sql", job=self.id, n=one.n, worker=self.name)
                    self.count.before.setdefault(one.n, fresh)
                    return self._walk_of(fresh)
            if self.stop():
                raise _Ended("stopped")
            # A session that died may own its range for some seconds more.
            asked_for = [one for one in mine if self.only is not None and one.n in self.only]
            if not asked_for or time.monotonic() > deadline:
                if asked_for:
                    raise Refused(
                        f"Range {asked_for[0].n} of backfill {self.id} is worked on by {asked_for[0].worker}",
                        where=self.dsn.where,
                        remedy="Let that worker finish, or end it",
                        retry=True,
                    )
                return None
            self._nap(0.5)

    def _may_take(self, one: RangeState, ranges: Sequence[RangeState]) -> bool:
        if one.kind == "rest":
            return all(other.done for other in ranges if other.part == one.part and other.kind == "pages")
        return self.only is None or one.n in self.only

    def _walk_of(self, state: RangeState) -> _Walk:
        options = self.options
        rows_per_unit = 1.0
        if state.kind != "keys":
            pages = sum(one.size for one in jobs.read_ranges(self.connection, self.id) if one.kind == "pages")
            rows_per_unit = max(1.0, self.job.rows_estimate / max(1, pages))
        return _Walk(
            state=state,
            statements=self._statements(state),
            steering=Steering(options.target_ms, options.first_batch, options.least_batch, options.most_batch),
            rows_per_unit=rows_per_unit,
            last=state.last,
            known=state.last,
            pass_=state.pass_,
            pass_rows=state.pass_rows,
            left_behind=state.left_behind,
        )

    def _statements(self, state: RangeState) -> Statements:
        part = part_of(self.connection, state.part, self.job.keys[state.part])
        if part is None:
            raise PgOpsError(
                f"{self.job.table} (or a partition of it, oid {state.part}) was dropped while it was backfilled",
                where=self.dsn.where,
                remedy=f"Cancel backfill {self.id}; begin again if there is a new table",
            )
        return Statements(part, self.job.spec, self.id if state.skipped or state.pass_ else None)

    # --- a range ---

    def _walk(self, walk: _Walk) -> None:
        """Batch by batch to the end of the range, then again until nothing is left."""
        only_sweep = walk.state.kind == "rest" and walk.pass_ == 0
        while True:
            self._until_go(walk)
            try:
                ended = only_sweep or self._batch(walk)
                walk.attempts = 0
                if ended and self._swept(walk):
                    return
                only_sweep = False
            except psycopg2.Error as error:
                self._after(walk, error)
            self._report()
            if self.options.vacuum_dead_share is not None and self.count.since_vacuum >= self.options.vacuum_least_rows:
                self.count.since_vacuum = 0
                self._vacuum(walk)

    def _batch(self, walk: _Walk) -> bool:
        """One batch with its checkpoint; whether the range ends with it."""
        upto, units, ended = self._bound(walk)
        with self._transaction():
            rows = walk.statements.between(self._from(walk), upto)
            unlocked = walk.unlocked
            update = walk.statements.update_unlocked(rows) if unlocked else walk.statements.update(rows)
            begun = time.perf_counter()
            changed = run(self.connection, update).rowcount
            ms = 1000 * (time.perf_counter() - begun)
            kept = 0
            written = 0
            if walk.pass_ == 0 or changed or unlocked or ended:
                walked = units if walk.pass_ == 0 else 0
                kept, written = self._checkpoint(walk, upto, changed, walked, ms, unlocked)
                walk.known = upto
        ms = 1000 * (time.perf_counter() - begun)
        walk.unlocked = False
        walk.left_behind |= unlocked
        self._moved(walk, upto, changed)
        if not ended:
            walk.steering.took(ms)
        self._rest(changed, ms, written)
        if kept % 100 == 99:
            ask(self.connection, "job/prune.sql", job=self.id, n=walk.n, before=kept - KEPT_BATCHES)
        return ended

    def _bound(self, walk: _Walk) -> tuple[Position | None, int, bool]:
        """Where the next batch ends, how many rows or pages it has, and whether the range ends with it."""
        state, count = walk.state, walk.steering.rows
        if state.kind == "keys":
            rows = walk.statements.between(self._from(walk), state.hi)
            found = run(self.connection, walk.statements.bound(rows, count)).fetchone()
            if found is None:
                return state.hi, 0, True
            self.wal = found["wal"]
            return tuple(found["key"]), count, False
        end = state.hi if isinstance(state.hi, int) else self._pages(walk)
        begin = self._from(walk)
        begin = begin if isinstance(begin, int) else 0
        upto = min(begin + max(1, int(count / walk.rows_per_unit)), end)
        return max(upto, begin), max(0, upto - begin), upto >= end

    def _pages(self, walk: _Walk) -> int:
        """The end of a sweep: the table's end when the pass began; later rows are new."""
        if walk.pages is None:
            cursor = run(self.connection, walk.statements.pages())
            walk.pages = int(cursor.fetchall()[0]["pages"])
        return walk.pages

    @staticmethod
    def _from(walk: _Walk) -> Position | None:
        return walk.last if walk.last is not None else walk.state.lo

    def _checkpoint(
        self, walk: _Walk, upto: Position | None, rows: int, units: int, ms: float, left: bool
    ) -> tuple[int, int]:
        """Returns the number of the batch, and the WAL written since the bound was found."""
        said = ask(
            self.connection,
            "work/checkpoint.sql",
            job=self.id,
            n=walk.n,
            pass_=walk.pass_,
            before=as_json(walk.known),
            last=as_json(upto),
            rows=rows,
            units=units,
            retries=walk.retries,
            left=left,
            ms=ms,
            waited=1000 * self.count.unsaved_wait,
            reason=self.count.reason,
        )
        if not said:
            raise LostOwnership(
                f"Range {walk.n} of backfill {self.id} was moved by somebody else",
                where=self.dsn.where,
                remedy="Look into pgops.backfill_ranges who works on it",
            )
        self.desired, self.speed, self.stalled = said[0]["desired"], said[0]["speed"], said[0]["stalled"]
        written, self.wal = max(0, said[0]["wal"] - self.wal) if self.wal else 0, said[0]["wal"]
        return said[0]["batches"], written

    def _moved(self, walk: _Walk, upto: Position | None, rows: int) -> None:
        """What was committed."""
        walk.last = upto
        walk.retries = 0
        walk.pass_rows += rows
        self.count.unsaved_wait, self.count.reason = 0.0, ""
        self.count.since_vacuum += rows
        if rows or (walk.pass_ == 0 and walk.state.kind != "rest"):
            self.progressed = time.monotonic()
        self.watch.moved(self.connection, self.stalled)

    # --- the closing sweep ---

    def _swept(self, walk: _Walk) -> bool:
        """Whether nothing is left to do in the range; if there is, another pass is begun."""
        if walk.state.kind != "pages":
            left = self._left(walk)
            if left == "unknown" and walk.pass_ and not walk.pass_rows and not walk.left_behind:
                # A whole pass has found nothing. Along a key that is a proof; without one a row may have moved.
                left = "" if walk.state.kind == "keys" else self._left(walk, self.options.proof_timeout)
            if left:
                self._again(walk, left)
                return False
        self._mine(ask(self.connection, "work/range_done.sql", job=self.id, n=walk.n, **{"pass_": walk.pass_}), walk)
        return True

    def _nothing_moved(self, ranges: Sequence[RangeState]) -> bool:
        """The closing look, over all ranges at one instant. A row whose key is changed, or that goes to another
        partition, may come to a range that was done before, and not yet be done itself.
        """
        keyed = [one for one in ranges if one.kind == "keys"]
        if len(keyed) < 2:  # a range has already looked at all of itself at once
            return True
        try:
            with self._transaction():
                run(self.connection, sql_text("backfill/work/one_snapshot.sql"))
                self._allow(self.options.proof_timeout)
                found = [part for part in sorted({one.part for one in keyed}) if self._part_left(part)]
        except psycopg2.errors.QueryCanceled:
            if self.stop():
                raise _Ended("stopped") from None
            log.warning("No time for a look whether rows have moved between the ranges of backfill %s", self.id)
            return True
        for part in found:
            log.info("Rows of %s have moved into ranges that were done: they are looked through once more", part)
            ask(self.connection, "work/reopen.sql", job=self.id, part=part)
        return not found

    def _part_left(self, oid: int) -> bool:
        part = part_of(self.connection, oid, self.job.keys[oid])
        if part is None:  # dropped, with all that was to do in it
            return False
        statements = Statements(part, self.job.spec, self.id)
        return bool(run(self.connection, statements.probe(statements.between(None, self.job.max_key[oid]))).fetchone())

    def _allow(self, seconds: float) -> None:
        """How long a statement of this transaction may take."""
        limit = sql.SQL("SET LOCAL statement_timeout = {}").format(sql.Literal(int(seconds * 1000)))
        run(self.connection, limit)

    def _left(self, walk: _Walk, seconds: float | None = None) -> str:
        """A row that is still to do; "unknown" if that took too long to find out; empty if there is none."""
        rows = walk.statements.between(walk.state.lo, walk.state.hi)
        if walk.state.kind == "rest":
            rows = walk.statements.between(None, None)
        try:
            with self._transaction():
                if seconds is not None:
                    self._allow(seconds)
                found = run(self.connection, walk.statements.probe(rows)).fetchone()
        except psycopg2.errors.QueryCanceled:
            if self.stop():
                raise _Ended("stopped") from None
            return "unknown"
        return ", ".join(found["identity"]) if found else ""

    def _again(self, walk: _Walk, left: str) -> None:
        """Begin the next pass, unless passes do not help."""
        at = f"{self.dsn.where}, {walk.statements.part.title}"
        if walk.pass_ and walk.pass_rows and left == walk.left_at and left != "unknown" and not walk.left_behind:
            raise PgOpsError(
                f"Row {left} is still to do after it was changed: the predicate does not become false by the update",
                where=at,
                remedy="Let the predicate exclude it; or look for a trigger that undoes the change",
            )
        if walk.left_behind:
            self._be_patient(self._who_holds(walk, left))
            self._wait(walk, "rows are locked by others", min(_jitter(5), 2.0))
        elif walk.pass_ >= self.options.most_passes:
            raise PgOpsError(
                f"After {walk.pass_} sweeps there are still rows to do, such as {left}",
                where=at,
                remedy="Give the column a default or a BEFORE INSERT trigger first: then no new row needs the backfill",
            )
        walk.left_at = left
        self._mine(ask(self.connection, "work/next_pass.sql", job=self.id, n=walk.n, **{"pass_": walk.pass_}), walk)
        walk.pass_ += 1
        walk.last, walk.known, walk.pass_rows, walk.left_behind, walk.pages = None, None, 0, False, None
        walk.steering.size = max(walk.steering.size, self.options.least_batch)
        walk.statements = Statements(walk.statements.part, self.job.spec, self.id)

    def _mine(self, rows: Sequence[object], walk: _Walk) -> None:
        if not rows:
            raise LostOwnership(
                f"Range {walk.n} of backfill {self.id} was moved by somebody else",
                where=self.dsn.where,
                remedy="Look into pgops.backfill_ranges who works on it",
            )

    def _who_holds(self, walk: _Walk, left: str) -> PgOpsError:
        holders = ask(self.connection, "work/holders.sql", oid=walk.state.part)
        who = "nobody can be seen"
        if holders:
            one = holders[0]
            since = f"{one['state']} for {one['seconds'] or 0:.0f} s"
            who = f"pid {one['pid']} ({one['role']}, {one['application_name']}, {since})"
        return PgOpsError(
            f"Rows stay locked, such as {left}; the oldest that writes to the table: {who}",
            where=f"{self.dsn.where}, {walk.statements.part.title}",
            remedy="End that transaction; the backfill goes on from its checkpoint",
            retry=True,
        )

    # --- when it goes wrong ---

    def _after(self, walk: _Walk, error: psycopg2.Error) -> None:
        """Decide by SQLSTATE what a failed batch means; raises what cannot be helped here."""
        code = error.pgcode or ""
        if self.connection.closed or _is_lost(code):
            raise error
        self._roll_back()
        if code in _TRY_AGAIN:
            self._try_again(walk, error, code)
        elif code in _CHANGED:
            self._follow(walk, error)
        elif walk.steering.rows > ONE_BY_ONE and not self._is_one_page(walk):
            walk.steering.narrow()
        else:
            self._one_by_one(walk)
            walk.steering.found()

    def _try_again(self, walk: _Walk, error: psycopg2.Error, code: str) -> None:
        if self.stop():
            raise _Ended("stopped")
        walk.attempts += 1
        walk.retries += 1
        walk.steering.halve()
        # Somebody holds rows for long: leave them for the sweep.
        walk.unlocked = code in _LOCKED and walk.attempts >= 3
        self._be_patient(self._troubled(walk, error, code))
        self._wait(walk, f"SQLSTATE {code}", _jitter(walk.attempts))

    def _troubled(self, walk: _Walk, error: psycopg2.Error, code: str) -> PgOpsError:
        if code in _LOCKED:
            return self._who_holds(walk, f"after {walk.last}")
        return PgOpsError(
            f"No progress: SQLSTATE {code}: {_said(error)}",
            where=f"{self.dsn.where}, {walk.statements.part.title}",
            remedy="Look at the load on the server; the backfill goes on from its checkpoint",
            retry=True,
        )

    def _follow(self, walk: _Walk, error: psycopg2.Error) -> None:
        """The table may have another name now."""
        known = walk.statements.part
        walk.statements = self._statements(walk.state)
        if walk.statements.part == known:
            walk.attempts += 1
            if walk.attempts > 3:
                raise PgOpsError(
                    f"The table has changed: SQLSTATE {error.pgcode}: {_said(error)}",
                    where=f"{self.dsn.where}, {known.title}",
                    remedy=f"Cancel backfill {self.id} and begin one that fits the table",
                )
        else:
            log.warning("%s is called %s now: the backfill follows it", known.title, walk.statements.part.title)
        self._nap(_jitter(walk.attempts))

    def _is_one_page(self, walk: _Walk) -> bool:
        return walk.state.kind != "keys" and walk.steering.rows <= walk.rows_per_unit

    def _one_by_one(self, walk: _Walk) -> None:
        """A few rows, each in a transaction of its own: those that cannot be changed are named."""
        try:
            upto, units, _ = self._bound(walk)
            rows = walk.statements.between(self._from(walk), upto)
            pending = run(self.connection, walk.statements.pending(rows, 2_000)).fetchall()
            for row in pending:
                self._one(walk, row["ctid"], tuple(row["identity"]))
            with self._transaction():
                self._checkpoint(walk, upto, 0, units if walk.pass_ == 0 else 0, 0.0, False)
                walk.known = upto
            self._moved(walk, upto, 0)
        except psycopg2.Error as error:
            if self.connection.closed or (error.pgcode or "") not in _TRY_AGAIN:
                raise
            self._roll_back()
            self._try_again(walk, error, error.pgcode or "")

    def _one(self, walk: _Walk, ctid: str, identity: tuple[str, ...]) -> None:
        try:
            with self._transaction():
                changed = run(self.connection, walk.statements.update(walk.statements.one(ctid, identity))).rowcount
                self._checkpoint(walk, walk.known, changed, 0, 0.0, False)
            walk.pass_rows += changed
            walk.retries = 0
        except psycopg2.Error as error:
            code = error.pgcode or ""
            if self.connection.closed or _is_lost(code) or code in _TRY_AGAIN or code in _CHANGED:
                raise
            self._bad(walk, identity, error)

    def _bad(self, walk: _Walk, identity: tuple[str, ...], error: psycopg2.Error) -> None:
        part = walk.statements.part
        names = [column.name for column in part.key] or ["ctid"]
        row = ", ".join(f"{name} = {value}" for name, value in zip(names, identity, strict=False))
        if self.options.on_error == "stop":
            raise BadRow(
                f"Row {row} cannot be changed: SQLSTATE {error.pgcode}: {_said(error)}",
                where=f"{self.dsn.where}, {part.title}",
                remedy="Mend the row, or let the policy skip such rows; the backfill goes on from its checkpoint",
            ) from error
        log.warning("Skipped %s, row %s: SQLSTATE %s: %s", part.title, row, error.pgcode, _said(error))
        ask(
            self.connection,
            "work/skip.sql",
            job=self.id,
            n=walk.n,
            part=part.oid,
            key=Json(list(identity)),
            sqlstate=error.pgcode or "",
            message=_said(error),
        )
        walk.statements = Statements(part, self.job.spec, self.id)

    def _be_patient(self, error: PgOpsError) -> None:
        if time.monotonic() - self.progressed > self.options.patience:
            raise error

    # --- pace ---

    def _until_go(self, walk: _Walk) -> None:
        """Wait until the operator, the throttle and the caller let the next batch begin."""
        while True:
            if self.stop():
                raise _Ended("stopped")
            if self.desired == "cancel":
                raise _Ended("cancelled")
            if self.desired == "pause":
                self._wait(walk, "paused by the operator", 0.5)
                self.progressed = time.monotonic()  # standing still on demand is no stall
                continue
            said = self.pace.before_batch()
            if isinstance(said, Go):
                return
            if isinstance(said, Stop):
                raise _Ended("throttled", said.reason)
            self._wait(walk, said.reason, said.seconds)
            self.progressed = time.monotonic()

    def _wait(self, walk: _Walk, reason: str, seconds: float) -> None:
        """Stand still, say why, and listen to the operator."""
        left = max(seconds, 0.01)
        while left > 0 and not self.stop():
            said = ask(self.connection, "work/waiting.sql", job=self.id, n=walk.n, reason=reason)
            slept = min(left, WAITING_EVERY)
            self._nap(slept)
            left -= slept
            self.count.unsaved_wait += slept
            self.count.waited += slept
            self.count.reason = reason
            self.desired, self.speed = said[0]["desired"], said[0]["speed"]
            self.watch.held_up(self.connection, reason)
            self._report()
            if self.desired == "cancel":
                return

    def _rest(self, rows: int, ms: float, wal_bytes: int) -> None:
        """The sleep after a batch: what the throttle says, changed by the operator's speed."""
        asked = max(0.0, self.pace.after_batch(rows, ms, wal_bytes))
        seconds = max(0.0, (ms / 1000 + asked) / self.speed - ms / 1000)
        if seconds:
            self._nap(seconds)
            self.count.unsaved_wait += seconds
            self.count.waited += seconds

    def _nap(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self.stop():
            time.sleep(min(left, LONGEST_NAP))

    # --- beside the batches ---

    def _vacuum(self, walk: _Walk) -> None:
        """Vacuum the part if too much of it is dead; whoever fails at that only leaves more to autovacuum."""
        share = self.options.vacuum_dead_share or 1.0
        with contextlib.suppress(DatabaseError, psycopg2.Error):
            said = ask(self.connection, "work/dead.sql", oid=walk.state.part)[0]
            if said["vacuumed"] or said["dead"] <= share * (said["dead"] + said["live"]):
                return
            limits = Limits(statement=self.options.proof_timeout, lock=1, idle_in_transaction=0)
            with session(self.dsn, limits, f"{self.application_name} vacuum") as connection:
                begun = time.monotonic()
                run(connection, walk.statements.vacuum())
                log.info("Vacuumed %s in %.1f s", walk.statements.part.title, time.monotonic() - begun)
            self.progressed = time.monotonic()

    def _report(self, force: bool = False) -> None:
        now = time.monotonic()
        if force or now - self.reported >= self.options.progress_every:
            self.reported = now
            self.on_progress(jobs.read_state(self.connection, self.id, self.dsn.where))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.connection.autocommit = False
        try:
            yield
            self.connection.commit()
        except BaseException:
            with contextlib.suppress(psycopg2.Error):
                self._roll_back()
            raise
        self.connection.autocommit = True

    def _roll_back(self) -> None:
        if self.connection.closed:
            return
        if self.connection.info.transaction_status != TRANSACTION_STATUS_IDLE:
            self.connection.rollback()
        self.connection.autocommit = True


# --- parts ---


def _is_lost(sqlstate: str) -> bool:
    return sqlstate in _LOST or sqlstate.startswith("08")


def _jitter(attempt: int) -> float:
    """Full jitter: anything up to a limit that doubles."""
    return random.uniform(0, min(5.0, 0.05 * 2 ** min(attempt, 10)))


def _said(error: psycopg2.Error) -> str:
    parts = [error.diag.message_primary, error.diag.message_detail]
    return ". ".join(part for part in parts if part) or " ".join(str(error).split())


def _remember(dsn: Dsn, job: int, error: PgOpsError) -> None:
    """Leave the reason with the job; the work may have failed because nobody can be reached."""
    with contextlib.suppress(PgOpsError), session(dsn, Limits(statement=5, lock=1)) as connection:
        ask(connection, "job/fail.sql", id=job, error=str(error))
