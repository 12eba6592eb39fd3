"""A migration that does not end by itself is ended, and nothing else is."""

from __future__ import annotations

import functools
import threading
import time

import psycopg2
import pytest

from pgops.migration.rehearsal import recorder
from pgops.migration.rehearsal.recorder import run
from pgops.migration.rehearsal.watchdog import Deadline
from pgops.postgres import Dsn, Limits, connect
from tests import servers
from tests.migration.scripts import ALONE, script

NEVER_ENDS = "SELECT pg_sleep(600)"
SWALLOWS = """DO $$ BEGIN
  LOOP
    BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN NULL; END;
  END LOOP;
END $$"""


def sessions(dsn: Dsn) -> int:
    with connect(dsn.on("postgres"), "count") as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'",
            (dsn.dbname,),
        )
        return cursor.fetchone()[0]


@pytest.mark.parametrize(
    "text",
    [
        NEVER_ENDS,
        f"SET statement_timeout = 0; {NEVER_ENDS}",
        f"SELECT set_config('statement_timeout', '0', false); {NEVER_ENDS}",
        f"{ALONE}{NEVER_ENDS}",
        "DO $$ BEGIN PERFORM set_config('statement_timeout', '0', true); PERFORM pg_sleep(600); END $$",
        SWALLOWS,
    ],
    ids=["sleeps", "SET", "set_config", "outside a transaction", "in a DO", "catches the cancellation"],
)
def test_a_script_that_never_ends_is_cut_off_and_nothing_else_is(each_database, text):
    with connect(each_database, "bystander") as bystander, bystander.cursor() as cursor:
        cursor.execute("BEGIN; CREATE TABLE kept ()")
        ran = run(each_database, script(f"CREATE TABLE made (); {text}"), "apply", 0.3)
        cursor.execute("COMMIT")
        assert ran.over_budget
        assert ran.failure is not None
        assert "the budget of 0.3 s for the whole script is used up" in ran.failure.message
        assert ran.failure.kind in ("SELECT", "DO") or ALONE in text
        assert servers.eventually(lambda: sessions(each_database) == 1), "the migration's sessions are gone"
        cursor.execute("SELECT to_regclass('made'), to_regclass('kept')")
        made, kept = cursor.fetchone()
        assert kept == "kept"
        assert (made is None) is (ALONE not in text), "a transaction that was cut off leaves nothing"


def test_what_comes_after_the_budget_is_not_begun(database):
    text = "SELECT pg_sleep(0.3);" * 10
    ran = run(database, script(text), "apply", 0.7)
    assert ran.over_budget
    assert len(ran.statements) < 10


def test_a_script_within_its_budget_is_left_alone(database):
    ran = run(database, script("SELECT pg_sleep(0.1); CREATE TABLE made ()"), "apply", 60)
    assert (ran.failure, ran.over_budget) == (None, False)


def terminate(dsn: Dsn, application: str) -> None:
    with connect(dsn.on("postgres"), "killer") as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s AND application_name = %s",
            (dsn.dbname, application),
        )
        assert cursor.fetchall() == [(True,)]


def test_a_backend_killed_between_statements_is_a_failure_and_no_crash(each_database, monkeypatch):
    execute = recorder._Recorder._execute

    def kill_before_third(self, statement):
        if statement.line == 3:
            terminate(each_database, "pgops.migration")
        return execute(self, statement)

    monkeypatch.setattr(recorder._Recorder, "_execute", kill_before_third)
    text = "CREATE TABLE one ();\nCREATE TABLE two ();\nCREATE TABLE three ()"
    ran = run(each_database, script(text), "apply", 60)
    assert ran.failure is not None
    assert ran.failure.line == 3
    assert "The connection to the server was lost" in ran.failure.message
    assert not ran.over_budget
    with connect(each_database, "test") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('one')")
        assert cursor.fetchone() == (None,)


def test_a_backend_killed_between_segments_leaves_what_was_committed(database, monkeypatch):
    record = recorder._Recorder.record

    def kill_before_second(self, segment):
        if not segment.transactional:
            terminate(database, "pgops.migration")
        return record(self, segment)

    monkeypatch.setattr(recorder._Recorder, "record", kill_before_second)
    text = "CREATE TABLE one (id int);\nCREATE INDEX CONCURRENTLY i ON one (id)"
    ran = run(database, script(text), "apply", 60)
    assert ran.failure is not None and ran.failure.line == 2
    assert [one.kind for one in ran.statements] == ["CREATE TABLE"]


def test_a_long_statement_is_told_of_while_it_runs(database, monkeypatch, caplog):
    monkeypatch.setattr(recorder, "Deadline", functools.partial(Deadline, tell_every=0.1))
    with caplog.at_level("INFO", logger="pgops.migration.rehearsal.watchdog"):
        run(database, script("SELECT 1;\nSELECT pg_sleep(0.6)"), "apply", 60)
    assert "statement 2 of 2, line 2, SELECT; " in caplog.text and "% of the budget are used" in caplog.text


def test_a_backend_killed_in_the_middle_of_a_statement_is_a_failure(database):
    timer = threading.Timer(0.3, terminate, (database, "pgops.migration"))
    timer.start()
    ran = run(database, script(NEVER_ENDS), "apply", 60)
    timer.join()
    assert ran.failure is not None and "connection to the server was lost" in ran.failure.message
    assert not ran.over_budget


def test_the_budget_is_kept_when_the_session_that_watches_it_is_lost(database):
    timer = threading.Timer(0.2, terminate, (database, "pgops.migration.deadline"))
    timer.start()
    ran = run(database, script(SWALLOWS), "apply", 0.8)
    timer.join()
    assert ran.over_budget


def test_a_pid_that_has_passed_to_another_session_is_not_touched(database):
    with (
        connect(database, "other", Limits(statement=0)) as other,
        connect(database, "worker") as worker,
        Deadline(database, worker, 0.2, grace=0.2) as deadline,
    ):
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            deadline._backend["pid"] = cursor.fetchone()[0]  # as if the system had given the pid away
            cursor.execute("SELECT pg_sleep(1)")
            assert deadline.over
        with worker.cursor() as cursor:
            cursor.execute("SELECT 1")


def test_nothing_strikes_after_the_block(database):
    with connect(database, "worker") as worker:
        with Deadline(database, worker, 0.3, grace=0.1):
            time.sleep(0.1)
        with worker.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.6)")
            with pytest.raises(psycopg2.Error, match="division"):
                cursor.execute("SELECT 1 / 0")


def test_a_role_that_only_owns_the_database_suffices(each_database):
    with connect(each_database, "admin") as admin, admin.cursor() as cursor:
        cursor.execute(
            "CREATE ROLE owner_of_the_tests LOGIN PASSWORD 'x'; CREATE SCHEMA s AUTHORIZATION owner_of_the_tests"
        )
        try:
            owner = Dsn(each_database.host, each_database.port, each_database.dbname, "owner_of_the_tests", "x")
            text = "CREATE TABLE s.t (id int); CREATE INDEX CONCURRENTLY i ON s.t (id); ALTER TABLE s.t ADD a int"
            done = run(owner, script(text), "apply", 60)
            assert done.failure is None
            assert run(owner, script("ALTER TABLE s.t ADD b int"), "apply", 60).locks[0].relation == "s.t"
            assert run(owner, script(SWALLOWS), "apply", 0.3).over_budget
        finally:
            cursor.execute("DROP OWNED BY owner_of_the_tests CASCADE; DROP ROLE owner_of_the_tests")
