"""pgops_drill restores, checks and drops; pgops_ledger owns its database alone; pgops_monitor sees and never reads."""

from __future__ import annotations

import psycopg2
import psycopg2.errors
import pytest

from tests.roles.conftest import ROLES

SAMPLE = """
CREATE ROLE customer;
CREATE TABLE secured (id int PRIMARY KEY, value text);
INSERT INTO secured SELECT i, 'row-' || i FROM generate_series(1, 5) AS i;
ALTER TABLE secured OWNER TO customer;
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
ALTER TABLE secured FORCE ROW LEVEL SECURITY;
CREATE POLICY nobody ON secured USING (false);
SELECT lo_from_bytea(77, 'large');
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
"""


@pytest.fixture(scope="module")
def drill(server):
    server.create_role("drill", "template1", "template1")
    server.execute("CREATE DATABASE original TEMPLATE template0")
    server.execute(SAMPLE, "original")
    return server


@pytest.fixture
def scratch(drill):
    drill.run("pgops_drill", "createdb", "scratch")
    yield drill
    dropped = drill.run("pgops_drill", "dropdb", "--force", "scratch")
    assert dropped.returncode == 0, dropped.stderr


def test_the_drill_restores_compares_and_checks_without_superuser(scratch, tmp_path):
    archive = str(tmp_path / "original.dump")
    made = scratch.run("postgres", "pg_dump", "-Fc", "-f", archive, "original", PGPASSWORD=scratch.server.password)
    assert made.returncode == 0, made.stderr

    restored = scratch.run(
        "pgops_drill", "pg_restore", "--no-owner", "--no-privileges", "-j2", "--dbname=scratch", archive
    )
    refused = [line for line in restored.stderr.splitlines() if "ERROR" in line]
    assert refused and all("pg_stat_statements" in line for line in refused), restored.stderr

    rows = scratch.query("pgops_drill", "SET row_security = off; SELECT count(*) FROM secured", "scratch")
    assert rows == [(5,)], "forced row security hides nothing from the comparison"
    assert scratch.query("pgops_drill", "SELECT lo_get(77) = 'large'", "scratch") == [(True,)]
    assert scratch.query("pgops_drill", "SELECT count(*) FROM pg_largeobject", "scratch") == [(1,)], "pages compare"
    assert scratch.query("pgops_drill", "SELECT 'restored' % 'restore'", "scratch") == [(True,)], "pg_trgm is trusted"

    checked = scratch.run("pgops_drill", "pg_amcheck", "--heapallindexed", "scratch")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_scratch_database_is_dropped_even_while_it_is_in_use(scratch):
    with pytest.raises(psycopg2.errors.ObjectInUse):
        connection = psycopg2.connect(scratch.server.dsn("scratch", "pgops_drill", "of the tests"))
        scratch.query("pgops_drill", "DROP DATABASE scratch", "postgres")
    assert connection.closed == 0


def test_the_drill_cannot_touch_what_it_did_not_create(drill):
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        drill.query("pgops_drill", "DROP DATABASE original", "postgres")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        drill.query("pgops_drill", "SELECT * FROM secured", "original")


@pytest.fixture(scope="module")
def ledger(server):
    server.execute("CREATE DATABASE ledger")
    server.execute("CREATE ROLE stranger LOGIN PASSWORD 'of the tests'")
    server.create_role("ledger", "ledger", "ledger")
    return server


def test_the_ledger_role_makes_its_schema(ledger):
    ledger.query("pgops_ledger", "CREATE TABLE public.t (id int); CREATE SCHEMA own; DROP TABLE public.t", "ledger")


def test_nobody_else_enters_the_ledger(ledger):
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        ledger.query("stranger", "SELECT 1", "ledger")


@pytest.mark.parametrize("dbname", ["postgres", "template1"])
def test_the_ledger_file_never_takes_over_a_database_of_the_server(ledger, dbname):
    with pytest.raises(psycopg2.errors.RaiseException, match="in the ledger's own database"):
        ledger.create_role("ledger", dbname)
    assert ledger.execute(
        f"SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = '{dbname}'"
    ) == [("postgres",)]  # fmt: skip


@pytest.fixture(scope="module")
def monitor(server):
    server.execute("CREATE DATABASE watched")
    server.execute("CREATE TABLE private AS SELECT 1 AS secret", "watched")
    server.create_role("monitor", "watched", "watched")
    return server


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count(*) FROM pg_stat_activity WHERE query IS NOT NULL",
        "SELECT setting FROM pg_settings WHERE name = 'data_directory'",
        "SELECT count(*) FROM pg_ls_waldir()",
        "SELECT pg_database_size('template1')",
    ],
)
def test_the_monitor_sees_the_server(monitor, statement):
    assert monitor.query("pgops_monitor", statement, "watched")[0][0] is not None


def test_the_monitor_reads_no_rows(monitor):
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        monitor.query("pgops_monitor", "SELECT * FROM private", "watched")


def test_the_monitor_ends_nobody(monitor):
    victim = psycopg2.connect(monitor.server.dsn("watched"))
    try:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            monitor.query("pgops_monitor", f"SELECT pg_terminate_backend({victim.info.backend_pid})", "watched")
    finally:
        victim.close()


def test_the_opt_in_lets_the_monitor_read_all_and_change_nothing(monitor):
    monitor.execute((ROLES / "monitor_more.sql").read_text(encoding="utf-8"), "watched")
    try:
        assert monitor.query("pgops_monitor", "SELECT secret FROM private", "watched") == [(1,)]
        for view in ("pg_file_settings", "pg_hba_file_rules"):
            assert monitor.query("pgops_monitor", f"SELECT count(*) FROM {view}", "watched")[0][0] > 0
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            monitor.query("pgops_monitor", "SET transaction_read_only = off; DELETE FROM private", "watched")
    finally:
        monitor.execute("REVOKE pg_read_all_data FROM pgops_monitor")
