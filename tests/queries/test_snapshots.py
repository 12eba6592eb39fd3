"""Snapshots of pg_stat_statements: what is counted, what is not, and what could not be told."""

from __future__ import annotations

import threading
from dataclasses import replace

import psycopg2
import pytest

from pgops.errors import PgOpsError, Refused
from pgops.ledger import Ledger
from pgops.queries.snapshot import take_snapshot
from tests.queries.conftest import PASSWORD, Stage
from tests.servers import MAJORS, fresh_database, running_postgres

READ = "SELECT * FROM t WHERE a = 1"


@pytest.fixture
def counted(stage: Stage) -> Stage:
    """Two calls were counted at the first snapshot, three more at the second."""
    stage.execute("CREATE TABLE t (a int)", "INSERT INTO t VALUES (1)", READ, READ)
    stage.snapshot()
    stage.execute(READ, READ, READ)
    stage.snapshot()
    assert stage.deltas("SELECT * FROM t%") == [(3, 3)]
    return stage


def test_only_what_was_done_since_the_snapshot_before_is_counted(stage):
    stage.execute("CREATE TABLE t (a int)", READ)
    first = stage.snapshot()
    assert (first.since, first.moved) == (None, 0) and "counting begins" in first.notes[0]
    stage.execute("SELECT * FROM t WHERE a = 2", "SELECT * FROM t WHERE a = 3")
    second = stage.snapshot()
    assert second.since == first.at and second.notes == ()
    assert stage.deltas("SELECT * FROM t%") == [(2, None)]  # a figure that is 0 is not kept
    assert stage.snapshot().moved == 0


def test_a_statement_that_is_new_counts_from_its_first_call(counted):
    counted.execute("SELECT count(*) FROM t", "SELECT count(*) FROM t")
    assert counted.snapshot().new == 1
    assert counted.deltas("SELECT count(*) FROM t") == [(2, 2)]


def test_what_ran_after_a_reset_is_counted_and_what_was_lost_is_said(counted):
    counted.execute(READ, "SELECT pg_stat_statements_reset()", READ, READ, READ, READ)
    taken = counted.snapshot()
    assert "was reset at" in taken.notes[0]
    assert counted.deltas("SELECT * FROM t%") == [(3, 3), (4, 4)]


def test_a_statement_that_was_reset_alone_begins_anew(counted):
    counted.execute(
        "SELECT pg_stat_statements_reset(0, (SELECT oid FROM pg_database WHERE datname = current_database()), queryid)"
        " FROM pg_stat_statements WHERE query LIKE 'SELECT * FROM t%'",
        READ,
    )
    counted.snapshot()
    assert counted.deltas("SELECT * FROM t%") == [(3, 3), (1, 1)]


def test_a_role_that_is_renamed_or_dropped_does_not_count_again(counted):
    """pg_stat_statements goes on with its counters under the new name, and under a number once the role is gone."""
    role = f"clerk_{counted.name}"
    run = (f"SET ROLE {role}", READ, READ, "RESET ROLE")
    counted.execute(f"CREATE ROLE {role}", f"GRANT SELECT ON t TO {role}", *run)
    counted.snapshot()
    counted.execute(f"ALTER ROLE {role} RENAME TO {role}_renamed")
    counted.snapshot()
    counted.execute(f"DROP OWNED BY {role}_renamed", f"DROP ROLE {role}_renamed")
    counted.snapshot()
    assert counted.deltas("SELECT * FROM t%") == [(3, 3), (2, 2)]


def test_a_restart_that_keeps_the_counters_changes_nothing(counted):
    counted.execute(READ)
    counted.server.stop()
    counted.server.start()
    counted.execute(READ)
    assert counted.snapshot().notes == ()
    assert counted.deltas("SELECT * FROM t%") == [(3, 3), (2, 2)]


def test_a_restart_that_loses_the_counters_is_said_and_what_ran_since_is_counted_once(counted):
    counted.execute(*[READ] * 50, "ALTER SYSTEM SET pg_stat_statements.save = off", "SELECT pg_reload_conf()")
    try:
        counted.server.stop()
        counted.server.start()
        counted.execute(READ, READ)
        taken = counted.snapshot()
    finally:
        counted.execute("ALTER SYSTEM RESET pg_stat_statements.save", "SELECT pg_reload_conf()")
    assert counted.deltas("SELECT * FROM t%") == [(3, 3), (2, 2)]
    assert any("is lost" in note for note in taken.notes), taken.notes


