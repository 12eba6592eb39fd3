"""A migration into production: segment by segment, with short waits for locks, and never half applied unnoticed.

Whatever cuts it off (an error, a lost connection, a killed worker), the version ledger in the same database tells what
is done, and the next run goes on with the first segment that is not. A connection that is lost at COMMIT leaves nobody
knowing; then the ledger is read back, once the server has let go of the old session.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from pgops import units
from pgops.errors import PgOpsError, Refused
from pgops.fleet.migrations import DeployPolicy
from pgops.include import query, sql_text
from pgops.migration.deployment import versions
from pgops.migration.deployment.alone import Alone, alone, drop_leftovers, refuse_nameless, session_settings
from pgops.migration.deployment.deployed import Deployed, DeployFailed, HalfDone, LockWait, blamed, head_of, message_of
from pgops.migration.deployment.lockwatch import LockWatch, blocker
from pgops.migration.deployment.losses import Guard
from pgops.migration.deployment.versions import RunFacts
from pgops.migration.model import Direction, Executed, Migration, Script, Segment, Statement
from pgops.migration.rehearsal import watchdog
from pgops.migration.rehearsal.watchdog import Deadline
from pgops.postgres import Dsn, Limits, connect

__all__ = ["DeployFailed", "Deployed", "HalfDone", "LockWait", "apply"]

log = logging.getLogger(__name__)

APPLICATION = "pgops.deploy"
QUEUE_SECONDS = 30.0
# lock_not_available, deadlock_detected, serialization_failure: the same again may succeed.
_AGAIN = ("55P03", "40P01", "40001")
_LOCK_TIMEOUT = "55P03"
_CANCELLED = "57014"
# Between two attempts the application catches up.
_LONGEST_PAUSE_SECONDS = 10.0
_OLD_SNAPSHOT_SECONDS = 5
# Longer than the server keeps a session that is idle in its transaction and whose client is gone.
_READ_BACK_SECONDS = 90.0
_MARK = "2s"
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


class _Lost(Exception):
    """The session is gone, and with it the answer to what it was doing."""

    def __init__(self, statement: Statement | None, error: psycopg2.Error) -> None:
        self.statement = statement
        self.error = error


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
    waits: list[LockWait] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    at: Statement | None = None
    committed: int = 0

    def __post_init__(self) -> None:
        self.started = time.monotonic()
        self.deadline = self.started + self.budget_seconds
        self.connection: Connection
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
        except _Lost as lost:
            self._after_loss(lost)
        return self._result(first)

    @contextmanager
    def _losses_told(self) -> Iterator[None]:
        try:
            yield
        except psycopg2.Error as error:
            if self.connection.closed:
                raise _Lost(self.at, error) from error
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
            log.info("%s %s: %s after %s", self.migration.label, self.direction, done, units.duration(self._elapsed()))

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
            seconds=self._elapsed(),
            statements=tuple(self.executed),
            lock_waits=tuple(self.waits),
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
            server = self._server()
            self.pid = server["pid"]
            self._take_lock(queue_seconds)
            versions.ensure(self.connection)
            rows = versions.steps(self.connection)
            left = max(self.deadline - time.monotonic(), 0) + _SPARE_SECONDS
            with (
                Deadline(self.dsn, self.connection, left, grace=watchdog.GRACE_SECONDS),
                LockWatch(self.dsn, self.pid, every) as self.watch,
            ):
                yield rows

    def _server(self) -> dict[str, Any]:
        with self.connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(sql_text("migration/deploy/server.sql"))
            facts = dict(cursor.fetchone() or {})
        if facts["in_recovery"]:
            raise Refused(
                "This is a standby", where=self.dsn.where, remedy="Name the primary under migrations.deploy.connection"
            )
        if facts["session_mark"] != _MARK:
            raise Refused(
                "A transaction pooler stands between: a session's settings do not reach the server",
                where=self.dsn.where,
                remedy="Connect directly to PostgreSQL: locks and timeouts live in one session",
            )
        return facts

    def _take_lock(self, seconds: float) -> None:
        """Wait for the only place by asking again and again; between two questions this session holds no snapshot."""
        until = time.monotonic() + seconds
        with self.connection.cursor() as cursor:
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
            where=self.dsn.where,
            remedy="Wait until it has ended; a killed one ends within seconds",
            retry=True,
        )

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
                self._pause(attempt)
            except PgOpsError as error:
                self._rollback()
                self._record_failure(number, error.what)
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
                self._limit(cursor, self._ladder())
                self.began = time.perf_counter()
                with self.watch.running(self.doing):
                    self.guard(self.connection)
            for statement in segment.statements:
                if self.guard and self.direction == "rollback":
                    self._limit(cursor, self._ladder())
                    self.guard(self.connection, statement)
                self._execute(cursor, statement, local=True)
            self._limit(cursor, self._ladder())  # deferred constraints are checked at COMMIT
            cursor.execute(sql_text("migration/deploy/own_role.sql"))
            step = self._step(number, "done", ms=(time.perf_counter() - started) * 1000)
            self.at, self.doing = None, "COMMIT"
            with self.watch.running(self.doing):
                cursor.execute("COMMIT")
        return step

    def _confirm(self, number: int, step: int) -> None:
        """Read back that a segment is committed. An error in here must never run the segment again."""
        with self._as_connected():
            if not versions.was_added(self.connection, step):
                raise DeployFailed(
                    f"The server said COMMIT, and segment {number + 1} of {self.migration.label} is not there",
                    where=self.dsn.where,
                    remedy="Look at the server's log; run again to go on with what is missing",
                    committed=number,
                )

    def _rollback(self, error: psycopg2.Error | None = None) -> None:
        if self.connection.closed:
            raise _Lost(self.at, error or psycopg2.InterfaceError("the connection is closed")) from error
        try:
            with self.connection.cursor() as cursor:
                cursor.execute("ROLLBACK")
        except psycopg2.Error as lost:
            raise _Lost(self.at, error or lost) from error

    def _guard_before_anything(self, guard: Guard) -> None:
        """A rollback that begins with something that cannot be undone asks first whether it will get through."""
        with self.connection.cursor() as cursor:
            cursor.execute("BEGIN")
            self._limit(cursor, self._ladder())
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
        self._limit_session(self._ladder())
        if care.finish(self.connection) or care.done(self.connection):
            self._note(f"line {statement.line} ({statement.kind}) had been done before the earlier run was cut off")
            self._own_step(number, "done", detail="found done")
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
        self._limit_session(self._left_ms() if care.patient else self._ladder())
        self.repaired += drop_leftovers(self.connection, care)
        if care.waits_for_snapshots:
            self._name_old_snapshots(statement)
        started = time.perf_counter()
        self._own_step(number, "started")
        try:
            with self.connection.cursor() as cursor:
                self._execute(cursor, statement, local=False)
        except psycopg2.Error as error:
            if self.connection.closed:
                raise
            left = self._left_behind(care)
            if care.repeatable:  # of another one, nobody knows what it did: it stays "started"
                self._own_step(number, "failed", detail=" ".join([message_of(error), left]).strip())
            if not (care.repeatable and self._try_again(error, attempt)):
                raise self._failure(number, error, left, in_doubt=not care.repeatable, recorded=True) from error
            self._pause(attempt)
            return False
        if not care.holds(self.connection):
            raise DeployFailed(
                f"{self.migration.label}: {statement.kind} succeeded, and what it was to do is not there. "
                f"{self._left_behind(care)}".strip(),
                where=f"{self.script.name}:{statement.line}, {self.dsn.where}",
                remedy="Another object has its name, or IF NOT EXISTS hid one: look at it, then run again",
                committed=number,
            )
        self._own_step(number, "done", ms=(time.perf_counter() - started) * 1000)
        return True

    def _left_behind(self, care: Alone) -> str:
        names = [f"{schema}.{name}" for schema, name in care.leftovers(self.connection)]
        if not names:
            return ""
        return f"It left the invalid index {', '.join(names)}: every write pays for it and no query uses it"

    def _name_old_snapshots(self, statement: Statement) -> None:
        with self.connection.cursor(cursor_factory=RealDictCursor) as cursor:
            values = {"own": [self.pid], "seconds": _OLD_SNAPSHOT_SECONDS}
            cursor.execute(sql_text("migration/deploy/old_snapshots.sql"), values)
            old = [blocker(dict(row)) for row in cursor.fetchall()]
        for one in old:
            self._note(f"line {statement.line} ({statement.kind}) has to wait for {one}")

    # --- a statement ---

    def _execute(self, cursor: Any, statement: Statement, *, local: bool) -> None:
        self.at = statement
        if local:
            self._limit(cursor, self._ladder())
        self.began = time.perf_counter()
        with self.watch.running(f"line {statement.line} ({statement.kind})"):
            cursor.execute(statement.text)
        took = (time.perf_counter() - self.began) * 1000
        self.executed.append(Executed(statement.line, statement.kind, head_of(statement.text), took, None))

    def _limit(self, cursor: Any, lock_ms: int) -> None:
        cursor.execute(
            query("migration/deploy/limits.sql", lock=sql.Literal(lock_ms), statement=sql.Literal(self._left_ms()))
        )

    def _limit_session(self, lock_ms: int) -> None:
        with self.connection.cursor() as cursor:
            limits = {"lock": sql.Literal(lock_ms), "statement": sql.Literal(self._left_ms())}
            cursor.execute(query("migration/deploy/session_limits.sql", **limits))

    def _ladder(self) -> int:
        return min(self.policy.lock_timeout_ms, self._left_ms())

    # --- the ledger ---

    def _step(self, number: int, state: versions.State, *, ms: float | None = None, detail: str = "") -> int:
        return versions.add(
            self.connection,
            self.migration,
            self.direction,
            number,
            len(self.script.segments),
            state,
            self.facts,
            ms=ms,
            detail=detail,
        )

    def _own_step(self, number: int, state: versions.State, *, ms: float | None = None, detail: str = "") -> None:
        with self._as_connected():
            self._step(number, state, ms=ms, detail=detail)

    @contextmanager
    def _as_connected(self) -> Iterator[None]:
        """A transaction with the rights of the role that connected, whatever role the file has set."""
        with self.connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(sql_text("migration/deploy/own_role.sql"))
            cursor.execute(sql_text("migration/deploy/own_limits.sql"))
            yield
            cursor.execute("COMMIT")

    def _record_failure(self, number: int, detail: str) -> None:
        try:
            self._own_step(number, "failed", detail=detail)
        except psycopg2.Error as error:
            log.warning("the failure could not be recorded in the version ledger: %s", message_of(error))

    def _read_back_all(self) -> None:
        with self._as_connected():
            start = self._start(versions.steps(self.connection))
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
        if code not in _AGAIN:
            return False
        at = self.at
        self.waits.append(
            LockWait(
                line=at.line if at else 0,
                kind=at.kind if at else self.doing,
                attempt=attempt,
                waited_ms=(time.perf_counter() - self.began) * 1000,
                sqlstate=code,
                blockers=self.watch.blockers(),
            )
        )
        return attempt < self.policy.lock_attempts and self._left_ms() > 1

    def _pause(self, attempt: int) -> None:
        """Let the application catch up before it is kept waiting again: full jitter under a growing limit."""
        wait = self.waits[-1]
        limit = min(self.policy.lock_timeout_ms / 1000 * 2**attempt, _LONGEST_PAUSE_SECONDS)
        pause = min(random.uniform(0, limit), max(self.deadline - time.monotonic(), 0))
        log.warning(
            "line %s (%s) got no lock at attempt %s of %s (SQLSTATE %s); %s; again in %s",
            wait.line,
            wait.kind,
            attempt,
            self.policy.lock_attempts,
            wait.sqlstate,
            blamed(wait),
            units.duration(pause),
        )
        time.sleep(pause)

    def _failure(
        self, number: int, error: psycopg2.Error, left: str = "", *, in_doubt: bool = False, recorded: bool = False
    ) -> DeployFailed:
        code = error.pgcode or ""
        line, kind = (self.at.line, self.at.kind) if self.at else (0, self.doing)
        over = code == _CANCELLED and self._left_ms() <= _TICK_MS
        words = f"SQLSTATE {code}: {message_of(error)}"
        if over:
            words = f"its budget of {units.duration(self.budget_seconds)} is used up"
        if code in _AGAIN and self.waits:
            words += f", {len(self.waits)} times; {blamed(self.waits[-1])}"
        what = f"{self.migration.label} ({self.direction}) stopped at line {line} ({kind}): {words}. {left}".strip(". ")
        failed = DeployFailed(
            f"{what}. {self._standing(number, in_doubt)}",
            where=f"{self.script.name}:{line}, {self.dsn.where}",
            remedy=self._remedy(code, over, left, in_doubt),
            committed=number,
            sqlstate=code,
            retry=code in _AGAIN,
        )
        if not recorded:
            self._record_failure(number, words)
        return failed

    def _remedy(self, code: str, over: bool, left: str, in_doubt: bool) -> str:
        if over:
            return "Find out in the rehearsal what takes so long, or raise migrations.budget_seconds; then run it again"
        if code == _LOCK_TIMEOUT:
            ask = "Ask those sessions to finish, or end them (SELECT pg_terminate_backend(pid)), then run this again"
            if self.waits and any(one.is_autovacuum for one in self.waits[-1].blockers):
                ask += "; autovacuum gives way by itself only to a lock_timeout_ms above deadlock_timeout"
            return ask
        if code == _CANCELLED:
            return "Somebody cancelled it; ask why before you run this again"
        if in_doubt:
            return "Look how far it came before anything else; the next run will refuse until that is settled"
        if left:
            return "Mend the cause and run this again: it drops the invalid index and builds it anew"
        return "Mend the cause; if the file has to change, validate it again. What is committed can be rolled back"

    def _standing(self, number: int, in_doubt: bool) -> str:
        segments = len(self.script.segments)
        this = "a part of this one may be" if in_doubt else "nothing of this one is"
        return f"{number} of {segments} segments are committed; {this}"

    def _refuse_over_budget(self, number: int) -> None:
        if self._left_ms() > 1:
            return
        held = f"; {blamed(self.waits[-1])}" if self.waits else ""
        raise DeployFailed(
            f"{self.migration.label} ({self.direction}): its budget of {units.duration(self.budget_seconds)} is used up"
            f"{held}. {self._standing(number, False)}",
            where=f"{self.script.name}, {self.dsn.where}",
            remedy=self._remedy("", True, "", False),
            committed=number,
        )

    def _after_loss(self, lost: _Lost) -> None:
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

    def _elapsed(self) -> float:
        return time.monotonic() - self.started

    def _left_ms(self) -> int:
        """What is left of the budget; never 0, which would mean no limit."""
        return max(int((self.deadline - time.monotonic()) * 1000), 1)

    def _note(self, text: str) -> None:
        log.warning("%s: %s", self.migration.label, text)
        self.notes.append(text)
