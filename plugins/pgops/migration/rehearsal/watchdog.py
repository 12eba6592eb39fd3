"""Ends a session that does not end by itself: a migration may switch off every limit that its own session has."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Any

import psycopg2

from pgops import units
from pgops.errors import PgOpsError
from pgops.include import sql_text
from pgops.postgres import Dsn, Limits, connect

log = logging.getLogger(__name__)

APPLICATION = "pgops.migration.deadline"
GRACE_SECONDS = 2.0
TELL_SECONDS = 10.0


class Deadline:
    """While inside, a second session cancels the worker's statement when the budget ends, and soon after its session.

    Cancelling is asked for first, since it leaves the session usable; a statement that catches it loses the session.
    Nothing but this one backend is ever touched: a pid that has passed to another is not.

    Args:
        dsn: the database.
        worker: the session to be watched, in autocommit mode.
        seconds: the budget, from entering the block.
        grace: between the cancellation and the end of the session.
        tell_every: seconds between lines in the log about what the worker is doing.

    Attributes:
        doing: what the worker does at the moment, as the log shall call it; empty: nothing to tell.
    """

    def __init__(
        self,
        dsn: Dsn,
        worker: Any,
        seconds: float,
        *,
        grace: float = GRACE_SECONDS,
        tell_every: float = TELL_SECONDS,
    ) -> None:
        self.doing = ""
        self._tell_every = tell_every
        self._dsn = dsn
        self._seconds = seconds
        self._grace = grace
        with worker.cursor() as cursor:
            cursor.execute(sql_text("migration/rehearsal/backend.sql"))
            pid, backend_start = cursor.fetchone()
        self.pid: int = pid
        self._backend = {"pid": pid, "backend_start": backend_start}
        self._over = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"deadline-{pid}", daemon=True)
        self._ends = float("inf")

    def __enter__(self) -> Deadline:
        self._stack = contextlib.ExitStack()
        # Opened now: when it is needed the server may have no connection left.
        self._connection = self._stack.enter_context(connect(self._dsn, APPLICATION, Limits(statement=30)))
        self._ends = time.monotonic() + self._seconds
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join()  # so that it strikes nothing that comes afterwards
        self._stack.close()

    @property
    def left(self) -> float:
        """Seconds until the end of the budget; negative after it."""
        return self._ends - time.monotonic()

    @property
    def left_ms(self) -> int:
        """The same in whole milliseconds, never early and at least 1: as a timeout for the server."""
        return max(int(self.left * 1000) + 1, 1)

    @property
    def over(self) -> bool:
        """Whether the budget has been used up."""
        return self._over.is_set() or self.left <= 0

    def _watch(self) -> None:
        while self.left > 0:
            if self._done.wait(min(self.left, self._tell_every)):
                return
            self._tell()
        self._over.set()
        log.warning("the budget of %s s is used up: cancelling pid %s", self._seconds, self.pid)
        self._ask("migration/rehearsal/cancel_backend.sql")
        if not self._done.wait(self._grace):
            log.warning("pid %s still runs: ending its session", self.pid)
            self._ask("migration/rehearsal/terminate_backend.sql")

    def _tell(self) -> None:
        if self.doing and self.left > 0:
            used = round(100 * (1 - self.left / self._seconds))
            log.info("%s; %s %% of the budget are used, %s left", self.doing, used, units.duration(self.left))

    def _ask(self, name: str) -> None:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(sql_text(name), self._backend)
            return
        except psycopg2.Error as error:
            log.warning("the session that watches the budget was lost: %s", error)
        try:
            with connect(self._dsn, APPLICATION, Limits(statement=30)) as connection, connection.cursor() as cursor:
                cursor.execute(sql_text(name), self._backend)
        except PgOpsError as error:
            log.error("the budget cannot be kept: %s", error)
