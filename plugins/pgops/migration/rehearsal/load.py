"""An application beside the migration: how long its reads and writes have to wait.

A migration that takes milliseconds can still stop an application for minutes: its lock request waits behind an old
reader, and everybody who comes later waits behind the request. So beside little reads and writes on each touched table
there is one reader that keeps its transaction open for a while.
"""

from __future__ import annotations

import logging
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Literal

import pglast
import psycopg2
from pglast import ast
from pglast.enums import ObjectType
from psycopg2 import sql
from psycopg2.extras import NamedTupleCursor

from pgops.errors import PgOpsError
from pgops.include import query, sql_text
from pgops.migration.model import Script, Stall
from pgops.migration.scripts.statements import walk
from pgops.postgres import Dsn, Limits, connect

log = logging.getLogger(__name__)

APPLICATION = "pgops.migration.rehearsal.load"
EVERY_SECONDS = 0.02
# Each table costs two sessions of the server; beyond this many a rehearsal would measure its own load.
MOST_TABLES = 10
_KEYS = 200
_START_SECONDS = 10.0
_END_SECONDS = 1.0
_UNDEFINED_TABLE = "42P01"


def touched_tables(dsn: Dsn, script: Script) -> tuple[str, ...]:
    """Existing tables that a script's statements name, as schema.name; what a DO block does inside is not seen."""
    names = {
        ".".join('"' + part.replace('"', '""') + '"' for part in parts if part)
        for statement in script.statements
        for node in walk(pglast.parse_sql(statement.text)[0].stmt)
        for parts in _named(node)
    }
    with connect(dsn, APPLICATION, readonly=True) as connection, connection.cursor() as cursor:
        cursor.execute(sql_text("migration/rehearsal/touched_tables.sql"), {"names": sorted(names)})
        return tuple(name for (name,) in cursor.fetchall())


_RELATIONS = (ObjectType.OBJECT_TABLE, ObjectType.OBJECT_INDEX, ObjectType.OBJECT_MATVIEW)
_PARTS_OF_TABLES = (ObjectType.OBJECT_TRIGGER, ObjectType.OBJECT_POLICY, ObjectType.OBJECT_RULE)


def _named(node: Any) -> Iterator[list[str | None]]:
    """The relations that a node of a syntax tree names; those that are dropped are only lists of words there."""
    if isinstance(node, ast.RangeVar):
        yield [node.schemaname, node.relname]
    elif isinstance(node, ast.DropStmt) and node.removeType in (*_RELATIONS, *_PARTS_OF_TABLES):
        for words in node.objects or ():
            parts = [word.sval for word in words]
            yield parts[:-1] if node.removeType in _PARTS_OF_TABLES else parts


def refused_writes(dsn: Dsn, tables: Sequence[str]) -> dict[str, str]:
    """The tables of which no row can be set to itself, and why in the server's words; nothing of it lasts."""
    refused = {}
    with connect(dsn, APPLICATION, Limits(statement=30, lock=10)) as connection, connection.cursor() as cursor:
        for table in tables[:MOST_TABLES]:
            try:
                _Canary(dsn, table, "write", EVERY_SECONDS)._attempt(connection)
            except psycopg2.Error as error:
                cursor.execute("ROLLBACK")
                refused[table] = " ".join((error.diag.message_primary or str(error)).split())
    return refused


