"""What a statement did to relations that were there before: locks, rewrites, full scans.

Inside a transaction the worker's own session is asked after each statement, which is exact: locks are held to the end,
and only this session knows the names that the transaction made. Outside of one, locks come and go while the statement
runs, so a second session looks at them every few milliseconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg2

from pgops.include import sql_text
from pgops.migration.model import Lock, Scan

# In PostgreSQL's own order; a plain read's lock is not worth a line: only schema changes wait for it.
MODES = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
_STRENGTH = {mode: strength for strength, mode in enumerate(MODES)}
_BLOCKS = {
    "AccessExclusiveLock": "reads and writes",
    "ExclusiveLock": "writes",
    "ShareRowExclusiveLock": "writes",
    "ShareLock": "writes",
}
_HAVE_ROWS = ("r", "m")
_INDEXES = ("i",)
# These may stop before a relation's end; whatever else scans a relation reads all of it.
_QUERIES = ("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "DO", "CALL", "EXECUTE")
SAMPLE_SECONDS = 0.003


@dataclass(frozen=True)
class Relation:
    """A relation at one instant.

    Attributes:
        name: schema and name, quoted where SQL needs it.
        kind: pg_class.relkind.
        filenode: its file.
        table: of an index its table, else itself.
        estimated_rows: pg_class.reltuples.
        scans, rows_read: counters that only grow.
    """

    oid: int
    name: str
    kind: str
    filenode: int
    table: int
    estimated_rows: float
    scans: int
    rows_read: int


@dataclass(frozen=True)
class Effect:
    """What one statement did; the locks' `held_ms` is not known yet where it ends with the transaction."""

    locks: tuple[Lock, ...]
    rewritten: tuple[str, ...]
    scans: tuple[Scan, ...]


def strongest(modes: Iterable[str]) -> str:
    """The strongest of some lock modes."""
    return max(modes, key=lambda mode: _STRENGTH.get(mode, 0))


def all_relations(cursor: Any) -> dict[int, Relation]:
    """Every relation of the users, by oid."""
    cursor.execute(sql_text("migration/rehearsal/relations.sql"))
    return {row[0]: Relation(*row) for row in cursor.fetchall()}


class Transaction:
    """One transaction of the worker: what it has locked, replaced and read so far.

    Args:
        known: relations as they are at its beginning.
        existed: those that were there before the script.
    """

    def __init__(self, known: Mapping[int, Relation], existed: frozenset[int]) -> None:
        self.known = dict(known)
        self._existed = existed
        self._held: dict[int, str] = {}
        self._counted: dict[int, tuple[int, int]] = {}

    def effect(self, cursor: Any, kind: str, remaining_ms: int) -> Effect:
        """What changed since the last call; also limits the next statement to what is left of the budget."""
        cursor.execute(sql_text("migration/rehearsal/observe.sql"), {"remaining_ms": remaining_ms})
        locks: list[Lock] = []
        rewritten: list[Relation] = []
        scans: list[Scan] = []
        for oid, modes, *described, _timeout in cursor.fetchall():
            now = Relation(oid, *described) if described[0] is not None else None
            before = self.known.get(oid)
            named = now or before
            if oid is None or named is None:  # nothing locked; or a heap that a rewrite used and dropped
                continue
            locks += self._taken(oid, named.name, strongest(modes))
            if now is None:
                continue
            if before is not None and oid in self._existed:
                rewritten += [now] if was_rewritten(before, now, kind) else []
                scans += self._scanned(now, kind)
            self.known[oid] = now
        return Effect(tuple(locks), names_of_rewritten(rewritten), tuple(scans))

    def _taken(self, oid: int, name: str, mode: str) -> list[Lock]:
        before = self._held.get(oid, MODES[0])
        if _STRENGTH[mode] <= _STRENGTH[before]:
            return []
        self._held[oid] = mode
        return [Lock(name, mode, 0.0, _BLOCKS.get(mode, ""), oid in self._existed)]

    def _scanned(self, now: Relation, kind: str) -> list[Scan]:
        scans, rows = self._counted.get(now.oid, (0, 0))
        self._counted[now.oid] = (now.scans, now.rows_read)
        if now.kind not in _HAVE_ROWS or now.scans <= scans:
            return []
        # Parallel workers count for themselves; this session's counter has its own share only.
        read = max(now.rows_read - rows, 0 if kind.startswith(_QUERIES) else int(now.estimated_rows))
        return [Scan(now.name, read)] if read > 0 else []


