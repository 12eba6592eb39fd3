"""A backfill that stands still says so once, however many workers it has and how often they are tried; and that it goes
on once."""

from __future__ import annotations

import threading
from dataclasses import replace

from pgops import backfill
from pgops.backfill.job import control
from pgops.backfill.plan import SMALLEST_RANGE
from pgops.postgres import Dsn
from tests.backfill.backfills import FAST, begun, execute, one, users
from tests.servers import eventually

SMALL = replace(FAST, first_batch=100, most_batch=2_000, stall_after=0.4)
HEARTBEAT = "SELECT heartbeat FROM pgops.backfill_ranges"


class Gate(backfill.Unthrottled):
    """Holds up every batch after the first until it is opened."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.batches = 0

    def before_batch(self) -> backfill.Go | backfill.Wait:
        self.batches += 1
        return backfill.Go() if self.open.is_set() or self.batches == 1 else backfill.Wait("the gate is shut", 0.05)


def test_of_two_workers_one_says_that_it_stands_still_and_one_that_it_goes_on(each_database: Dsn) -> None:
    users(each_database, 2 * SMALLEST_RANGE)
    job = begun(each_database, workers=2)
    gate, told = Gate(), list[backfill.Stall]()
    options = {"options": SMALL, "on_stall": told.append}
    workers = [
        threading.Thread(target=backfill.work, args=(each_database, job.id, None, gate), kwargs=options)
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    try:
        assert eventually(lambda: told)
        owners = "SELECT count(*) FROM pgops.backfill_ranges WHERE waiting <> ''"
        assert eventually(lambda: one(each_database, owners) == 2), "both stand still"
        since = "SELECT extract(epoch FROM clock_timestamp() - stalled_since) FROM pgops.backfill_jobs"
        assert eventually(lambda: one(each_database, since) > 3 * SMALL.stall_after)
        assert len(told) == 1, "both have looked several times"
    finally:
        gate.open.set()
        for worker in workers:
            worker.join()
    stall, end = told
    assert (stall.reason, stall.over, end.over) == ("the gate is shut", False, True)
    assert stall.seconds >= SMALL.stall_after and end.seconds > stall.seconds
    assert stall.state.percent < end.state.percent
    assert one(each_database, "SELECT count(*) FROM users WHERE tier IS NULL OR touched <> 1") == 0


def test_a_stall_that_was_told_is_not_told_again_by_the_next_try_and_its_end_is(each_database: Dsn) -> None:
    users(each_database)
    job = begun(each_database)
    control(each_database, job.id, desired="pause")
    told: list[backfill.Stall] = []
    for _ in range(2):
        over = threading.Event()
        kwargs = {"options": SMALL, "on_stall": told.append, "stop": over.is_set}
        thread = threading.Thread(target=backfill.work, args=(each_database, job.id), kwargs=kwargs)
        thread.start()
        first = one(each_database, HEARTBEAT)
        assert eventually(lambda: told)
        assert eventually(lambda first=first: one(each_database, HEARTBEAT) != first)
        over.set()
        thread.join()
    assert [stall.reason for stall in told] == ["paused by the operator"]
    control(each_database, job.id, desired="run")
    assert backfill.work(each_database, job.id, options=SMALL, on_stall=told.append).outcome == "done"
    assert [stall.over for stall in told] == [False, True]


def test_nothing_stands_still_while_another_worker_goes_on(database: Dsn) -> None:
    users(database, 2 * SMALLEST_RANGE)
    job = begun(database, workers=2)
    told: list[backfill.Stall] = []
    seen: list[int] = []
    over = threading.Event()
    shut = Gate()
    shut.batches = 1
    kwargs = {"options": replace(SMALL, stall_after=3.0), "on_stall": told.append, "stop": over.is_set}
    held = threading.Thread(target=backfill.work, args=(database, job.id, [0], shut), kwargs=kwargs)
    held.start()

    class Slowly(backfill.Unthrottled):
        """Twenty batches in more than five seconds."""

        def after_batch(self, rows: int, ms: float, wal_bytes: int) -> float:
            seen.append(len(told))
            return 0.25

    try:
        backfill.work(database, job.id, [1], Slowly(), options=replace(FAST, first_batch=250, most_batch=250))
        assert len(seen) >= 20 and set(seen) == {0}
        assert eventually(lambda: told), "now it does"
    finally:
        over.set()
        held.join()


def test_tables_of_the_release_before_get_what_is_new(each_database: Dsn) -> None:
    users(each_database)
    job = begun(each_database)
    execute(each_database, "ALTER TABLE pgops.backfill_jobs DROP COLUMN stalled_since")
    assert begun(each_database).id == job.id
    assert backfill.work(each_database, job.id, options=SMALL).outcome == "done"
