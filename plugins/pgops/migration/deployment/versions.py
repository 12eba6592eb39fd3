"""The version ledger: which migrations a database has, kept in that database, in pgops.schema_steps.

A step commits together with what it did, so the ledger is never ahead of the schema nor behind it. What cannot run in a
transaction is recorded before ("started") and after ("done"): what lies between is visible. Rows are only ever added;
where a version stands is derived from them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NoReturn

import psycopg2.errors
from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from pgops.errors import Refused
from pgops.include import sql_text
from pgops.migration.model import Direction, Migration
from pgops.postgres import Dsn, connect

APPLICATION = "pgops.versions"
State = Literal["started", "done", "failed"]
_NUMERIC = re.compile(r"\d+([._]\d+)*\Z")


@dataclass(frozen=True)
class RunFacts:
    """Whose doing it is: the DAG run, and who asked for it."""

    dag_run: str
    requested_by: str


@dataclass(frozen=True)
class Step:
    """A row of the ledger. `segment` counts from 0 among the file's `segments`."""

    version: str
    name: str
    checksum: str
    direction: Direction
    segment: int
    segments: int
    state: State
    by_role: str
    requested_by: str
    dag_run: str
    at: datetime
    ms: float | None = None
    detail: str = ""


@dataclass(frozen=True)
class AppliedVersion:
    """Where a version stands that is in the database, wholly or in part.

    Attributes:
        version, name, checksum: of the migration.
        direction: "rollback" while it is being taken back.
        complete: whether nothing is left to do in that direction.
        next_segment: the first segment that is not done, from 0; `segments` when complete.
        segments: how many the file had.
        begun: next_segment was begun, cannot run in a transaction, and nobody knows how it ended.
        at, by, requested_by, dag_run: of the newest step that counts.
    """

    version: str
    name: str
    checksum: str
    direction: Direction
    complete: bool
    next_segment: int
    segments: int
    begun: bool
    at: datetime
    by: str
    requested_by: str
    dag_run: str

    @property
    def standing(self) -> str:
        """As people read it."""
        if self.complete:
            return "applied"
        begun = f", and segment {self.next_segment + 1} was begun" if self.begun else ""
        return f"{self.next_segment} of {self.segments} segments of its {self.direction} are done{begun}"


@dataclass(frozen=True)
class Start:
    """Where a run has to begin: `segment` is the number of segments when nothing is left to do."""

    segment: int
    begun: bool = False
    warnings: tuple[str, ...] = ()


def applied(dsn: Dsn) -> dict[str, AppliedVersion]:
    """What is in the database, wholly or in part, in the order in which it was begun; what was rolled back is not."""
    with connect(dsn, APPLICATION, readonly=True, system_names=True) as connection:
        return standings(steps(connection))


def ensure(connection: Connection) -> None:
    """Make the ledger where there is none. Call it as the only deployment there is.

    Raises:
        Refused: this role may not.
    """
    with connection.cursor() as cursor:
        for _ in range(3):
            has_schema, has_ledger = _exists(connection)
            if has_ledger:
                return
            try:
                cursor.execute(sql_text(f"migration/versions/{'create' if has_schema else 'create_schema'}.sql"))
            except psycopg2.errors.InsufficientPrivilege as error:
                info = connection.info
                raise Refused(
                    f"{info.user} may not make pgops.schema_steps, which keeps what was applied: "
                    f"{error.diag.message_primary}",
                    where=f"{info.host}:{info.port}/{info.dbname}",
                    remedy=f'As the database\'s owner: CREATE SCHEMA pgops AUTHORIZATION "{info.user}"',
                ) from error
            except (psycopg2.errors.UniqueViolation, psycopg2.errors.DuplicateSchema):
                continue  # another workflow made the schema at the same instant


def _exists(connection: Connection) -> tuple[bool, bool]:
    """Whether the schema is there, and the ledger in it."""
    with connection.cursor() as cursor:
        cursor.execute(sql_text("migration/versions/exists.sql"))
        found = cursor.fetchone()
    assert found is not None
    return bool(found[0]), bool(found[1])


def steps(connection: Connection) -> list[Step]:
    """All rows of the ledger; none where there is no ledger."""
    if not _exists(connection)[1]:
        return []
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(sql_text("migration/versions/steps.sql"))
        return [Step(**row) for row in cursor.fetchall()]


