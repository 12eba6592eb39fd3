"""A migration gets into production whole, or says what is half done; it never makes others wait for long."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg2.errors
import pytest

from pgops.errors import Refused
from pgops.migration.deployment import alone, deploy, losses, patience, versions
from pgops.migration.deployment.deploy import DeployFailed, HalfDone
from pgops.migration.scripts.sources import migrations_in
from pgops.migration.scripts.statements import parse
from tests.migration.deployments import (
    RUN,
    Background,
    execute,
    exists,
    holding,
    migration,
    one,
    policy,
    run,
    until,
    waiting_sessions,
)
from tests.proxies import bad_network

ROOT = Path(__file__).parents[2]
CIC = "CREATE TABLE t (id int); CREATE UNIQUE INDEX CONCURRENTLY t_id ON t (id); COMMENT ON TABLE t IS 'done'"


def invalid_indexes(dsn) -> list[str]:
    found = execute(dsn, "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid ORDER BY 1")
    return [name for (name,) in found]


# --- when all goes well ---


def test_a_migration_is_applied_recorded_and_rolled_back(each_database):
    made = migration(CIC, "DROP INDEX CONCURRENTLY t_id; DROP TABLE t")
    deployed = run(each_database, made)
    assert [statement.line for statement in deployed.statements] == [1, 1, 1]
    assert (deployed.already, deployed.first_segment, deployed.segments) == (False, 0, 3)
    standing = versions.applied(each_database)["001"]
    assert (standing.complete, standing.checksum, standing.requested_by) == (True, made.checksum, "ann")
    rolled_back = run(each_database, made, "rollback")
    assert (rolled_back.direction, rolled_back.segments) == ("rollback", 2)
    assert (versions.applied(each_database), exists(each_database, "t")) == ({}, False)


def test_a_second_run_of_the_same_direction_finds_nothing_to_do(database):
    made = migration("CREATE TABLE t (id int)", "DROP TABLE t")
    run(database, made)
    assert run(database, made).already
    run(database, made, "rollback")
    assert run(database, made, "rollback").already
    assert not run(database, made).already


def test_a_role_and_a_search_path_that_the_file_sets_do_not_disturb_the_ledger(database):
    role = f"deployed_{random.randrange(10**9)}"
    execute(database, f"CREATE ROLE {role}; CREATE SCHEMA app AUTHORIZATION {role}")
    text = f"SET ROLE {role}; SET search_path = app; CREATE TABLE t (id int); CREATE INDEX CONCURRENTLY i ON t (id)"
    try:
        run(database, migration(text))
        owner = one(database, "SELECT relowner::regrole::text FROM pg_class WHERE oid = 'app.i'::regclass")
        assert (owner, versions.applied(database)["001"].by) == (role, "postgres")
    finally:
        execute(database, f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_file_may_begin_with_its_own_isolation_level(database):
    run(database, migration("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; CREATE TABLE t (id int)"))
    assert exists(database, "t")


# --- locks ---


def test_who_blocks_is_named_and_the_migration_goes_on_when_they_go(each_database, caplog):
    execute(each_database, "CREATE TABLE t (id int)")
    with holding(each_database, "SELECT /* a report */ FROM t") as reader:
        going = Background(run, each_database, migration("ALTER TABLE t ADD x int"), how=policy(200, lock_attempts=100))
        until(lambda: "a report" in caplog.text)
        pid = reader.info.backend_pid
        reader.rollback()
        deployed = going.result()
    wait = deployed.lock_waits[0]
    assert (wait.line, wait.sqlstate, wait.attempt) == (1, "55P03", 1)
    blamed = wait.blockers[0]
    assert (blamed.pid, blamed.application_name) == (pid, "long-reader")
    assert (blamed.user, blamed.state) == ("postgres", "idle in transaction")
    assert "a report" in blamed.query
    assert versions.applied(each_database)["001"].complete


def test_after_the_last_attempt_nothing_is_applied_and_the_blocker_is_in_the_error(database):
    execute(database, "CREATE TABLE t (id int)")
    text = "CREATE TABLE before (id int); ALTER TABLE t ADD x int"
    with holding(database, "SELECT FROM t") as reader, pytest.raises(DeployFailed) as caught:
        pid = reader.info.backend_pid
        run(database, migration(text))
    assert caught.value.sqlstate == "55P03"
    assert f"pid {pid} (long-reader postgres" in caught.value.what
    assert "3 times" in caught.value.what
    assert (exists(database, "before"), versions.applied(database)) == (False, {})
    assert one(database, "SELECT state FROM pgops.schema_steps") == "failed"


def test_no_attempt_waits_longer_than_the_lock_timeout_even_if_the_file_sets_another(database):
    """The server's own clock: it ends the wait with lock_not_available, long before the other limits could."""
    execute(database, "CREATE TABLE t (id int)")
    text = "SET lock_timeout = 0; SET LOCAL lock_timeout = '1h'; ALTER TABLE t ADD x int"
    with holding(database, "SELECT FROM t"), pytest.raises(DeployFailed) as caught:
        run(database, migration(text), budget_seconds=600)
    assert caught.value.sqlstate == "55P03"