class Load:
    """While inside, each table has a reader and a writer, and for a while a reader that does not end.

    Nothing of it lasts: writes are rolled back. A table that the migration drops, renames or locks away counts as
    errors, it never ends the load.

    Args:
        dsn: the database.
        tables: as touched_tables() names them; beyond MOST_TABLES the rest is left out and logged.
        every: seconds between two reads, and between two writes, of a table.
        hold_seconds: how long one more reader keeps its transaction open on all of them, from entering the block; 0:
            there is none.
    """

    def __init__(
        self, dsn: Dsn, tables: Sequence[str], *, every: float = EVERY_SECONDS, hold_seconds: float = 0.0
    ) -> None:
        if len(tables) > MOST_TABLES:
            log.warning("no load on %s", ", ".join(tables[MOST_TABLES:]))
        self._dsn = dsn
        self._tables = tuple(tables[:MOST_TABLES])
        self._hold_seconds = hold_seconds
        kinds: tuple[Literal["read", "write"], ...] = ("read", "write")
        self._canaries = [_Canary(dsn, table, kind, every) for table in self._tables for kind in kinds]
        self._holder: _Holder | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Load:
        try:
            for canary in self._canaries:
                self._stack.callback(canary.stop)
                canary.start()
            until = time.monotonic() + _START_SECONDS
            for canary in self._canaries:
                canary.first.wait(max(until - time.monotonic(), 0))
            if self._hold_seconds > 0:
                self._holder = self._stack.enter_context(_Holder(self._dsn, self._tables, self._hold_seconds))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        for canary in self._canaries:
            canary.stopping.set()  # all at once, the callbacks then wait for each
        self._stack.close()

    def stalls(self) -> tuple[Stall, ...]:
        """What each reader and writer felt, the longest first; after the block."""
        found = [canary.stall() for canary in self._canaries if canary.times]
        return tuple(sorted(found, key=lambda stall: stall.longest_ms, reverse=True))

    def in_the_way(self, relation: str, since: float) -> float:
        """Seconds after `since` (on time.perf_counter()) for which the reader that does not end still held a table."""
        if self._holder is None or relation not in self._tables:
            return 0.0
        return max(self._holder.gone_at - since, 0.0)

    def errors(self) -> dict[str, int]:
        """How often which kind of access to which table failed with which SQLSTATE: "read public.users 42703"."""
        return {
            f"{canary.kind} {canary.table} {code}": count
            for canary in self._canaries
            for code, count in sorted(canary.errors.items())
        }


@dataclass(frozen=True)
class _Target:
    """How to address rows of a table."""

    table: sql.Identifier
    writable: bool
    key: tuple[str, ...]
    settable: str | None
    keys: tuple[tuple[str, ...], ...]

    def statement(self, kind: Literal["read", "write"]) -> sql.Composable | None:
        """A read or write of one row by chance; None when the table cannot be written."""
        if kind == "read":
            return query("migration/rehearsal/load_read.sql", table=self.table, condition=self._condition())
        if not self.writable or self.settable is None or not self.keys:
            return None
        column = sql.Identifier(self.settable)
        return query("migration/rehearsal/load_write.sql", table=self.table, column=column, condition=self._condition())

    def _condition(self) -> sql.Composable:
        if not self.keys:
            return sql.SQL("")
        values = random.choice(self.keys)
        pairs = zip(self.key or ("ctid",), values, strict=True)
        return sql.SQL("WHERE {}").format(
            sql.SQL(" AND ").join(
                sql.SQL("{} = {}").format(sql.Identifier(column), sql.Literal(value)) for column, value in pairs
            )
        )


