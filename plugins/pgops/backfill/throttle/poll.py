"""Threads that look at signals, so that no batch ever waits for a question to the server."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from pgops.backfill.throttle.board import Board
from pgops.backfill.throttle.readings import Ask, Signal
from pgops.errors import PgOpsError
from pgops.include import sql_text
from pgops.postgres import Dsn, Limits, connect

log = logging.getLogger(__name__)

APPLICATION = "pgops.backfill.throttle"
# A look that takes longer is cut off; for the canary that is an answer too.
_LIMITS = Limits(statement=2, lock=2)
_LONGEST_PAUSE = 5.0


@contextmanager
def session(dsn: Dsn) -> Iterator[Connection]:
    """A session that may only look."""
    with connect(dsn, APPLICATION, _LIMITS, readonly=True, system_names=True) as connection:
        yield connection


def asking(connection: Connection) -> Ask:
    """Puts questions to one session."""

    def ask(question: str | sql.Composed, **values: Any) -> list[dict[str, Any]]:
        text = sql_text(f"backfill/throttle/{question}.sql") if isinstance(question, str) else question
        with connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(text, values or None)
            return [dict(row) for row in cursor.fetchall()]

    return ask


def nobody(question: str | sql.Composed, **values: Any) -> list[dict[str, Any]]:
    """For signals that ask no database."""
    raise NotImplementedError(question)


class Poller:
    """Looks at some signals in a thread and a session of its own, for as long as a block lasts.

    Args:
        signals: that are looked at one after another, each when it is due.
        board: where their readings go.
        dsn: None when the signals ask no database.
        clock: seconds.
    """

    def __init__(self, signals: Sequence[Signal], board: Board, dsn: Dsn | None, clock: Callable[[], float]) -> None:
        self._signals, self._board, self._dsn, self._clock = signals, board, dsn, clock
        self._every = min((signal.every for signal in signals), default=1.0)
        self._due: dict[str, float] = {}
        self._over = threading.Event()
        self._connection: Connection | None = None
        self._stack = ExitStack()
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name="backfill-throttle", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and its session; a question under way is cut off."""
        self._over.set()
        if (connection := self._connection) is not None:
            with suppress(psycopg2.Error):
                connection.cancel()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        with self._stack:
            while not self._over.is_set():
                self._round()
                pause = self._every * 2 ** min(self._failures, 10) if self._failures else self._every
                self._over.wait(min(pause, _LONGEST_PAUSE))

    def _round(self) -> None:
        try:
            ask = self._asking()
        except PgOpsError as error:
            self._failures += 1
            self._forget()
            for signal in self._signals:
                self._board.failed(signal, error.what)
            return
        self._failures = 0
        for signal in self._signals:
            if self._over.is_set() or self._lost():
                return
            if self._due.get(signal.name, 0.0) <= self._clock():
                self._look(signal, ask)

    def _look(self, signal: Signal, ask: Ask) -> None:
        asked = self._clock()
        try:
            reading = signal.read(ask)
        except Exception as error:  # whatever it is: a signal that cannot be read must never look green
            if not self._over.is_set():
                why = error.what if isinstance(error, PgOpsError) else " ".join(str(error).split())
                self._board.failed(signal, why or type(error).__name__)
        else:
            self._board.put(signal, reading, asked)
        self._due[signal.name] = self._clock() + signal.every

    def _asking(self) -> Ask:
        if self._dsn is None:
            return nobody
        if self._connection is None or self._lost():
            self._forget()
            self._connection = self._stack.enter_context(session(self._dsn))
        return asking(self._connection)

    def _lost(self) -> bool:
        return self._connection is not None and bool(self._connection.closed)

    def _forget(self) -> None:
        self._connection = None
        with suppress(PgOpsError):
            self._stack.close()