def was_rewritten(before: Relation, now: Relation, kind: str) -> bool:
    """Whether a relation's contents were written anew; TRUNCATE, too, gives it a new file, an empty one."""
    return now.kind in (*_HAVE_ROWS, *_INDEXES) and before.filenode != now.filenode and not kind.startswith("TRUNCATE")


def names_of_rewritten(relations: Iterable[Relation]) -> tuple[str, ...]:
    """Their names; the indexes of a rewritten table go without saying."""
    found = list(relations)
    tables = {one.oid for one in found if one.kind in _HAVE_ROWS}
    return tuple(one.name for one in found if one.oid in tables or one.table not in tables)


@dataclass
class _Sampled:
    name: str
    mode: str
    first: float
    last: float
    live: bool


class Sampler:
    """Looks at the worker's locks every few milliseconds while a statement runs that can be in no transaction.

    Args:
        cursor: of a second session, in autocommit mode; nobody else may use it meanwhile.
        pid: the worker's.
        known: relations before the statement, for the names of those that it drops.
    """

    def __init__(self, cursor: Any, pid: int, known: Mapping[int, Relation]) -> None:
        self._cursor = cursor
        self._pid = pid
        self._known = known
        self._seen: dict[int, _Sampled] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="lock-sampler", daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        try:
            while not self._done.is_set():
                self._cursor.execute(sql_text("migration/rehearsal/sample_locks.sql"), {"pid": self._pid})
                now = time.perf_counter()
                for oid, modes, name, live in self._cursor.fetchall():
                    self._note(oid, strongest(modes), name or self._name_before(oid), live, now)
                self._done.wait(SAMPLE_SECONDS)
        except psycopg2.Error:  # the server went away; the worker's own session says so
            return

    def _name_before(self, oid: int) -> str:
        return self._known[oid].name if oid in self._known else ""

    def _note(self, oid: int, mode: str, name: str, live: bool, now: float) -> None:
        seen = self._seen.setdefault(oid, _Sampled(name, mode, now, now, live))
        seen.name = name or seen.name
        seen.live = live
        seen.last = now
        if _STRENGTH[mode] > _STRENGTH[seen.mode]:
            seen.mode, seen.first = mode, now

    def effect(self, after: Mapping[int, Relation], existed: frozenset[int], kind: str) -> Effect:
        """What the samples saw, and what differs in the relations after the statement."""
        before = self._known
        locks = [
            _sampled_lock(seen, oid in existed)
            for oid, seen in self._seen.items()
            if seen.name and seen.mode != MODES[0]
        ]
        # By name: REINDEX CONCURRENTLY makes a new index and gives it the name of the old one.
        old = {one.name: one for one in before.values() if one.oid in existed}
        rewritten = [one for one in after.values() if one.name in old and was_rewritten(old[one.name], one, kind)]
        scans = [
            Scan(one.name, read)
            for oid, one in after.items()
            if oid in existed and oid in before and (read := _rows_of_full_scan(before[oid], one))
        ]
        return Effect(tuple(locks), names_of_rewritten(rewritten), tuple(scans))


def _sampled_lock(seen: _Sampled, existed: bool) -> Lock:
    held_ms = 1000 * (seen.last - seen.first + SAMPLE_SECONDS)
    return Lock(seen.name, seen.mode, held_ms, _BLOCKS.get(seen.mode, ""), existed and seen.live)


def _rows_of_full_scan(before: Relation, after: Relation) -> int:
    """Rows read between two readings if that may have been a full scan; other sessions' little reads count too."""
    read = after.rows_read - before.rows_read
    whole = max(after.estimated_rows, before.estimated_rows, 1)
    return read if after.kind in _HAVE_ROWS and after.scans > before.scans and read >= whole / 2 else 0
