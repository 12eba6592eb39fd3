"""pgops_backup reads everything, misses nothing, and changes nothing."""

from __future__ import annotations

from pathlib import Path

import psycopg2
import psycopg2.errors
import pytest

ROLES = Path(__file__).resolve().parents[2] / "include" / "sql" / "roles"
DATABASE = 'Überweisung "x"'
QUOTED = '"Überweisung ""x"""'

# What a role with less hides or refuses: row security (also forced on the owner), large objects of others, private
# schemas, names that need quotes, sequences, partitions, a database that PUBLIC may not enter.
SAMPLE = """
CREATE ROLE tenant LOGIN PASSWORD 'of the tests';
CREATE SCHEMA "Private Schema" AUTHORIZATION tenant;
SET ROLE tenant;
CREATE TABLE "Private Schema"."Größe ""m"" neu" (id bigint GENERATED ALWAYS AS IDENTITY (START 41), "Wert" text);
INSERT INTO "Private Schema"."Größe ""m"" neu" ("Wert") SELECT 'quoted-name-' || i FROM generate_series(1, 3) AS i;
CREATE TABLE "Private Schema".secured (tenant text, value text);
INSERT INTO "Private Schema".secured SELECT 't' || i, 'secured-row-' || i FROM generate_series(1, 7) AS i;
ALTER TABLE "Private Schema".secured ENABLE ROW LEVEL SECURITY;
ALTER TABLE "Private Schema".secured FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON "Private Schema".secured USING (tenant = current_user);
CREATE TABLE "Private Schema".parted (day date, value text) PARTITION BY RANGE (day);
CREATE TABLE "Private Schema".parted_2026 PARTITION OF "Private Schema".parted
    FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO "Private Schema".parted VALUES ('2026-11-23', 'partition-row');
SELECT lo_from_bytea(424242, 'large-object-of-the-tenant');
RESET ROLE;
"""


@pytest.fixture(scope="module")
def source(server):
    server.execute(f"CREATE DATABASE {QUOTED}")
    server.execute(f"REVOKE ALL ON DATABASE {QUOTED} FROM PUBLIC")
    server.execute(SAMPLE, DATABASE)
    server.create_role("backup", DATABASE)
    return server


def dump(server, *arguments: str, role: str = "pgops_backup") -> str:
    done = server.run(role, "pg_dump", *arguments, PGDATABASE=DATABASE)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_the_file_can_be_run_again(source):
    before = source.execute("SELECT * FROM pg_roles WHERE rolname = 'pgops_backup'")
    source.create_role("backup", DATABASE)
    after = source.execute("SELECT * FROM pg_roles WHERE rolname = 'pgops_backup'")
    assert [row[:-1] for row in before] == [row[:-1] for row in after]


def test_a_dump_is_the_same_as_the_superusers(source):
    superuser = source.run("postgres", "pg_dump", PGDATABASE=DATABASE, PGPASSWORD=source.server.password)
    assert superuser.returncode == 0, superuser.stderr
    assert without_restrict_key(dump(source)) == without_restrict_key(superuser.stdout)
    for expected in ("quoted-name-3", "secured-row-7", "partition-row", b"large-object".hex()):
        assert expected in superuser.stdout


def without_restrict_key(script: str) -> list[str]:
    """Drop the random key that newer minor versions write into every plain dump."""
    return [line for line in script.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]


def test_the_fingerprint_sees_every_row_of_secured_tables(source):
    rows = source.query(
        "pgops_backup", 'SET row_security = off; SELECT count(*) FROM "Private Schema".secured', DATABASE
    )
    assert rows == [(7,)]


def test_a_snapshot_can_be_exported_and_dumped_from(source):
    with psycopg2.connect(source.server.dsn(DATABASE, "pgops_backup", "of the tests")) as holder:
        holder.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with holder.cursor() as cursor:
            cursor.execute("SELECT pg_export_snapshot(), pg_try_advisory_lock(1)")
            snapshot, locked = cursor.fetchone()
            assert locked
            assert "secured-row-7" in dump(source, f"--snapshot={snapshot}")
    holder.close()


def test_globals_are_dumped_without_superuser_and_without_passwords(source):
    done = source.run("pgops_backup", "pg_dumpall", "--globals-only", "--no-role-passwords")
    assert done.returncode == 0, done.stderr
    assert "CREATE ROLE tenant" in done.stdout
    assert "ALTER ROLE pgops_backup SET lo_compat_privileges" in done.stdout
    assert "SCRAM-SHA-256" not in done.stdout


def test_without_bypassrls_a_dump_fails_loudly_and_never_loses_rows_silently(source):
    source.execute("CREATE ROLE almost LOGIN PASSWORD 'of the tests'; GRANT pg_read_all_data TO almost;")
    source.execute(f"GRANT CONNECT ON DATABASE {QUOTED} TO almost")
    try:
        silent = source.query("almost", 'SELECT count(*) FROM "Private Schema".secured', DATABASE)
        assert silent == [(0,)], "a plain query hides the rows: this is the danger"
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="row-level security policy"):
            source.query("almost", 'SET row_security = off; SELECT count(*) FROM "Private Schema".secured', DATABASE)
        done = source.run("almost", "pg_dump", PGDATABASE=DATABASE)
        assert done.returncode != 0
        assert "row-level security" in done.stderr
    finally:
        source.execute("DROP OWNED BY almost", DATABASE)
        source.execute("DROP ROLE almost")


