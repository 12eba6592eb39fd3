"""What an application beside a migration feels."""

from __future__ import annotations

from pgops.migration.rehearsal.load import MOST_TABLES, Load, touched_tables
from pgops.migration.rehearsal.recorder import run
from pgops.postgres import Dsn, connect
from tests import servers
from tests.migration.scripts import ALONE, script

TABLES = """
CREATE TABLE users (id int PRIMARY KEY, name text, at timestamptz DEFAULT now());
INSERT INTO users SELECT n, 'name ' || n FROM generate_series(1, 500) n;
CREATE TABLE log (x text);
INSERT INTO log SELECT 'x' FROM generate_series(1, 10);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN new.at = clock_timestamp(); INSERT INTO log VALUES ('touched'); RETURN new; END $$;
CREATE TRIGGER touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch();
"""
USERS, LOG = "public.users", "public.log"


def execute(dsn: Dsn, statement: str) -> list[tuple]:
    with connect(dsn, "test") as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def stall(load: Load, relation: str, kind: str):
    return next(one for one in load.stalls() if (one.relation, one.kind) == (relation, kind))


def test_a_lock_is_felt_by_reader_and_writer_as_long_as_it_is_held(each_database):
    execute(each_database, TABLES)
    with Load(each_database, [USERS, LOG]) as load:
        ran = run(
            each_database,
            script("SELECT pg_sleep(0.3); ALTER TABLE users ADD a int; SELECT pg_sleep(0.6)"),
            "apply",
            60,
        )
    (lock,) = ran.locks
    for kind in ("read", "write"):
        felt = stall(load, USERS, kind)
        # It may have begun its attempt a moment after the lock was taken.
        assert lock.held_ms / 2 < felt.longest_ms
        assert felt.median_ms < lock.held_ms / 2
        assert felt.attempts > 1
        assert stall(load, LOG, kind).longest_ms < felt.longest_ms
    assert load.errors() == {}


def test_a_lock_that_blocks_writes_is_not_felt_by_readers(database):
    execute(database, TABLES)
    with Load(database, [USERS]) as load:
        ran = run(database, script("LOCK TABLE users IN SHARE MODE; SELECT pg_sleep(0.6)"), "apply", 60)
    assert ran.locks[0].held_ms / 2 < stall(load, USERS, "write").longest_ms
    assert stall(load, USERS, "read").longest_ms < stall(load, USERS, "write").longest_ms


def test_a_queue_behind_an_open_reader_is_felt_and_a_lock_timeout_shortens_it(database):
    execute(database, TABLES)
    add, drop = script("ALTER TABLE users ADD a int"), script("ALTER TABLE users DROP a")
    with Load(database, [USERS], hold_seconds=1.0) as queued:
        waited = run(database, add, "apply", 60)
    assert waited.lock_retries == 0
    with Load(database, [USERS], hold_seconds=1.0) as patient:
        retried = run(database, drop, "apply", 60, lock_timeout_ms=50, lock_attempts=100)
    assert retried.failure is None
    assert retried.lock_retries > 0
    assert stall(queued, USERS, "read").longest_ms > waited.statements[0].ms / 2
    assert stall(patient, USERS, "read").longest_ms < stall(queued, USERS, "read").longest_ms


def test_the_load_leaves_no_trace(each_database):
    execute(each_database, TABLES)
    contents = "SELECT (SELECT array_agg(u.* ORDER BY id)::text FROM users u), (SELECT count(*) FROM log)"
    before = execute(each_database, contents)
    with Load(each_database, [USERS, LOG], hold_seconds=0.2) as load:
        run(each_database, script("SELECT pg_sleep(0.3)"), "apply", 60)
    assert stall(load, USERS, "write").attempts > 1
    assert execute(each_database, contents) == before
    assert servers.eventually(
        lambda: (
            execute(
                each_database,
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name LIKE 'pgops.migration%'",
            )
            == [(0,)]
        )
    )


