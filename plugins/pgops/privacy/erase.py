"""The erasure: batch by batch, children before parents, until nothing is left to do.

Each batch is one statement and one transaction, found and changed by what the rows say now. So there is no checkpoint
to lose: whoever is killed begins again, and finds what is left. Rows become unreachable only after all that hang on
them are gone. A second run finds nothing, and changes nothing.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from psycopg2 import sql

from pgops.errors import PgOpsError, Refused
from pgops.include import query
from pgops.postgres import DatabaseError, Dsn, Limits
from pgops.privacy.model import Link, MappedTable, Relation, SubjectMap
from pgops.privacy.rows import ROW, identifier, referencing, rows
from pgops.privacy.search import Subject, count_rows, counted
from pgops.privacy.sessions import subject_session

log = logging.getLogger(__name__)

# The lock timeout is that of a row lock; a batch that meets it is tried again, with everything that is left.
LIMITS = Limits(statement=120, lock=5, idle_in_transaction=60)
_TRIES = 10
_PASSES = 5
_EVERY_SECONDS = 10.0
_STORED = sql.SQL("{0}.tableoid, {0}.ctid").format(ROW)
_PLACE = sql.SQL("{}.ctid").format(ROW)


@dataclass(frozen=True)
class Erased:
    """What one erasure changed: rows by table. A run that went on after another counts what was left for it."""

    deleted: dict[str, int]
    anonymised: dict[str, int]
    unlinked: dict[str, int]
    passes: int
    seconds: float


@dataclass(frozen=True)
class _Step:
    """One kind of change to one table."""

    kind: str
    table: MappedTable
    link: Link | None = None

    @property
    def title(self) -> str:
        return f"{self.table.title} ({self.kind})"


def erase(
    dsn: Dsn,
    subject_map: SubjectMap,
    subject: Subject,
    *,
    batch_rows: int,
    pause: Callable[[float], None] = time.sleep,
) -> Erased:
    """Delete and anonymise the subject's rows as the policy says, with those that triggers write meanwhile.

    Args:
        dsn: of a role that may.
        subject_map: of this database as it is now.
        subject: who.
        batch_rows: rows of one transaction.
        pause: waits between tries.

    Raises:
        Refused: the policy does not allow an erasure, or a statement is wrong or not allowed; nothing was touched.
        PgOpsError: rows are left which it could not change; what was done stays done.
    """
    if subject_map.obstacles:
        raise Refused(
            f"Nothing can be erased: {'; '.join(subject_map.obstacles)}",
            where=dsn.where,
            remedy="Correct the tables under privacy in include/fleet.yaml; nothing was touched",
        )
    run = _Erasure(dsn, subject_map, subject, batch_rows)
    failures = 0
    while True:
        before = run.changes
        try:
            return run.perform()
        except DatabaseError as error:
            failures = failures + 1 if run.changes == before else 1
            if not error.retry or failures >= _TRIES:
                raise
            log.warning("try %s of %s in %s s: %s", failures + 1, _TRIES, failures, error.what)
            pause(failures)


class _Erasure:
    """One erasure with what it has changed so far, over all tries."""

    def __init__(self, dsn: Dsn, subject_map: SubjectMap, subject: Subject, batch_rows: int) -> None:
        self.dsn, self.map, self.subject, self.batch_rows = dsn, subject_map, subject, batch_rows
        self.steps = list(_steps(subject_map))
        self.changed: Counter[tuple[str, str]] = Counter()
        self.started = self.told = time.monotonic()

    @property
    def changes(self) -> int:
        return sum(self.changed.values())

    def perform(self) -> Erased:
        with subject_session(self.dsn, self.subject.key, LIMITS) as connection, connection.cursor() as cursor:
            self._check(cursor)
            for number in range(1, _PASSES + 1):
                for step in self.steps:
                    self._finish(cursor, step)
                # Triggers may have written rows of the subject into tables that were done already.
                left = {step.title: count for step in self.steps if (count := sum(self._left(cursor, step).values()))}
                if not left:
                    return self._erased(number)
                log.info("pass %s left, or its triggers wrote: %s", number, left)
        raise PgOpsError(
            f"After {_PASSES} passes rows of the subject are still there: {left}",
            where=self.dsn.where,
            remedy="A trigger or rule keeps or rewrites them, or a `set` in the policy never comes to rest: mend that",
        )

    def _check(self, cursor: Any) -> None:
        """Let the server parse, plan and permit every statement before the first one runs."""
        for step in self.steps:
            # Partitions have privileges of their own.
            for relation in {*step.table.relations, *self._left(cursor, step)}:
                cursor.execute(query("privacy/explain.sql", statement=self._batch(step, relation)))

    def _finish(self, cursor: Any, step: _Step) -> None:
        found = self._left(cursor, step)
        # A `set` that never comes to rest would find its rows again for ever.
        most = 2 * sum(found.values()) + self.batch_rows
        for relation, count in found.items():
            log.info("%s: %s rows in %s", step.title, count, relation)
            statement = self._batch(step, relation)
            while most > 0:
                cursor.execute(statement)
                if not cursor.rowcount:
                    break
                most -= cursor.rowcount
                self.changed[step.kind, step.table.title] += cursor.rowcount
                self._tell(step)

    def _left(self, cursor: Any, step: _Step) -> dict[Relation, int]:
        if step.link is None:
            return count_rows(cursor, self.map, step.table, _todo(step.table))
        found: dict[Relation, int] = {}
        for relation in step.table.relations:
            found |= counted(cursor, referencing(self.map, step.link, identifier(relation), _STORED))
        return found

    def _batch(self, step: _Step, relation: Relation) -> sql.Composed:
        target = identifier(relation)
        source = sql.SQL("ONLY {}").format(target)
        common = {"table": target, "batch": sql.Literal(self.batch_rows)}
        if step.link is not None:
            nothing = [(name, sql.SQL("NULL")) for name in step.link.columns]
            found = referencing(self.map, step.link, source, _PLACE)
            return query("privacy/update_batch.sql", **common, rows=found, assignments=_assignments(nothing))
        found = rows(self.map, step.table, source, _PLACE, _todo(step.table))
        if step.kind == "delete":
            return query("privacy/delete_batch.sql", **common, rows=found)
        values = [(name, _value(text)) for name, text in step.table.set.items()]
        return query("privacy/update_batch.sql", **common, rows=found, assignments=_assignments(values))

    def _tell(self, step: _Step) -> None:
        now = time.monotonic()
        if now - self.told >= _EVERY_SECONDS:
            self.told = now
            rate = self.changes / (now - self.started)
            log.info("%s: %s rows so far, %.0f a second", step.title, self.changes, rate)

    def _erased(self, passes: int) -> Erased:
        def of(kind: str) -> dict[str, int]:
            return {table: count for (one, table), count in self.changed.items() if one == kind}

        seconds = time.monotonic() - self.started
        return Erased(of("delete"), of("anonymise"), of("unlink"), passes, seconds)


def _steps(subject_map: SubjectMap) -> Iterator[_Step]:
    for table in subject_map.tables:
        if table.action == "delete":
            for link in table.unlink:
                yield _Step("unlink", subject_map.table(link.child), link)
        if table.action != "keep":
            yield _Step(table.action, table)


def left_to_do(cursor: Any, subject_map: SubjectMap, table: MappedTable) -> int:
    """Rows of a table that an erasure would still change."""
    return sum(count_rows(cursor, subject_map, table, _todo(table)).values())


def _todo(table: MappedTable) -> sql.Composable | None:
    """Whether a row is still to be anonymised: it differs from what it shall become."""
    if table.action != "anonymise":
        return None
    parts = []
    for name, text in table.set.items():
        column = table.column_named(name)
        if column is None:
            raise Refused(
                f"{table.title} has no column {name}",
                where="include/fleet.yaml, privacy, tables, set",
                remedy="Correct the name; nothing was touched",
            )
        parts.append(
            sql.SQL("{}.{}::text IS DISTINCT FROM ({})::{}::text").format(
                ROW, sql.Identifier(name), _value(text), sql.SQL(column.full_type)
            )
        )
    return sql.SQL("({})").format(sql.SQL(" OR ").join(parts))


def _value(text: str) -> sql.Composable:
    return sql.SQL(text or "NULL")


def _assignments(values: list[tuple[str, sql.SQL]] | list[tuple[str, sql.Composable]]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in values)