def test_without_lo_compat_privileges_large_objects_of_others_are_refused_loudly(source):
    source.execute("ALTER ROLE pgops_backup RESET lo_compat_privileges")
    try:
        done = source.run("pgops_backup", "pg_dump", PGDATABASE=DATABASE)
        assert done.returncode != 0
        assert "permission denied for large object" in done.stderr
    finally:
        source.create_role("backup", DATABASE)


@pytest.mark.parametrize("guard", ["", "SET default_transaction_read_only = off; "], ids=["as it is", "guard off"])
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO \"Private Schema\".secured VALUES ('t', 'v')",
        "UPDATE \"Private Schema\".secured SET value = 'v'",
        'TRUNCATE "Private Schema".secured',
        'DROP TABLE "Private Schema".secured',
        'CREATE TABLE "Private Schema".mine (id int)',
        "CREATE TABLE public.mine (id int)",
        "CREATE ROLE mine",
        "CREATE DATABASE mine",
        "ALTER ROLE pgops_backup SUPERUSER",
        "COPY (SELECT 1) TO '/tmp/mine'",
        'SELECT nextval(\'"Private Schema"."Größe ""m"" neu_id_seq"\')',
    ],
)
def test_nothing_can_be_changed(source, statement, guard):
    with pytest.raises((psycopg2.errors.InsufficientPrivilege, psycopg2.errors.ReadOnlySqlTransaction)) as refusal:
        run_in_own_statements(source, guard + statement)
    if guard:
        assert isinstance(refusal.value, psycopg2.errors.InsufficientPrivilege)


def run_in_own_statements(source, script: str) -> None:
    """CREATE DATABASE refuses to run beside another statement."""
    connection = psycopg2.connect(source.server.dsn(DATABASE, "pgops_backup", "of the tests"))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in script.split("; "):
                cursor.execute(statement)
    finally:
        connection.close()


@pytest.mark.parametrize("statement", ["SELECT lo_unlink(424242)", "SELECT lo_put(424242, 0, 'x')"])
def test_large_objects_are_protected_by_the_read_only_guard_from_16_on_as_the_file_says(source, statement):
    connection = psycopg2.connect(source.server.dsn(DATABASE, "pgops_backup", "of the tests"))
    try:
        with connection.cursor() as cursor:
            if source.major >= 16:
                with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
                    cursor.execute(statement)
            else:
                cursor.execute(statement)  # and is rolled back below
    finally:
        connection.close()


@pytest.fixture
def managed(server):
    """A database of a master user as managed services have it: everything but superuser and BYPASSRLS."""
    server.execute("""
        CREATE ROLE master LOGIN CREATEDB CREATEROLE PASSWORD 'of the tests';
        GRANT pg_read_all_data, pg_read_all_stats, pg_read_all_settings TO master WITH ADMIN OPTION;
    """)
    server.execute("CREATE DATABASE managed OWNER master")
    server.execute(
        """
        CREATE ROLE tenant2;
        CREATE TABLE plain AS SELECT 'plain-row' AS value;
        CREATE TABLE secured AS SELECT 'secured-row' AS value;
        ALTER TABLE secured OWNER TO tenant2;
        ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
        """,
        "managed",
    )
    yield server
    server.execute("DROP DATABASE managed")
    server.execute("DROP OWNED BY pgops_backup; DROP ROLE IF EXISTS pgops_backup, tenant2")
    server.execute("DROP OWNED BY master CASCADE")
    server.execute("DROP ROLE master")


def test_a_master_user_without_superuser_makes_a_role_that_says_what_it_lacks(managed, source):
    managed.execute("DROP OWNED BY pgops_backup", DATABASE)
    managed.execute("DROP OWNED BY pgops_backup; DROP ROLE pgops_backup")
    connection = psycopg2.connect(managed.server.dsn("managed", "master", "of the tests"))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute((ROLES / "backup.sql").read_text(encoding="utf-8"))
            cursor.execute("ALTER ROLE pgops_backup PASSWORD 'of the tests'")
    finally:
        connection.close()
    assert sum("pgops_backup has no" in notice for notice in connection.notices) == 2

    plain = managed.run("pgops_backup", "pg_dump", "--table=plain", "managed")
    assert plain.returncode == 0, plain.stderr
    refused = managed.run("pgops_backup", "pg_dump", "managed")
    assert refused.returncode != 0 and "row-level security" in refused.stderr

    # docs/roles.md, "Managed servers": who has the owner's privileges passes row security that is not forced.
    managed.execute("GRANT tenant2 TO pgops_backup")
    passed = managed.run("pgops_backup", "pg_dump", "managed")
    assert passed.returncode == 0 and "secured-row" in passed.stdout
    managed.execute("ALTER TABLE secured FORCE ROW LEVEL SECURITY", "managed")
    refused = managed.run("pgops_backup", "pg_dump", "managed")
    assert refused.returncode != 0 and "row-level security" in refused.stderr


def test_what_only_a_superuser_can_dump_is_named(server):
    server.execute("CREATE DATABASE linked")
    server.execute(
        """
        CREATE EXTENSION postgres_fdw;
        CREATE SERVER other FOREIGN DATA WRAPPER postgres_fdw;
        CREATE USER MAPPING FOR PUBLIC SERVER other OPTIONS (user 'u', password 'of-the-other');
        """,
        "linked",
    )
    server.execute(
        "CREATE SUBSCRIPTION from_elsewhere CONNECTION 'host=elsewhere' PUBLICATION p WITH (connect = false)", "linked"
    )
    server.create_role("backup", "linked")
    done = server.run("pgops_backup", "pg_dump", "linked")
    assert done.returncode == 0
    assert "subscriptions not dumped because current user is not a superuser" in done.stderr
    assert "CREATE USER MAPPING" in done.stdout and "of-the-other" not in done.stdout
