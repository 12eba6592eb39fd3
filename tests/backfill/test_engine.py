"""Every row is changed, and none twice: whatever the key looks like, and whoever is in the way."""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from pgops import backfill
from pgops.backfill import worker
from pgops.backfill.statements import Position
from pgops.backfill.steering import Steering
from pgops.errors import PgOpsError, Refused
from pgops.postgres import Dsn
from tests.backfill.backfills import FAST, ME, begun, connected, done, execute, one, spec, users
from tests.servers import eventually

SMALL = replace(FAST, first_batch=100, most_batch=500)


def all_done_once(dsn: Dsn, table: str = "users") -> bool:
    return one(dsn, f"SELECT count(*) FROM {table} WHERE tier IS NULL OR touched <> 1") == 0


# --- keys of all kinds ---


def test_every_row_is_changed_once_and_counted(each_database: Dsn) -> None:
    users(each_database)
    worked = done(each_database, SMALL)
    assert (worked.outcome, worked.rows, worked.skipped) == ("done", 3_000, 0)
    assert all_done_once(each_database)
    state = backfill.state(each_database, worked.job)
    assert (state.job.status, state.percent, state.rows_done) == ("done", 100.0, 3_000)


KEYS = {
    "composite": ("a int, b text, PRIMARY KEY (a, b)", "a, b", "g % 7, g::text"),
    "descending": ("a int NOT NULL, b int NOT NULL", "a, b", "g % 7, g"),
    "uuid": ("id uuid PRIMARY KEY", "id", "md5(g::text)::uuid"),
    "text": ("id text PRIMARY KEY", "id", "'it''s \\% ' || g"),
    "char": ("id char(9) PRIMARY KEY", "id", "g::text"),
    "time": ("id timestamptz PRIMARY KEY", "id", "'2020-01-01'::timestamptz + g * interval '1.000001 s'"),
    "float": ("id float8 PRIMARY KEY", "id", "g / 7.0"),
    "gaps of a billion": ("id bigint PRIMARY KEY", "id", "g * 1000000000::bigint"),
    "a gap of a billion": ("id bigint PRIMARY KEY", "id", "g + CASE WHEN g > 700 THEN 1000000000 ELSE 0 END"),
    "small and negative": ("id smallint PRIMARY KEY", "id", "g - 1000"),
    "names": ('"I d""x" bigint PRIMARY KEY', '"I d""x"', "g"),
    "none": ("id int", "id", "g"),
    "nullable": ("id int UNIQUE", "id", "nullif(g, 5)"),
}


@pytest.mark.parametrize("kind", KEYS)
def test_any_key_will_do(each_database: Dsn, kind: str) -> None:
    columns, names, values = KEYS[kind]
    users(each_database, 1)  # for its trigger
    execute(
        each_database,
        f"""
        DROP TABLE users CASCADE;
        CREATE TABLE users ({columns}, spent int, tier text, touched int DEFAULT 0);
        INSERT INTO users ({names}, spent) SELECT {values}, g FROM generate_series(1, 1500) g;
        CREATE TRIGGER touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch();
        """,
    )
    if kind == "descending":
        execute(each_database, "CREATE UNIQUE INDEX ON users (a DESC, b DESC)")
    worked = done(each_database, SMALL)
    assert worked.rows == 1_500
    assert all_done_once(each_database)
    assert worked.batches > 3


def test_a_batch_reads_its_own_rows_only_whatever_the_planner_believes(each_database: Dsn) -> None:
    execute(
        each_database,
        """
        CREATE TABLE users (id bigint PRIMARY KEY, spent int, tier text) WITH (autovacuum_enabled = off);
        INSERT INTO users SELECT g, g, CASE WHEN g % 100 > 0 THEN 'x' END FROM generate_series(1, 60000) g;
        """,
    )
    job = begun(each_database)
    reads = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'users'"
    before = one(each_database, reads)
    worked = backfill.work(each_database, job.id, options=SMALL)
    assert worked.rows == 600 and worked.batches >= 120
    assert eventually(lambda: one(each_database, reads) > before)
    assert one(each_database, reads) - before < 5 * 60_000  # bound, update, sweep


