"""A migration into production: segment by segment, with short waits for locks, and never half applied unnoticed.

Whatever cuts it off (an error, a lost connection, a killed worker), the version ledger in the same database tells what
is done, and the next run goes on with the first segment that is not. A connection that is lost at COMMIT leaves nobody
knowing; then the ledger is read back, once the server has let go of the old session.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection

from pgops import units
from pgops.errors import PgOpsError, Refused
from pgops.fleet.migrations import DeployPolicy
from pgops.include import sql_text
from pgops.migration.deployment import versions
from pgops.migration.deployment.alone import (
    Alone,
    alone,
    drop_leftovers,
    left_behind,
    old_snapshots,
    refuse_nameless,
    session_settings,
)
from pgops.migration.deployment.deployed import (
    AGAIN,
    CANCELLED,
    Deployed,
    DeployFailed,
    HalfDone,
    LockWait,
    Lost,
    blamed,
    head_of,
    message_of,
    remedy,
)
from pgops.migration.deployment.lockwatch import LockWatch
from pgops.migration.deployment.losses import Guard
from pgops.migration.deployment.patience import Patience
from pgops.migration.deployment.place import take_place
from pgops.migration.deployment.record import Record
from pgops.migration.deployment.versions import RunFacts
from pgops.migration.model import Direction, Executed, Migration, Script, Segment, Statement
from pgops.migration.rehearsal import watchdog
from pgops.migration.rehearsal.watchdog import Deadline
from pgops.postgres import Dsn, Limits, connect

__all__ = ["DeployFailed", "Deployed", "HalfDone", "LockWait", "apply"]

log = logging.getLogger(__name__)

APPLICATION = "pgops.deploy"
QUEUE_SECONDS = 30.0
# Longer than the server keeps a session that is idle in its transaction and whose client is gone.
_READ_BACK_SECONDS = 90.0
# A timeout of the server may fire this much before our own clock says so.
_TICK_MS = 50
# The statement_timeout ends what it can; who has switched it off is ended from outside, so much later.
_SPARE_SECONDS = 1.0


def apply(
    dsn: Dsn,
    migration: Migration,
    script: Script,
    direction: Direction,
    policy: DeployPolicy,
    budget_seconds: float,
    run: RunFacts,
    guard: Guard | None = None,
    *,
    queue_seconds: float = QUEUE_SECONDS,
) -> Deployed:
    """Apply a migration, or roll it back, or go on with what an earlier run left.

    Args:
        dsn: the database, as the role that owns the schema.
        migration: the version; its checksum is what the ledger keeps.
        script: its direction, taken apart.
        direction: which of the two it is.
        policy: how long to wait for locks, and how often.
        budget_seconds: for the whole of it.
        run: who and what asked for it.
        guard: called at the beginning of every transaction of a rollback and in it before each statement; what it
            raises undoes that transaction.
        queue_seconds: how long to wait for another deployment of this database to end.

    Raises:
        Refused: nothing was touched.
        DestroysData: by the guard; nothing of that transaction remains.
        DeployFailed: it stopped; the error says what is committed and how to go on.
        HalfDone: an earlier run was cut off in a statement that nobody can judge from outside.
    """
    _refuse_strange(migration, script, direction)
    refuse_nameless(script)
    return _Deployment(dsn, migration, script, direction, policy, budget_seconds, run, guard).run(queue_seconds)


def _refuse_strange(migration: Migration, script: Script, direction: Direction) -> None:
    source = migration.up if direction == "apply" else migration.down
    if source is None or source.name != script.name or not script.segments:
        raise Refused(
            f"This is not the {direction} of {migration.label}, or it is empty",
            where=script.name,
            remedy="Give the script that was taken apart from this very migration",
        )


@dataclass
class _Deployment:
    """One call of apply()."""

    dsn: Dsn
    migration: Migration
    script: Script
    direction: Direction
    policy: DeployPolicy
    budget_seconds: float
    facts: RunFacts
    guard: Guard | None
    executed: list[Executed] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    at: Statement | None = None
    committed: int = 0

    def __post_init__(self) -> None:
        self.patience = Patience(self.policy, self.budget_seconds)
        self.connection: Connection
        self.record: Record
        self.watch: LockWatch
        self.pid = 0
        self.began = 0.0  # the last statement, on time.perf_counter()
        self.doing = ""  # where there is no statement

    # --- the whole ---

    def run(self, queue_seconds: float) -> Deployed:
        first = 0
        try:
            with self._session(queue_seconds) as rows:
                start = self._start(rows)
                first = self.committed = start.segment
                for warning in start.warnings:
                    self._note(warning)
                with self._losses_told():
                    if first < len(self.script.segments):
                        self._go_on(start)
                    self._read_back_all()
        except Lost as lost:
            self._after_loss(lost)
        return self._result(first)

    @contextmanager
    def _losses_told(self) -> Iterator[None]:
        try:
            yield
        except psycopg2.Error as error:
            if self.connection.closed:
                raise Lost(self.at, error) from error
            raise

    def _go_on(self, start: versions.Start) -> None:
        number = start.segment
        if number:
            self._note(f"went on with segment {number + 1} of {len(self.script.segments)}: the others were done")
            self._restore_settings(number)
        if self.guard and self.direction == "rollback" and not self.script.segments[number].transactional:
            self._guard_before_anything(self.guard)
        begun = start.begun
        for segment in self.script.segments[number:]:
            care = None if segment.transactional else alone(segment.statements[0])
            if care is None:
                self._transaction(self.committed, segment)
            else:
                self._alone(self.committed, segment.statements[0], care, begun)
            begun = False
            self.committed += 1
            done = f"{self.committed} of {len(self.script.segments)} segments"
            log.info(
                "%s %s: %s after %s",
                self.migration.label,
                self.direction,
                done,
                units.duration(self.patience.elapsed_seconds),
            )

    def _result(self, first: int) -> Deployed:
        segments = len(self.script.segments)
        return Deployed(
            version=self.migration.version,
            name=self.migration.name,
            checksum=self.migration.checksum,
            direction=self.direction,
            already=first == segments,
            first_segment=first,
            segments=segments,
            seconds=self.patience.elapsed_seconds,
            statements=tuple(self.executed),
            lock_waits=tuple(self.patience.waits),
            repaired=tuple(self.repaired),
            notes=tuple(self.notes),
        )

    # --- the session ---

    @contextmanager
    def _session(self, queue_seconds: float) -> Iterator[list[versions.Step]]:
        """The one session that may deploy here, and the ledger as it is then."""
        limits = Limits(statement=self.budget_seconds, lock=self.policy.lock_timeout_ms / 1000)
        every = min(max(self.policy.lock_timeout_ms / 5000, 0.01), 0.1)
        with connect(self.dsn, APPLICATION, limits) as self.connection:
            self.pid = take_place(self.connection, self.dsn, queue_seconds)
            versions.ensure(self.connection)
            self.record = Record(self.connection, self.migration, self.direction, len(self.script.segments), self.facts)
            rows = versions.steps(self.connection)
            left = self.patience.left_seconds + _SPARE_SECONDS
            with (
                Deadline(self.dsn, self.connection, left, grace=watchdog.GRACE_SECONDS),
                LockWatch(self.dsn, self.pid, every) as self.watch,
            ):
                yield rows

    def _start(self, rows: list[versions.Step]) -> versions.Start:
        return versions.start_of(rows, self.migration, self.direction, len(self.script.segments), self.dsn.where)

    def _restore_settings(self, segments: int) -> None:
        """What the file has SET in segments that are done, this session does not know yet."""
        with self.connection.cursor() as cursor:
            for statement in session_settings(self.script, segments):
                cursor.execute(statement.text)

    # --- a segment that is a transaction ---

    def _transaction(self, number: int, segment: Segment) -> None:
        for attempt in range(1, self.policy.lock_attempts + 1):
            self._refuse_over_budget(number)
            before = len(self.executed)
            try:
                step = self._commit(number, segment)
            except psycopg2.Error as error:
                del self.executed[before:]
                self._rollback(error)
                if not self._try_again(error, attempt):
                    raise self._failure(number, error) from error
                self.patience.pause()
            except PgOpsError as error:
                self._rollback()
                self.record.add_failure(number, error.what)
                raise
            else:
                self._confirm(number, step)
                return

    def _commit(self, number: int, segment: Segment) -> int:
        started = time.perf_counter()
        self.at, self.doing = None, "counting what the rollback destroys"
        with self.connection.cursor() as cursor:
            cursor.execute("BEGIN")
            if self.guard and self.direction == "rollback":
                self.patience.limit(cursor)
                self.began = time.perf_counter()
                with self.watch.running(self.doing):
                    self.guard(self.connection)
            for statement in segment.statements:
                if self.guard and self.direction == "rollback":
                    self.patience.limit(cursor)
                    self.guard(self.connection, statement)
                self._execute(cursor, statement, local=True)
            self.patience.limit(cursor)  # deferred constraints are checked at COMMIT
            cursor.execute(sql_text("migration/deploy/own_role.sql"))
            step = self.record.add(number, "done", ms=(time.perf_counter() - started) * 1000)
            self.at, self.doing = None, "COMMIT"
            with self.watch.running(self.doing):
                cursor.execute("COMMIT")
        return step

    def _confirm(self, number: int, step: int) -> None:
        """Read back that a segment is committed. An error in here must never run the segment again."""
        if not self.record.holds(step):
            raise DeployFailed(
                f"The server said COMMIT, and segment {number + 1} of {self.migration.label} is not there",
                where=self.dsn.where,
                remedy="Look at the server's log; run again to go on with what is missing",
                committed=number,
            )

    def _rollback(self, error: psycopg2.Error | None = None) -> None:
        if self.connection.closed:
            raise Lost(self.at, error or psycopg2.InterfaceError("the connection is closed")) from error
        try:
            with self.connection.cursor() as cursor:
                cursor.execute("ROLLBACK")
        except psycopg2.Error as lost:
            raise Lost(self.at, error or lost) from error

    def _guard_before_anything(self, guard: Guard) -> None:
        """A rollback that begins with something that cannot be undone asks first whether it will get through."""
        with self.connection.cursor() as cursor:
            cursor.execute("BEGIN")
            self.patience.limit(cursor)
            try:
                guard(self.connection)
            finally:
                if not self.connection.closed:
                    cursor.execute("ROLLBACK")

    # --- a segment that is a statement in no transaction ---

    def _alone(self, number: int, statement: Statement, care: Alone, begun: bool) -> None:
        self.at = statement
        try:
            if begun and self._was_done(number, statement, care):
                return
            for attempt in range(1, self.policy.lock_attempts + 1):
                self._refuse_over_budget(number)
                if self._once(number, statement, care, attempt):
                    return
        except psycopg2.Error as error:
            if self.connection.closed:
                raise
            # It stays "started": the next run looks whether it is done before it runs it again.
            raise self._failure(number, error, in_doubt=not care.repeatable, recorded=True) from error

    def _was_done(self, number: int, statement: Statement, care: Alone) -> bool:
        """Find out how a statement ended that an earlier run had begun; True when it is done."""
        self.patience.limit_session(self.connection)
        if care.finish(self.connection) or care.done(self.connection):
            self._note(f"line {statement.line} ({statement.kind}) had been done before the earlier run was cut off")
            self.record.add_alone(number, "done", detail="found done")
            return True
        if not care.repeatable:
            raise HalfDone(
                f"{self.migration.label}: {statement.kind} was begun and its end is not known; it commits by itself, "
                "so a part of it may be done",
                where=f"{self.script.name}:{statement.line}, {self.dsn.where}",
                remedy="Look how far it came. Finish or undo it by hand, then record that with pgops.migration"
                f".deployment.versions.settle(..., segment={number}, done=True or False) and run this again",
            )
        return False

    def _once(self, number: int, statement: Statement, care: Alone, attempt: int) -> bool:
        """One attempt; False when it got no lock and shall try again."""
        self.patience.limit_session(self.connection, patient=care.patient)
        self.repaired += drop_leftovers(self.connection, care)
        if care.waits_for_snapshots:
            for one in old_snapshots(self.connection, self.pid):
                self._note(f"line {statement.line} ({statement.kind}) has to wait for {one}")
        started = time.perf_counter()
        self.record.add_alone(number, "started")
        try:
            with self.connection.cursor() as cursor:
                self._execute(cursor, statement, local=False)
        except psycopg2.Error as error:
            if self.connection.closed:
                raise
            left = left_behind(self.connection, care)
            if care.repeatable:  # of another one, nobody knows what it did: it stays "started"
                self.record.add_alone(number, "failed", detail=" ".join([message_of(error), left]).strip())
            if not (care.repeatable and self._try_again(error, attempt)):
                raise self._failure(number, error, left, in_doubt=not care.repeatable, recorded=True) from error
            self.patience.pause()
            return False
        if not care.holds(self.connection):
            raise DeployFailed(
                f"{self.migration.label}: {statement.kind} succeeded, and what it was to do is not there. "
                f"{left_behind(self.connection, care)}".strip(),
                where=f"{self.script.name}:{statement.line}, {self.dsn.where}",
                remedy="Another object has its name, or IF NOT EXISTS hid one: look at it, then run again",
                committed=number,
            )
        self.record.add_alone(number, "done", ms=(time.perf_counter() - started) * 1000)
        return True

    # --- a statement ---

    def _execute(self, cursor: Any, statement: Statement, *, local: bool) -> None:
        self.at = statement
        if local:
            self.patience.limit(cursor)
        self.began = time.perf_counter()
        with self.watch.running(f"line {statement.line} ({statement.kind})"):
            cursor.execute(statement.text)
        took = (time.perf_counter() - self.began) * 1000
        self.executed.append(Executed(statement.line, statement.kind, head_of(statement.text), took, None))

    def _read_back_all(self) -> None:
        start = self._start(self.record.steps())
        if start.segment < len(self.script.segments):
            raise DeployFailed(
                f"{self.migration.label} was run, and the ledger knows {start.segment} of "
                f"{len(self.script.segments)} segments",
                where=self.dsn.where,
                remedy="Somebody wrote into pgops.schema_steps meanwhile: look at it before anything else",
                committed=start.segment,
            )

    # --- when it does not go well ---

    def _try_again(self, error: psycopg2.Error, attempt: int) -> bool:
        code = error.pgcode or ""
        if code not in AGAIN:
            return False
        at = self.at
        wait = LockWait(
            line=at.line if at else 0,
            kind=at.kind if at else self.doing,
            attempt=attempt,
            waited_ms=(time.perf_counter() - self.began) * 1000,
            sqlstate=code,
            blockers=self.watch.blockers(),
        )
        return self.patience.waited(wait)

    def _failure(
        self, number: int, error: psycopg2.Error, left: str = "", *, in_doubt: bool = False, recorded: bool = False
    ) -> DeployFailed:
        code = error.pgcode or ""
        line, kind = (self.at.line, self.at.kind) if self.at else (0, self.doing)
        over = code == CANCELLED and self.patience.left_ms <= _TICK_MS
        words = f"SQLSTATE {code}: {message_of(error)}"
        if over:
            words = f"its budget of {units.duration(self.budget_seconds)} is used up"
        if code in AGAIN and self.patience.waits:
            words += f", {len(self.patience.waits)} times; {blamed(self.patience.waits[-1])}"
        what = f"{self.migration.label} ({self.direction}) stopped at line {line} ({kind}): {words}. {left}".strip(". ")
        failed = DeployFailed(
            f"{what}. {self._standing(number, in_doubt)}",
            where=f"{self.script.name}:{line}, {self.dsn.where}",
            remedy=remedy(code, self.patience.waits, over_budget=over, left=bool(left), in_doubt=in_doubt),
            committed=number,
            sqlstate=code,
            retry=code in AGAIN,
        )
        if not recorded:
            self.record.add_failure(number, words)
        return failed

    def _standing(self, number: int, in_doubt: bool) -> str:
        segments = len(self.script.segments)
        this = "a part of this one may be" if in_doubt else "nothing of this one is"
        return f"{number} of {segments} segments are committed; {this}"

    def _refuse_over_budget(self, number: int) -> None:
        if not self.patience.used_up:
            return
        held = f"; {blamed(self.patience.waits[-1])}" if self.patience.waits else ""
        raise DeployFailed(
            f"{self.migration.label} ({self.direction}): its budget of {units.duration(self.budget_seconds)} is used up"
            f"{held}. {self._standing(number, False)}",
            where=f"{self.script.name}, {self.dsn.where}",
            remedy=remedy("", (), over_budget=True, left=False, in_doubt=False),
            committed=number,
        )

    def _after_loss(self, lost: Lost) -> None:
        """Find out what was committed: in the ledger, once the server has ended the old session and freed its lock."""
        message = message_of(lost.error)
        at = f"line {lost.statement.line} ({lost.statement.kind})" if lost.statement else self.doing or "its beginning"
        log.warning("the connection was lost near %s: %s; reading back what is committed", at, message)
        start = self._read_back_after_loss(message)
        self.committed = start.segment
        if start.segment == len(self.script.segments):
            self._note("the connection was lost at the end; read back: all of it is committed")
            return
        number = start.segment
        raise DeployFailed(
            f"{self.migration.label} ({self.direction}): the connection was lost near {at}: {message}. Read back: "
            + self._standing(number, start.begun),
            where=f"{self.script.name}, {self.dsn.where}",
            remedy="Find out who ended the session or the server; then run this again: it goes on from there",
            committed=number,
            sqlstate=lost.error.pgcode or "",
            retry=True,
        )

    def _read_back_after_loss(self, message: str) -> versions.Start:
        until = time.monotonic() + _READ_BACK_SECONDS
        while True:
            try:
                with self._session(max(until - time.monotonic(), 1)) as rows:
                    return self._start(rows)
            except PgOpsError as error:
                if not error.retry or time.monotonic() >= until:
                    raise DeployFailed(
                        f"{self.migration.label} ({self.direction}): the connection was lost: {message}; and the "
                        f"database does not say what is committed: {error.what}",
                        where=self.dsn.where,
                        remedy="When it answers again, run this again: it reads its ledger and goes on from there",
                        committed=self.committed,
                        retry=True,
                    ) from error
            time.sleep(0.5)

    # --- small things ---

    def _note(self, text: str) -> None:
        log.warning("%s: %s", self.migration.label, text)
        self.notes.append(text)