def test_a_deadlock_is_tried_again(database, monkeypatch):
    monkeypatch.setattr(patience, "_LONGEST_PAUSE_SECONDS", 0.1)
    execute(database, "CREATE TABLE a (id int); CREATE TABLE b (id int)")
    made = migration("ALTER TABLE a ADD x int; ALTER TABLE b ADD x int")
    # The other session never looks for a deadlock, so the deploying one is the victim.
    with holding(database, "SET deadlock_timeout = '1min'; LOCK b IN ACCESS SHARE MODE") as other:
        going = Background(run, database, made, how=policy(10_000, lock_attempts=5))
        until(lambda: waiting_sessions(database))
        with other.cursor() as cursor:
            cursor.execute("LOCK a IN ACCESS SHARE MODE")
        other.rollback()
        deployed = going.result()
    assert [wait.sqlstate for wait in deployed.lock_waits] == ["40P01"]
    assert versions.applied(database)["001"].complete


def test_of_two_deployments_at_once_the_second_finds_the_work_done(database):
    execute(database, "CREATE TABLE t (id int)")
    made = migration("ALTER TABLE t ADD x int")
    with holding(database, "SELECT FROM t") as reader:
        both = [Background(run, database, made, how=policy(2000, lock_attempts=50)) for _ in range(2)]
        until(lambda: waiting_sessions(database))
        reader.rollback()
        outcomes = [going.result() for going in both]
    assert sorted(deployed.already for deployed in outcomes) == [False, True]
    assert one(database, "SELECT count(*) FROM pgops.schema_steps WHERE state = 'done'") == 1


def test_a_deployment_that_never_gets_its_turn_names_the_one_that_runs(database):
    with holding(database, "SELECT pg_advisory_lock(hashtextextended('pgops.deploy', 0))", "another") as other:
        with pytest.raises(Refused, match="Another deployment runs") as caught:
            run(database, migration("CREATE TABLE t ()"), queue_seconds=0.1)
        assert f"pid {other.info.backend_pid} (another" in caught.value.what
    assert not exists(database, "pgops.schema_steps")


# --- the budget ---


def test_a_migration_over_its_budget_is_cut_off_and_leaves_nothing(database):
    with pytest.raises(DeployFailed, match=r"budget of 0\.5 s is used up"):
        run(database, migration("CREATE TABLE t (); SELECT pg_sleep(600)"), budget_seconds=0.5)
    assert not exists(database, "t")


def test_a_statement_that_ignores_its_timeouts_and_catches_its_cancel_loses_its_session(database, monkeypatch):
    monkeypatch.setattr("pgops.migration.rehearsal.watchdog.GRACE_SECONDS", 0.3)
    text = """CREATE TABLE t ();
DO $$ BEGIN
  COMMIT;
  PERFORM set_config('statement_timeout', '0', false);
  LOOP BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP;
END $$"""
    with pytest.raises(DeployFailed, match="connection was lost near line 2"):
        run(database, migration(text), budget_seconds=0.5)
    with pytest.raises(HalfDone, match="its end is not known"):
        run(database, migration(text))


# --- CREATE INDEX CONCURRENTLY ---


