"""The parts of `bench backfill`: a strategy by itself, one beside an application, and one with a standby behind it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psycopg2

from benchmarks.rig.backfill_worker import SPEC, STATEMENTS, Job, policy
from benchmarks.rig.foreground import Foreground
from benchmarks.rig.ground import Ground
from benchmarks.rig.measure import wait_until_idle
from benchmarks.rig.people import People
from pgops import backfill
from pgops.errors import PgOpsError
from sandbox.load import Request, latency
from sandbox.postgres import Standby, free_port

WORKER = "benchmarks.rig.backfill_worker"
# Each strategy with its number of workers.
STRATEGIES = {**dict.fromkeys(STATEMENTS, 1), "ours": 1, "ours_two": 2, "ours_no_vacuum": 1}
MODES = ("idle", "source", "ours")
PAUSE_SECONDS = 4.0
_POLL_SECONDS = 0.01


class Worker:
    """A worker's process."""

    def __init__(self, job: Job, temporary: Path) -> None:
        self.job = job
        # Its messages go to a file, as a task's do.
        self._said = (temporary / f"{job.step}.log").open("w+", encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, "-m", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            text=True,
        )
        self._tell(json.dumps(asdict(job)))

    def wait_until_ready(self) -> None:
        """Until it only waits for `go`."""
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise self._failed()

    def go(self) -> None:
        """Let it begin."""
        self._tell("go")

    def stop(self) -> None:
        """Let it end early."""
        with suppress(BrokenPipeError):  # it has just ended by itself
            self._tell("stop")

    def ended(self) -> bool:
        """Whether it has ended, by itself or not."""
        return self._process.poll() is not None

    def result(self) -> dict[str, Any]:
        """What it measured, once it has ended."""
        assert self._process.stdout is not None
        printed = self._process.stdout.read()
        if self._process.wait() != 0:
            raise self._failed()
        result: dict[str, Any] = json.loads(printed)
        return result

    def close(self) -> None:
        """End it, whatever it does."""
        if not self.ended():
            self._process.kill()
        self._process.communicate()
        self._said.close()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _failed(self) -> PgOpsError:
        self._process.wait()
        self._said.seek(0)
        return PgOpsError(
            f"The step {self.job.step} failed", where=self._said.read()[-2000:], remedy="Mend it and run again"
        )


# --- a strategy by itself ---


@dataclass(frozen=True)
class Cost:
    """What a strategy took for one table.

    Attributes:
        seconds: of the work; check, plan and begin are `prepared` seconds.
        cpu_us, buffers: per row; of the server's backends.
    """

    rows: int
    seconds: float
    prepared: float
    cpu_us: float
    buffers: float
    wal_mb: float
    table_mb: float


def cost(place: Ground, people: People, strategy: str, rows: int, settle: float) -> Cost:
    """A strategy on a fresh copy of so many rows, with nothing beside it."""
    people.fresh(rows)
    jobs, prepared = _jobs(people, strategy)
    _settle(settle)
    before = people.meters()
    with _ready(jobs, place.folder / "tmp") as workers:
        begun = time.monotonic()
        for worker in workers:
            worker.go()
        for worker in workers:
            worker.result()
        seconds = time.monotonic() - begun
    used = people.meters().since(before)
    left = people.left()
    if left and strategy != "create_table_as":
        raise PgOpsError(f"{strategy} left {left} rows", where="people", remedy="Mend it and run again")
    return Cost(
        rows=rows,
        seconds=seconds,
        prepared=prepared,
        cpu_us=1e6 * used.cpu_seconds / rows,
        buffers=used.buffers / rows,
        wal_mb=used.wal_bytes / 1e6,
        table_mb=people.megabytes(),
    )


# --- beside an application ---


@dataclass(frozen=True)
class Load:
    """What is measured beside an application.

    Attributes:
        rows: of the table.
        seconds: that the backfill has to be at work.
        baseline: seconds of the application alone, before the backfill begins; None as the throttle's policy has it.
        settle: the longest wait for an idle machine.
    """

    rows: int
    seconds: float
    baseline: float | None
    settle: float


