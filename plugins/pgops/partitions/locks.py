"""Locks are asked for in a way that nobody feels: look first, wait briefly, stop when the server is in trouble.

A statement that waits for a lock makes everybody wait who comes after it. So it waits for less than deadlock_timeout
(a longer wait also cancels an autovacuum), behind no transaction that has been open for longer than that already, and
not at all while others wait for locks anywhere on the server.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from pgops import units
from pgops.errors import PgOpsError
from pgops.fleet.partitions import PartitionPolicies
from pgops.include import query, sql_text
from pgops.partitions.session import ask

log = logging.getLogger(__name__)

LockLevel = Literal["ShareUpdateExclusiveLock", "ShareRowExclusiveLock", "AccessExclusiveLock"]
# lock_not_available, deadlock_detected, serialization_failure
_AGAIN = ("55P03", "40P01", "40001")
_LONGEST_PAUSE_SECONDS = 10.0
_BELOW_DEADLOCK_TIMEOUT = 0.9
_Result = TypeVar("_Result")


class CircuitOpen(PgOpsError):
    """Nothing was begun: sessions wait for locks on this server already."""


class Blocked(PgOpsError):
    """No lock was to be had within all tries, or the parent's budget; the message names who held it."""


@dataclass(frozen=True)
class Holder:
    """A session that holds a lock, or a snapshot, which is in the way. `seconds` is None when it is hidden."""

    pid: int | None
    relation: str
    mode: str
    user: str
    application: str
    state: str
    query: str
    seconds: float | None
    backend: str

    def __str__(self) -> str:
        if self.pid is None:
            return f"a prepared transaction holds {self.mode} on {self.relation}"
        who = f"pid {self.pid} ({', '.join(filter(None, (self.user or self.backend, self.application))) or 'hidden'})"
        since = f", in a transaction open for {units.duration(self.seconds)}" if self.seconds is not None else ""
        what = f"{self.mode} on {self.relation}" if self.mode else self.relation
        state = f"; {self.state}: {' '.join(self.query.split())}" if self.query else ""
        return f"{who} holds {what}{since}{state}"


@dataclass(frozen=True)
class Look:
    """Sessions that wait for locks, and whoever is in the way for longer than was asked."""

    waiting: int
    holders: tuple[Holder, ...]


@dataclass(frozen=True)
class Effort:
    """What getting the locks took: tries, and seconds of failed tries and of the pauses between them."""

    tries: int
    waited_seconds: float


