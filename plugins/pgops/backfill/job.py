"""A backfill's job: what it does, how far it is, and what the operator wants. Kept in the target's schema pgops."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import psycopg2.errors
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extras import Json

from pgops import units
from pgops.backfill.check import CheckedSpec, ask, run, session
from pgops.backfill.plan import Kind, Plan
from pgops.backfill.spec import Spec, read
from pgops.backfill.statements import Position
from pgops.errors import Refused
from pgops.include import query
from pgops.postgres import Dsn, Limits

Status = Literal["running", "failed", "done", "cancelled"]
Desired = Literal["run", "pause", "cancel"]
WINDOW = 5  # batches over which one figure of the rate is taken: a sleep belongs to the batches around it


@dataclass(frozen=True)
class Run:
    """Whose doing it is."""

    created_by: str
    dag_run: str


@dataclass(frozen=True)
class Job:
    """A backfill, as kept.

    Attributes:
        keys: the key's columns of each part, by the part's oid.
        resumed: whether `begin` found it half done.
    """

    id: int
    spec: Spec
    table_oid: int
    table: str
    keys: dict[int, tuple[str, ...]]
    max_key: dict[int, Position | None]
    rows_estimate: int
    status: Status
    desired: Desired
    speed: float
    created_by: str
    dag_run: str
    created_at: datetime
    finished_at: datetime | None
    error: str
    resumed: bool = False


@dataclass(frozen=True)
class RangeState:
    """A range's checkpoint. `size` and `units` count rows, or pages of a table without key."""

    n: int
    part: int
    kind: Kind
    lo: Position | None
    hi: Position | None
    pass_: int
    last: Position | None
    pass_rows: int
    left_behind: bool
    size: int
    units: int
    rows_done: int
    batches: int
    retries: int
    skipped: int
    done: bool
    worker: str
    waiting: str
    alive: bool


@dataclass(frozen=True)
class Batch:
    """What a batch took, and how long it waited before."""

    units: int
    rows: int
    ms: float
    waited_ms: float


@dataclass(frozen=True)
class State:
    """How far a backfill is.

    Attributes:
        percent: of the rows to walk through, done before or not; 100 only when it is finished.
        rate: rows changed a second over the newest batches, sleeps included; None before the first.
        eta_p50, eta_p90: seconds of the walk, sleeps included; None when nobody can know. What follows it, a closing
            sweep, is not in it.
        waiting: why ranges stand still at the moment.
        batch_p50_ms, batch_max_ms: of the newest batches; None before the first and after the last.
    """

    job: Job
    ranges: tuple[RangeState, ...]
    percent: float
    rows_done: int
    batches: int
    retries: int
    skipped: int
    rate: float | None
    eta_p50: float | None
    eta_p90: float | None
    waiting: tuple[str, ...]
    batch_p50_ms: float | None = None
    batch_max_ms: float | None = None

    @property
    def sweeping(self) -> bool:
        """Whether the walk is over, and what came or was left behind meanwhile is being looked for."""
        left = [one for one in self.ranges if not one.done]
        return bool(left) and all(one.pass_ or one.kind == "rest" for one in left)

    def line(self) -> str:
        """For a log."""
        text = f"{self.job.table}: {self.percent:.0f} %, {self.rows_done} rows"
        if self.rate is not None:
            text += f" at {self.rate:.0f} rows/s"
        if self.eta_p50 is not None:
            text += f", ETA {units.duration(self.eta_p50)} (p90 {units.duration(self.eta_p90)})"
        if self.sweeping:
            text += ", closing sweep"
        if self.skipped:
            text += f", {self.skipped} skipped"
        return f"{text}, waits: {'; '.join(self.waiting)}" if self.waiting else text


@dataclass(frozen=True)
class Skipped:
    """A row that could not be changed."""

    part: int
    key: tuple[str, ...]
    sqlstate: str
    message: str


def begin(dsn: Dsn, checked: CheckedSpec, plan: Plan, run_: Run) -> Job:
    """Begin a backfill, or go on with the unfinished one of the same specification.

    What the operator last wished (pause, speed) holds on.

    Raises:
        Refused: another backfill of the table is not finished.
    """
    with session(dsn) as connection:
        _set_up(connection)
        connection.autocommit = False
        with connection:
            run(connection, "SET LOCAL lock_timeout = '30s'")
            ask(connection, "job/lock.sql")
            unfinished = _unfinished(connection, checked, dsn.where)
            id_ = unfinished if unfinished is not None else _insert(connection, checked, plan, run_)
            ask(connection, "job/resume.sql", id=id_, dag_run=run_.dag_run)
        connection.autocommit = True
        return _job(connection, id_, dsn.where, resumed=unfinished is not None)