@dataclass(frozen=True)
class Beside:
    """What an application felt while a backfill was at work, and how far that came.

    Attributes:
        seconds: of the backfill's work; of waiting if there was none.
        p50, p95, p99, worst: milliseconds of its writes.
        turns: copies of the table that it took.
    """

    rows: int
    seconds: float
    requests: int
    p50: float
    p95: float
    p99: float
    worst: float
    read_p95: float
    turns: int
    held_up: dict[str, float]

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds


def beside(place: Ground, people: People, mode: str, load: Load) -> Beside:
    """A backfill at work beside an application, on as many copies of the table as it gets done in the time."""
    requests: list[Request] = []
    held_up: dict[str, float] = {}
    done, worked, turns = 0, 0.0, 0
    while worked < load.seconds * 0.99:
        turn = _turn(place, people, mode, load, load.seconds - worked)
        requests += turn.requests
        done, worked, turns = done + turn.rows, worked + turn.ended - turn.begun, turns + 1
        for name, waited in turn.held_up.items():
            held_up[name] = held_up.get(name, 0.0) + waited
    writes, reads = (latency([one for one in requests if one.written == written]) for written in (True, False))
    if writes is None or reads is None:
        raise PgOpsError(
            f"{mode}: no request was due while it worked", where="people", remedy="Give it longer: --seconds"
        )
    return Beside(
        rows=done,
        seconds=worked,
        requests=len(requests),
        p50=writes.p50,
        p95=writes.p95,
        p99=writes.p99,
        worst=writes.max,
        read_p95=reads.p95,
        turns=turns,
        held_up=held_up,
    )


@dataclass(frozen=True)
class _Turn:
    """One copy of the table: requests that were due while the backfill worked on it."""

    rows: int
    begun: float
    ended: float
    requests: list[Request]
    held_up: dict[str, float]


def _turn(place: Ground, people: People, mode: str, load: Load, seconds: float) -> _Turn:
    people.fresh(load.rows, indexes=True)
    jobs = [] if mode == "idle" else _jobs(people, mode)[0]
    jobs = [replace(job, throttled=mode == "ours", baseline_seconds=load.baseline) for job in jobs]
    _settle(load.settle)
    temporary = place.folder / "tmp"
    application = Foreground(place.server, load.rows, temporary)
    measured: dict[str, Any] = {}
    with application:
        lead = time.monotonic() + policy(load.baseline).latency.baseline_seconds
        with _ready(jobs, temporary) as workers:
            time.sleep(max(0.0, lead - time.monotonic()))  # the same for all, whether they look at it or not
            begun = time.time()
            for worker in workers:
                worker.go()
            _wait(lambda: bool(workers) and workers[0].ended(), seconds)
            for worker in workers:
                worker.stop()
                measured = worker.result()
            ended = time.time()
    begun, ended = measured.get("begun", begun), measured.get("ended", ended)
    return _Turn(
        rows=load.rows - people.left(),
        begun=begun,
        ended=ended,
        requests=[one for one in application.requests() if begun <= one.due <= ended],
        held_up=measured.get("held_up", {}),
    )


# --- with a standby ---


@dataclass(frozen=True)
class Lag:
    """How far a standby fell behind while it replayed nothing.

    Attributes:
        overshoot: the most, as a multiple of the policy's limit.
        rows_before, rows_in_pause, rows_after: that were done; in the pause it stood still for most of the time.
        catch_up: seconds from the end of the pause until the standby was as near as at its begin.
    """

    overshoot: float
    most_mb: float
    rows_before: int
    rows_in_pause: int
    rows_after: int
    catch_up: float


