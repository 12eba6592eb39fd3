"""pgops_tuner reviews a server, changes what a reload takes of the list, and nothing else."""

from __future__ import annotations

import psycopg2
import psycopg2.errors
import pytest

from pgops.postgres import Dsn
from pgops.tuning.facts import read_facts
from pgops.tuning.judge import verdicts
from pgops.tuning.model import Machine
from tests.roles.conftest import PASSWORD

GB = 1024**3


@pytest.fixture(scope="module")
def tuner(server):
    server.execute("CREATE DATABASE tuned")
    server.execute("CREATE TABLE private AS SELECT 1 AS secret", "tuned")
    server.create_role("tuner", "tuned", "tuned")
    yield server
    server.execute("ALTER SYSTEM RESET ALL")


def test_the_tuner_may_change_all_that_a_rule_advises_and_a_reload_takes(tuner):
    dsn = Dsn("127.0.0.1", tuner.server.port, "tuned", "pgops_tuner", PASSWORD)
    facts = read_facts(dsn, Machine(16 * GB, 4, 200 * GB, 80), {})
    protected = {"fsync", "full_page_writes", "zero_damaged_pages", "synchronous_standby_names"}
    closed = {
        one.setting
        for one in verdicts(facts)
        if not facts.settings[one.setting].restart and not facts.settings[one.setting].may_alter
    }
    assert closed == protected
    assert facts.files and facts.server.may_reload


def test_the_tuner_changes_and_reloads(tuner):
    tuner.query("pgops_tuner", "ALTER SYSTEM SET work_mem = '5MB'", "tuned")
    tuner.query("pgops_tuner", "ALTER SYSTEM RESET work_mem", "tuned")
    assert tuner.query("pgops_tuner", "SELECT pg_reload_conf()", "tuned") == [(True,)]


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER SYSTEM SET archive_command = 'true'",
        "ALTER SYSTEM SET fsync = off",
        "ALTER SYSTEM SET shared_buffers = '1GB'",
        "ALTER SYSTEM SET synchronous_standby_names = '*'",
        "ALTER SYSTEM RESET ALL",
        "SELECT * FROM private",
        "SELECT pg_read_file('postgresql.conf')",
        "CREATE ROLE another",
    ],
)
def test_the_tuner_can_do_nothing_else(tuner, statement):
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        tuner.query("pgops_tuner", statement, "tuned")


def test_running_the_file_again_changes_nothing(tuner):
    grants = "SELECT parname, paracl::text FROM pg_parameter_acl ORDER BY 1"
    before = tuner.execute(grants)
    tuner.create_role("tuner", "tuned")
    assert tuner.execute(grants) == before and len(before) >= 30
