"""The dry run: how a backfill would go through the table, how many rows, how long, and what a few of them become.

Nothing stays: what is tried is rolled back.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import psycopg2.errors
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from pgops import units
from pgops.backfill.check import CheckedSpec, ask, run, session
from pgops.backfill.spec import Spec
from pgops.backfill.statements import Part, Position, Statements
from pgops.errors import Refused
from pgops.postgres import Dsn

SAMPLED_PAGES = 2_000
SAMPLED_ROWS = 5
TRIAL_ROWS = 500
TRY_SECONDS = 5.0
SMALLEST_RANGE = 5_000  # rows, or pages of a table without key times ten: below that a worker of its own does not pay
Kind = Literal["keys", "pages", "rest"]


@dataclass(frozen=True)
class Range:
    """A stretch of a part for one worker.

    Attributes:
        kind: "keys": after `lo` up to `hi`; "pages": from `lo` to before `hi`; "rest": the closing sweep of a part
            without key, in which a row that is updated by somebody moves.
        size: rows or pages, estimated.
    """

    part: int
    kind: Kind
    lo: Position | None
    hi: Position | None
    size: int


@dataclass(frozen=True)
class PartPlan:
    """How one physical table is walked.

    Attributes:
        upper: the greatest key, or the number of pages; what comes later is not looked at.
        rows, todo: estimated; exact for small tables.
    """

    part: Part
    upper: Position | None
    rows: int
    todo: int
    pages: int
    ranges: tuple[Range, ...]

    @property
    def strategy(self) -> str:
        """In words."""
        if self.part.key:
            return f"keyset on ({', '.join(column.name for column in self.part.key)})"
        return "page by page (no usable key), with a closing sweep"


@dataclass(frozen=True)
class SampleRow:
    """A row as it is and as it would be; values in the order of the specification's columns."""

    identity: tuple[str, ...]
    before: tuple[str | None, ...]
    after: tuple[str | None, ...]