def control(dsn: Dsn, job: int, *, desired: Desired | None = None, speed: float | None = None) -> Job:
    """Pause, resume, cancel, or change the speed; workers obey before their next batch.

    Args:
        desired: "run", "pause" or "cancel"; a cancelled job is finished, its rows stay as they are.
        speed: 1 is what the throttle says, 0.5 half of it.

    Raises:
        Refused: there is no such job, or it is finished.
    """
    if desired not in (None, "run", "pause", "cancel"):
        raise Refused(f"{desired!r} cannot be wished for", where=dsn.where, remedy="Give run, pause or cancel")
    if speed is not None and not 0.01 <= speed <= 100:
        raise Refused(f"A speed of {speed}", where=dsn.where, remedy="Give 0.01 to 100; 1 is the usual speed")
    with session(dsn) as connection:
        found = _job(connection, job, dsn.where)
        if not ask(connection, "job/control.sql", id=job, desired=desired, speed=speed):
            raise Refused(
                f"Backfill {job} is {found.status}", where=dsn.where, remedy="Begin it again if it is still wanted"
            )
        return _job(connection, job, dsn.where)


def state(dsn: Dsn, job: int) -> State:
    """How far a backfill is.

    Raises:
        Refused: there is no such job.
    """
    with session(dsn) as connection:
        return read_state(connection, job, dsn.where)


def jobs(dsn: Dsn, limit: int = 20) -> list[Job]:
    """The newest backfills of a database."""
    with session(dsn) as connection:
        if not ask(connection, "job/exists.sql")[0]["tables"]:
            return []
        return [_from_row(row) for row in ask(connection, "job/jobs.sql", limit=limit)]


def skipped(dsn: Dsn, job: int, limit: int = 100) -> list[Skipped]:
    """Rows that were left out by policy."""
    with session(dsn) as connection:
        return [
            Skipped(row["part"], tuple(row["key"]), row["sqlstate"], row["message"])
            for row in ask(connection, "job/skipped.sql", job=job, limit=limit)
        ]


def analyze(dsn: Dsn, job: Job) -> None:
    """Fresh statistics of the job's table, whatever it is called now; nothing if it is gone."""
    with session(dsn, Limits(statement=3600)) as connection:
        for now in ask(connection, "check/name.sql", oid=job.table_oid):
            run(connection, query("backfill/analyze.sql", table=sql.Identifier(now["schema"], now["name"])))


# --- on an open session ---


def read_job(connection: Connection, job: int, where: str) -> Job:
    """One job."""
    return _job(connection, job, where)


def read_state(connection: Connection, job: int, where: str) -> State:
    """As `state`."""
    found = _job(connection, job, where)
    ranges = tuple(read_ranges(connection, job))
    batches: dict[int, list[Batch]] = {}
    for row in ask(connection, "job/batches.sql", job=job):
        batches.setdefault(row["n"], []).append(Batch(row["units"], row["rows"], row["ms"], row["waited_ms"]))
    walking = [one for one in ranges if not one.done and one.pass_ == 0 and one.kind != "rest"]
    newest = {n: some for n, some in batches.items() if n in {one.n for one in walking if one.alive}}
    low, high = eta(walking, newest)
    took = sorted(batch.ms for some in newest.values() for batch in some)
    return State(
        job=found,
        ranges=ranges,
        percent=_percent(found, ranges),
        rows_done=sum(one.rows_done for one in ranges),
        batches=sum(one.batches for one in ranges),
        retries=sum(one.retries for one in ranges),
        skipped=sum(one.skipped for one in ranges),
        rate=_rate(newest.values()),
        eta_p50=low,
        eta_p90=high,
        waiting=tuple(sorted({one.waiting for one in ranges if one.waiting and not one.done})),
        batch_p50_ms=statistics.median(took) if took else None,
        batch_max_ms=took[-1] if took else None,
    )


def read_ranges(connection: Connection, job: int) -> list[RangeState]:
    """The ranges of a job."""
    return [
        RangeState(
            n=row["n"],
            part=row["part"],
            kind=row["kind"],
            lo=position(row["lo"]),
            hi=position(row["hi"]),
            pass_=row["pass"],
            last=position(row["last_key"]),
            pass_rows=row["pass_rows"],
            left_behind=row["left_behind"],
            size=row["units_estimate"],
            units=row["units"],
            rows_done=row["rows_done"],
            batches=row["batches"],
            retries=row["retries"],
            skipped=row["skipped"],
            done=row["done"],
            worker=row["worker"],
            waiting=row["waiting"],
            alive=row["alive"],
        )
        for row in ask(connection, "job/ranges.sql", job=job)
    ]


def position(value: Any) -> Position | None:
    """A checkpoint's place out of jsonb."""
    return tuple(value) if isinstance(value, list) else value


