"""A second session beside the deploying one: it sees whom that waits for, while it waits."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from pgops import units
from pgops.errors import PgOpsError
from pgops.include import sql_text
from pgops.postgres import Dsn, Limits, connect

log = logging.getLogger(__name__)

APPLICATION = "pgops.deploy.watch"
_QUERY_HEAD = 100
_NEWS_SECONDS = 10.0


@dataclass(frozen=True)
class Blocker:
    """A session that holds what is wanted. What the deploying role may not see is empty.

    `seconds` is the age of its transaction, `backend` what kind of process it is.
    """

    pid: int
    application_name: str
    user: str
    backend: str
    state: str
    seconds: float | None
    query: str

    def __str__(self) -> str:
        who = " ".join(word for word in (self.application_name or self.backend, self.user) if word)
        age = f", transaction open for {units.duration(self.seconds)}" if self.seconds is not None else ""
        query = f": {self.query}" if self.query else ""
        return f"pid {self.pid} ({who or 'unknown'}, {self.state or 'state hidden'}{age}){query}"

    @property
    def is_autovacuum(self) -> bool:
        """Autovacuum gives way, but only to who waits longer than deadlock_timeout."""
        return self.backend == "autovacuum worker"


def blocker(row: dict[str, Any]) -> Blocker:
    """A blocker from a row of blockers.sql or old_snapshots.sql."""
    query = " ".join(row["query"].split())[:_QUERY_HEAD]
    return Blocker(
        row["pid"], row["application_name"], row["user"], row["backend"], row["state"], row["xact_seconds"], query
    )


class LockWatch:
    """Watches one session for as long as a block lasts.

    Args:
        dsn: the database.
        pid: the session that is watched.
        every: seconds between two looks while a statement runs.
    """

    def __init__(self, dsn: Dsn, pid: int, every: float) -> None:
        self._dsn, self._pid, self._every = dsn, pid, every
        self._lock = threading.Lock()
        self._seen: dict[int, Blocker] = {}
        self._running = threading.Event()
        self._what, self._since = "", 0.0
        self._over = False
        self._thread = threading.Thread(target=self._watch, name=f"lockwatch-{pid}", daemon=True)
        self._stack = contextlib.ExitStack()
        self._connection: Connection | None = None

    def __enter__(self) -> LockWatch:
        self._open()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        self._running.set()
        self._thread.join()
        self._stack.close()

    @contextmanager
    def running(self, what: str) -> Iterator[None]:
        """While a statement runs; of one that takes long it is logged how far it is and whom it waits for."""
        with self._lock:
            self._seen = {}
        self._what, self._since = what, time.monotonic()
        self._running.set()
        try:
            yield
        finally:
            self._running.clear()

    def blockers(self) -> tuple[Blocker, ...]:
        """Whom the last statement waited for, the oldest transaction first."""
        with self._lock:
            return tuple(sorted(self._seen.values(), key=lambda one: -(one.seconds or 0)))

    def _open(self) -> None:
        try:
            self._connection = self._stack.enter_context(
                connect(self._dsn, APPLICATION, Limits(statement=30), system_names=True)
            )
        except PgOpsError as error:
            self._connection = None
            log.warning("nobody watches the locks: %s", error)

    def _watch(self) -> None:
        told = 0.0
        while not self._over:
            if not self._running.wait(1) or self._over:
                continue
            try:
                self._look()
                if time.monotonic() - max(told, self._since) >= _NEWS_SECONDS:
                    told = time.monotonic()
                    self._tell()
            except psycopg2.Error as error:
                log.warning("the session that watches the locks was lost: %s", error)
                self._stack.close()
                self._open()
            time.sleep(self._every)

    def _look(self) -> None:
        found = [blocker(row) for row in self._ask("migration/deploy/blockers.sql")]
        with self._lock:
            self._seen |= {one.pid: one for one in found}

    def _tell(self) -> None:
        news = [_progress(one) for one in self._ask("migration/deploy/index_progress.sql")]
        news += [f"waiting for {one}" for one in self.blockers()]
        took = units.duration(time.monotonic() - self._since)
        log.info("%s has been running for %s%s", self._what, took, "".join(f"; {one}" for one in news))

    def _ask(self, name: str) -> list[dict[str, Any]]:
        if self._connection is None:
            return []
        with self._connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(sql_text(name), {"pid": self._pid})
            return [dict(row) for row in cursor.fetchall()]


def _progress(row: dict[str, Any]) -> str:
    for what in ("tuples", "blocks", "lockers"):
        if row[f"{what}_total"]:
            percent = 100 * row[f"{what}_done"] // row[f"{what}_total"]
            return f"{row['phase']}: {percent} % of {row[f'{what}_total']} {what}"
    return str(row["phase"])