def test_names_with_quotes_are_only_names(each_database: Dsn) -> None:
    execute(
        each_database,
        """CREATE SCHEMA "S "";x"; CREATE TABLE "S "";x"."T%s{}" ("k""'" int PRIMARY KEY, "v;--" text);
           INSERT INTO "S "";x"."T%s{}" SELECT generate_series(1, 300)""",
    )
    worked = done(
        each_database,
        table='"S "";x"."T%s{}"',
        set={"v;--": """'x' || "T%s{}"."k""'" """},
        where='"v;--" IS NULL',
    )
    assert worked.rows == 300
    assert one(each_database, """SELECT count(*) FROM "S "";x"."T%s{}" WHERE "v;--" = 'x' || "k""'" """) == 300


def test_an_empty_table_is_done_at_once(each_database: Dsn) -> None:
    users(each_database, 0)
    assert done(each_database).outcome == "done"


def test_an_empty_table_without_key_is_done_at_once(each_database: Dsn) -> None:
    execute(each_database, "CREATE TABLE users (spent int, tier text)")
    assert done(each_database).outcome == "done"


def test_partitions_are_walked_each_by_itself(each_database: Dsn) -> None:
    execute(
        each_database,
        """
        CREATE TABLE users (id int, at date, spent int, tier text) PARTITION BY RANGE (at);
        CREATE TABLE users_1 PARTITION OF users FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
        CREATE TABLE users_2 (spent int, tier text, gone int, at date, id int);
        ALTER TABLE users_2 DROP COLUMN gone;
        ALTER TABLE users ATTACH PARTITION users_2 FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
        ALTER TABLE users_2 ADD PRIMARY KEY (id);
        CREATE TABLE users_3 PARTITION OF users FOR VALUES FROM ('2022-01-01') TO ('2023-01-01') PARTITION BY LIST (id);
        INSERT INTO users SELECT g, '2020-01-01'::date + g % 730, g FROM generate_series(1, 3000) g;
        """,
    )
    checked = backfill.check(each_database, spec(set={"tier": "'t' || users.id"}))
    assert [(part.name, bool(part.key)) for part in checked.parts] == [("users_1", False), ("users_2", True)]
    job = backfill.begin(each_database, checked, backfill.plan(each_database, checked, workers=3), ME)
    assert backfill.work(each_database, job.id, options=SMALL).rows == 3_000
    assert one(each_database, "SELECT count(*) FROM users WHERE tier IS DISTINCT FROM 't' || id") == 0


def test_a_column_that_decides_the_partition_is_refused(each_database: Dsn) -> None:
    execute(each_database, "CREATE TABLE users (id int, tier text) PARTITION BY LIST (tier)")
    execute(each_database, "CREATE TABLE users_1 PARTITION OF users DEFAULT")
    for name in ("users", "users_1"):
        with pytest.raises(Refused, match="to which partition"):
            backfill.check(each_database, spec(table=name, set={"tier": "'x'"}))


def test_rows_that_move_in_a_table_without_key_are_swept_up(each_database: Dsn) -> None:
    execute(each_database, "CREATE TABLE users (id int, spent int, tier text) WITH (fillfactor = 100)")
    execute(each_database, "INSERT INTO users SELECT g, g FROM generate_series(1, 3000) g")
    job = begun(each_database)
    execute(each_database, "UPDATE users SET spent = spent + 1 WHERE id <= 1500")  # to pages behind the bound
    assert backfill.work(each_database, job.id, options=SMALL).outcome == "done"
    assert one(each_database, "SELECT count(*) FROM users WHERE tier IS NULL") == 0


# --- several workers ---


