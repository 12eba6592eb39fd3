"""Executes what was planned for a parent: a short transaction for each partition, so a crash leaves all or nothing.

CREATE TABLE ... PARTITION OF takes AccessExclusive on the parent: behind one long reader it stops every insert. A
table that is made by itself and then attached takes ShareUpdateExclusive, which stops nobody; what is stronger (on
DEFAULT, on tables that foreign keys lead to) is asked for as locks.py says.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from pgops import units
from pgops.errors import PgOpsError, Refused
from pgops.fleet.partitions import PartitionPolicies, PartitionPolicy
from pgops.include import query, sql_text
from pgops.partitions.bounds import clause, text
from pgops.partitions.children import children_of
from pgops.partitions.coverage import overlap
from pgops.partitions.drain import lock_default, move_rows
from pgops.partitions.family import Family, read_family
from pgops.partitions.locks import Effort, Patience
from pgops.partitions.model import NewPartition, Parent, ParentPlan
from pgops.partitions.session import prepare, session
from pgops.postgres import Dsn, explained

log = logging.getLogger(__name__)

_CHECK_VIOLATION, _DUPLICATE_TABLE, _OVERLAP, _UNDEFINED_TABLE = "23514", "42P07", "42P17", "42P01"
_ASKED = ("create/parent", "locks/look")


@dataclass(frozen=True)
class CreatedPartition:
    """One partition that was made.

    Attributes:
        seconds: of the transaction that went through.
        tries: how often its locks were asked for.
        waited_seconds: in tries that failed, and between them.
        drained: rows that moved out of DEFAULT.
    """

    name: str
    lower: str
    upper: str
    seconds: float
    tries: int
    waited_seconds: float
    drained: int = 0


@dataclass(frozen=True)
class Created:
    """What was made for one parent. `skipped`: somebody else had made it since the plan."""

    parent: str
    partitions: tuple[CreatedPartition, ...] = ()
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


class RowsInDefault(PgOpsError):
    """Rows in DEFAULT stand in the way of some partitions; `created` is what could be made beside them."""

    def __init__(self, blocked: list[str], where: str, created: Created) -> None:
        super().__init__(
            f"Rows in DEFAULT stand in the way of {len(blocked)} new partitions: {'; '.join(blocked[:3])}",
            where=where,
            remedy="Set default: drain in the policy (with drain_rows above their number), or move them by hand",
        )
        self.created = created


class _InTheWay(Exception):
    """Why this partition cannot be made; others of its parent can."""


def create(dsn: Dsn, plan: ParentPlan, policies: PartitionPolicies, *, now: datetime | None = None) -> Created:
    """Make the partitions of a plan.

    Args:
        dsn: the primary, as the role that owns the parent.
        plan: of `pgops.partitions.plan.plan`.
        policies: of the fleet file.
        now: of the plan; for partitions of new partitions.

    Raises:
        Refused: the role may not, another run is at work, or the plan does not fit any more; nothing was changed then.
        RowsInDefault: for some of them; the others are there.
        CircuitOpen, Blocked: no lock was to be had; what was made before stays.
        DatabaseError: the server refused something.
    """
    with session(dsn) as connection:
        prepare(connection, *_ASKED)
        return _Maker(connection, dsn, plan, policies, now or datetime.now(UTC)).run()


def create_all(
    dsn: Dsn, plans: Iterable[ParentPlan], policies: PartitionPolicies, *, now: datetime | None = None
) -> Iterator[tuple[ParentPlan, Created | PgOpsError]]:
    """`create` for many parents in one session; one that fails never stops another."""
    now, left = now or datetime.now(UTC), iter(plans)
    plan = next(left, None)
    while plan is not None:
        try:
            with session(dsn) as connection:
                prepare(connection, *_ASKED)
                while plan is not None:
                    result: Created | PgOpsError
                    try:
                        with explained(f"Creating partitions of {plan.parent.title}", dsn):
                            result = _Maker(connection, dsn, plan, policies, now).run()
                    except PgOpsError as error:
                        result = error
                    yield plan, result
                    plan = next(left, None)
                    if connection.closed:
                        break
        except PgOpsError as error:  # no session
            if plan is None:
                return
            yield plan, error
            plan = next(left, None)


class _Maker:
    """Makes the partitions of one parent."""

    def __init__(
        self, connection: Connection, dsn: Dsn, plan: ParentPlan, policies: PartitionPolicies, now: datetime
    ) -> None:
        self._connection, self._plan, self._policies, self._now = connection, plan, policies, now
        self._parent: Parent = plan.parent
        self._policy: PartitionPolicy = plan.policy
        self._where = f"{dsn.where}, {plan.parent.title}"

    def run(self) -> Created:
        began = time.perf_counter()
        if not self._plan.create:
            return Created(self._parent.title)
        with self._connection.cursor() as cursor:
            values = {"parent": str(self._parent.oid)}
            cursor.execute(sql_text("partitions/create/take_lock.sql"), values)
            if not cursor.fetchall()[0][0]:
                raise self._refused("Another run works on its partitions", "Wait until it has ended", retry=True)
            try:
                return replace(self._make(), seconds=time.perf_counter() - began)
            finally:
                if not self._connection.closed:
                    cursor.execute(sql_text("partitions/create/release_lock.sql"), values)

    def _make(self) -> Created:
        family = read_family(self._connection, self._parent)
        skipped = self._check(family)
        patience = Patience(self._connection, self._policies, self._where, family.deadlock_timeout_ms)
        made: list[CreatedPartition] = []
        blocked: list[str] = []
        for new in self._plan.create:
            if new.name in skipped:
                continue
            try:
                made.append(self._one(family, new, patience))
            except _InTheWay as error:
                blocked.append(f"{new.name}: {error}")
        created = Created(self._parent.title, tuple(made), tuple(skipped), family.notes() if made else ())
        if blocked:
            raise RowsInDefault(blocked, self._where, created)
        return created

    # --- does the plan still fit? ---

    def _check(self, family: Family) -> list[str]:
        """Names of the planned partitions that are there by now."""
        facts = family.facts
        if (
            facts is None
            or not facts["partitioned"]
            or (facts["schema"], facts["name"])
            != (
                self._parent.schema,
                self._parent.name,
            )
        ):
            raise self._outdated("The table is gone, or has another name")
        if family.default() != (self._parent.default.oid if self._parent.default else None):
            raise self._outdated("Its DEFAULT partition is another one now")
        if not facts["may_alter"] or not facts["may_create"]:
            lacking = f"a member of {facts['owner']}" if not facts["may_alter"] else "allowed to create tables here"
            raise self._refused(
                f"The role of this connection is not {lacking}",
                "See include/sql/roles/partitions.sql: only a parent's owner may attach partitions",
            )
        skipped = []
        there = family.ranges()
        for new in self._plan.create:
            for name, bounds in there:
                if bounds == new.range:
                    skipped.append(new.name)
                elif bounds is not None and overlap(bounds, new.range):
                    raise self._outdated(f"{new.name} would overlap {name}, which was not there")
        return skipped

    # --- one partition ---

    def _one(self, family: Family, new: NewPartition, patience: Patience) -> CreatedPartition:
        table = sql.Identifier(self._parent.schema, new.name)
        children = children_of(self._connection, family, new, self._policies, self._now)
        drain = self._policy.default == "drain" and new.default_rows > 0
        if new.default_rows and not drain:
            raise _InTheWay(f"{new.default_rows} rows")
        while True:
            try:
                work = partial(self._transaction, family, new, table, children, patience, drain)
                (seconds, drained), effort = patience.run(f"Creating {new.name}", family.watched(), work)
                return self._created(new, seconds, drained, effort)
            except Refused as refused:  # of the draining
                raise _InTheWay(str(refused)) from refused
            except psycopg2.Error as error:
                if self._connection.closed:
                    raise
                if error.pgcode == _CHECK_VIOLATION and family.default() is not None:
                    if self._policy.default == "drain" and not drain:  # rows that came since the plan
                        drain = True
                        continue
                    raise _InTheWay("DEFAULT has rows of its range") from error
                if error.pgcode in (_DUPLICATE_TABLE, _OVERLAP, _UNDEFINED_TABLE):
                    raise self._outdated(" ".join(str(error).split())) from error
                raise

    def _transaction(
        self,
        family: Family,
        new: NewPartition,
        table: sql.Identifier,
        children: list[sql.Composed],
        patience: Patience,
        drain: bool,
        lock_ms: int,
    ) -> tuple[float, int]:
        """All of it or nothing; seconds, and rows that were drained."""
        began = time.perf_counter()
        limits = query(
            "partitions/create/limits.sql",
            lock=sql.Literal(lock_ms),
            statement=sql.Literal(max(1000, int(patience.seconds_left * 1000))),
        )
        shape = [family.create(table), *family.dress(table), *children]
        bounds = clause(new.range, self._parent)
        attach = query("partitions/create/attach.sql", parent=family.identifier, table=table, bounds=bounds)
        adopt = family.adopts
        drained = 0
        with self._connection.cursor() as cursor:
            try:
                # In one message where nothing has to be looked at in between: each is a round trip.
                if drain:
                    _run(cursor, sql.SQL("BEGIN"), limits)
                    lock_default(cursor, self._parent)
                    _run(cursor, *shape)
                    drained = move_rows(cursor, self._parent, new.range, table, self._policy.drain_rows)
                    _run(cursor, attach)
                else:
                    _run(cursor, sql.SQL("BEGIN"), limits, *shape, attach, *(() if adopt else (sql.SQL("COMMIT"),)))
                if adopt:
                    family.adopt(self._connection, table)
                if adopt or drain:
                    cursor.execute("COMMIT")
            except (psycopg2.Error, PgOpsError):
                if not self._connection.closed:
                    cursor.execute("ROLLBACK")
                raise
        return time.perf_counter() - began, drained

    def _created(self, new: NewPartition, seconds: float, drained: int, effort: Effort) -> CreatedPartition:
        log.info(
            "%s.%s created in %s%s%s",
            *(self._parent.schema, new.name, units.moment(seconds)),
            f", {drained} rows came out of DEFAULT" if drained else "",
            f", at try {effort.tries} after {units.moment(effort.waited_seconds)}" if effort.tries > 1 else "",
        )
        lower = "" if new.range.lower is None else text(new.range.lower)
        return CreatedPartition(
            new.name, lower, text(new.range.upper), seconds, effort.tries, effort.waited_seconds, drained
        )

    def _outdated(self, what: str) -> Refused:
        return self._refused(f"The plan does not fit any more: {what}", "Plan again", retry=True)

    def _refused(self, what: str, remedy: str, *, retry: bool = False) -> Refused:
        return Refused(what, where=self._where, remedy=remedy, retry=retry)


def _run(cursor: Any, *statements: sql.Composable) -> None:
    """Several statements as one message."""
    cursor.execute(sql.SQL(";\n").join(statements))
