"""What happens seldom: odd names, large tables, rows that go elsewhere, and wishes that come at odd moments."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg2
import pytest

from pgops import backfill
from pgops.backfill.job import analyze
from pgops.backfill.plan import SMALLEST_RANGE
from pgops.errors import PgOpsError
from pgops.include import sql_text
from pgops.postgres import Dsn
from tests.backfill.backfills import FAST, begun, connected, done, execute, one, spec, users
from tests.backfill.test_faults import Before, holding, refusing
from tests.servers import eventually

SMALL = replace(FAST, first_batch=100, most_batch=100)


def test_statistics_are_refreshed_whatever_the_table_is_called_now(each_database: Dsn) -> None:
    users(each_database, 100)
    odd = '"S ""x"."U;%s{} --"'
    execute(each_database, 'CREATE SCHEMA "S ""x"; ALTER TABLE users RENAME TO "U;%s{} --"')
    execute(each_database, 'ALTER TABLE "U;%s{} --" SET SCHEMA "S ""x"')
    job = done(each_database, table=odd).job
    analyze(each_database, backfill.state(each_database, job).job)
    known = "SELECT count(*) FROM pg_stats WHERE attname = 'tier' AND null_frac = 0 AND tablename = "
    assert one(each_database, known + "'U;%s{} --'") == 1
    execute(each_database, f"ALTER TABLE {odd} RENAME TO users")
    analyze(each_database, backfill.state(each_database, job).job)
    execute(each_database, 'DROP TABLE "S ""x".users')
    analyze(each_database, backfill.state(each_database, job).job)


# --- the dry run ---


def test_rows_to_do_that_are_not_found_in_time_are_no_problem_of_the_specification(
    each_database: Dsn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["pgops.backfill.plan"], "TRY_SECONDS", 0.1)
    execute(
        each_database,
        """
        CREATE TABLE users (id int PRIMARY KEY, spent int, tier text);
        INSERT INTO users SELECT g, g, CASE WHEN g < 400 THEN 'x' END FROM generate_series(1, 400) g;
        CREATE FUNCTION is_left(text) RETURNS bool STABLE LANGUAGE plpgsql AS
            $$ BEGIN IF $1 IS NOT NULL THEN PERFORM pg_sleep(0.001); END IF; RETURN $1 IS NULL; END $$;
        """,
    )
    checked = backfill.check(each_database, spec(where="is_left(tier)"))
    plan = backfill.plan(each_database, checked)
    assert (plan.todo, plan.seconds, plan.problem) == (1, None, "")
    assert any("no row was tried" in note for note in plan.notes)


# --- keys ---


def test_a_unique_column_of_which_not_null_is_not_proven_is_no_key(each_database: Dsn) -> None:
    if int(one(each_database, "SHOW server_version_num")) < 180000:
        pytest.skip("NOT NULL NOT VALID came with PostgreSQL 18")
    execute(each_database, "CREATE TABLE users (id int UNIQUE, spent int, tier text)")
    execute(each_database, "INSERT INTO users SELECT nullif(g, 5), g FROM generate_series(1, 300) g")
    execute(each_database, "ALTER TABLE users ADD CONSTRAINT there NOT NULL id NOT VALID")
    worked = done(each_database, replace(SMALL, on_error="skip"))
    assert (worked.rows, worked.skipped) == (299, 1), "the server refuses the one, and that is said"


# --- the closing look ---


@pytest.mark.parametrize("key", ["", "PRIMARY KEY (id, region)"], ids=["without a key", "mixed"])
def test_a_row_that_moves_into_a_partition_without_key_that_was_done_is_found_too(each_database: Dsn, key: str) -> None:
    execute(
        each_database,
        """
        CREATE TABLE users (id int NOT NULL, tier text, touched int DEFAULT 0, region text NOT NULL)
            PARTITION BY LIST (region);
        CREATE TABLE users_a PARTITION OF users FOR VALUES IN ('a');
        CREATE TABLE users_b PARTITION OF users FOR VALUES IN ('b');
        INSERT INTO users SELECT g, NULL, 0, CASE WHEN g % 2 = 0 THEN 'a' ELSE 'b' END FROM generate_series(1, 999) g;
        """,
    )
    if key:
        execute(each_database, f"ALTER TABLE users_b ADD {key}")
    job = begun(each_database, set={"tier": "'t'", "touched": "users.touched + 1"})
    first = backfill.state(each_database, job.id).ranges[0]
    of_a = [one.n for one in backfill.state(each_database, job.id).ranges if one.part == first.part]
    assert backfill.work(each_database, job.id, of_a, options=SMALL).outcome == "idle"
    left = one(each_database, "SELECT count(*) FROM users WHERE tier IS NULL")
    moved = execute(each_database, "UPDATE users SET region = 'a' WHERE id IN (501, 503) AND tier IS NULL RETURNING id")
    assert 0 < left < 999 and len(moved) == 2
    assert backfill.work(each_database, job.id, options=SMALL).outcome == "done"
    assert one(each_database, "SELECT count(*) FROM users WHERE tier IS NULL OR touched <> 1") == 0
    assert backfill.state(each_database, job.id).rows_done == 999


def test_a_table_locked_or_renamed_at_the_closing_look_is_waited_for(each_database: Dsn) -> None:
    users(each_database, 2 * SMALLEST_RANGE)
    job = begun(each_database, workers=2)
    execute(each_database, "UPDATE users SET tier = 'x', touched = 1; UPDATE pgops.backfill_ranges SET done = true")
    told: list[backfill.Worked] = []
    with holding(each_database, "ALTER TABLE users RENAME TO people") as other:
        thread = threading.Thread(target=lambda: told.append(backfill.work(each_database, job.id, options=FAST)))
        thread.start()
        waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'relation'"
        for waiting in (1, 0, 1):
            assert eventually(lambda waiting=waiting: one(each_database, waits) == waiting, 30)
        other.commit()
        thread.join(60)
    assert [one.outcome for one in told] == ["done"]


def test_rows_that_keep_moving_are_an_error_and_no_endless_look(each_database: Dsn) -> None:
    users(each_database, 2 * SMALLEST_RANGE)
    job = begun(each_database, workers=2)
    execute(each_database, "UPDATE users SET tier = 'x'; UPDATE pgops.backfill_ranges SET done = true, pass = 10")
    execute(each_database, "UPDATE users SET tier = NULL WHERE id = 7")
    with pytest.raises(PgOpsError, match="still rows to do"):
        backfill.work(each_database, job.id, options=SMALL)


# --- the operator ---


@pytest.mark.parametrize(("wish", "outcome"), [("cancel", "cancelled"), ("pause", "stopped")])
def test_a_sweep_that_finds_nothing_obeys_too(each_database: Dsn, wish: Any, outcome: str) -> None:
    users(each_database, 1_000)
    job = begun(each_database)
    execute(each_database, "UPDATE users SET tier = 'x'; UPDATE pgops.backfill_ranges SET pass = 1")
    over = threading.Event()

    class Slowly(Before):
        """Batches of a second, and a stop once the wish is obeyed."""

        def after_batch(self, rows: int, ms: float, wal_bytes: int) -> float:
            return 0.4

    wished = Slowly(1, lambda: backfill.control(each_database, job.id, desired=wish))
    told: list[backfill.Worked] = []
    thread = threading.Thread(
        target=lambda: told.append(backfill.work(each_database, job.id, None, wished, options=SMALL, stop=over.is_set))
    )
    thread.start()
    if wish == "pause":
        assert eventually(lambda: backfill.state(each_database, job.id).waiting == ("paused by the operator",), 30)
        over.set()
    thread.join(60)
    assert [worked.outcome for worked in told] == [outcome]
    assert wished.left > -9, "not at the end of the sweep only"


def test_a_sleep_that_is_endless_by_the_operators_speed_ends_when_the_speed_is_changed(
    each_database: Dsn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgops.backfill.hand.WAITING_EVERY", 0.2)
    users(each_database, 300)
    job = begun(each_database)
    execute(each_database, "UPDATE pgops.backfill_jobs SET speed = 1e-9")
    told: list[backfill.Worked] = []
    thread = threading.Thread(target=lambda: told.append(backfill.work(each_database, job.id, options=SMALL)))
    thread.start()
    assert eventually(lambda: backfill.state(each_database, job.id).rows_done > 0, 30)
    backfill.control(each_database, job.id, speed=100)
    thread.join(60)
    assert [worked.outcome for worked in told] == ["done"]


def test_a_cancel_that_comes_with_the_last_row_is_told(each_database: Dsn) -> None:
    users(each_database, 150)
    job = begun(each_database)
    cancel = Before(1, lambda: backfill.control(each_database, job.id, desired="cancel"))
    assert backfill.work(each_database, job.id, None, cancel, options=SMALL).outcome == "cancelled"
    assert backfill.state(each_database, job.id).rows_done == 150


# --- the session ---


def test_a_worker_whose_lost_session_lives_on_waits_for_it_and_is_not_idle(database: Dsn) -> None:
    users(database)
    job = begun(database)
    ghosts: list[psycopg2.extensions.connection] = []

    def leave_a_ghost() -> None:
        """The session is gone for the worker; to the server its range is still owned."""
        execute(
            database,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'pgops.backfill' AND datname = current_database()",
        )
        ghosts.append(connected(database))
        ghosts[0].cursor().execute(sql_text("backfill/work/claim.sql"), {"job": job.id, "n": 0})

    told: list[backfill.Worked] = []
    lost = Before(3, leave_a_ghost)
    thread = threading.Thread(target=lambda: told.append(backfill.work(database, job.id, None, lost, options=SMALL)))
    thread.start()
    assert eventually(lambda: ghosts, 30)
    assert not eventually(lambda: told, 1)
    ghosts[0].close()
    thread.join(60)
    assert [(worked.outcome, worked.rows) for worked in told] == [("done", 3_000)]


# --- what concerns every row ---


@pytest.fixture
def writer(database: Dsn) -> Iterator[Dsn]:
    """A role that may change users, and does not own it."""
    users(database, 300)
    role = f"r_{database.dbname}"
    execute(
        database,
        f"""
        CREATE ROLE {role} LOGIN PASSWORD 'x'; CREATE SCHEMA pgops AUTHORIZATION {role};
        GRANT SELECT, UPDATE ON users TO {role};
        CREATE FUNCTION of_all(int) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN 'x'; END $$;
        """,
    )
    yield replace(database, user=role, password="x")
    execute(database, f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.parametrize(
    "change", ["REVOKE UPDATE ON users FROM {role}", "DROP FUNCTION of_all(int)"], ids=["privilege", "function"]
)
def test_what_concerns_every_row_is_no_reason_to_skip_them_all(database: Dsn, writer: Dsn, change: str) -> None:
    job = begun(writer, set={"tier": "of_all(spent)"})
    changed = Before(1, lambda: execute(database, change.format(role=writer.user)))
    with pytest.raises(PgOpsError, match="has changed: SQLSTATE 42"):
        backfill.work(writer, job.id, None, changed, options=replace(SMALL, on_error="skip"))
    assert backfill.skipped(database, job.id) == []


def test_a_vacuum_that_the_role_may_not_do_is_not_called_done(
    database: Dsn, writer: Dsn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    options = replace(SMALL, vacuum_dead_share=0.01, vacuum_least_rows=100)
    execute(database, "UPDATE users SET spent = 1; SELECT pg_stat_force_next_flush()")
    assert backfill.work(writer, begun(writer).id, options=options).rows == 300
    assert "was not vacuumed: WARNING" in caplog.text and "Vacuumed" not in caplog.text


def test_a_trigger_that_denies_one_row_is_about_that_row(each_database: Dsn) -> None:
    users(each_database, 300)
    job = begun(each_database)
    refusing(each_database, "old.id = 123")
    execute(
        each_database,
        """CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF old.id = 123 THEN RAISE 'not you' USING ERRCODE = 'insufficient_privilege'; END IF; RETURN new; END $$""",
    )
    worked = backfill.work(each_database, job.id, options=replace(SMALL, on_error="skip"))
    assert (worked.outcome, worked.rows, worked.skipped) == ("done", 299, 1)


def test_a_predicate_that_fails_on_a_row_is_named_with_its_place(each_database: Dsn) -> None:
    users(each_database, 300)
    where = "tier IS NULL AND 100 / spent >= 0"
    job = begun(each_database, where=where)
    execute(each_database, "UPDATE users SET spent = 0 WHERE id = 205")
    with pytest.raises(backfill.BadRow, match=r"predicate fails on a row after \(.2\d\d.,\) up to .*22012"):
        backfill.work(each_database, job.id, options=SMALL)
    execute(each_database, "UPDATE users SET spent = 1, tier = 'x' WHERE id = 205")
    zero = Before(1, lambda: execute(each_database, "UPDATE users SET tier = NULL, spent = 0 WHERE id = 5"))
    with pytest.raises(backfill.BadRow, match="predicate fails on a row: SQLSTATE 22012"):
        backfill.work(each_database, begun(each_database, where=where).id, None, zero, options=SMALL)
