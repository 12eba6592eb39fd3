"""What the recorder writes down is what the server did: lock by lock, file by file, row by row."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from pgops.errors import Refused
from pgops.migration.model import Ran, Script, Segment, Statement
from pgops.migration.rehearsal.recorder import invalid_indexes, run
from pgops.postgres import Dsn, Limits, connect
from sandbox.postgres import PostgresServer
from tests import servers
from tests.migration.scripts import script

ROWS = 4000
SAMPLE = f"""
CREATE TABLE public.users (
    id int PRIMARY KEY, email varchar(100), age int, made timestamp DEFAULT '2026-01-01', code uuid
);
CREATE TABLE public.orders (id int PRIMARY KEY, user_id int, amount numeric);
INSERT INTO users SELECT n, 'mail' || n, n % 90 FROM generate_series(1, {ROWS}) n;
INSERT INTO orders SELECT n, n, n FROM generate_series(1, {ROWS}) n;
CREATE TYPE mood AS ENUM ('sad');
ANALYZE;
"""


@pytest.fixture(scope="session")
def sample_on(postgres_of: Callable[[int], PostgresServer]) -> Iterator[Callable[[PostgresServer], str]]:
    """The name of a template with the sample on a server."""
    with ExitStack() as stack:
        made: dict[int, str] = {}

        def on(server: PostgresServer) -> str:
            if server.port not in made:
                dsn = stack.enter_context(servers.fresh_database(server, "sample"))
                server.execute(SAMPLE, dsn.dbname)
                made[server.port] = dsn.dbname
            return made[server.port]

        yield on


@contextmanager
def copy_of(server: PostgresServer, template: str) -> Iterator[Dsn]:
    with servers.fresh_database(server, "empty") as empty:
        name = f"{empty.dbname}_copy"
        server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield empty.on(name)
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def each_sample(each_postgres: PostgresServer, sample_on: Callable[[PostgresServer], str]) -> Iterator[Dsn]:
    with copy_of(each_postgres, sample_on(each_postgres)) as dsn:
        yield dsn


@pytest.fixture
def sample(postgres: PostgresServer, sample_on: Callable[[PostgresServer], str]) -> Iterator[Dsn]:
    with copy_of(postgres, sample_on(postgres)) as dsn:
        yield dsn


def execute(dsn: Dsn, statement: str) -> list[tuple]:
    with connect(dsn, "test") as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def applied(dsn: Dsn, text: str | Script, **options) -> Ran:
    ran = run(dsn, script(text) if isinstance(text, str) else text, "apply", 60, **options)
    assert ran.failure is None, ran.failure
    return ran


AEX, SRE, SUE = "AccessExclusiveLock", "ShareRowExclusiveLock", "ShareUpdateExclusiveLock"
USERS, ORDERS, KEY = "public.users", "public.orders", "public.users_pkey"
NOT_NULL = (
    "ALTER TABLE users ADD CONSTRAINT c CHECK (age IS NOT NULL) NOT VALID; ALTER TABLE users VALIDATE CONSTRAINT c"
)
FOREIGN_KEY = "ALTER TABLE orders ADD CONSTRAINT f FOREIGN KEY (user_id) REFERENCES users NOT VALID"

# statement, what stands before it, locks of what existed, what was rewritten, what was scanned from end to end
DDL = [
    ("ALTER TABLE users ADD a text", "", {USERS: AEX}, [], []),
    ("ALTER TABLE users ADD a int NOT NULL DEFAULT 7", "", {USERS: AEX}, [], []),
    ("ALTER TABLE users ADD a timestamptz DEFAULT now()", "", {USERS: AEX}, [], []),
    ("ALTER TABLE users ADD a uuid DEFAULT gen_random_uuid()", "", {USERS: AEX, KEY: AEX}, [USERS], [USERS]),
    ("ALTER TABLE users ADD a int GENERATED ALWAYS AS IDENTITY", "", {USERS: AEX, KEY: AEX}, [USERS], [USERS]),
    ("ALTER TABLE users ALTER age SET DEFAULT 3", "", {USERS: AEX}, [], []),
    ("ALTER TABLE users ALTER age SET NOT NULL", "", {USERS: AEX}, [], [USERS]),
    ("ALTER TABLE users ALTER age SET NOT NULL", NOT_NULL, {USERS: AEX}, [], []),
    ("ALTER TABLE users ADD CONSTRAINT c CHECK (age >= 0)", "", {USERS: AEX}, [], [USERS]),
    ("ALTER TABLE users ADD CONSTRAINT c CHECK (age >= 0) NOT VALID", "", {USERS: AEX}, [], []),
    (
        "ALTER TABLE users VALIDATE CONSTRAINT c",
        "ALTER TABLE users ADD CONSTRAINT c CHECK (age >= 0) NOT VALID",
        {USERS: SUE},
        [],
        [USERS],
    ),
    (FOREIGN_KEY.removesuffix("NOT VALID"), "", {USERS: SRE, ORDERS: SRE}, [], [ORDERS, USERS]),
    (FOREIGN_KEY, "", {USERS: SRE, ORDERS: SRE}, [], []),
    (
        "ALTER TABLE orders VALIDATE CONSTRAINT f",
        FOREIGN_KEY,
        {ORDERS: SUE, USERS: "RowShareLock"},
        [],
        [ORDERS, USERS],
    ),
    ("CREATE TABLE made (user_id int REFERENCES users)", "", {USERS: SRE}, [], []),
    ("ALTER TABLE users ALTER email TYPE varchar(200)", "", {USERS: AEX}, [], []),
    ("ALTER TABLE users ALTER email TYPE text", "", {USERS: AEX}, [], []),
    ("ALTER TABLE users ALTER email TYPE varchar(50)", "", {USERS: AEX, KEY: AEX}, [USERS], [USERS]),
    ("ALTER TABLE users ALTER id TYPE bigint", "", {USERS: AEX, KEY: AEX}, [USERS], [USERS]),
    ("CREATE INDEX i ON users (age)", "", {USERS: "ShareLock"}, [], [USERS]),
    ("ALTER TABLE users ADD UNIQUE (email)", "", {USERS: AEX}, [], [USERS]),
    ("ALTER TABLE users ADD UNIQUE USING INDEX i", "CREATE UNIQUE INDEX i ON users (email)", {USERS: AEX}, [], []),
    ("ALTER TABLE users DROP COLUMN age", "", {USERS: AEX}, [], []),
    ("ALTER TABLE users RENAME COLUMN age TO years", "", {USERS: AEX}, [], []),
    (
        "CREATE TRIGGER t BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "",
        {USERS: SRE},
        [],
        [],
    ),
    ("DROP TABLE orders", FOREIGN_KEY, {ORDERS: AEX, USERS: AEX, "public.orders_pkey": AEX}, [], []),
    ("ALTER TABLE users ALTER age SET STATISTICS 500", "", {USERS: SUE}, [], []),
    ("ALTER TABLE users SET (fillfactor = 70)", "", {USERS: SUE}, [], []),
    ("TRUNCATE users", "", {USERS: AEX, KEY: AEX}, [], []),
    ("CLUSTER users USING users_pkey", "", {USERS: AEX, KEY: AEX}, [USERS], [USERS]),
    ("REINDEX INDEX users_pkey", "", {USERS: "ShareLock", KEY: AEX}, [KEY], [USERS]),
    ("UPDATE users SET age = 1", "", {USERS: "RowExclusiveLock", KEY: "RowExclusiveLock"}, [], [USERS]),
    ("ALTER TYPE mood ADD VALUE 'happy'", "", {}, [], []),
]


@pytest.mark.parametrize(("statement", "before", "locks", "rewritten", "scanned"), DDL, ids=lambda one: str(one)[:60])
def test_the_locks_rewrites_and_scans_of_a_statement(each_sample, statement, before, locks, rewritten, scanned):
    if before:
        execute(each_sample, before)
    (one,) = applied(each_sample, statement).statements
    assert {lock.relation: lock.mode for lock in one.locks if lock.existed} == locks
    assert sorted(one.rewritten) == rewritten
    assert sorted(scan.relation for scan in one.scans) == scanned
    assert all(scan.rows in (ROWS, 2 * ROWS) for scan in one.scans)  # twice: a rewrite, and its index built anew


def test_dates_are_rewritten_or_not_as_the_time_zone_of_the_session_has_it(each_sample):
    change = "ALTER TABLE users ALTER made TYPE timestamptz"
    back = "ALTER TABLE users ALTER made TYPE timestamp"
    for zone, rewritten in (("UTC", ()), ("Europe/Paris", (USERS,))):
        ran = applied(each_sample, f"SET TimeZone = '{zone}'; {change}; {back}")
        assert [one.rewritten for one in ran.statements] == [(), rewritten, rewritten]


# --- outside a transaction ---


@dataclass(frozen=True)
class Wait:
    """Somebody waits for a lock; `sampled` once the recorder has looked at the locks meanwhile."""

    began: datetime
    seconds: float
    sampled: bool


WAITS = """
SELECT l.waitstart, extract(epoch FROM clock_timestamp() - l.waitstart),
       EXISTS (SELECT FROM pg_stat_activity o WHERE o.datname = w.datname AND o.query_start > l.waitstart
                  AND o.application_name = 'pgops.migration.observer' AND o.state = 'idle')
  FROM pg_locks l JOIN pg_stat_activity w USING (pid)
 WHERE NOT l.granted AND l.waitstart IS NOT NULL AND w.datname = current_database()