class _Canary:
    """One reader or writer of one table, in a thread and a session of its own."""

    def __init__(self, dsn: Dsn, table: str, kind: Literal["read", "write"], every: float) -> None:
        self.table = table
        self.kind = kind
        self.times: list[float] = []
        self.errors: Counter[str] = Counter()
        self.first = threading.Event()
        self.stopping = threading.Event()
        self._dsn = dsn
        self._every = every
        self._target: _Target | None = None
        self._connection: Any = None
        self._thread = threading.Thread(target=self._work, name=f"{kind} {table}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End it; what it is waiting for at this moment counts as long as it has waited."""
        self.stopping.set()
        self._thread.join(_END_SECONDS)
        while self._thread.is_alive():
            with suppress(psycopg2.Error, AttributeError):
                self._connection.cancel()
            self._thread.join(_END_SECONDS)

    def stall(self) -> Stall:
        return Stall(
            relation=self.table,
            kind=self.kind,
            attempts=len(self.times),
            longest_ms=max(self.times),
            median_ms=statistics.median(self.times),
            errors=self.errors.total(),
        )

    def _work(self) -> None:
        while not self.stopping.is_set():
            try:
                with connect(self._dsn, APPLICATION, Limits(statement=0, lock=0)) as self._connection:
                    self._attempts(self._connection)
            except PgOpsError as error:
                self._count(getattr(error, "sqlstate", ""))
            self.first.set()
            self.stopping.wait(0.2)  # a server that is gone may come back

    def _attempts(self, connection: Any) -> None:
        while not self.stopping.is_set() and not connection.closed:
            started = time.perf_counter()
            try:
                done = self._attempt(connection)
            except psycopg2.Error as error:
                done = True
                self._recover(connection, error)
            if done:
                self.times.append(1000 * (time.perf_counter() - started))
            self.first.set()
            self.stopping.wait(self._every)

    def _attempt(self, connection: Any) -> bool:
        """One read or write; whether there was anything to do."""
        if self._target is None:
            self._target = self._find(connection)
        if self._target is None:
            self._count(_UNDEFINED_TABLE)
            return False
        statement = self._target.statement(self.kind)
        if statement is None:
            return False
        with connection.cursor() as cursor:
            cursor.execute(statement)
            if self.kind == "read":
                cursor.fetchall()
        return True

    def _find(self, connection: Any) -> _Target | None:
        with connection.cursor(cursor_factory=NamedTupleCursor) as cursor:
            cursor.execute(sql_text("migration/rehearsal/load_target.sql"), {"table": self.table})
            found = cursor.fetchone()
            if found is None:
                return None
            table = sql.Identifier(found.schema, found.name)
            key = [sql.SQL("{}::text").format(sql.Identifier(column)) for column in found.key or ["ctid"]]
            cursor.execute(
                query(
                    "migration/rehearsal/load_keys.sql",
                    table=table,
                    key=sql.SQL(", ").join(key),
                    rows=sql.Literal(_KEYS),
                )
            )
            keys = tuple(tuple(row) for row in cursor.fetchall())
        return _Target(table, found.writable, tuple(found.key), found.settable, keys)

    def _recover(self, connection: Any, error: psycopg2.Error) -> None:
        code = error.pgcode or ""
        if not (self.stopping.is_set() and code == "57014"):
            self._count(code)
        if code.startswith(("42", "22")):
            self._target = None  # the migration changed the table: look at it anew
        with suppress(psycopg2.Error), connection.cursor() as cursor:
            cursor.execute("ROLLBACK")

    def _count(self, code: str) -> None:
        self.errors[code or "connection"] += 1


class _Holder:
    """A reader that has finished reading but not its transaction."""

    def __init__(self, dsn: Dsn, tables: Sequence[str], seconds: float) -> None:
        self._dsn = dsn
        self._tables = tables
        self._seconds = seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._let_go, name="idle-in-transaction", daemon=True)
        self.gone_at = 0.0
        self._stack = ExitStack()

    def __enter__(self) -> _Holder:
        limits = Limits(lock=_START_SECONDS, idle_in_transaction=self._seconds + 60)
        connection = self._stack.enter_context(connect(self._dsn, APPLICATION, limits))
        try:
            with connection.cursor() as cursor:
                cursor.execute("BEGIN")
                for table in self._tables:
                    self._read(cursor, table)
        except BaseException:
            self._stack.close()
            raise
        self._thread.start()
        return self

    def _read(self, cursor: Any, table: str) -> None:
        cursor.execute("SAVEPOINT one")
        try:
            cursor.execute(sql_text("migration/rehearsal/load_target.sql"), {"table": table})
            found = cursor.fetchone()
            if found is not None:
                cursor.execute(query("migration/rehearsal/load_hold.sql", table=sql.Identifier(found[0], found[1])))
        except psycopg2.Error as error:
            log.warning("no open reader on %s: %s", table, error)
            cursor.execute("ROLLBACK TO SAVEPOINT one")

    def _let_go(self) -> None:
        self._done.wait(self._seconds)
        self.gone_at = time.perf_counter()
        with suppress(PgOpsError, psycopg2.Error):
            self._stack.close()

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join()