def add(
    connection: Connection,
    migration: Migration,
    direction: Direction,
    segment: int,
    segments: int,
    state: State,
    run: RunFacts,
    *,
    ms: float | None = None,
    detail: str = "",
) -> int:
    """Add a row and return its id; it counts when the surrounding transaction commits."""
    with connection.cursor() as cursor:
        cursor.execute(
            sql_text("migration/versions/add_step.sql"),
            {
                "version": migration.version,
                "name": migration.name,
                "checksum": migration.checksum,
                "direction": direction,
                "segment": segment,
                "segments": segments,
                "state": state,
                "requested_by": run.requested_by,
                "dag_run": run.dag_run,
                "ms": ms,
                "detail": detail,
            },
        )
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def was_added(connection: Connection, step_id: int) -> bool:
    """Read a row back by its id."""
    with connection.cursor() as cursor:
        cursor.execute(sql_text("migration/versions/has_step.sql"), {"id": step_id})
        return cursor.fetchone() is not None


def settle(
    dsn: Dsn, migration: Migration, direction: Direction, segment: int, *, done: bool, run: RunFacts
) -> AppliedVersion | None:
    """Record what a person found out about a segment that was begun and whose end nobody knew.

    Args:
        dsn: the database.
        migration: as it was when it was begun.
        direction: which way it went.
        segment: from 0, as AppliedVersion.next_segment says.
        done: True when it is done, by hand or after all; False when nothing of it is there and it shall run again.
        run: who says so.

    Raises:
        Refused: that segment is not in doubt.
    """
    with connect(dsn, APPLICATION, system_names=True) as connection:
        current = standings(steps(connection)).get(migration.version)
        if (
            current is None
            or not current.begun
            or (current.checksum, current.direction, current.next_segment) != (migration.checksum, direction, segment)
        ):
            raise Refused(
                f"Segment {segment + 1} of {migration.label} ({direction}) is not in doubt",
                where=dsn.where,
                remedy=f"It stands so: {current.standing}" if current else "Nothing of this version is in the database",
            )
        state: State = "done" if done else "failed"
        detail = "settled by hand"
        add(connection, migration, direction, segment, current.segments, state, run, detail=detail)
        return standings(steps(connection)).get(migration.version)


# --- where a version stands ---


@dataclass
class _Way:
    """One direction of one version so far."""

    last: Step
    done: set[int] = field(default_factory=set)
    begun: set[int] = field(default_factory=set)

    @property
    def touched(self) -> bool:
        return bool(self.done or self.begun)

    @property
    def next_segment(self) -> int:
        return next((n for n in range(self.last.segments) if n not in self.done), self.last.segments)

    @property
    def complete(self) -> bool:
        return self.next_segment == self.last.segments

    def add(self, step: Step) -> None:
        if step.state == "started":
            self.begun.add(step.segment)
        else:
            self.begun.discard(step.segment)
        if step.state == "done":
            self.done.add(step.segment)
        if step.state != "failed":
            self.last = step

    def standing(self) -> AppliedVersion:
        last = self.last
        return AppliedVersion(
            last.version,
            last.name,
            last.checksum,
            last.direction,
            complete=self.complete,
            next_segment=self.next_segment,
            segments=last.segments,
            begun=self.next_segment in self.begun,
            at=last.at,
            by=last.by_role,
            requested_by=last.requested_by,
            dag_run=last.dag_run,
        )


@dataclass
class _Version:
    """Both ways of one version; a rollback that is complete leaves nothing of either."""

    ways: dict[Direction, _Way] = field(default_factory=dict)
    rolled_back: Step | None = None

    def add(self, step: Step) -> None:
        way = self.ways.get(step.direction)
        if way is None or (way.last.checksum, way.last.segments) != (step.checksum, step.segments):
            way = self.ways[step.direction] = _Way(step)
        way.add(step)
        if step.direction == "rollback" and way.complete:
            self.ways.clear()
            self.rolled_back = step

    def standing(self) -> AppliedVersion | None:
        ways = (self.ways.get("rollback"), self.ways.get("apply"))
        return next((way.standing() for way in ways if way is not None and way.touched), None)