@dataclass(frozen=True)
class Plan:
    """What a backfill would do.

    Attributes:
        seconds: of one worker without throttle, from a measured batch; None if there was nothing to measure.
        problem: why the measured batch could not be changed; empty if it could.
    """

    title: str
    columns: tuple[str, ...]
    parts: tuple[PartPlan, ...]
    sample: tuple[SampleRow, ...]
    seconds: float | None
    problem: str
    notes: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Rows of the table, estimated."""
        return sum(part.rows for part in self.parts)

    @property
    def todo(self) -> int:
        """Rows still to do, estimated."""
        return sum(part.todo for part in self.parts)

    @property
    def ranges(self) -> tuple[Range, ...]:
        """Of all parts."""
        return tuple(one for part in self.parts for one in part.ranges)

    def lines(self) -> list[str]:
        """For a log."""
        text = [f"{self.title}: about {self.todo} of {self.rows} rows to do, {len(self.ranges)} ranges"]
        text += [
            f"  {part.part.title}: {part.strategy}, about {part.todo} of {part.rows} rows, up to {part.upper}"
            for part in self.parts
        ]
        for row in self.sample:
            changes = zip(self.columns, row.before, row.after, strict=True)
            text.append(f"  {', '.join(row.identity)}: " + ", ".join(f"{c}: {b!r} -> {a!r}" for c, b, a in changes))
        text.append(f"  about {units.duration(self.seconds)} for one worker without throttle")
        return (
            text + [f"  note: {note}" for note in self.notes] + ([f"  problem: {self.problem}"] if self.problem else [])
        )


def plan(dsn: Dsn, checked: CheckedSpec, *, workers: int = 1) -> Plan:
    """The dry run.

    Args:
        checked: as `check` returned it.
        workers: for how many the table is cut into ranges.

    Raises:
        Refused: rows would still count as "to do" after they were changed.
        DatabaseError: the database cannot be asked.
    """
    if not 1 <= workers <= 64:
        raise Refused(f"{workers} workers", where=checked.title, remedy="Give 1 to 64")
    spec = checked.spec
    with session(dsn) as connection:
        sized = [_sized(connection, part, spec) for part in checked.parts]
        whole = max(1, sum(rows for rows, _, _ in sized))
        parts = tuple(
            _part_plan(connection, part, spec, rows, todo, pages, max(1, round(workers * rows / whole)))
            for part, (rows, todo, pages) in zip(checked.parts, sized, strict=True)
        )
        biggest = max(parts, key=lambda one: one.todo, default=None)
        sample: tuple[SampleRow, ...] = ()
        per_row, problem = None, ""
        if biggest is not None:
            sample, problem = _sample(connection, biggest.part, checked)
            per_row, failed = _trial(connection, biggest.part, checked)
            problem = failed or problem
        tried = per_row is not None or bool(problem)
        todo = sum(one.todo for one in parts)
        return Plan(
            title=spec.title,
            columns=spec.columns,
            parts=parts,
            sample=sample,
            seconds=None if per_row is None else per_row * todo,
            problem=problem,
            notes=(*checked.notes, *_notes(connection, checked, todo, sum(one.rows for one in parts), tried)),
        )


# --- how big ---


def _sized(connection: Connection, part: Part, spec: Spec) -> tuple[int, int, int]:
    """Rows, rows to do, and pages."""
    found = ask(connection, "plan/size.sql", oid=part.oid)
    if not found:
        raise Refused(f"{part.title} is gone", where=part.title, remedy="Check the specification once more")
    pages, guessed = int(found[0]["pages"]), found[0]["rows"]
    if not pages:
        return 0, 0, 0
    share = _percent(pages)
    counted = run(connection, Statements(part, spec).count(share)).fetchall()[0]
    if share >= 100:
        return counted["rows"], counted["todo"], pages
    rows = round(guessed if guessed else counted["rows"] * 100 / share)
    return rows, round(rows * counted["todo"] / max(1, counted["rows"])), pages


def _percent(pages: int) -> float:
    return min(100.0, 100.0 * SAMPLED_PAGES / pages)


def _part_plan(
    connection: Connection, part: Part, spec: Spec, rows: int, todo: int, pages: int, workers: int
) -> PartPlan:
    upper: Position | None
    if part.key:
        upper, ranges = _key_ranges(connection, part, spec, rows, pages, workers)
    else:
        upper, ranges = pages, _page_ranges(part, pages, rows, workers)
    return PartPlan(part, upper, rows, todo, pages, ranges)


def _key_ranges(
    connection: Connection, part: Part, spec: Spec, rows: int, pages: int, workers: int
) -> tuple[Position | None, tuple[Range, ...]]:
    statements = Statements(part, spec)
    last = run(connection, statements.last()).fetchall()
    if not last:
        return None, ()
    upper = tuple(last[0]["key"])
    parts = max(1, min(workers, rows // SMALLEST_RANGE))
    cuts: list[tuple[str, ...]] = []
    if parts > 1:
        found = run(connection, statements.cuts(parts, _percent(pages))).fetchall()
        cuts = [tuple(row["key"]) for row in found][:-1]
    limits: list[tuple[str, ...] | None] = [None, *(cut for cut in cuts if cut != upper), upper]
    size = max(1, rows // (len(limits) - 1))
    return upper, tuple(Range(part.oid, "keys", lo, hi, size) for lo, hi in pairwise(limits))


def _page_ranges(part: Part, pages: int, rows: int, workers: int) -> tuple[Range, ...]:
    rest = Range(part.oid, "rest", 0, None, 0)
    if not pages:
        return (rest,)  # rows may arrive before the walk begins
    parts = max(1, min(workers, rows // SMALLEST_RANGE))
    limits = [pages * number // parts for number in range(parts + 1)]
    walks = [Range(part.oid, "pages", lo, hi, hi - lo) for lo, hi in pairwise(limits)]
    return (*walks, rest)


# --- what becomes of a few rows ---


@contextmanager
def _rolled_back(connection: Connection) -> Iterator[None]:
    connection.autocommit = False
    try:
        limits = "SET LOCAL lock_timeout = '200ms'; SET LOCAL statement_timeout = {}"
        run(connection, sql.SQL(limits).format(sql.Literal(int(1000 * TRY_SECONDS))))
        yield
    finally:
        connection.rollback()
        connection.autocommit = True


def _sample(connection: Connection, part: Part, checked: CheckedSpec) -> tuple[tuple[SampleRow, ...], str]:
    try:
        with _rolled_back(connection):
            rows = run(connection, Statements(part, checked.spec).sample(checked.types, SAMPLED_ROWS)).fetchall()
    except psycopg2.Error as error:
        if connection.closed:
            raise
        return (), _problem(error)
    return tuple(SampleRow(tuple(row["identity"]), tuple(row["before"]), tuple(row["after"])) for row in rows), ""


def _trial(connection: Connection, part: Part, checked: CheckedSpec) -> tuple[float | None, str]:
    """Seconds a row, and why the rows could not be changed."""
    try:
        with _rolled_back(connection):
            started = time.perf_counter()
            said: Any = run(connection, Statements(part, checked.spec).trial(TRIAL_ROWS)).fetchall()[0]
            seconds = time.perf_counter() - started
    except psycopg2.Error as error:
        if connection.closed:
            raise
        return None, _problem(error)
    if said["still"]:
        raise Refused(
            f"{said['still']} of {said['rows']} rows still fulfil the predicate after they were changed,"
            f" such as {said['example']}: nobody could tell what is done",
            where=checked.title,
            remedy="Let the predicate exclude rows for which the expression gives no value, such as:"
            " tier IS NULL AND spent IS NOT NULL",
        )
    return (seconds / said["rows"] if said["rows"] else None), ""


def _problem(error: psycopg2.Error) -> str:
    """Nothing, if it was only that time was up: the few rows left of a large table are not found so soon."""
    if isinstance(error, psycopg2.errors.QueryCanceled | psycopg2.errors.LockNotAvailable):
        return ""
    return f"SQLSTATE {error.pgcode}: {error.diag.message_primary or ' '.join(str(error).split())}"


def _notes(connection: Connection, checked: CheckedSpec, todo: int, rows: int, tried: bool) -> Iterator[str]:
    spec = checked.spec
    oids = [part.oid for part in checked.parts] or [checked.oid]
    found: dict[str, set[str]] = {}
    for oid in oids:
        for row in ask(connection, "plan/notes.sql", oid=oid, columns=list(spec.columns)):
            found.setdefault(row["kind"], set()).add(row["name"])
    if todo and not tried:
        yield (
            f"no row was tried: in {units.duration(TRY_SECONDS)} none was found that is to do, or the table was locked;"
            " so there is no ETA"
        )
    if "index" in found:
        names = ", ".join(sorted(found["index"]))
        yield f"indexes on the changed columns make every row several times dearer: {names}; make them afterwards"
    if "trigger" in found:
        yield f"triggers fire for every row: {', '.join(sorted(found['trigger']))}"
    if "guard" in found:
        yield (
            f"new rows may come without a value: {', '.join(sorted(found['guard']))} has neither a default nor a"
            " BEFORE INSERT trigger"
        )
    if rows and todo == rows and all(spec.parsed[text].constant for _, text in spec.assignments):
        yield (
            "every row gets the same value: ADD COLUMN ... DEFAULT <constant> NOT NULL does that in milliseconds,"
            " without a backfill"
        )
