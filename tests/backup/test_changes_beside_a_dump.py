"""What others do to a database while its dump begins; and nobody's functions run with this role's rights."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pgops.errors import PgOpsError
from pgops.postgres import connect
from sandbox.postgres import PostgresServer
from tests.nights import Night, execute

ROLE = Path(__file__).resolve().parents[2] / "include" / "sql" / "roles" / "backup.sql"


@pytest.mark.parametrize(
    "change",
    ["ALTER TABLE t ALTER COLUMN g TYPE bigint", "TRUNCATE t", "ALTER TABLE t ADD COLUMN late int DEFAULT 7"],
)
def test_a_table_that_is_rewritten_as_the_dump_begins_is_never_proven_empty(night, monkeypatch, change):
    """A rewrite between the snapshot and pg_dump's lock leaves the table empty in the snapshot, for everybody in it."""
    execute(night.dsn, "CREATE TABLE t AS SELECT g FROM generate_series(1, 1000) g")
    stream = sys.modules["pgops.backup.dump"]._stream_dump

    def late(*arguments):
        execute(night.dsn, change)
        return stream(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["pgops.backup.dump"], "_stream_dump", late)
        with pytest.raises(PgOpsError, match=r"altered while the dump began: public\.t") as refused:
            night.dump()
    assert refused.value.retry
    night.backup()


def test_a_function_in_public_does_not_run_with_the_rights_of_the_backup_role(night: Night, postgres: PostgresServer):
    execute(
        night.dsn,
        "CREATE TABLE t (a int)",
        "CREATE FUNCTION public.pg_relation_size(oid) RETURNS bigint LANGUAGE plpgsql"
        " AS $$ BEGIN RAISE 'running as %', current_user; END $$",
    )
    postgres.execute(ROLE.read_text(encoding="utf-8"), night.dsn.dbname)
    postgres.execute("ALTER ROLE pgops_backup PASSWORD 'of the tests'")
    try:
        night.dsn = replace(night.dsn, user="pgops_backup", password="of the tests")
        assert night.backup().tables == 1
    finally:
        postgres.execute("DROP OWNED BY pgops_backup; DROP ROLE pgops_backup", night.dsn.dbname)


def test_large_objects_are_fingerprinted_without_temporary_files(night):
    """They may be larger than the source's free disk."""
    execute(
        night.dsn, "SELECT lo_from_bytea(0, decode(repeat(md5(g::text), 20000), 'hex')) FROM generate_series(1, 60) g"
    )
    used = "SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()"
    night.backup()
    with connect(night.dsn, "the.tests") as connection:
        connection.cursor().execute("SELECT pg_stat_clear_snapshot()")
    assert execute(night.dsn, used) == [(0,)]