"""


@contextmanager
def holder(dsn: Dsn, statement: str, until: Callable[[Collection[Wait]], bool]) -> Iterator[None]:
    """Somebody keeps the locks of a statement until others have waited for him so, or to the end."""
    waits: dict[datetime, Wait] = {}
    over = threading.Event()

    def watch(cursor: Any) -> None:
        while not over.wait(0.01) and not until(waits.values()):
            cursor.execute(WAITS)
            waits.update({row[0]: Wait(*row) for row in cursor.fetchall()})
        held.execute("ROLLBACK")

    with connect(dsn, "test", Limits(idle_in_transaction=0)) as connection, connect(dsn, "watcher") as watching:
        held = connection.cursor()
        held.execute(f"BEGIN; {statement}")
        watcher = threading.Thread(target=watch, args=(watching.cursor(),))
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()


def writer_of(dsn: Dsn, table: str, until: Callable[[Collection[Wait]], bool]) -> AbstractContextManager[None]:
    """Somebody who has written to a table and takes his time to commit: CONCURRENTLY waits for him."""
    return holder(dsn, f"UPDATE {table} SET id = id WHERE id = 1", until)


def sampled(waits: Collection[Wait]) -> bool:
    return any(one.sampled for one in waits)


def a_second_time(waits: Collection[Wait]) -> bool:
    return len(waits) > 1


def beyond_the_timeout(waits: Collection[Wait]) -> bool:
    return any(one.seconds > 0.2 for one in waits)


def never(waits: Collection[Wait]) -> bool:
    return False


CONCURRENT = [
    ("CREATE INDEX CONCURRENTLY i ON users (age)", "", {USERS: SUE}, [], [USERS]),
    ("REINDEX INDEX CONCURRENTLY users_pkey", "", {USERS: SUE}, [KEY], [USERS]),
    ("DROP INDEX CONCURRENTLY i", "CREATE INDEX i ON users (age)", {USERS: SUE, "public.i": SUE}, [], []),
]


@pytest.mark.parametrize(
    ("statement", "before", "locks", "rewritten", "scanned"), CONCURRENT, ids=lambda o: str(o)[:60]
)
def test_statements_outside_a_transaction_are_sampled(each_sample, statement, before, locks, rewritten, scanned):
    if before:
        execute(each_sample, before)
    with writer_of(each_sample, "users", sampled):
        (one,) = applied(each_sample, statement).statements
    assert one.sampled
    seen = {lock.relation: lock.mode for lock in one.locks if lock.existed}
    assert seen.items() >= locks.items()
    assert AEX not in seen.values()
    assert list(one.rewritten) == rewritten
    assert [scan.relation for scan in one.scans] == scanned


def test_vacuum_full_is_seen_locking_and_rewriting(each_sample):
    execute(each_sample, "ALTER TABLE users ADD note text")  # so that there is a TOAST table, which it locks second
    find = "SELECT reltoastrelid::regclass::text FROM pg_class WHERE oid = 'users'::regclass"
    [(toast,)] = execute(each_sample, find)
    with holder(each_sample, f"SELECT FROM {toast}", sampled):
        (one,) = applied(each_sample, "VACUUM FULL users").statements
    assert {lock.relation: lock.mode for lock in one.locks if lock.existed}[USERS] == AEX
    assert one.rewritten == (USERS,)
    assert [scan.relation for scan in one.scans] == [USERS]


def test_an_invalid_index_of_a_failed_statement_is_named(each_sample):
    text = "ALTER TABLE users ADD a int; CREATE UNIQUE INDEX CONCURRENTLY twice ON users (age)"
    ran = run(each_sample, script(text), "apply", 60)
    assert ran.failure is not None
    assert ran.failure.sqlstate == "23505"
    assert "invalid index behind" in ran.failure.message and "public.twice" in ran.failure.message
    assert invalid_indexes(each_sample) == ["public.twice"]
    assert [one.kind for one in ran.statements] == ["ALTER TABLE"], "what was committed before it stays and is recorded"


# --- transactions ---


def test_a_lock_is_held_from_its_statement_to_the_end_of_the_transaction(sample):
    ran = applied(
        sample,
        "ALTER TABLE orders ADD a int; SELECT pg_sleep(0.2); ALTER TABLE users ADD a int; SELECT pg_sleep(0.1)",
    )
    held = {lock.relation: lock.held_ms for lock in ran.locks}
    slept = [one.ms for one in ran.statements if one.kind == "SELECT"]
    assert held[ORDERS] >= sum(slept)
    assert slept[1] <= held[USERS] < held[ORDERS] - slept[0] + 1
    assert [lock.relation for lock in ran.locks] == [ORDERS, USERS]
    assert [lock.blocks for lock in ran.locks] == ["reads and writes"] * 2


def test_a_stronger_lock_belongs_to_the_statement_that_took_it(sample):
    ran = applied(sample, "UPDATE users SET age = 2 WHERE id = 1; CREATE INDEX i ON users (age); DROP TABLE users")
    modes = [[lock.mode for lock in one.locks if lock.relation == USERS] for one in ran.statements]
    assert modes == [["RowExclusiveLock"], ["ShareLock"], [AEX]]


def test_what_the_script_makes_itself_keeps_nobody_waiting(each_sample):
    ran = applied(
        each_sample,
        "CREATE TABLE made (id int); INSERT INTO made VALUES (1); ALTER TABLE made ALTER id TYPE bigint;"
        "ALTER TABLE made RENAME TO named; CREATE INDEX ON named (id)",
    )
    assert ran.locks == ()
    assert all(not one.rewritten and not one.scans for one in ran.statements)
    assert {lock.relation for one in ran.statements for lock in one.locks} >= {"public.made"}


def test_a_table_keeps_its_name_in_the_record_when_it_is_renamed_or_dropped(each_sample):
    ran = applied(each_sample, "ALTER TABLE users RENAME TO people; DROP TABLE people")
    assert ("public.people", AEX) in {(lock.relation, lock.mode) for lock in ran.locks}


def test_names_that_need_quotes_are_quoted(each_database):
    execute(
        each_database,
        'CREATE SCHEMA "Große"; CREATE TABLE "Große"."a.b ""c" (id int); INSERT INTO "Große"."a.b ""c" VALUES (1)',
    )
    (one,) = applied(each_database, 'ALTER TABLE "Große"."a.b ""c" ALTER id TYPE bigint').statements
    assert one.rewritten == ('"Große"."a.b ""c"',)
    assert [(lock.relation, lock.mode) for lock in one.locks] == [('"Große"."a.b ""c"', AEX)]


def test_partitions_are_recorded_one_by_one(each_database):
    execute(
        each_database,
        "CREATE TABLE part (id int, at date) PARTITION BY RANGE (at);"
        "CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');"
        "CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');"
        "INSERT INTO part SELECT n, '2026-01-20'::date + n % 20 FROM generate_series(1, 100) n",
    )
    (one,) = applied(each_database, "ALTER TABLE part ALTER id TYPE bigint").statements
    assert {lock.relation: lock.mode for lock in one.locks} == {
        "public.part": AEX,
        "public.part_1": AEX,
        "public.part_2": AEX,
    }
    assert sorted(one.rewritten) == ["public.part_1", "public.part_2"]
    assert sum(scan.rows for scan in one.scans) == 100


def test_a_role_and_a_search_path_of_the_script_do_not_blind_the_recorder(each_sample):
    execute(
        each_sample,
        "CREATE ROLE clerk_of_the_tests; GRANT CREATE ON SCHEMA public TO clerk_of_the_tests;"
        "ALTER TABLE users OWNER TO clerk_of_the_tests;"
        "CREATE SCHEMA evil; CREATE FUNCTION evil.quote_ident(name) RETURNS text LANGUAGE sql AS $$SELECT 'lie'$$;"
        "CREATE VIEW evil.pg_locks AS SELECT 1 AS x; CREATE VIEW evil.pg_class AS SELECT 1 AS x;"
        "GRANT USAGE ON SCHEMA evil TO clerk_of_the_tests",
    )
    try:
        ran = applied(
            each_sample,
            "SET ROLE clerk_of_the_tests; SET search_path = evil, public, pg_catalog;"
            "ALTER TABLE users ALTER id TYPE bigint",
        )
        assert {lock.relation: lock.mode for lock in ran.locks} == {USERS: AEX, KEY: AEX}
        assert ran.statements[2].rewritten == (USERS,)
    finally:
        execute(each_sample, "DROP OWNED BY clerk_of_the_tests CASCADE; DROP ROLE clerk_of_the_tests")


def test_what_a_script_sets_is_its_own(sample):
    applied(sample, "SET work_mem = '77MB'; SET TimeZone = 'Asia/Tokyo'")
    applied(sample, "CREATE TABLE seen AS SELECT current_setting('work_mem') AS memory")
    assert execute(sample, "SELECT memory FROM seen") != [("77MB",)]


def test_limits_of_the_script_hold_where_they_are_stricter_and_last_as_long_as_it_says(sample):
    ran = run(sample, script("SET statement_timeout = '50ms'; SELECT 1; SELECT pg_sleep(20)"), "apply", 60)
    assert ran.failure is not None
    assert (ran.failure.sqlstate, ran.failure.kind, ran.over_budget) == ("57014", "SELECT", False)
    ran = run(
        sample,
        script("SET statement_timeout = '50ms'; REINDEX INDEX CONCURRENTLY users_pkey; SELECT pg_sleep(20)"),
        "apply",
        60,
    )
    assert ran.failure is not None and ran.failure.kind == "SELECT"


def test_a_transaction_may_choose_its_isolation_first(sample):
    applied(sample, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; ALTER TABLE users ADD a int")


def test_a_failed_statement_takes_its_segment_back_and_is_explained(each_sample):
    ran = run(
        each_sample,
        script(
            "CREATE INDEX CONCURRENTLY i ON users (age);\nALTER TABLE users ADD a int;\nSELECT 1 / 0;\nDROP TABLE users"
        ),
        "apply",
        60,
    )
    assert ran.failure is not None
    assert (ran.failure.line, ran.failure.kind, ran.failure.sqlstate) == (3, "SELECT", "22012")
    assert ran.failure.message == "division by zero"
    assert not ran.over_budget
    assert [one.line for one in ran.statements] == [1, 2]
    assert execute(
        each_sample, "SELECT count(*) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'a'"
    ) == [(0,)]
    assert execute(each_sample, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass") == [(True,)]


def test_a_constraint_that_fails_at_commit_is_a_failure_of_the_commit(sample):
    execute(sample, f"{FOREIGN_KEY.removesuffix('NOT VALID')} DEFERRABLE INITIALLY DEFERRED")
    ran = run(sample, script("UPDATE orders SET user_id = -1 WHERE id = 1"), "apply", 60)
    assert ran.failure is not None
    assert (ran.failure.kind, ran.failure.sqlstate) == ("COMMIT", "23503")
    assert execute(sample, "SELECT user_id FROM orders WHERE id = 1") == [(1,)]


def test_a_script_that_commits_itself_is_stopped(sample):
    texts = ("CREATE TABLE one ()", "COMMIT", "CREATE TABLE two ()")  # the gate refuses it, but who calls run() may not
    segment = Segment(True, tuple(Statement(text, 1, text.split()[0], True) for text in texts))
    ran = run(sample, Script("V001__test.sql", ";".join(texts), (segment,)), "apply", 60)
    assert ran.failure is not None and "ended the migration's transaction" in ran.failure.message
    assert execute(sample, "SELECT to_regclass('two')") == [(None,)]


def test_a_lock_that_is_not_to_be_had_is_tried_again(sample):
    with writer_of(sample, "users", a_second_time):
        ran = applied(sample, "ALTER TABLE users ADD a int", lock_timeout_ms=200, lock_attempts=50)
    assert ran.lock_retries > 0
    assert len(ran.statements) == 1


def test_a_lock_that_is_never_to_be_had_is_a_failure(sample):
    with writer_of(sample, "users", never):
        ran = run(sample, script("ALTER TABLE users ADD a int"), "apply", 60, lock_timeout_ms=50, lock_attempts=3)
    assert ran.failure is not None
    assert (ran.failure.sqlstate, ran.lock_retries) == ("55P03", 2)


def test_concurrently_waits_beyond_the_lock_timeout(sample):
    with writer_of(sample, "users", beyond_the_timeout):
        ran = applied(sample, "CREATE INDEX CONCURRENTLY i ON users (age)", lock_timeout_ms=50)
    assert ran.lock_retries == 0
    assert invalid_indexes(sample) == []


def test_a_lock_timeout_of_ours_does_not_outlive_its_statement(sample):
    with writer_of(sample, "users", a_second_time):
        ran = applied(sample, "VACUUM FULL users; SELECT 1", lock_timeout_ms=200, lock_attempts=50)
    assert ran.lock_retries > 0
    with writer_of(sample, "orders", beyond_the_timeout):
        ran = applied(sample, "VACUUM FULL users; CREATE INDEX CONCURRENTLY i ON orders (user_id)", lock_timeout_ms=50)
    assert ran.lock_retries == 0


def test_a_budget_that_makes_no_sense_is_refused(sample):
    with pytest.raises(Refused, match="cannot be kept"):
        run(sample, script("SELECT 1"), "apply", 0)


def test_statements_are_shown_on_one_line_without_the_comments_before_them(sample):
    (one,) = applied(sample, "-- why\n/* and\nhow */ SELECT 1,\n       2").statements
    assert one.text == "SELECT 1, 2"


# --- WAL ---


def test_wal_of_a_statement_is_known_when_nobody_else_writes(each_sample):
    ran = applied(each_sample, "ALTER TABLE users ADD a int; ALTER TABLE users ALTER id TYPE bigint; SELECT 1")
    little, much, nothing = (one.wal_bytes for one in ran.statements)
    assert None not in (little, much, nothing)
    assert nothing == 0 < little < much
    assert much > 100_000
    assert ran.wal_bytes == little + much


@pytest.mark.parametrize("major", servers.MAJORS)
def test_wal_of_others_does_not_count(major):
    with servers.running_postgres(major, shared_preload_libraries="pg_stat_statements") as server:
        server.execute(
            SAMPLE + "CREATE SCHEMA s; CREATE EXTENSION pg_stat_statements SCHEMA s; CREATE TABLE noise (x text)"
        )
        dsn = Dsn("127.0.0.1", server.port, "postgres", "postgres", server.password)
        text = "UPDATE users SET age = 1 WHERE id = 1; SELECT pg_sleep(0.2); ALTER TABLE users ALTER id TYPE {}"
        quiet = applied(dsn, text.format("bigint"))
        stop = threading.Event()

        def write() -> None:
            while not stop.wait(0.01):
                execute(dsn, "INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, 100)")

        noise = threading.Thread(target=write)
        noise.start()
        try:
            noisy = applied(dsn, text.format("int"))
            execute(dsn, "DROP EXTENSION pg_stat_statements")
            unknown = applied(dsn, "SELECT pg_sleep(0.2)")
        finally:
            stop.set()
            noise.join()
    assert [one.wal_bytes for one in quiet.statements][1] == 0
    assert [one.wal_bytes for one in noisy.statements][1] == 0
    assert abs(noisy.statements[2].wal_bytes - quiet.statements[2].wal_bytes) < 50_000 < noisy.statements[2].wal_bytes
    assert unknown.statements[0].wal_bytes is None, "the server's position says nothing while others write"
