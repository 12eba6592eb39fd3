"""Nobody feels that partitions are made: readers, writers, vacuums and a server in trouble."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest

from pgops.errors import Refused
from pgops.partitions import Blocked, CircuitOpen, create, finalize
from pgops.partitions.locks import Patience
from pgops.partitions.session import session
from pgops.postgres import Dsn
from tests.partitions.parents import connected, made, partitions, planned, policies, run
from tests.servers import MAJORS, dsn_facts, eventually, fresh_database, running_postgres

EVENTS = "CREATE TABLE events (id bigint, at timestamptz NOT NULL) PARTITION BY RANGE (at)"
CURRENT = "CREATE TABLE current PARTITION OF events FOR VALUES FROM ('2026-03-01+00') TO ('2026-04-01+00')"
DEFAULT = "CREATE TABLE rest PARTITION OF events DEFAULT"
REFERENCED = (
    "CREATE TABLE users (id bigint PRIMARY KEY)",
    "INSERT INTO users VALUES (1)",
    "ALTER TABLE events ADD FOREIGN KEY (id) REFERENCES users",
)
# Few tries, so that a test of giving up is short.
SHORT: dict[str, Any] = {"first_lock_timeout_ms": 20, "last_lock_timeout_ms": 200, "lock_tries": 3}


@contextmanager
def transaction(dsn: Dsn, *statements: str) -> Iterator[Any]:
    """A transaction that stays open."""
    connection = connected(dsn)
    try:
        cursor = connection.cursor()
        cursor.execute("SET application_name = 'the report'")
        cursor.execute("BEGIN")
        for statement in statements:
            cursor.execute(statement)
        yield connection
    finally:
        connection.close()


@contextmanager
def writer(dsn: Dsn, statement: str) -> Iterator[list[float]]:
    """An application that writes all the time; how long each statement took."""
    took: list[float] = []
    done = threading.Event()

    def write() -> None:
        connection = connected(dsn)
        cursor = connection.cursor()
        while not done.is_set():
            began = time.monotonic()
            cursor.execute(statement)
            took.append(time.monotonic() - began)
        connection.close()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert eventually(lambda: len(took) > 3)
        yield took
    finally:
        done.set()
        thread.join()


def test_a_long_reader_stops_neither_us_nor_the_application(each_database: Dsn) -> None:
    run(each_database, EVENTS, CURRENT)
    insert = "INSERT INTO events VALUES (1, '2026-03-05+00')"
    with transaction(each_database, "SELECT count(*) FROM events"), writer(each_database, insert):
        created = made(each_database, policies({"premake": 3}, **SHORT))
    # The reader is still there at the end of it: nobody has waited for it.
    assert [one.tries for one in created.partitions] == [1, 1, 1]


def test_a_long_reader_of_default_is_not_queued_behind_and_is_named(each_database: Dsn) -> None:
    run(each_database, EVENTS, CURRENT, DEFAULT)
    chosen = policies({"premake": 1}, **SHORT)
    into_default = "INSERT INTO events VALUES (1, '2020-03-05+00')"
    with transaction(each_database, "SELECT count(*) FROM rest") as reader:
        pid = reader.info.backend_pid
        time.sleep(0.25)  # longer than the longest lock_timeout: it is not tried at all
        with (
            writer(each_database, into_default),
            waiting_sessions(each_database) as waited,
            pytest.raises(Blocked) as blocked,
        ):
            made(each_database, chosen)
    assert f"pid {pid} (postgres, the report) holds AccessShareLock on public.rest" in str(blocked.value)
    assert "SELECT count(*) FROM rest" in str(blocked.value)
    assert blocked.value.retry
    assert waited == []
    assert partitions(each_database).keys() == {"current", "rest"}
    run(each_database, "TRUNCATE rest")
    assert len(made(each_database, chosen).partitions) == 1


@contextmanager
def waiting_sessions(dsn: Dsn) -> Iterator[list[Any]]:
    """Whoever is seen waiting for a lock on a table in the meantime."""
    seen: list[Any] = []
    done = threading.Event()

    def watch() -> None:
        connection = connected(dsn)
        cursor = connection.cursor()
        while not done.is_set():
            cursor.execute(
                "SELECT pid, relation::regclass::text, mode FROM pg_locks WHERE NOT granted AND relation IS NOT NULL"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            seen.extend(cursor.fetchall())
        connection.close()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize(
    ("more", "holding"),
    [
        (DEFAULT, "INSERT INTO rest VALUES (1, '2020-01-01+00')"),
        (REFERENCED, "INSERT INTO users VALUES (2)"),
        ("SELECT 1", "LOCK TABLE ONLY events IN SHARE UPDATE EXCLUSIVE MODE"),
    ],
)
def test_a_lock_that_is_given_back_in_time_is_waited_for(each_database: Dsn, more: Any, holding: str) -> None:
    run(each_database, EVENTS, CURRENT, *([more] if isinstance(more, str) else more))
    chosen = policies({"premake": 1}, first_lock_timeout_ms=20, last_lock_timeout_ms=900, lock_tries=20)
    todo = planned(each_database, chosen)
    with transaction(each_database, holding) as holder:
        released = threading.Timer(0.5, lambda: holder.cursor().execute("COMMIT"))
        released.start()
        created = create(each_database, todo, chosen)
        released.join()
    assert created.partitions[0].tries > 1
    assert created.partitions[0].waited_seconds > 0


def test_a_prepared_transaction_in_the_way_is_named() -> None:
    with running_postgres(MAJORS[0], max_prepared_transactions="2") as server, fresh_database(server) as dsn:
        run(dsn, EVENTS, CURRENT, DEFAULT)
        connection = connected(dsn)
        cursor = connection.cursor()
        cursor.execute("BEGIN; SELECT count(*) FROM rest; PREPARE TRANSACTION 'forgotten'")
        connection.close()
        with pytest.raises(Blocked, match=r"a prepared transaction holds AccessShareLock on public\.rest"):
            made(dsn, policies({"premake": 1}, **SHORT))
        run(dsn, "ROLLBACK PREPARED 'forgotten'")


def test_while_sessions_wait_for_locks_nothing_is_begun(each_database: Dsn) -> None:
    run(each_database, EVENTS, CURRENT, "CREATE TABLE elsewhere (id int)")
    chosen = policies({"premake": 1}, max_waiting_sessions=1)
    waiters = [connected(each_database) for _ in range(2)]
    threads = []
    with transaction(each_database, "LOCK TABLE elsewhere") as holder:
        for waiter in waiters:
            threads.append(threading.Thread(target=waiter.cursor().execute, args=("SELECT * FROM elsewhere",)))
            threads[-1].start()
        count = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        assert eventually(lambda: run(each_database, count)[0][0] >= 2)
        with pytest.raises(CircuitOpen, match="sessions wait for locks here, more than 1") as opened:
            made(each_database, chosen)
        assert opened.value.retry
        assert partitions(each_database).keys() == {"current"}
        holder.cursor().execute("ROLLBACK")
        for thread in threads:
            thread.join()
    assert len(made(each_database, chosen).partitions) == 1


def test_locks_are_waited_for_ever_longer_and_always_below_deadlock_timeout(database: Dsn) -> None:
    with session(database) as connection:
        chosen = policies(first_lock_timeout_ms=100, last_lock_timeout_ms=900, lock_tries=5)
        ladder = Patience(connection, chosen, "here", deadlock_timeout_ms=1000)
        assert [ladder.timeout_ms(attempt) for attempt in range(1, 7)] == [100, 173, 300, 520, 900, 900]
        impatient = Patience(connection, chosen, "here", deadlock_timeout_ms=50)
        assert {impatient.timeout_ms(attempt) for attempt in range(1, 6)} == {45}


def test_the_budget_of_a_parent_ends_its_tries(database: Dsn) -> None:
    run(database, EVENTS, CURRENT, DEFAULT)
    chosen = policies({"premake": 1}, lock_tries=100, parent_budget_seconds=0.3)
    with transaction(database, "SELECT count(*) FROM rest"), pytest.raises(Blocked):
        made(database, chosen)
    assert partitions(database).keys() == {"current", "rest"}


def test_a_second_run_of_a_parent_is_refused_while_the_first_is_at_work(database: Dsn) -> None:
    run(database, EVENTS)
    chosen = policies({"premake": 1})
    todo = planned(database, chosen)
    with session(database) as other, other.cursor() as cursor:
        cursor.execute(f"SELECT pg_advisory_lock(hashtextextended('pgops.partitions.{todo.parent.oid}', 0))")
        with pytest.raises(Refused, match="Another run works on its partitions") as refused:
            create(database, todo, chosen)
    assert refused.value.retry
    assert len(create(database, todo, chosen).partitions) == 2


@pytest.mark.parametrize("moment", ["ddl_command_start", "ddl_command_end"])
def test_killed_before_or_after_attach_it_leaves_whole_partitions_only(each_database: Dsn, moment: str) -> None:
    run(
        each_database,
        EVENTS,
        DEFAULT,
        "INSERT INTO events VALUES (1, '2026-05-05+00')",
        "CREATE FUNCTION hang() RETURNS event_trigger LANGUAGE plpgsql AS"
        " 'BEGIN IF current_query() LIKE ''%ATTACH%events_2026_05%'' THEN PERFORM pg_sleep(600); END IF; END'",
        f"CREATE EVENT TRIGGER hang ON {moment} WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION hang()",
    )
    chosen = policies({"premake": 3, "default": "drain"})
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.partitions.killed_create"],
        stdin=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        text=True,
    )
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps({"dsn": dsn_facts(each_database), "policies": chosen.model_dump(mode="json")}))
        process.stdin.close()
        ours = (
            "SELECT 1 FROM pg_stat_activity"
            " WHERE application_name = 'pgops.partitions' AND datname = current_database()"
        )
        assert eventually(lambda: run(each_database, f"{ours} AND wait_event = 'PgSleep'"), 30)
    finally:
        process.kill()
        process.wait()
    assert eventually(lambda: not run(each_database, ours), 30)
    run(each_database, "DROP EVENT TRIGGER hang")
    orphans = (
        "SELECT relname FROM pg_class WHERE relname LIKE 'events\\_2026%' AND NOT relispartition AND relkind = 'r'"
    )
    assert run(each_database, orphans) == []
    assert partitions(each_database).keys() == {"rest", "events_2026_03", "events_2026_04"}
    assert run(each_database, "SELECT tableoid::regclass::text FROM events") == [("rest",)]
    made(each_database, chosen)
    assert len(partitions(each_database)) == 5
    assert run(each_database, "SELECT tableoid::regclass::text FROM events") == [("events_2026_05",)]


def test_finalize_waits_for_no_old_transaction_with_locks_held_and_names_it(each_database: Dsn) -> None:
    run(each_database, EVENTS, CURRENT)
    with transaction(each_database, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM events"):
        with pytest.raises(psycopg2.errors.LockNotAvailable):
            run(
                each_database,
                "SET lock_timeout = '300ms'",
                "ALTER TABLE events DETACH PARTITION current CONCURRENTLY",
            )
        (pending,) = planned(each_database, policies({})).finalize
        with pytest.raises(Blocked, match=r"the report.* holds an old snapshot"):
            finalize(each_database, pending.oid, policies({}, **SHORT))
    assert finalize(each_database, pending.oid, policies({})) is not None
    assert not planned(each_database, policies({})).finalize