def _versions(rows: Iterable[Step]) -> dict[str, _Version]:
    found: dict[str, _Version] = {}
    for row in rows:
        found.setdefault(row.version, _Version()).add(row)
    return found


def standings(rows: Iterable[Step]) -> dict[str, AppliedVersion]:
    """Where every version stands that is in the database, wholly or in part."""
    found = ((name, version.standing()) for name, version in _versions(rows).items())
    return {name: standing for name, standing in found if standing is not None}


def start_of(rows: Sequence[Step], migration: Migration, direction: Direction, segments: int, where: str) -> Start:
    """Where a run begins, after all that forbids it was looked at.

    Args:
        rows: the ledger.
        migration: what shall be applied or rolled back.
        direction: which of it.
        segments: how many the direction's script has.
        where: the database, for errors.

    Raises:
        Refused: the file was edited since, another version is half done, or there is nothing to roll back.
    """
    found = standings(rows)
    current = found.get(migration.version)
    _refuse_unfinished(found, migration, where)
    if current is None:
        return _afresh(rows, found, migration, direction, segments, where)
    _refuse_edited(current, migration, where)
    if direction == "apply":
        if current.direction == "rollback":
            _refuse(
                f"The rollback of {migration.label} is half done: {current.standing}",
                where,
                "Finish the rollback first: run it again",
            )
    elif current.direction == "apply":
        return Start(0, warnings=_applied_after(rows, found, migration))
    if current.complete:
        return Start(segments)
    if current.segments != segments:
        _refuse(
            f"{migration.label} was begun as {current.segments} segments and is now taken apart into {segments}",
            where,
            "Finish it with the release of this project that began it",
        )
    return Start(current.next_segment, current.begun)


def _afresh(
    rows: Sequence[Step],
    found: dict[str, AppliedVersion],
    migration: Migration,
    direction: Direction,
    segments: int,
    where: str,
) -> Start:
    if direction == "apply":
        return Start(0, warnings=_out_of_order(found, migration))
    before = _versions(rows).get(migration.version)
    if before is None or before.rolled_back is None:
        _refuse(f"Nothing of {migration.label} is applied", where, "There is nothing to roll back")
    if before.rolled_back.checksum != migration.checksum:
        _refuse(f"{migration.label} is not applied", where, "It was rolled back, and its file has been edited since")
    return Start(segments)


def _refuse_unfinished(found: dict[str, AppliedVersion], migration: Migration, where: str) -> None:
    for other in found.values():
        if not other.complete and other.version != migration.version:
            _refuse(
                f"{other.version} {other.name} is half done: {other.standing} (DAG run {other.dag_run}, {other.at})",
                where,
                "Finish it first: run it again, or roll it back",
            )


def _refuse_edited(current: AppliedVersion, migration: Migration, where: str) -> None:
    if current.checksum != migration.checksum:
        _refuse(
            f"{migration.label} was edited after it was applied: its checksum is {migration.checksum[:12]}..., "
            f"applied was {current.checksum[:12]}... ({current.standing}, by {current.by} in DAG run "
            f"{current.dag_run}, {current.at})",
            where,
            "Put the file back as it was, and write the change as a new version",
        )


def _refuse(what: str, where: str, remedy: str) -> NoReturn:
    raise Refused(what, where=where, remedy=remedy)


def _out_of_order(found: dict[str, AppliedVersion], migration: Migration) -> tuple[str, ...]:
    """Revisions of Alembic have no order of their own; numbers have."""
    mine = _number(migration.version)
    later = [name for name in found if mine is not None and (_number(name) or mine) > mine]
    if not later:
        return ()
    return (f"out of order: {', '.join(later)} came before {migration.version}",)


def _applied_after(rows: Sequence[Step], found: dict[str, AppliedVersion], migration: Migration) -> tuple[str, ...]:
    """What was applied on top of the version that is taken away. By the ledger's own order, not by number."""
    completed: dict[str, Any] = {row.version: index for index, row in enumerate(rows) if row.state == "done"}
    mine = completed.get(migration.version, -1)
    later = [name for name in found if name != migration.version and completed.get(name, -1) > mine]
    if not later:
        return ()
    return (f"rolled back below {', '.join(later)}, applied after it",)


def _number(version: str) -> tuple[int, ...] | None:
    return tuple(map(int, re.split(r"[._]", version))) if _NUMERIC.match(version) else None