class Patience:
    """The tries, the timeouts and the budget for one parent.

    Args:
        connection: of `session()`.
        policies: of the fleet file.
        where: the parent, as errors name it.
        deadlock_timeout_ms: of the server.
    """

    def __init__(
        self, connection: Connection, policies: PartitionPolicies, where: str, deadlock_timeout_ms: int
    ) -> None:
        self._connection, self._policies, self._where = connection, policies, where
        self._deadline = time.monotonic() + policies.parent_budget_seconds
        most = max(1, int(deadlock_timeout_ms * _BELOW_DEADLOCK_TIMEOUT))
        self._first_ms = min(policies.first_lock_timeout_ms, most)
        self._last_ms = min(policies.last_lock_timeout_ms, most)

    def timeout_ms(self, attempt: int) -> int:
        """The lock_timeout of a try, counted from 1: each longer than the one before, by the same factor."""
        steps = max(self._policies.lock_tries - 1, 1)
        factor: float = (self._last_ms / self._first_ms) ** (min(attempt - 1, steps) / steps)
        return round(self._first_ms * factor)

    @property
    def seconds_left(self) -> float:
        """Of the parent's budget."""
        return max(self._deadline - time.monotonic(), 0.0)

    def look(self, watched: Mapping[int, LockLevel], seconds: float, name: str = "look") -> Look:
        """Who waits, and who is in the way of locks on these relations since more than `seconds`."""
        with self._connection.cursor() as cursor:
            ask(cursor, f"locks/{name}", list(watched), list(watched.values()), seconds)
            ((waiting, holders),) = cursor.fetchall()
        return Look(waiting, tuple(_holder(one) for one in holders))

    def run(
        self,
        what: str,
        watched: Mapping[int, LockLevel],
        work: Callable[[int], _Result],
        *,
        look: str = "look",
    ) -> tuple[_Result, Effort]:
        """Do `work`, one transaction, as often as it takes; it is given the lock_timeout in milliseconds.

        Args:
            what: the work, in the words of a log line.
            watched: the locks that it will ask for, by the relation's oid.
            work: raises psycopg2's error when it got no lock, with nothing left behind.
            look: the query of include/sql/partitions/locks/ that looks for whoever is in the way.

        Raises:
            CircuitOpen: too many sessions wait for locks.
            Blocked: the tries or the budget have run out.
        """
        began, longest = time.monotonic(), self._last_ms / 1000
        for attempt in range(1, self._policies.lock_tries + 1):
            timeout = self.timeout_ms(attempt)
            seen = self.look(watched, longest, look)
            self._break_circuit(seen)
            tried = time.monotonic()
            if not seen.holders:
                try:
                    return work(timeout), Effort(attempt, tried - began)
                except psycopg2.Error as error:
                    if self._connection.closed or error.pgcode not in _AGAIN:
                        raise
            if attempt == self._policies.lock_tries or not self._pause(what, timeout, attempt, seen):
                break
        holders = (seen if seen.holders else self.look(watched, 0.0, look)).holders
        raise self._blocked(what, attempt, time.monotonic() - began, holders)

    def _break_circuit(self, seen: Look) -> None:
        if seen.waiting > self._policies.max_waiting_sessions:
            raise CircuitOpen(
                f"{seen.waiting} sessions wait for locks here, more than {self._policies.max_waiting_sessions}",
                where=self._where,
                remedy="Nothing was begun. Look who blocks them (pg_blocking_pids); the task tries again by itself",
                retry=True,
            )

    def _pause(self, what: str, timeout_ms: int, attempt: int, seen: Look) -> bool:
        """Wait until the next try, never twice as long as before and never in step with others; False: no time left."""
        most = min(timeout_ms / 1000 * 2 ** (attempt - 1), _LONGEST_PAUSE_SECONDS)
        pause = random.uniform(most / 2, most)
        if pause >= self.seconds_left:
            return False
        because = str(seen.holders[0]) if seen.holders else f"no lock within {timeout_ms} ms"
        log.info("%s: try %d: %s; again in %s", what, attempt, because, units.moment(pause))
        time.sleep(pause)
        return True

    def _blocked(self, what: str, tries: int, seconds: float, holders: tuple[Holder, ...]) -> Blocked:
        who = "; ".join(str(one) for one in holders[:3]) or "whoever held it is gone by now"
        return Blocked(
            f"{what} got no lock in {tries} tries and {units.duration(seconds)}: {who}",
            where=self._where,
            remedy="The task tries again by itself; pg_terminate_backend ends a transaction that was forgotten",
            retry=True,
        )


def _holder(values: list[Any]) -> Holder:
    pid, relation, mode, user, application, state, query, seconds, backend = values
    return Holder(pid, relation, mode, user or "", application or "", state or "", query or "", seconds, backend or "")


def with_ladder(
    connection: Connection,
    policies: PartitionPolicies,
    statement: sql.Composable | Callable[[Any], _Result],
    *,
    what: str,
    watched: Mapping[int, LockLevel] | None = None,
) -> _Result | None:
    """Do something in a transaction of its own, with the patience of `Patience`.

    Args:
        connection: in autocommit mode, with "locks/look" prepared; a transaction that fails is rolled back as a whole.
        policies: of the fleet file.
        statement: one statement, or what is to be done with a cursor in that transaction; its result is returned.
        what: as log lines name it.
        watched: the locks that it will ask for, by the relation's oid.

    Raises:
        CircuitOpen, Blocked: no lock was to be had; nothing has changed.
        psycopg2.Error: anything else that the server said.
    """
    with connection.cursor() as cursor:
        cursor.execute(sql_text("partitions/locks/deadlock_timeout.sql"))
        ((deadlock_timeout_ms,),) = cursor.fetchall()
    where = f"{connection.info.host}:{connection.info.port}/{connection.info.dbname}"
    patience = Patience(connection, policies, where, deadlock_timeout_ms)
    result, _ = patience.run(what, watched or {}, lambda lock_ms: _in_a_transaction(connection, lock_ms, statement))
    return result


def _in_a_transaction(
    connection: Connection, lock_ms: int, statement: sql.Composable | Callable[[Any], _Result]
) -> _Result | None:
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        try:
            cursor.execute(query("partitions/locks/limit.sql", lock=sql.Literal(lock_ms)))
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