def test_an_index_that_fails_on_duplicates_is_named_and_repaired_by_the_next_run(each_database):
    execute(each_database, "CREATE TABLE t (id int); INSERT INTO t VALUES (1), (1)")
    made = migration("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS t_id ON t (id)")
    with pytest.raises(DeployFailed, match=r"left the invalid index public\.t_id") as caught:
        run(each_database, made)
    assert caught.value.sqlstate == "23505"
    assert invalid_indexes(each_database) == ["t_id"]
    execute(each_database, "DELETE FROM t")
    assert run(each_database, made).repaired == ("public.t_id",)
    assert (invalid_indexes(each_database), exists(each_database, "t_id")) == ([], True)
    assert versions.applied(each_database)["001"].complete


def test_an_index_waits_patiently_for_old_snapshots_and_names_them(database, monkeypatch):
    execute(database, "CREATE TABLE t (id int); CREATE TABLE other ()")
    with holding(database, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM other", "old-snapshot") as old:
        monkeypatch.setattr(alone, "_OLD_SNAPSHOT_SECONDS", 0)
        going = Background(run, database, migration("CREATE INDEX CONCURRENTLY i ON t (id)"), how=policy(50))
        until(lambda: waiting_sessions(database))
        time.sleep(0.2)  # longer than the lock_timeout of everything else
        old.rollback()
        deployed = going.result()
    assert any("has to wait for pid" in note and "old-snapshot" in note for note in deployed.notes)
    assert invalid_indexes(database) == []


def test_a_statement_that_takes_long_says_how_it_goes(database, monkeypatch, caplog):
    monkeypatch.setattr("pgops.migration.deployment.lockwatch._NEWS_SECONDS", 0.05)
    caplog.set_level("INFO")
    execute(database, "CREATE TABLE t (id int); CREATE TABLE other ()")
    with holding(database, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM other", "old-snapshot") as old:
        going = Background(run, database, migration("CREATE INDEX CONCURRENTLY i ON t (id)"))
        until(lambda: "waiting for pid" in caplog.text)
        old.rollback()
        going.result()
    assert "line 1 (CREATE INDEX CONCURRENTLY) has been running for" in caplog.text
    assert "waiting for old snapshots" in caplog.text


def test_an_index_without_a_name_is_refused_before_anything_is_touched(database):
    with pytest.raises(Refused, match="without a name"):
        run(database, migration("CREATE TABLE t (id int); CREATE INDEX CONCURRENTLY ON t (id)"))
    assert not exists(database, "t")


def test_a_valid_index_of_another_table_is_not_taken_for_ours(database):
    execute(database, "CREATE TABLE t (id int); CREATE TABLE u (id int); CREATE INDEX i ON u (id)")
    with pytest.raises(DeployFailed, match="what it was to do is not there"):
        run(database, migration("CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (id)"))


def test_what_an_interrupted_reindex_left_is_dropped(each_database):
    execute(each_database, "CREATE TABLE t (id int); INSERT INTO t VALUES (1), (1); CREATE INDEX i ON t (id)")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        execute(each_database, "CREATE UNIQUE INDEX CONCURRENTLY i_ccnew ON t (id)")
    deployed = run(each_database, migration("REINDEX TABLE CONCURRENTLY t"))
    assert deployed.repaired == ("public.i_ccnew",)
    assert invalid_indexes(each_database) == []


# --- sessions and processes that die ---


def test_a_session_ended_between_statements_leaves_nothing_of_its_segment(each_database):
    text = "CREATE TABLE a (id int); CREATE INDEX CONCURRENTLY a_id ON a (id); CREATE TABLE b (); SELECT pg_sleep(600)"
    made = migration(text)
    going = Background(run, each_database, made)
    asleep = "FROM pg_stat_activity WHERE application_name = 'pgops.deploy' AND wait_event = 'PgSleep'"
    until(lambda: one(each_database, f"SELECT count(*) {asleep} AND datname = current_database()"))
    execute(each_database, f"SELECT pg_terminate_backend(pid) {asleep} AND datname = current_database()")
    with pytest.raises(DeployFailed, match="2 of 3 segments are committed; nothing of this one") as caught:
        going.result()
    assert (caught.value.retry, caught.value.committed) == (True, 2)
    standing = versions.applied(each_database)["001"]
    assert (standing.complete, standing.next_segment, standing.segments) == (False, 2, 3)
    assert not exists(each_database, "b")


def test_a_session_that_is_ended_while_it_is_between_two_statements_is_told(database, monkeypatch):
    original = deploy._Deployment._execute

    def then_ended(self, cursor, statement, **named):
        original(self, cursor, statement, **named)
        if "TABLE a" in statement.text:
            execute(database, "SELECT pg_terminate_backend(%s)", self.pid)

    monkeypatch.setattr(deploy._Deployment, "_execute", then_ended)
    made = migration("CREATE TABLE a (); CREATE TABLE b ()")
    with pytest.raises(DeployFailed, match="0 of 1 segments are committed; nothing of this one"):
        run(database, made)
    assert (exists(database, "a"), versions.applied(database)) == (False, {})
    monkeypatch.undo()
    run(database, made)
    assert (exists(database, "a"), exists(database, "b")) == (True, True)


def test_a_connection_lost_at_commit_is_read_back(database):
    made = migration("CREATE TABLE t (id int)", "DROP TABLE t")
    run(database, made)
    with bad_network(database.port) as proxy:
        through = database.__class__("127.0.0.1", proxy.port, database.dbname, database.user, database.password)
        original = versions.add

        def cut_the_next_answer(connection, *args, **named):
            step = original(connection, *args, **named)
            # Not the session that watches the locks, whose answers come at the same time.
            with connection.cursor() as cursor:
                cursor.execute("SELECT inet_client_port()")
                (proxy.cut_only,) = cursor.fetchone()
            proxy.cut_after, proxy.cuts = 0, 1
            return step

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(versions, "add", cut_the_next_answer)
            deployed = run(through, made, "rollback")
    assert any("read back: all of it is committed" in note for note in deployed.notes)
    assert (exists(database, "t"), versions.applied(database)) == (False, {})


def test_what_the_file_set_before_is_set_again_when_a_run_goes_on(database):
    execute(database, "CREATE SCHEMA app; CREATE TABLE app.t (id int); INSERT INTO app.t VALUES (1), (1)")
    made = migration("SET search_path = app; CREATE TABLE u (); CREATE UNIQUE INDEX CONCURRENTLY i ON t (id)")
    with pytest.raises(DeployFailed, match=r"invalid index app\.i"):
        run(database, made)
    execute(database, "DELETE FROM app.t")
    assert run(database, made).first_segment == 1
    assert exists(database, "app.i")


KILLED = """
import os, signal, sys
from pgops.migration.deployment import deploy
from pgops.migration.deployment import versions
from pgops.migration.deployment.record import Record
from pgops.migration.scripts.statements import parse
from tests.migration.deployments import RUN, migration, policy
from pgops.postgres import Dsn

dsn = Dsn(*sys.argv[1:2], int(sys.argv[2]), *sys.argv[3:6])
place, made = sys.argv[6], migration(sys.argv[7], sys.argv[8])
where, _, count = place.partition(" ")
calls = 0

def dies(original, before):
    def call(*args, **named):
        global calls
        calls += 1
        if before and calls == int(count):
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **named)
        if not before and calls == int(count):
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return call

owner, name, side = where.split(":")
target = {"deploy": deploy._Deployment, "record": Record, "versions": versions}[owner]
setattr(target, name, dies(getattr(target, name), side == "before"))
deploy.apply(dsn, made, parse(made.up), "apply", policy(), 20, RUN)
"""
TEXT = (
    "CREATE TABLE t (id int); INSERT INTO t VALUES (1);"
    "CREATE UNIQUE INDEX CONCURRENTLY t_id ON t (id); INSERT INTO t VALUES (2);"
    "DROP INDEX CONCURRENTLY t_id; ALTER TABLE t ADD x int"
)


@pytest.mark.parametrize(
    "place",
    [
        "versions:ensure:after 1",
        "deploy:_execute:before 1",
        "deploy:_execute:after 2",
        "versions:add:after 1",
        "versions:was_added:before 1",
        "versions:add:before 2",
        "record:add_alone:after 1",
        "deploy:_execute:after 3",
        "record:add_alone:after 2",
        "deploy:_execute:after 4",
        "record:add_alone:before 3",
        "deploy:_execute:after 5",
        "deploy:_read_back_all:before 1",
    ],
)
def test_a_run_after_one_that_was_killed_anywhere_converges(database, place):
    died = subprocess.run(
        [sys.executable, "-c", KILLED, database.host, str(database.port), database.dbname, database.user,
         database.password, place, TEXT, "SELECT 1"],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"},
        capture_output=True,
    )  # fmt: skip
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    run(database, migration(TEXT))
    assert execute(database, "SELECT id, x FROM t ORDER BY 1") == [(1, None), (2, None)]
    assert (exists(database, "t_id"), invalid_indexes(database)) == (False, [])
    assert versions.applied(database)["001"].complete


def test_an_index_whose_session_was_killed_while_building_is_repaired(each_database):
    execute(each_database, "CREATE TABLE t (id int); CREATE TABLE other ()")
    made = migration("CREATE INDEX CONCURRENTLY i ON t (id)")
    with holding(each_database, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM other"):
        going = Background(run, each_database, made)
        until(lambda: invalid_indexes(each_database) and waiting_sessions(each_database))
        execute(
            each_database,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'pgops.deploy' AND datname = current_database()",
        )
        with pytest.raises(DeployFailed, match="a part of this one may be"):
            going.result()
    assert versions.applied(each_database)["001"].begun
    assert run(each_database, made).repaired == ("public.i",)
    assert (exists(each_database, "i"), invalid_indexes(each_database)) == (True, [])


def test_an_index_that_somebody_is_building_is_not_dropped(database):
    execute(database, "CREATE TABLE t (id int); CREATE TABLE other ()")
    with holding(database, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM other") as old:
        building = Background(execute, database, "CREATE INDEX CONCURRENTLY i ON t (id)")
        until(lambda: invalid_indexes(database))
        with pytest.raises(Refused, match=r"is building index public\.i right now"):
            run(database, migration("CREATE INDEX CONCURRENTLY i ON t (id)"))
        old.rollback()
        building.result()
    assert exists(database, "i")


def test_a_block_that_commits_by_itself_and_was_cut_off_waits_for_a_person(database):
    text = "CREATE TABLE t (id int); DO $$ BEGIN INSERT INTO t VALUES (1); COMMIT; PERFORM 1 / 0; END $$"
    made = migration(text)
    with pytest.raises(DeployFailed, match="a part of this one may be"):
        run(database, made)
    with pytest.raises(HalfDone, match=r"001 first: DO"):
        run(database, made)
    settled = versions.settle(database, made, "apply", 1, done=True, run=RUN)
    assert settled is not None and settled.complete
    assert run(database, made).already
    with pytest.raises(Refused, match="not in doubt"):
        versions.settle(database, made, "apply", 1, done=True, run=RUN)


# --- errors of the file ---


def test_an_error_leaves_the_segments_before_and_nothing_of_its_own(database):
    text = "CREATE TABLE t (id int);\nCREATE INDEX CONCURRENTLY i ON t (id);\nCREATE TABLE u ();\nSELECT 1 / 0"
    with pytest.raises(DeployFailed, match=r"line 4.*22012.*2 of 3 segments") as caught:
        run(database, migration(text))
    assert caught.value.where.startswith("V001__first.sql:4")
    assert (exists(database, "i"), exists(database, "u")) == (True, False)


def test_a_deferred_constraint_that_fails_at_commit_leaves_nothing(database):
    execute(
        database,
        "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (p int REFERENCES p DEFERRABLE INITIALLY DEFERRED)",
    )
    with pytest.raises(DeployFailed, match=r"COMMIT.*23503"):
        run(database, migration("CREATE TABLE t (); INSERT INTO c VALUES (1)"))
    assert (exists(database, "t"), versions.applied(database)) == (False, {})


def test_a_script_of_another_direction_is_refused(database):
    made = migration("SELECT 1", "SELECT 2")
    with pytest.raises(Refused, match="This is not the apply"):
        deploy.apply(database, made, parse(made.down), "apply", policy(), 5, RUN)


# --- the sample ---


def test_the_samples_migrations_are_deployed_and_taken_back(each_database):
    execute(each_database, (ROOT / "sandbox" / "sql" / "init-db.sql").read_text(encoding="utf-8"))
    history = migrations_in(ROOT / "include" / "migrations" / "app")
    for made in history:
        run(each_database, made)
    assert [one.complete for one in versions.applied(each_database).values()] == [True] * len(history)
    assert invalid_indexes(each_database) == []
    for made in reversed(history):
        run(
            each_database,
            made,
            "rollback",
            guard=losses.destruction_guard(parse(made.down), acknowledged=False, where=""),
        )
    assert (versions.applied(each_database), exists(each_database, "user_preferences")) == ({}, False)
