"""Whatever dies, and whenever: every row is done, none twice, and what cannot be done is named."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

import psycopg2
import pytest

from pgops import backfill
from pgops.backfill.plan import SMALLEST_RANGE
from pgops.errors import PgOpsError
from pgops.postgres import Dsn
from sandbox.postgres import PostgresServer
from tests.backfill.backfills import FAST, begun, connected, execute, one, spec, users
from tests.servers import dsn_facts, eventually

ROOT = Path(__file__).parents[2]
SMALL = replace(FAST, first_batch=100, most_batch=500)
LITTLE_PATIENCE = replace(SMALL, patience=0.5, lock_timeout=0.05)


class Before(backfill.Unthrottled):
    """Does something before the n-th batch, n from 0."""

    def __init__(self, n: int, what: Callable[[], object]) -> None:
        self.left, self.what = n, what

    def before_batch(self) -> backfill.Go:
        if self.left == 0:
            self.what()
        self.left -= 1
        return backfill.Go()


@contextmanager
def holding(dsn: Dsn, statement: str) -> Iterator[psycopg2.extensions.connection]:
    """A transaction that stays open."""
    with closing(connected(dsn)) as connection:
        connection.autocommit = False
        connection.cursor().execute(statement)
        yield connection


def undone(dsn: Dsn) -> int:
    return one(dsn, "SELECT count(*) FROM users WHERE tier IS NULL OR touched <> 1")


# --- killed ---


def test_thirty_kills_change_every_row_exactly_once(each_database: Dsn) -> None:
    rows = 40_000
    users(each_database, rows)
    job = begun(each_database, workers=2)
    over = threading.Event()
    writers = [threading.Thread(target=_disturb, args=(each_database, over, rows, seed)) for seed in range(2)]
    for writer in writers:
        writer.start()
    try:
        with _workers(each_database, job.id) as (said, ask):
            for _ in range(30):
                ask.write("another\n")
                ask.flush()
                pid = int(said.readline())
                time.sleep(random.uniform(0.02, 0.2))
                os.kill(pid, signal.SIGKILL)
                assert int(said.readline()) == signal.SIGKILL  # it was still at work
    finally:
        over.set()
        for writer in writers:
            writer.join()
    deadline = time.monotonic() + 30
    while backfill.work(each_database, job.id, options=SMALL).outcome != "done":
        assert time.monotonic() < deadline  # the last one's session may live for a moment
        time.sleep(0.2)
    assert one(each_database, f"SELECT count(*) FROM users WHERE id <= {rows} AND (tier IS NULL OR touched <> 1)") == 0
    assert backfill.state(each_database, job.id).rows_done == rows


@contextmanager
def _workers(dsn: Dsn, job: int) -> Iterator[tuple[IO[str], IO[str]]]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.backfill.killed_worker", json.dumps(dsn_facts(dsn)), str(job)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"},
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield process.stdout, process.stdin
        finally:
            process.stdin.close()


def _disturb(dsn: Dsn, over: threading.Event, rows: int, seed: int) -> None:
    """Holds rows for a moment, changes them, and inserts new ones."""
    chance = random.Random(seed)
    with closing(connected(dsn)) as connection, connection.cursor() as cursor:
        while not over.is_set():
            cursor.execute("BEGIN")
            cursor.execute("UPDATE users SET spent = spent + 1 WHERE id = %s", (chance.randrange(1, rows),))
            cursor.execute(
                "INSERT INTO users (id, spent) VALUES (%s, 1) ON CONFLICT DO NOTHING",
                (rows + chance.randrange(1, 10**9),),
            )
            over.wait(chance.uniform(0, 0.15))
            cursor.execute("COMMIT")


# --- connections ---


def test_a_terminated_backend_is_replaced_and_the_checkpoint_read_back(each_database: Dsn) -> None:
    users(each_database)
    job = begun(each_database)

    def terminate() -> None:
        execute(
            each_database,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'pgops.backfill'"
            " AND datname = current_database()",
        )

    worked = backfill.work(each_database, job.id, None, Before(3, terminate), options=SMALL)
    assert (worked.outcome, worked.rows) == ("done", 3_000)
    assert undone(each_database) == 0


@pytest.mark.parametrize("how", ["fast", "kill"])
def test_a_restart_of_the_server_is_waited_for(own_server: PostgresServer, how: str) -> None:
    dsn = Dsn("127.0.0.1", own_server.port, "postgres", "postgres", own_server.password)
    execute(dsn, "DROP TABLE IF EXISTS users; DROP FUNCTION IF EXISTS touch()")
    users(dsn)
    job = begun(dsn)
    threads: list[threading.Thread] = []

    def restart() -> None:
        own_server.kill() if how == "kill" else own_server.stop("fast")
        threads.append(threading.Thread(target=own_server.start))
        threads[0].start()

    worked = backfill.work(dsn, job.id, None, Before(3, restart), options=SMALL)
    threads[0].join()
    assert worked.outcome == "done"
    assert undone(dsn) == 0
    assert backfill.state(dsn, job.id).rows_done == 3_000


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    from tests import servers

    with servers.running_postgres(servers.MAJORS[0], synchronous_commit="on") as server:
        yield server


def test_a_server_that_stays_away_is_an_error_after_the_patience(database: Dsn) -> None:
    users(database, 300)
    job = begun(database)
    away = replace(database, port=1)
    with pytest.raises(PgOpsError) as caught:
        backfill.work(away, job.id, options=replace(SMALL, patience=0.2))
    assert caught.value.retry


# --- locks ---


def test_a_row_locked_for_long_is_left_for_the_sweep(each_database: Dsn) -> None:
    users(each_database)
    job = begun(each_database)
    with holding(each_database, "SELECT FROM users WHERE id IN (50, 1500) FOR UPDATE") as other:
        thread = threading.Thread(target=backfill.work, args=(each_database, job.id), kwargs={"options": SMALL})
        thread.start()
        assert eventually(lambda: one(each_database, "SELECT count(*) FROM users WHERE tier IS NULL") == 2, 60)
        assert eventually(lambda: "rows are locked by others" in backfill.state(each_database, job.id).waiting, 60)
        other.rollback()
        thread.join(60)
    assert undone(each_database) == 0
    assert backfill.state(each_database, job.id).retries > 0


def test_who_holds_the_rows_is_named_when_patience_ends(each_database: Dsn) -> None:
    users(each_database, 500)
    job = begun(each_database)
    with (
        holding(each_database, "SELECT FROM users WHERE id = 50 FOR UPDATE") as other,
        pytest.raises(PgOpsError, match=f"pid {other.info.backend_pid}") as caught,
    ):
        backfill.work(each_database, job.id, options=LITTLE_PATIENCE)
    assert caught.value.retry
    assert backfill.state(each_database, job.id).job.status == "failed"
    assert begun(each_database).status == "running"
    assert backfill.work(each_database, job.id, options=SMALL).outcome == "done"
    assert undone(each_database) == 0


def test_a_locked_table_is_waited_for(each_database: Dsn) -> None:
    users(each_database)
    job = begun(each_database)
    with holding(each_database, "LOCK TABLE users IN ACCESS EXCLUSIVE MODE") as other:
        thread = threading.Thread(target=backfill.work, args=(each_database, job.id), kwargs={"options": SMALL})
        thread.start()
        assert eventually(lambda: backfill.state(each_database, job.id).waiting == ("SQLSTATE 55P03",), 60)
        other.rollback()
        thread.join(60)
    assert undone(each_database) == 0


def test_a_deadlock_is_tried_again(each_database: Dsn) -> None:
    users(each_database, 200)
    execute(
        each_database,
        """
        CREATE TABLE counted (n int); INSERT INTO counted VALUES (0);
        CREATE FUNCTION counts() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_sleep(0.3); UPDATE counted SET n = n + 1; RETURN new; END $$;
        CREATE TRIGGER counts AFTER UPDATE ON users FOR EACH ROW WHEN (new.tier IS NOT NULL AND new.id = 50)
            EXECUTE FUNCTION counts();
        """,
    )
    job = begun(each_database)
    ended: list[str] = []

    def other_way_round() -> None:
        with closing(connected(each_database)) as connection, connection.cursor() as cursor:
            cursor.execute("SET deadlock_timeout = '10s'")  # so the backfill is the one to find out
            cursor.execute("BEGIN; UPDATE counted SET n = n + 1")
            locked.set()
            # Waits for a row that the backfill holds, while it waits for "counted".
            time.sleep(0.1)
            cursor.execute("UPDATE users SET spent = 0 WHERE id = 50; COMMIT")
            ended.append("committed")

    locked = threading.Event()
    thread = threading.Thread(target=other_way_round)

    def start() -> None:
        thread.start()
        locked.wait(10)

    options = replace(SMALL, lock_timeout=8, statement_timeout=20)
    execute(each_database, f"ALTER DATABASE \"{each_database.dbname}\" SET deadlock_timeout = '50ms'")
    worked = backfill.work(each_database, job.id, None, Before(0, start), options=options)
    thread.join()
    assert worked.outcome == "done" and worked.retries > 0 and ended == ["committed"]
    assert undone(each_database) == 0


def test_a_bound_that_takes_too_long_to_find_halves_the_batch(each_database: Dsn) -> None:
    execute(each_database, "CREATE TABLE users (id bigint PRIMARY KEY, spent int, tier text)")
    execute(
        each_database,
        "INSERT INTO users SELECT g, g, CASE WHEN g % 100 > 0 THEN 'x' END FROM generate_series(1, 400000) g",
    )
    job = begun(each_database)
    options = replace(FAST, first_batch=390_000, most_batch=2_000, statement_timeout=0.015)
    worked = backfill.work(each_database, job.id, options=options)
    assert worked.outcome == "done" and worked.retries > 0
    assert one(each_database, "SELECT count(*) FROM users WHERE tier IS NULL") == 0


# --- rows that cannot be changed ---


def refusing(dsn: Dsn, condition: str) -> None:
    execute(
        dsn,
        f"""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF {condition} THEN RAISE EXCEPTION 'not this one'; END IF; RETURN new; END $$;
        CREATE TRIGGER refuse BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION refuse();
        """,
    )


def test_a_row_that_a_trigger_refuses_is_named(each_database: Dsn) -> None:
    users(each_database)
    job = begun(each_database)
    refusing(each_database, "old.id = 1234")
    with pytest.raises(backfill.BadRow, match=r"id = 1234 .*P0001: not this one"):
        backfill.work(each_database, job.id, options=SMALL)
    assert one(each_database, "SELECT count(*) FROM users WHERE id < 1234 AND tier IS NULL") == 0
    assert "1234" in backfill.state(each_database, job.id).job.error
    execute(each_database, "DROP TRIGGER refuse ON users")
    begun(each_database)
    assert backfill.work(each_database, job.id, options=SMALL).outcome == "done"
    assert undone(each_database) == 0
    assert backfill.state(each_database, job.id).rows_done == 3_000


@pytest.mark.parametrize("key", ["", "DROP CONSTRAINT users_pkey"])
def test_rows_that_cannot_be_changed_are_skipped_and_written_down(each_database: Dsn, key: str) -> None:
    users(each_database)
    if key:
        execute(each_database, f"ALTER TABLE users {key}")
    job = begun(each_database)
    refusing(each_database, "old.id IN (7, 8, 1234, 3000)")
    worked = backfill.work(each_database, job.id, options=replace(SMALL, on_error="skip"))
    assert (worked.outcome, worked.rows, worked.skipped) == ("done", 2_996, 4)
    left = backfill.skipped(each_database, job.id)
    assert {(row.sqlstate, row.message) for row in left} == {("P0001", "not this one")}
    if not key:
        assert {row.key for row in left} == {("7",), ("8",), ("1234",), ("3000",)}
    assert undone(each_database) == 4


def test_an_update_that_is_undone_is_found_out(each_database: Dsn) -> None:
    users(each_database)
    job = begun(each_database)
    execute(
        each_database,
        """
        CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF old.id = 77 THEN new.tier := NULL; END IF; RETURN new; END $$;
        CREATE TRIGGER undo BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION undo();
        """,
    )
    with pytest.raises(PgOpsError, match=r"Row 77 is still to do"):
        backfill.work(each_database, job.id, options=SMALL)


# --- the table changes ---


def test_a_renamed_table_is_followed(each_database: Dsn) -> None:
    users(each_database)
    job = begun(each_database, set={"tier": "'t' || users.spent"})
    names = "CREATE SCHEMA s; ALTER TABLE users RENAME TO people; ALTER TABLE people SET SCHEMA s"
    rename = Before(2, lambda: execute(each_database, names))
    assert backfill.work(each_database, job.id, None, rename, options=SMALL).rows == 3_000
    assert one(each_database, "SELECT count(*) FROM s.people WHERE tier IS NULL OR touched <> 1") == 0


# --- rows move ---


def test_a_row_that_moves_into_a_range_that_was_done_is_found_by_the_closing_look(each_database: Dsn) -> None:
    rows = 2 * SMALLEST_RANGE
    users(each_database, rows)
    job = begun(each_database, workers=2)
    first, second = backfill.state(each_database, job.id).ranges
    assert backfill.work(each_database, job.id, [first.n], options=FAST).outcome == "idle"
    move = Before(1, lambda: execute(each_database, f"UPDATE users SET id = -5 WHERE id = {rows - 1} AND tier IS NULL"))
    assert backfill.work(each_database, job.id, [second.n], move, options=SMALL).outcome == "done"
    assert undone(each_database) == 0
    assert one(each_database, "SELECT tier FROM users WHERE id = -5") is not None
    assert backfill.state(each_database, job.id).rows_done == rows


def test_a_row_that_moves_into_a_partition_that_was_done_is_found_by_the_closing_look(each_database: Dsn) -> None:
    execute(
        each_database,
        """
        CREATE TABLE users (id int, spent int DEFAULT 0, tier text, touched int DEFAULT 0, region text,
                            PRIMARY KEY (id, region)) PARTITION BY LIST (region);
        CREATE TABLE users_a PARTITION OF users FOR VALUES IN ('a');
        CREATE TABLE users_b PARTITION OF users FOR VALUES IN ('b');
        INSERT INTO users SELECT g, 0, NULL, 0, CASE WHEN g % 2 = 0 THEN 'a' ELSE 'b' END
            FROM generate_series(1, 999) g;
        """,
    )
    job = begun(each_database, set={"tier": "'t'", "touched": "users.touched + 1"})
    first, second = backfill.state(each_database, job.id).ranges
    assert backfill.work(each_database, job.id, [first.n], options=SMALL).outcome == "idle"
    there = one(each_database, "SELECT region FROM users WHERE tier = 't' LIMIT 1")
    execute(each_database, f"UPDATE users SET region = '{there}' WHERE id IN (501, 502) AND tier IS NULL")
    assert backfill.work(each_database, job.id, [second.n], options=SMALL).outcome == "done"
    assert undone(each_database) == 0
    assert backfill.state(each_database, job.id).rows_done == 999


def test_a_row_that_is_refused_only_at_the_commit_is_skipped_too(each_database: Dsn) -> None:
    users(each_database, 300)
    execute(
        each_database,
        """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE 'not this one' USING ERRCODE = 'check_violation'; END $$;
        CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON users DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW WHEN (new.id = 123) EXECUTE FUNCTION refuse();
        """,
    )
    worked = backfill.work(each_database, begun(each_database).id, options=replace(SMALL, on_error="skip"))
    assert (worked.outcome, worked.rows, worked.skipped) == ("done", 299, 1)
    assert one(each_database, "SELECT array_agg(id) FROM users WHERE tier IS NULL") == [123]


def test_without_a_key_a_skipped_row_that_somebody_mends_meanwhile_is_done_by_the_sweep(each_database: Dsn) -> None:
    users(each_database)
    execute(each_database, "ALTER TABLE users DROP CONSTRAINT users_pkey")
    job = begun(each_database)
    refusing(each_database, "old.spent = 7 AND old.tier IS NULL AND new.spent = 7")
    skipping = replace(SMALL, on_error="skip")
    mend = Before(20, lambda: execute(each_database, "UPDATE users SET spent = 8 WHERE id = 7"))
    worked = backfill.work(each_database, job.id, None, mend, options=skipping)
    assert (worked.outcome, worked.rows) == ("done", 2_998)  # three rows spent 7
    assert execute(each_database, "SELECT id FROM users WHERE tier IS NULL ORDER BY id") == [(1007,), (2007,)]
    assert worked.skipped == 3  # the record of what was refused stays


def test_a_dropped_table_is_a_clear_error(each_database: Dsn) -> None:
    users(each_database)
    job = begun(each_database)
    drop = Before(2, lambda: execute(each_database, "DROP TABLE users"))
    with pytest.raises(PgOpsError, match="dropped while it was backfilled"):
        backfill.work(each_database, job.id, None, drop, options=SMALL)


def test_a_dropped_column_is_a_clear_error(each_database: Dsn) -> None:
    users(each_database)
    job = begun(each_database)
    drop = Before(2, lambda: execute(each_database, "ALTER TABLE users DROP COLUMN spent"))
    with pytest.raises(PgOpsError, match="42703"):
        backfill.work(each_database, job.id, None, drop, options=SMALL)


def test_a_checkpoint_that_was_moved_by_another_hand_ends_the_work(each_database: Dsn) -> None:
    users(each_database)
    job = begun(each_database)
    move = Before(2, lambda: execute(each_database, "UPDATE pgops.backfill_ranges SET last_key = '[\"9\"]'"))
    with pytest.raises(PgOpsError, match="moved by somebody else"):
        backfill.work(each_database, job.id, None, move, options=SMALL)
    assert one(each_database, "SELECT count(*) FROM users WHERE tier IS NOT NULL") == one(
        each_database, "SELECT sum(rows_done) FROM pgops.backfill_ranges"
    )


def test_stop_is_obeyed_at_any_batch(each_database: Dsn) -> None:
    users(each_database, 1_000)
    job = begun(each_database)
    rows = 0
    for _ in range(40):
        asked = iter([False] * random.randrange(1, 5))
        worked = backfill.work(each_database, job.id, options=SMALL, stop=lambda asked=asked: next(asked, True))
        rows += worked.rows
        if worked.outcome == "done":
            break
    assert rows == 1_000
    assert undone(each_database) == 0


def test_a_specification_that_was_never_begun_is_refused(each_database: Dsn) -> None:
    assert spec().hash
    with pytest.raises(PgOpsError, match="no backfill 77"):
        backfill.work(each_database, 77)