def eta(walking: Sequence[RangeState], batches: dict[int, list[Batch]]) -> tuple[float | None, float | None]:
    """Seconds left: what is left by what the newest batches took, their sleeps included; ranges go side by side."""
    left = sum(max(0, one.size - one.units) for one in walking)
    if not walking or not batches:
        return None, None
    costs = [cost for some in batches.values() for cost in _costs(some)]
    if not costs:
        return None, None
    costs.sort()
    side_by_side = len(batches)
    p90 = costs[min(len(costs) - 1, int(0.9 * len(costs)))]
    return left * statistics.median(costs) / side_by_side, left * p90 / side_by_side


# --- parts ---


def _costs(batches: Sequence[Batch]) -> Iterable[float]:
    """Seconds a row (or page), one figure for every few batches."""
    for start in range(0, len(batches), WINDOW):
        some = batches[start : start + WINDOW]
        walked = sum(batch.units for batch in some)
        if walked:
            yield sum(batch.ms + batch.waited_ms for batch in some) / 1000 / walked


def _rate(ranges: Iterable[Sequence[Batch]]) -> float | None:
    rates = [
        1000 * sum(batch.rows for batch in some) / took
        for some in ranges
        if (took := sum(batch.ms + batch.waited_ms for batch in some)) > 0
    ]
    return sum(rates) if rates else None


def _percent(job: Job, ranges: Sequence[RangeState]) -> float:
    if job.status == "done":
        return 100.0
    sizes = [(one.size, one.size if one.done or one.pass_ else min(one.units, one.size)) for one in ranges]
    whole = sum(size for size, _ in sizes)
    return min(99.0, 100.0 * sum(done for _, done in sizes) / whole) if whole else 0.0


def _set_up(connection: Connection) -> None:
    there = ask(connection, "job/exists.sql")[0]
    if there["tables"]:
        return
    connection.autocommit = False
    with connection:
        ask(connection, "job/lock.sql")
        if not ask(connection, "job/exists.sql")[0]["schema"]:
            ask(connection, "job/create_schema.sql")
        ask(connection, "job/create.sql")
    connection.autocommit = True


def _unfinished(connection: Connection, checked: CheckedSpec, where: str) -> int | None:
    oids = [checked.oid, *(part.oid for part in checked.parts)]
    for other in ask(connection, "job/unfinished.sql", oids=oids):
        if other["spec_hash"] == checked.hash and other["table_oid"] == checked.oid:
            return int(other["id"])
        raise Refused(
            f"Backfill {other['id']} of {other['table_name']} ({other['created_by']}, {other['dag_run']}) is not"
            " finished, and changes something else",
            where=f"{where}, {checked.title}",
            remedy=f"Let it finish, or cancel backfill {other['id']}",
        )
    return None


def _insert(connection: Connection, checked: CheckedSpec, plan: Plan, run_: Run) -> int:
    keys = {str(part.oid): [column.name for column in part.key] for part in checked.parts}
    inserted = ask(
        connection,
        "job/insert.sql",
        spec_hash=checked.hash,
        table_oid=checked.oid,
        table_name=checked.title,
        spec=Json(checked.spec.as_dict()),
        parts=Json(keys),
        max_key=Json({str(part.part.oid): part.upper for part in plan.parts}),
        rows_estimate=plan.rows,
        created_by=run_.created_by,
        dag_run=run_.dag_run,
    )
    id_ = int(inserted[0]["id"])
    for n, one in enumerate(plan.ranges):
        ask(
            connection,
            "job/insert_range.sql",
            job=id_,
            n=n,
            part=one.part,
            kind=one.kind,
            lo=as_json(one.lo),
            hi=as_json(one.hi),
            units_estimate=one.size,
        )
    return id_


def as_json(place: Position | None) -> Json | None:
    """A checkpoint's place for jsonb."""
    return None if place is None else Json(list(place) if isinstance(place, tuple) else place)


def _job(connection: Connection, id_: int, where: str, resumed: bool = False) -> Job:
    try:
        found = ask(connection, "job/job.sql", id=id_)
    except (psycopg2.errors.UndefinedTable, psycopg2.errors.InvalidSchemaName):
        found = []
    if not found:
        raise Refused(f"There is no backfill {id_}", where=where, remedy="Look into pgops.backfill_jobs")
    return _from_row(found[0], resumed)


def _from_row(row: dict[str, Any], resumed: bool = False) -> Job:
    return Job(
        id=row["id"],
        spec=read(row["spec"], f"pgops.backfill_jobs, id {row['id']}"),
        table_oid=row["table_oid"],
        table=row["table_name"],
        keys={int(oid): tuple(columns) for oid, columns in row["parts"].items()},
        max_key={int(oid): position(key) for oid, key in row["max_key"].items()},
        rows_estimate=row["rows_estimate"],
        status=row["status"],
        desired=row["desired"],
        speed=row["speed"],
        created_by=row["created_by"],
        dag_run=row["dag_run"],
        created_at=row["created_at"],
        finished_at=row["finished_at"],
        error=row["error"],
        resumed=resumed,
    )
