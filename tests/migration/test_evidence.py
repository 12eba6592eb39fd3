"""Each item of the deployment's checklist tells the truth about the world, also to a role that is no superuser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgops.catalog import DrillVerdict
from pgops.fleet import Canary
from pgops.migration.deployment import evidence
from pgops.postgres import DatabaseError, Dsn
from sandbox.postgres import PostgresServer, Standby, free_port
from tests.migration.deployments import execute, holding
from tests.nights import Night
from tests.servers import MAJORS, SUPERUSER_PASSWORD, eventually, memory_folder, running_postgres

MONITOR = Path(__file__).parents[2] / "include" / "sql" / "roles" / "monitor.sql"


@pytest.fixture(scope="module", params=MAJORS)
def pair(request) -> Iterator[tuple[PostgresServer, Standby]]:
    """A primary and its standby."""
    with running_postgres(request.param) as primary, memory_folder("standby") as folder:
        standby = Standby("follower", primary, folder / "server", free_port())
        standby.create()
        standby.start()
        try:
            yield primary, standby
        finally:
            standby.destroy()


def monitor(dsn: Dsn) -> Dsn:
    execute(dsn, MONITOR.read_text(encoding="utf-8"))
    execute(dsn, "ALTER ROLE pgops_monitor PASSWORD 'x'")
    return Dsn(dsn.host, dsn.port, dsn.dbname, "pgops_monitor", "x")


def superuser(server: PostgresServer) -> Dsn:
    return Dsn("127.0.0.1", server.port, "postgres", "postgres", SUPERUSER_PASSWORD)


@pytest.fixture
def night(database, bucket, ledger) -> Night:
    execute(database, "CREATE TABLE t (id int)")
    return Night(database, bucket, ledger)


def verdict(night: Night, backup_id: str, *failures: str) -> None:
    found = DrillVerdict(backup_id, not failures, failures)
    night.catalog.write_drill(backup_id, datetime.now(UTC), found)


def test_a_young_proven_backup_passes_and_its_drill_is_told(night):
    backup_id = night.backup().backup_id
    found = evidence.backup_evidence(night.catalog, 24)
    assert (found.passed, found.facts["backup_id"], found.facts["drill"]) == (True, backup_id, None)
    assert "never drilled" in found.summary
    verdict(night, backup_id)
    assert evidence.backup_evidence(night.catalog, 24).facts["drill"] is True
    json.dumps(asdict(found))


def test_a_backup_that_is_too_old_or_from_the_future_does_not_pass(night):
    night.backup()
    now = datetime.now(UTC)
    assert not evidence.backup_evidence(night.catalog, 24, now + timedelta(hours=25)).passed
    assert not evidence.backup_evidence(night.catalog, 24, now - timedelta(hours=1)).passed


def test_a_backup_that_its_drill_refuted_does_not_count(night):
    backup_id = night.backup().backup_id
    verdict(night, backup_id, "contents differ")
    found = evidence.backup_evidence(night.catalog, 24)
    assert (found.passed, found.facts["refuted"]) == (False, [backup_id])


def test_without_any_backup_the_item_fails(night):
    assert not evidence.backup_evidence(night.catalog, 24).passed


def test_a_backup_of_which_something_is_gone_does_not_pass(night):
    backup_id = night.backup().backup_id
    stored = night.catalog.manifest(backup_id).objects[0]
    night.bucket.delete([night.catalog.key(backup_id, stored.key)])
    found = evidence.backup_evidence(night.catalog, 24)
    assert (found.passed, "missing or cut off" in found.summary) == (False, True)


def test_a_standby_is_counted_and_its_lag_measured_in_bytes(pair):
    primary, standby = pair
    standby.wait_until_caught_up()
    dsn = monitor(superuser(primary))
    assert eventually(lambda: evidence.lag_evidence(dsn, expected=1).passed)
    assert not evidence.lag_evidence(dsn, expected=2).passed
    standby.execute("SELECT pg_wal_replay_pause()")
    try:
        primary.execute("CREATE TABLE IF NOT EXISTS filler AS SELECT repeat('x', 500) FROM generate_series(1, 5000)")
        found = evidence.lag_evidence(dsn, max_lag_mb=0.5)
        assert (found.passed, found.facts["standbys"][0]["application_name"]) == (False, "follower")
    finally:
        standby.execute("SELECT pg_wal_replay_resume()")


def test_positions_that_the_role_may_not_see_are_no_evidence(pair):
    primary, _ = pair
    primary.execute("CREATE ROLE blind LOGIN PASSWORD 'x'")
    try:
        blind = Dsn("127.0.0.1", primary.port, "postgres", "blind", "x")
        found = evidence.lag_evidence(blind)
        assert (found.passed, "pg_monitor" in found.summary) == (False, True)
    finally:
        primary.execute("DROP ROLE blind")


def test_without_a_standby_the_lag_passes_only_when_none_is_expected(each_database):
    assert evidence.lag_evidence(each_database).passed
    assert not evidence.lag_evidence(each_database, expected=1).passed


def test_connections_are_counted_by_state_and_measured_against_what_there_may_be(each_database):
    dsn = monitor(each_database)
    with holding(each_database, "SELECT 1"):
        found = evidence.connections_evidence(dsn)
        assert found.facts["states"]["idle in transaction"] == 1
        assert found.passed
        assert not evidence.connections_evidence(dsn, max_share=0.01).passed
    json.dumps(asdict(found))


def test_a_transaction_that_is_open_for_long_is_named(each_database):
    dsn = monitor(each_database)
    assert evidence.long_transactions_evidence(dsn, 60).passed
    with holding(each_database, "SELECT 1", "forgotten"):
        assert evidence.long_transactions_evidence(dsn, 60).passed
        found = evidence.long_transactions_evidence(dsn, 0)
    assert (found.passed, "forgotten, postgres, idle in transaction" in found.summary) == (False, True)
    json.dumps(asdict(found))


@pytest.mark.parametrize(("estimate", "passed"), [(29.9, True), (30.0, False), (100.0, False)])
def test_the_downtime_has_to_stay_below_its_limit(estimate, passed):
    assert evidence.downtime_evidence(estimate, 30).passed is passed


def test_smoke_tests_compare_answers_and_name_those_that_are_wrong(database):
    good = Canary(name="answered", sql="SELECT 1", expect=1)
    assert evidence.smoke_evidence(database, [good]).passed
    bad = [
        Canary(name="two", sql="SELECT 2", expect=3),
        Canary(name="gone", sql="SELECT * FROM nowhere", expect="x"),
        Canary(name="writes", sql="CREATE TABLE written ()", expect="x"),
        Canary(name="empty", sql="SELECT 1 WHERE false", expect=1),
    ]
    found = evidence.smoke_evidence(database, [good, *bad])
    assert not found.passed
    for words in ("two: the answer is 2, expected 3", "gone: ", "writes: ", "25006", "empty: the answer is None"):
        assert words in found.summary
    assert "answered:" not in found.summary


def test_no_smoke_tests_say_so(database):
    assert "has no smoke tests" in evidence.smoke_evidence(database, []).summary


def test_a_database_that_does_not_answer_is_an_error_and_no_answer():
    dead = Dsn("127.0.0.1", free_port(), "x", "x")
    with pytest.raises(DatabaseError):
        evidence.smoke_evidence(dead, [Canary(name="answered", sql="SELECT 1", expect=1)])
    with pytest.raises(DatabaseError):
        evidence.connections_evidence(dead)


def test_tables_of_another_owner_are_named_before_anything_is_deployed(database):
    for statement in (
        "CREATE ROLE deploys_here LOGIN PASSWORD 'x'",
        "CREATE TABLE foreign_to_it (id int)",
        "CREATE TABLE its_own (id int)",
        "ALTER TABLE its_own OWNER TO deploys_here",
    ):
        execute(database, statement)
    role = Dsn(database.host, database.port, database.dbname, "deploys_here", "x")
    tables = ("public.foreign_to_it", "public.its_own")
    found = evidence.ownership_evidence(role, tables)
    assert not found.passed
    assert "public.foreign_to_it belongs to postgres" in found.summary and "its_own" not in found.summary
    assert evidence.ownership_evidence(role, tables[1:]).passed
    execute(database, "DROP TABLE foreign_to_it, its_own")
    execute(database, "DROP ROLE deploys_here")
