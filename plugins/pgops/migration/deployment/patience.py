"""How long a deployment may take, and how often it asks for a lock."""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass, field
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from pgops import units
from pgops.fleet.migrations import DeployPolicy
from pgops.include import query
from pgops.migration.deployment.deployed import LockWait, blamed

log = logging.getLogger(__name__)

# Between two attempts the application catches up.
_LONGEST_PAUSE_SECONDS = 10.0


@dataclass
class Patience:
    """A budget of time, counted from when this is made, and the attempts that got no lock.

    Attributes:
        budget_seconds: for the whole deployment.
        waits: in vain, in order.
    """

    policy: DeployPolicy
    budget_seconds: float
    waits: list[LockWait] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._started = time.monotonic()

    @property
    def elapsed_seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._started

    @property
    def left_seconds(self) -> float:
        """Of the budget; never below 0."""
        return max(self.budget_seconds - self.elapsed_seconds, 0)

    @property
    def left_ms(self) -> int:
        """Of the budget; never 0, which would mean no limit."""
        return max(int(self.left_seconds * 1000), 1)

    @property
    def used_up(self) -> bool:
        """Whether nothing of the budget is left."""
        return self.left_ms <= 1

    @property
    def lock_ms(self) -> int:
        """How long the next statement may wait for a lock."""
        return min(self.policy.lock_timeout_ms, self.left_ms)

    def limit(self, cursor: Any) -> None:
        """Tell the server, for the rest of the transaction."""
        limits = {"lock": sql.Literal(self.lock_ms), "statement": sql.Literal(self.left_ms)}
        cursor.execute(query("migration/deploy/limits.sql", **limits))

    def limit_session(self, connection: Connection, *, patient: bool = False) -> None:
        """Tell the server, for a statement that runs in no transaction; a patient one waits for its lock to the end."""
        lock_ms = self.left_ms if patient else self.lock_ms
        limits = {"lock": sql.Literal(lock_ms), "statement": sql.Literal(self.left_ms)}
        with connection.cursor() as cursor:
            cursor.execute(query("migration/deploy/session_limits.sql", **limits))

    def waited(self, wait: LockWait) -> bool:
        """Note an attempt that got no lock; whether there is another one."""
        self.waits.append(wait)
        return wait.attempt < self.policy.lock_attempts and not self.used_up

    def pause(self) -> None:
        """Let the application catch up before it is kept waiting again: full jitter under a growing limit."""
        wait = self.waits[-1]
        limit = min(self.policy.lock_timeout_ms / 1000 * 2**wait.attempt, _LONGEST_PAUSE_SECONDS)
        seconds = min(random.uniform(0, limit), self.left_seconds)
        log.warning(
            "line %s (%s) got no lock at attempt %s of %s (SQLSTATE %s); %s; again in %s",
            wait.line,
            wait.kind,
            wait.attempt,
            self.policy.lock_attempts,
            wait.sqlstate,
            blamed(wait),
            units.duration(seconds),
        )
        time.sleep(seconds)