def lag(place: Ground, people: People, rows: int, baseline: float | None) -> Lag:
    """A throttled backfill, and a standby whose replay is paused in the middle of it."""
    people.fresh(rows)
    (job,), _ = _jobs(people, "ours")
    limit = policy().max_lag_mb * 2**20
    settings = {"shared_buffers": "256MB"}
    standby = Standby("benchmark_standby", place.server, place.folder / "standby", free_port(), settings)
    try:
        standby.create()
        standby.start()
        standby.wait_until_caught_up()
        with (
            _ready([replace(job, throttled=True, baseline_seconds=baseline)], place.folder / "tmp") as (worker,),
            closing(psycopg2.connect(people.dsn.conninfo(), password=people.dsn.password)) as connection,
        ):
            connection.autocommit = True
            behind = _Behind(connection, job.backfill)
            worker.go()
            _wait(lambda: behind.look() and behind.rows > rows * 0.1, 600)
            before = behind.rows
            standby.execute("select pg_wal_replay_pause()")
            _wait(lambda: not behind.look(), PAUSE_SECONDS)
            if worker.ended():
                worker.result()
                raise PgOpsError("The backfill ended too early", where="people", remedy="Give more --load-rows")
            in_pause = behind.rows
            standby.execute("select pg_wal_replay_resume()")
            resumed = time.monotonic()
            _wait(lambda: behind.look() and behind.bytes < limit / 2, 60)
            catch_up = time.monotonic() - resumed
            _wait(lambda: worker.ended() or not behind.look(), 600)
            worker.result()
            return Lag(
                overshoot=behind.most / limit,
                most_mb=behind.most / 1e6,
                rows_before=before,
                rows_in_pause=in_pause - before,
                rows_after=rows - in_pause,
                catch_up=catch_up,
            )
    finally:
        standby.destroy()
        place.server.execute(f"select pg_drop_replication_slot('{standby.slot}')")


class _Behind:
    """Looks how far the standby is behind, and how far the backfill is."""

    _QUESTION = """
        SELECT (SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), min(replay_lsn))::bigint FROM pg_stat_replication),
               (SELECT sum(rows_done)::bigint FROM pgops.backfill_ranges WHERE job = %s)
    """

    def __init__(self, connection: Any, job: int) -> None:
        self._connection, self._job = connection, job
        self.bytes = self.most = self.rows = 0

    def look(self) -> bool:
        """Look; whether there is a standby that tells."""
        with self._connection.cursor() as cursor:
            cursor.execute(self._QUESTION, (self._job,))
            behind, self.rows = cursor.fetchone()
        if behind is None:
            raise PgOpsError("The standby does not stream", where="pg_stat_replication", remedy="Look into its log")
        self.bytes = behind
        self.most = max(self.most, behind)
        return True


# --- parts ---


def _settle(seconds: float) -> None:
    if seconds:
        wait_until_idle(seconds=seconds)


def _jobs(people: People, strategy: str) -> tuple[list[Job], float]:
    """What each worker of a strategy is told, and how long it took to check, plan and begin."""
    job = Job(strategy, people.server.port, people.server.password)
    if strategy in STATEMENTS:
        return [job], 0.0
    begun = time.monotonic()
    workers = STRATEGIES[strategy]
    checked = backfill.check(people.dsn, backfill.read(SPEC))
    planned = backfill.plan(people.dsn, checked, workers=workers)
    made = backfill.begin(people.dsn, checked, planned, backfill.Run("bench", strategy))
    job = replace(job, backfill=made.id, table_oid=made.table_oid, vacuum=strategy != "ours_no_vacuum")
    return [job] * workers, time.monotonic() - begun


@contextmanager
def _ready(jobs: Sequence[Job], temporary: Path) -> Iterator[list[Worker]]:
    """Workers that wait to begin; none outlives the block."""
    with ExitStack() as stack:
        workers = []
        for job in jobs:
            worker = Worker(job, temporary)
            stack.callback(worker.close)
            workers.append(worker)
        for worker in workers:
            worker.wait_until_ready()
        yield workers


def _wait(until: Callable[[], bool], seconds: float) -> None:
    """Until it is so, or so many seconds are over."""
    deadline = time.monotonic() + seconds
    while not until() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
