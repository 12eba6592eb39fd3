"""Runs one direction of a migration and writes down what each of its statements did to the database.

Statements of a transactional segment run in one transaction, the others each by itself, as they will in production.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_INTRANS

from pgops import units
from pgops.errors import Refused
from pgops.include import sql_text
from pgops.migration.model import Direction, Executed, Failure, Ran, Script, Segment, Statement
from pgops.migration.rehearsal.effects import Effect, Sampler, Transaction, all_relations
from pgops.migration.rehearsal.wal import WalMeter
from pgops.migration.rehearsal.watchdog import Deadline
from pgops.postgres import Dsn, Limits, connect

APPLICATION = "pgops.migration"
QUERY_CANCELED = "57014"
# After these the transaction is gone and the same again may succeed.
_LOCK_TROUBLE = ("55P03", "40P01")
_SHOWN = 120
_LONGEST_PAUSE = 5.0


def run(
    dsn: Dsn,
    script: Script,
    direction: Direction,
    budget_seconds: float,
    *,
    lock_timeout_ms: int = 0,
    lock_attempts: int = 1,
    in_the_way: Callable[[str, float], float] | None = None,
) -> Ran:
    """Run a script to its end, its first failure, or the end of its budget.

    What a statement SETs lasts until the end of the script: the session is the script's own. Of a segment that failed
    the statements before the failure are in the result, too: they were measured, though they were rolled back.

    Args:
        dsn: the database.
        script: what to run.
        direction: only for the record.
        budget_seconds: of the whole; then the statement is cancelled, and the session ended if it does not obey.
        lock_timeout_ms: how long a statement waits for a lock, where the script does not say itself; 0: for ever. It
            is not applied to ... CONCURRENTLY, whose waiting blocks nobody, nor to DO and CALL outside a transaction.
        lock_attempts: how often a segment is tried before its lock timeout or deadlock counts as failure.
        in_the_way: for how many seconds after an instant the rehearsal's own reader was in the way of a relation. That
            waiting is taken off what is measured: it says nothing of the migration, and no size of a table changes it.

    Raises:
        Refused: the budget or the attempts make no sense.
        DatabaseError: the database cannot be reached. (Whatever happens later is in the result.)
    """
    if budget_seconds <= 0 or lock_attempts < 1 or lock_timeout_ms < 0:
        raise Refused(
            f"A budget of {budget_seconds} s, {lock_attempts} attempts and a lock_timeout of {lock_timeout_ms} ms"
            " cannot be kept",
            where=script.name,
            remedy="Give a positive budget, at least one attempt, and a lock_timeout of 0 or more",
        )
    started = time.perf_counter()
    with (
        connect(dsn, APPLICATION, Limits(statement=budget_seconds, lock=0)) as worker,
        connect(dsn, f"{APPLICATION}.observer", Limits(), system_names=True) as observer,
        Deadline(dsn, worker, budget_seconds) as deadline,
    ):
        recorder = _Recorder(worker, observer, deadline, script, budget_seconds, lock_timeout_ms)
        recorder.in_the_way = in_the_way
        executed: list[Executed] = []
        failure: Failure | None = None
        retries = 0
        for number, segment in enumerate(script.segments):
            for attempt in range(lock_attempts):
                outcome = recorder.record(segment)
                failure = outcome.failure
                if failure is None or attempt + 1 == lock_attempts or not _may_try_again(segment, failure, deadline):
                    break
                retries += 1
                _pause(attempt, deadline)
            executed += [replace(one, segment=number) for one in outcome.statements]
            if failure is not None:
                break
        return Ran(
            script=script.name,
            direction=direction,
            seconds=time.perf_counter() - started,
            statements=tuple(executed),
            failure=failure,
            over_budget=recorder.over_budget,
            lock_retries=retries,
        )


def invalid_indexes(dsn: Dsn) -> list[str]:
    """Indexes that a failed CREATE INDEX CONCURRENTLY left: they cost every write and serve no read."""
    with connect(dsn, APPLICATION, readonly=True, system_names=True) as connection, connection.cursor() as cursor:
        return _invalid_indexes(cursor)


def _invalid_indexes(cursor: Any) -> list[str]:
    cursor.execute(sql_text("migration/rehearsal/invalid_indexes.sql"))
    return [name for (name,) in cursor.fetchall()]


def _may_try_again(segment: Segment, failure: Failure, deadline: Deadline) -> bool:
    return (
        failure.sqlstate in _LOCK_TROUBLE
        and not deadline.over
        and (segment.transactional or not _waits_patiently(segment.statements[0]))
    )


def _waits_patiently(statement: Statement) -> bool:
    """Whether a statement outside a transaction is given as long as it takes to get its locks.

    CONCURRENTLY waits without blocking reads and writes, and leaves half its work when it is cut off; DO and CALL may
    have committed something before.
    """
    return statement.kind in ("DO", "CALL") or re.search(r"\bconcurrently\b", statement.text, re.IGNORECASE) is not None


def _pause(attempt: int, deadline: Deadline) -> None:
    """Let those pass who queued behind the attempt; with jitter, so that two migrations do not keep step."""
    longest = min(0.1 * 2**attempt, _LONGEST_PAUSE)
    time.sleep(max(min(random.uniform(longest / 2, longest), deadline.left), 0))


@dataclass(frozen=True)
class _Outcome:
    statements: tuple[Executed, ...] = ()
    failure: Failure | None = None


class _Cut(Exception):
    """The budget is used up, or the script left its transaction: there is no server's error to report."""

    def __init__(self, message: str, sqlstate: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class _Recorder:
    """One script's worker session, and the session that observes it."""

    def __init__(
        self,
        worker: Any,
        observer: Any,
        deadline: Deadline,
        script: Script,
        budget_seconds: float,
        lock_timeout_ms: int,
    ) -> None:
        self._worker = worker
        self._cursor = worker.cursor()
        self._observer = observer.cursor()
        self._deadline = deadline
        self._budget = budget_seconds
        self._lock_timeout_ms = lock_timeout_ms
        self._total = len(script.statements)
        self._done = 0
        self._wal = WalMeter(self._observer, deadline.pid)
        self._known = all_relations(self._observer)
        self._existed = frozenset(self._known)
        self._committing = self._has_run = False
        self.over_budget = False
        self.in_the_way: Callable[[str, float], float] | None = None

    def record(self, segment: Segment) -> _Outcome:
        """Run a segment; what it did, and why it stopped if it did not come to its end."""
        return self._transaction(segment) if segment.transactional else self._alone(segment.statements[0])

    # --- in a transaction ---

    def _transaction(self, segment: Segment) -> _Outcome:
        transaction = Transaction(self._known, self._existed)
        self._has_run = False
        done_before = self._done
        done: list[tuple[Executed, float]] = []
        self._committing = False
        statement = segment.statements[0]
        try:
            self._begin()
            self._wal.reset()
            for statement in segment.statements:
                started = time.perf_counter()
                ms = self._execute(statement)
                self._refuse_if_transaction_ended()
                wal = self._wal.read()
                effect = transaction.effect(self._cursor, statement.kind, self._deadline.left_ms)
                waited = min(self._waited(statement, effect, started), ms / 1000)
                done.append((_executed(statement, ms - 1000 * waited, wal, effect), started + waited))
            self._committing = True
            self._cursor.execute("COMMIT")
        except (psycopg2.Error, _Cut) as error:
            failure = self._failure(statement, error)
            self._rollback()
            self._done = done_before
            return _Outcome(_with_held_locks(done), failure)
        self._known = transaction.known
        return _Outcome(_with_held_locks(done))

    def _begin(self) -> None:
        """Begin with our limits, or the script's own where those are stricter.

        SET and not set_config(): a SELECT would take a snapshot, and SET TRANSACTION must come before any.
        """
        statement_ms, lock_ms = self._limits()
        self._cursor.execute(
            "BEGIN; SET LOCAL statement_timeout = %s; SET LOCAL lock_timeout = %s",
            (_stricter(statement_ms, self._deadline.left_ms), lock_ms or self._lock_timeout_ms),
        )

    def _limits(self) -> tuple[int, int]:
        self._cursor.execute(sql_text("migration/rehearsal/limits.sql"))
        statement_ms, lock_ms, _flushed = self._cursor.fetchone()
        return statement_ms, lock_ms

    def _refuse_if_transaction_ended(self) -> None:
        if self._worker.info.transaction_status != TRANSACTION_STATUS_INTRANS:
            raise _Cut(
                "It ended the migration's transaction: what came before it is committed, and what comes after it would"
                " be on its own. Remove COMMIT, ROLLBACK and the like"
            )

    def _rollback(self) -> None:
        with suppress(psycopg2.Error):
            if not self._worker.closed:
                self._cursor.execute("ROLLBACK")

    # --- outside a transaction ---

    def _alone(self, statement: Statement) -> _Outcome:
        self._committing = False
        self._has_run = False
        invalid_before: list[str] = []
        try:
            self._known = all_relations(self._observer)
            invalid_before = _invalid_indexes(self._observer)
            started = time.perf_counter()
            with self._session_limits(statement):
                self._wal.reset()
                with Sampler(self._observer, self._deadline.pid, self._known) as sampler:
                    ms = self._execute(statement)
                self._has_run = True
                wal = self._wal.read()
            self._limits()  # and write the counters out
            self._known = all_relations(self._observer)
        except (psycopg2.Error, _Cut) as error:
            return _Outcome((), self._failure(statement, error, invalid_before))
        effect = sampler.effect(self._known, self._existed, statement.kind)
        ms -= min(1000 * self._waited(statement, effect, started), ms)
        return _Outcome((replace(_executed(statement, ms, wal, effect), sampled=True),))

    @contextmanager
    def _session_limits(self, statement: Statement) -> Iterator[None]:
        """As in _begin(); our lock_timeout is taken back, else a later statement would take it for the script's."""
        statement_ms, lock_ms = self._limits()
        ours = 0 if lock_ms or _waits_patiently(statement) else self._lock_timeout_ms
        self._cursor.execute(
            "SET statement_timeout = %s; SET lock_timeout = %s",
            (_stricter(statement_ms, self._deadline.left_ms), lock_ms or ours),
        )
        try:
            yield
        finally:
            if ours:
                with suppress(psycopg2.Error):  # the session is lost, and its settings with it
                    self._cursor.execute(sql_text("migration/rehearsal/forget_lock_timeout.sql"), {"ours": ours})

    # --- both ---

    def _execute(self, statement: Statement) -> float:
        """Send a statement; how many milliseconds it took."""
        if self._deadline.left <= 0:
            raise _Cut("This statement was not begun", QUERY_CANCELED)
        self._deadline.doing = f"statement {self._done + 1} of {self._total}, line {statement.line}, {statement.kind}"
        started = time.perf_counter()
        self._cursor.execute(statement.text)
        ended = time.perf_counter()
        self._done += 1
        return 1000 * (ended - started)

    def _waited(self, statement: Statement, effect: Effect, started: float) -> float:
        """Seconds for which a statement can only have waited for the rehearsal's own reader."""
        if self.in_the_way is None:
            return 0.0
        all_wait = statement.kind == "DROP INDEX CONCURRENTLY"  # the others of this kind work meanwhile
        return max(
            (
                self.in_the_way(lock.relation, started)
                for lock in effect.locks
                if all_wait or (lock.existed and lock.mode == "AccessExclusiveLock")
            ),
            default=0.0,
        )

    def _failure(self, statement: Statement, error: Exception, invalid_before: list[str] | None = None) -> Failure:
        sqlstate = (error.sqlstate if isinstance(error, _Cut) else getattr(error, "pgcode", None)) or ""
        lost = self._worker.closed != 0
        self.over_budget = self._deadline.over
        parts = [_in_words(error)]
        if self.over_budget:
            parts.insert(
                0, f"It was cut off: the budget of {units.duration(self._budget)} for the whole script is used up"
            )
        elif lost:
            parts.insert(0, "The connection to the server was lost")
        parts += self._state_after(lost, invalid_before)
        kind = "COMMIT" if self._committing else statement.kind
        return Failure(statement.line, kind, sqlstate, ". ".join(part.rstrip(".") for part in parts))

    def _state_after(self, lost: bool, invalid_before: list[str] | None) -> list[str]:
        """What the failure left in the database, where that is not simply nothing."""
        if self._has_run:
            return ["The statement itself had come to its end; only what it did could not be recorded"]
        if invalid_before is None:
            unknown = lost and self._committing
            return ["Whether the transaction was committed is not known"] if unknown else []
        try:
            left = [name for name in _invalid_indexes(self._observer) if name not in invalid_before]
        except psycopg2.Error:
            return ["It ran outside a transaction: what it had done by then may have stayed"]
        if not left:
            return []
        return [
            f"It left an invalid index behind, which every write pays for and no query uses: {', '.join(left)};"
            " repair it by REINDEX INDEX CONCURRENTLY or drop it, IF NOT EXISTS would only hide it"
        ]


def _stricter(limit_ms: int, ours_ms: int) -> int:
    """The smaller of two limits, where 0 means none."""
    return min(limit_ms, ours_ms) if limit_ms else ours_ms


def _executed(statement: Statement, ms: float, wal: int | None, effect: Effect) -> Executed:
    return Executed(
        line=statement.line,
        kind=statement.kind,
        text=_shortened(statement.text),
        ms=ms,
        wal_bytes=wal,
        locks=effect.locks,
        rewritten=effect.rewritten,
        scans=effect.scans,
    )


def _with_held_locks(done: list[tuple[Executed, float]]) -> tuple[Executed, ...]:
    """The locks' times, now that the transaction has ended.

    They count from the start of the statement: while it waits in the queue for a lock, others already wait behind it.
    """
    ended = time.perf_counter()
    return tuple(
        replace(one, locks=tuple(replace(lock, held_ms=1000 * (ended - started)) for lock in one.locks))
        for one, started in done
    )


def _shortened(text: str) -> str:
    """A statement on one line, without the comments before it."""
    code = re.sub(r"\A(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/)+", "", text, flags=re.DOTALL)
    line = " ".join(code.split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"


def _in_words(error: Exception) -> str:
    """The server's message with its detail and hint, on one line."""
    diag = getattr(error, "diag", None)
    if diag is None or diag.message_primary is None:
        return " ".join(str(error).split()) or type(error).__name__
    parts = (diag.message_primary, diag.message_detail, diag.message_hint)
    return ". ".join(" ".join(part.split()).rstrip(".") for part in parts if part)