@pytest.mark.parametrize("major", MAJORS)
def test_evictions_are_said_and_never_invent_a_call(major):
    settings = {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.max": "100"}
    with running_postgres(major, **settings) as server, fresh_database(server) as dsn:
        server.execute(f"CREATE ROLE looker SUPERUSER LOGIN PASSWORD '{PASSWORD}'")
        stage = Stage(server, Ledger(dsn), dsn, "evicting", "looker")
        stage.execute("CREATE EXTENSION pg_stat_statements")
        stage.snapshot()
        for begin in (0, 150):
            stage.execute(*[f"SELECT {' + '.join(['1'] * (n + 2))}" for n in range(begin, begin + 150)])
            assert any("forgot statements" in note for note in stage.snapshot().notes)
        calls, rest = stage.deltas("SELECT $1 + %"), stage.kept("SELECT min(exec_ms) >= 0 FROM pgops.query_deltas")
        assert 0 < len(calls) < 300 and set(calls) == {(1, 1)} and rest == [(True,)]


def test_after_an_upgrade_counting_begins_anew_and_fingerprints_stay(counted):
    """Another major version has taken the place: other queryids, other counters."""
    counted.kept_write(
        "UPDATE pgops.query_sources SET major = 14, identity = 'old/1' WHERE database = %(database)s;"
        "UPDATE pgops.query_statements SET major = 14, queryid = queryid + 1 WHERE database = %(database)s"
    )
    fingerprints = "SELECT DISTINCT fingerprint FROM pgops.query_statements WHERE database = %(database)s AND major"
    counted.execute(*[READ] * 5)
    assert "PostgreSQL 14 has become" in counted.snapshot().notes[0]
    assert counted.deltas("SELECT * FROM t%") == [(3, 3)]  # what was done before is not counted again
    assert counted.kept(
        "SELECT count(*) FROM pgops.query_counters c JOIN pgops.query_statements s ON s.id = c.statement"
        " WHERE s.database = %(database)s AND s.major = 14 AND present"
    ) == [(0,)]
    counted.execute(READ)
    assert counted.snapshot().notes == ()
    assert counted.deltas("SELECT * FROM t%")[-1] == (1, 1)
    assert set(counted.kept(f"{fingerprints} = 14")) <= set(counted.kept(f"{fingerprints} > 14"))


def test_what_surely_began_on_the_new_server_is_counted(counted):
    counted.kept_write("UPDATE pgops.query_sources SET identity = 'another/1' WHERE database = %(database)s")
    counted.execute("SELECT pg_stat_statements_reset()", READ, READ)
    assert "another server" in counted.snapshot().notes[0]
    assert counted.deltas("SELECT * FROM t%")[-1] == (2, 2)


def test_a_long_gap_is_said(counted):
    counted.kept_write("UPDATE pgops.query_sources SET at = at - interval '3 hours' WHERE database = %(database)s")
    counted.execute(READ)
    assert "no snapshot for 3 h" in counted.snapshot().notes[0]


def test_a_clock_that_went_back_is_refused_and_nothing_is_written(counted):
    counted.kept_write("UPDATE pgops.query_sources SET at = at + interval '1 day' WHERE database = %(database)s")
    before = counted.kept("SELECT count(*) FROM pgops.query_snapshots WHERE database = %(database)s")
    with pytest.raises(PgOpsError, match="clock went back"):
        counted.snapshot()
    assert counted.kept("SELECT count(*) FROM pgops.query_snapshots WHERE database = %(database)s") == before


def test_two_snapshots_at_once_count_every_call_once(counted):
    counted.execute(*[READ] * 10)
    threads = [threading.Thread(target=counted.snapshot) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(calls for calls, _ in counted.deltas("SELECT * FROM t%")) == 13


def test_whoever_dies_before_the_end_is_as_if_they_had_not_been_there(counted, monkeypatch):
    from pgops.queries import snapshot

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    counted.execute(READ)
    monkeypatch.setattr(snapshot, "_keep_origin", die)
    with pytest.raises(KeyboardInterrupt):
        counted.snapshot()
    monkeypatch.undo()
    assert counted.deltas("SELECT * FROM t%") == [(3, 3)]
    counted.snapshot()
    assert counted.deltas("SELECT * FROM t%") == [(3, 3), (1, 1)]


def test_days_add_up_what_snapshots_counted(counted):
    counted.execute(READ)
    counted.snapshot()
    sums = "sum(calls), sum(rows), round(sum(exec_ms)::numeric, 3), sum(hit)"
    of = "JOIN pgops.query_statements s ON s.id = d.statement WHERE s.database = %(database)s"
    deltas, days = (counted.kept(f"SELECT {sums} FROM pgops.{name} d {of}") for name in ("query_deltas", "query_days"))
    assert deltas == days


def test_secrets_in_literals_and_a_megabyte_of_text_never_reach_the_ledger(counted):
    counted.execute(
        "CREATE ROLE secretive PASSWORD 'hunter-role'",
        "DROP ROLE secretive",
        "DO $$ BEGIN PERFORM 'hunter-do'; END $$",
        "/* token=hunter-comment */ SELECT a FROM t -- hunter-line",
        "SET application_name = 'hunter-set'",
        "SELECT a, '" + "hunter-long" * 100_000 + "' FROM t",
        "SELECT a AS long_one, ARRAY[" + ",         ".join(["a"] * 100_000) + "] FROM t",
        "PREPARE p AS SELECT 'hunter-prepare'",
    )
    counted.snapshot()
    texts = [row[0] for row in counted.kept("SELECT text FROM pgops.query_texts")]
    assert not [text for text in texts if "hunter" in text]
    assert any("PASSWORD $1" in text for text in texts)
    assert max(map(len, texts)) < 21_000
    assert any("long_one" in row[0] for row in counted.kept("SELECT text FROM pgops.query_texts WHERE NOT whole"))


def test_without_the_extension_or_its_library_or_the_privilege_the_refusal_says_what_to_do(counted, ledger):
    counted.execute("DROP EXTENSION pg_stat_statements")
    with pytest.raises(Refused, match="CREATE EXTENSION"):
        counted.snapshot()
    counted.server.execute("CREATE EXTENSION pg_stat_statements")  # in postgres: it shows all databases
    try:
        counted.execute(READ)
        counted.snapshot()
        assert counted.deltas("SELECT * FROM t%")[-1] == (1, 1)
        counted.server.execute(f"CREATE ROLE stranger LOGIN PASSWORD '{PASSWORD}'")
        with pytest.raises(Refused, match=r"monitor\.sql"):
            take_snapshot(ledger, counted.name, replace(counted.monitor, user="stranger"))
    finally:
        counted.server.execute("DROP EXTENSION pg_stat_statements")
        counted.server.execute("DROP ROLE IF EXISTS stranger")


def test_a_library_that_is_not_preloaded_is_named(each_database, ledger):
    connection = psycopg2.connect(
        host=each_database.host, port=each_database.port, dbname=each_database.dbname,
        user=each_database.user, password=each_database.password,
    )  # fmt: skip
    connection.autocommit = True
    connection.cursor().execute("CREATE EXTENSION pg_stat_statements")
    connection.close()
    with pytest.raises(Refused, match="shared_preload_libraries"):
        take_snapshot(ledger, "unloaded", each_database)


def test_an_older_version_of_the_extension_is_read_too(counted):
    counted.execute("DROP EXTENSION pg_stat_statements", "CREATE EXTENSION pg_stat_statements VERSION '1.9'")
    counted.execute(READ)
    counted.snapshot()
    assert counted.deltas("SELECT * FROM t%") == [(3, 3), (1, 1)]


def test_a_week_for_which_nobody_made_a_partition_is_a_clear_error_and_loses_nothing(stage):
    with fresh_database(stage.server, "ledger") as kept:
        own = replace(stage, ledger=Ledger(kept))
        own.execute("CREATE TABLE t (a int)", READ)
        own.snapshot()
        own.execute(READ)
        own.kept_write("ALTER TABLE pgops.query_deltas RENAME TO deltas")
        own.kept_write("CREATE TABLE pgops.query_deltas (LIKE pgops.deltas) PARTITION BY RANGE (at)")
        with pytest.raises(PgOpsError, match="partition_maintenance"):
            own.snapshot()
        own.kept_write("DROP TABLE pgops.query_deltas; ALTER TABLE pgops.deltas RENAME TO query_deltas")
        own.snapshot()
        assert own.deltas("SELECT * FROM t%") == [(1, None)]