@pytest.mark.parametrize("key", ["PRIMARY KEY", ""])
def test_ranges_are_disjoint_and_cover_all(each_database: Dsn, key: str) -> None:
    execute(each_database, f"CREATE TABLE users (id int {key}, spent int, tier text, touched int DEFAULT 0)")
    execute(each_database, "INSERT INTO users SELECT g, g FROM generate_series(1, 40000) g")
    job = begun(each_database, workers=4)
    ranges = [one for one in backfill.state(each_database, job.id).ranges if one.kind != "rest"]
    assert len(ranges) == 4
    assert [one.hi for one in ranges[:-1]] == [one.lo for one in ranges[1:]]
    results: list[backfill.Worked] = []
    threads = [
        threading.Thread(target=lambda n=n: results.append(backfill.work(each_database, job.id, [n], options=SMALL)))
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(result.rows for result in results) == 40_000
    assert "done" in {result.outcome for result in results}
    assert one(each_database, "SELECT count(*) FROM users WHERE tier IS NULL") == 0
    assert backfill.state(each_database, job.id).job.status == "done"


def test_a_range_has_one_owner(each_database: Dsn) -> None:
    users(each_database)
    job = begun(each_database)
    entered, leave = threading.Event(), threading.Event()

    class Holding(backfill.Unthrottled):
        def before_batch(self) -> backfill.Go:
            entered.set()
            leave.wait(30)
            return backfill.Go()

    first = threading.Thread(target=backfill.work, args=(each_database, job.id, None, Holding()))
    first.start()
    assert entered.wait(30)
    try:
        assert backfill.work(each_database, job.id).outcome == "idle"
    finally:
        leave.set()
        first.join()
    assert all_done_once(each_database)


# --- jobs ---


def test_the_same_specification_goes_on_with_the_unfinished_job(each_database: Dsn) -> None:
    users(each_database)
    checked = backfill.check(each_database, spec())
    plan = backfill.plan(each_database, checked)
    job = backfill.begin(each_database, checked, plan, ME)
    batches = iter([False, False, False, True])
    stopped = backfill.work(each_database, job.id, options=SMALL, stop=lambda: next(batches, True))
    assert stopped.outcome == "stopped"
    again = backfill.check(each_database, spec(table="public.users", where="(tier) is null"))
    resumed = backfill.begin(each_database, again, backfill.plan(each_database, again), ME)
    assert (resumed.id, resumed.resumed) == (job.id, True)
    assert stopped.rows + backfill.work(each_database, job.id, options=SMALL).rows == 3_000
    assert backfill.begin(each_database, checked, plan, ME).id != job.id


def test_another_specification_of_the_table_is_refused_until_the_first_is_finished(each_database: Dsn) -> None:
    users(each_database, 10)
    job = begun(each_database)
    with pytest.raises(Refused, match="not finished"):
        begun(each_database, set={"tier": "'other'"})
    backfill.control(each_database, job.id, desired="cancel")
    assert begun(each_database, set={"tier": "'other'"}).id != job.id


def test_a_partition_is_not_backfilled_twice_at_a_time(each_database: Dsn) -> None:
    execute(each_database, "CREATE TABLE users (id int, spent int, tier text) PARTITION BY LIST (id)")
    execute(each_database, "CREATE TABLE users_1 PARTITION OF users DEFAULT")
    begun(each_database)
    with pytest.raises(Refused, match="not finished"):
        begun(each_database, table="users_1")


def test_two_that_begin_at_once_share_one_job(each_database: Dsn) -> None:
    users(each_database, 10)
    checked = backfill.check(each_database, spec())
    plan = backfill.plan(each_database, checked)
    ids: list[int] = []
    threads = [
        threading.Thread(target=lambda: ids.append(backfill.begin(each_database, checked, plan, ME).id))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 6 and len(set(ids)) == 1


def test_rows_that_come_after_the_plan_are_not_run_after(each_database: Dsn) -> None:
    users(each_database, 1_000)
    job = begun(each_database)

    class Inserting(backfill.Unthrottled):
        def before_batch(self) -> backfill.Go:
            execute(
                each_database,
                "INSERT INTO users (id, spent) SELECT max(id) + g, 1 FROM users, generate_series(1, 500) g GROUP BY g",
            )
            return backfill.Go()

    worked = backfill.work(each_database, job.id, None, Inserting(), options=SMALL)
    assert (worked.outcome, worked.rows) == ("done", 1_000)


def test_rows_that_keep_coming_without_a_value_are_an_error_that_says_so(each_database: Dsn) -> None:
    execute(each_database, "CREATE TABLE users (id int, spent int, tier text)")
    execute(each_database, "INSERT INTO users SELECT g, g FROM generate_series(1, 300) g")
    job = begun(each_database)

    class Inserting(backfill.Unthrottled):
        def before_batch(self) -> backfill.Go:
            execute(each_database, "INSERT INTO users SELECT g, g FROM generate_series(1, 300) g")
            return backfill.Go()

    with pytest.raises(PgOpsError, match="still rows to do"):
        backfill.work(each_database, job.id, None, Inserting(), options=replace(SMALL, most_passes=2))


# --- the operator ---


class Steps(backfill.Unthrottled):
    """Does something before the n-th batch."""

    def __init__(self, *steps: object) -> None:
        self.steps = list(steps)

    def before_batch(self) -> backfill.Go:
        step = self.steps.pop(0) if self.steps else None
        if callable(step):
            step()
        return backfill.Go()


def test_cancel_ends_it_and_what_is_done_stays(each_database: Dsn) -> None:
    users(each_database)
    job = begun(each_database)
    cancel = Steps(None, None, lambda: backfill.control(each_database, job.id, desired="cancel"))
    worked = backfill.work(each_database, job.id, None, cancel, options=SMALL)
    assert worked.outcome == "cancelled" and 0 < worked.rows < 3_000
    assert one(each_database, "SELECT count(*) FROM users WHERE tier IS NOT NULL") == worked.rows
    assert backfill.work(each_database, job.id).outcome == "cancelled"
    with pytest.raises(Refused, match="cancelled"):
        backfill.control(each_database, job.id, desired="run")


def test_pause_and_resume_need_no_restart(each_database: Dsn) -> None:
    users(each_database)
    job = begun(each_database)
    pause = Steps(None, lambda: backfill.control(each_database, job.id, desired="pause"))
    results: list[backfill.Worked] = []
    thread = threading.Thread(
        target=lambda: results.append(backfill.work(each_database, job.id, None, pause, options=SMALL))
    )
    thread.start()
    assert eventually(lambda: backfill.state(each_database, job.id).waiting == ("paused by the operator",))
    assert begun(each_database).desired == "pause"  # triggering again does not undo the operator's wish
    backfill.control(each_database, job.id, desired="run", speed=50)
    thread.join(30)
    assert results[0].rows == 3_000 and results[0].waited > 0


def test_speed_stretches_the_time_of_a_batch(each_database: Dsn) -> None:
    users(each_database, 300)
    job = begun(each_database)
    backfill.control(each_database, job.id, speed=0.5)
    slow = backfill.work(each_database, job.id, options=SMALL)
    assert slow.waited > 0
    with pytest.raises(Refused):
        backfill.control(each_database, job.id, speed=0)


def test_the_throttle_may_wait_and_may_stop(each_database: Dsn) -> None:
    users(each_database)
    job = begun(each_database)
    answers = iter([backfill.Go(), backfill.Wait("standby lags", 0.05), backfill.Go(), backfill.Stop("disk full")])

    class Throttle:
        def before_batch(self) -> backfill.Go | backfill.Wait | backfill.Stop:
            return next(answers)

        def after_batch(self, rows: int, ms: float, wal_bytes: int) -> float:
            assert rows > 0 and ms > 0 and wal_bytes > 0
            return 0.001

    worked = backfill.work(each_database, job.id, None, Throttle(), options=SMALL)
    assert (worked.outcome, worked.reason) == ("throttled", "disk full")
    assert one(each_database, "SELECT string_agg(reason, ',') FROM pgops.backfill_batches WHERE reason <> ''") == (
        "standby lags"
    )


# --- the dry run ---


def test_a_plan_changes_nothing_and_shows_what_would_become(each_database: Dsn) -> None:
    users(each_database, 1_000)
    execute(each_database, "UPDATE users SET tier = 'x' WHERE id % 2 = 0; CREATE INDEX by_tier ON users (tier)")
    before = one(each_database, "SELECT sum(hashtextextended(u::text, 0)) FROM users u")
    checked = backfill.check(each_database, spec())
    plan = backfill.plan(each_database, checked)
    assert (plan.rows, plan.todo, plan.parts[0].upper) == (1_000, 500, ("1000",))
    assert plan.sample[0].before == (None,) and plan.sample[0].after[0] in ("gold", "standard")
    assert plan.seconds is not None and plan.seconds > 0
    notes = "\n".join(plan.notes)
    assert "by_tier" in notes and "touch" in notes
    assert one(each_database, "SELECT sum(hashtextextended(u::text, 0)) FROM users u") == before
    assert one(each_database, "SELECT to_regnamespace('pgops')") is None


def test_a_constant_for_every_row_needs_no_backfill(each_database: Dsn) -> None:
    users(each_database, 10)
    checked = backfill.check(each_database, spec(set={"tier": "'standard'"}))
    assert "ADD COLUMN" in "\n".join(backfill.plan(each_database, checked).notes)


def test_a_predicate_that_stays_true_is_refused(each_database: Dsn) -> None:
    users(each_database, 10)
    checked = backfill.check(each_database, spec(set={"tier": "nullif(spent, 3)::text"}))
    with pytest.raises(Refused, match="still fulfil"):
        backfill.plan(each_database, checked)


def test_the_dry_run_names_what_cannot_be_changed(each_database: Dsn) -> None:
    users(each_database, 10)
    execute(each_database, "ALTER TABLE users ADD CHECK (tier <> 'standard')")
    plan = backfill.plan(each_database, backfill.check(each_database, spec()))
    assert "23514" in plan.problem


# --- pure parts ---


def test_batches_are_steered_by_time() -> None:
    steering = Steering(40, 1_000, 100, 20_000)
    for _ in range(200):
        steering.took(steering.rows / 50)  # 50 rows a millisecond
    assert 1_900 <= steering.rows <= 2_100
    for _ in range(200):
        steering.took(steering.rows * 10.0)
    assert steering.rows == 100
    for _ in range(200):
        steering.took(0.0)
    assert steering.rows == 20_000


def test_the_eta_has_the_sleeps_in_it() -> None:
    from pgops.backfill.job import Batch, RangeState, eta

    start: Position = ("0",)
    state = RangeState(0, 1, "keys", start, start, 0, start, 0, False, 2_000, 1_000, 0, 0, 0, 0, False, "", "", True)
    quick = [Batch(100, 100, 50, 0)] * 10
    slept = [Batch(100, 100, 50, 50)] * 10
    assert eta([state], {0: quick}) == (0.5, 0.5)
    assert eta([state], {0: slept}) == (1.0, 1.0)
    low, high = eta([state], {0: quick + slept[:5]})
    assert (low, high) == (0.5, 1.0)
    assert eta([state], {}) == (None, None)


def test_progress_is_told_on_the_way(each_database: Dsn) -> None:
    users(each_database)
    told: list[backfill.State] = []
    backfill.work(
        each_database, begun(each_database).id, options=replace(SMALL, progress_every=0), on_progress=told.append
    )
    percents = [state.percent for state in told]
    assert percents == sorted(percents) and percents[-1] == 100 and 0 < percents[0] < 100
    assert any(state.eta_p50 and state.rate for state in told)


def test_the_table_is_vacuumed_in_between(each_database: Dsn) -> None:
    users(each_database, 6_000)
    options = replace(SMALL, vacuum_dead_share=0.01, vacuum_least_rows=500)
    backfill.work(each_database, begun(each_database).id, None, Steps(), options=options)
    with closing(connected(each_database)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'users'")
        assert cursor.fetchone()[0] > 0


def test_beside_an_application_the_vacuum_keeps_to_its_pace(database: Dsn, monkeypatch: pytest.MonkeyPatch) -> None:
    users(database, 2_000)
    paces, original = [], worker.session

    @contextmanager
    def watched(*args, **named):
        with original(*args, **named) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('vacuum_cost_delay'), current_setting('vacuum_cost_limit')")
            paces.append(cursor.fetchone())
            yield connection

    monkeypatch.setattr(worker, "session", watched)
    options = replace(SMALL, vacuum_dead_share=0.01, vacuum_least_rows=500, vacuum_cost_limit=321)
    backfill.work(database, begun(database).id, None, Steps(), options=options)
    assert ("2ms", "321") in paces