def test_tables_that_the_migration_drops_renames_or_empties_do_not_break_the_load(each_database):
    execute(each_database, TABLES + "CREATE TABLE other (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), v int);")
    execute(each_database, "INSERT INTO other (v) SELECT 1 FROM generate_series(1, 9)")
    text = (
        "CREATE INDEX CONCURRENTLY i ON users (name); DROP TABLE log; SELECT pg_sleep(0.1);"
        "ALTER TABLE users RENAME id TO key; ALTER TABLE users DROP name; ALTER TABLE other RENAME TO another;"
        f"{ALONE}SELECT pg_sleep(0.3); TRUNCATE users"
    )
    with Load(each_database, [USERS, LOG, "public.other"]) as load:
        ran = run(each_database, script(text), "apply", 60)
        run(each_database, script("SELECT pg_sleep(0.2)"), "apply", 60)
    assert ran.failure is None
    errors = load.errors()
    assert errors["read public.log 42P01"] > 0
    assert errors["write public.other 42P01"] > 0
    assert errors["read public.users 42703"] == 1, "it looks at the table anew and reads on"
    assert sum(one.errors for one in load.stalls()) == sum(errors.values())


def test_a_load_ends_though_its_sessions_wait_for_a_lock(database):
    execute(database, TABLES)
    with connect(database, "blocker") as blocker, Load(database, [USERS]) as load:
        blocker.cursor().execute("BEGIN; LOCK TABLE users")
        run(database, script("SELECT pg_sleep(0.3)"), "apply", 60)
    assert stall(load, USERS, "read").longest_ms > 300


def test_a_load_may_have_nothing_to_do(database):
    with Load(database, [], hold_seconds=1) as load:
        pass
    with Load(database, ["public.nowhere"], hold_seconds=0.1) as load:
        pass
    assert load.stalls() == ()


def test_a_table_that_may_not_be_read_is_counted(database):
    execute(database, TABLES + "CREATE ROLE stranger_of_the_tests LOGIN PASSWORD 'x'")
    try:
        stranger = Dsn(database.host, database.port, database.dbname, "stranger_of_the_tests", "x")
        with Load(stranger, [USERS], hold_seconds=0.1) as load:
            pass
        assert load.errors()["read public.users 42501"] > 0
    finally:
        execute(database, "DROP ROLE stranger_of_the_tests")


def test_many_tables_get_a_load_on_some(database, caplog):
    names = [f"public.t{n:02}" for n in range(MOST_TABLES + 2)]
    execute(database, ";".join(f"CREATE TABLE {name} (id int); INSERT INTO {name} VALUES (1)" for name in names))
    with Load(database, names) as load:
        pass
    assert len(load.stalls()) == 2 * MOST_TABLES
    assert names[-1] in caplog.text


def test_touched_tables_are_those_that_statements_name_and_that_exist(each_database):
    execute(
        each_database,
        TABLES + 'CREATE SCHEMA "Ö"; CREATE TABLE "Ö"."a.b" (id int);'
        "CREATE TABLE indexed (id int); CREATE INDEX i ON indexed (id);"
        "CREATE MATERIALIZED VIEW m AS SELECT 1 AS x; CREATE TABLE untouched (); CREATE VIEW v AS SELECT 1;"
        "CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE partitioned (id int) PARTITION BY RANGE (id)",
    )
    named = touched_tables(
        each_database,
        script(
            'DROP TRIGGER touch ON users; UPDATE "Ö"."a.b" SET id = 1; DROP INDEX CONCURRENTLY i;'
            "REFRESH MATERIALIZED VIEW m; CREATE TABLE made (p int REFERENCES parent); DROP VIEW v; DROP TABLE gone;"
            "CREATE TABLE p1 PARTITION OF partitioned FOR VALUES FROM (1) TO (2); SELECT * FROM pg_class; TRUNCATE log"
        ),
    )
    assert named == ('"Ö"."a.b"', "public.indexed", LOG, "public.m", "public.parent", "public.partitioned", USERS)
