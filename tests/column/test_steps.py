"""From every state that a cut-off run, or somebody else, leaves, the right steps lead on, or it is refused."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from pgops.column import ColumnSpec, Step, column_spec, next_steps, perform, state, undo_steps, waited_for
from pgops.errors import PgOpsError, Refused
from pgops.postgres import DatabaseError, Dsn
from tests.servers import eventually

CONSTANT = {"default": "''"}
VOLATILE = {"type": "uuid", "default": "gen_random_uuid()"}
DERIVED = {"backfill": "lower(users.email) || '!'"}
MIXED = {"default": "'new'", "backfill": "lower(email)"}
SPECS = {"a constant": CONSTANT, "volatile": VOLATILE, "derived": DERIVED, "both": MIXED}


def spec(**changes: Any) -> ColumnSpec:
    wanted = {"database": "app", "table": "users", "column": "phone", "type": "text", "index": True} | changes
    return column_spec(**wanted)


def execute(dsn: Dsn, statement: str, *values: Any) -> list[tuple]:
    with closing(psycopg2.connect(dsn.conninfo(), password=dsn.password)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []


def users(dsn: Dsn, rows: int = 200) -> Dsn:
    execute(dsn, "CREATE TABLE users (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text)")
    execute(dsn, "INSERT INTO users (email) SELECT 'U' || g FROM generate_series(1, %s) g", rows)
    return dsn


@pytest.fixture
def each(each_database) -> Dsn:
    return users(each_database)


@pytest.fixture
def database(database) -> Dsn:
    return users(database)


def do(dsn: Dsn, wanted: ColumnSpec, step: Step) -> None:
    """A step; a backfill by the simplest engine there is."""
    if step.fill is None:
        perform(dsn, wanted, step, lock_timeout_ms=200, attempts=3, patience_seconds=20)
    else:
        table = f'"{wanted.schema}"."{wanted.table}"'
        execute(dsn, f'UPDATE {table} SET "{wanted.column}" = {step.fill.expression} WHERE {step.fill.where}')


def names(dsn: Dsn, wanted: ColumnSpec) -> list[str]:
    return [step.name for step in next_steps(state(dsn, wanted), wanted)]


def run(dsn: Dsn, wanted: ColumnSpec, limit: int | None = None) -> list[str]:
    steps = next_steps(state(dsn, wanted), wanted)[:limit]
    for step in steps:
        do(dsn, wanted, step)
    return [step.name for step in steps]


def assert_done(dsn: Dsn, wanted: ColumnSpec) -> None:
    found = state(dsn, wanted)
    assert next_steps(found, wanted) == []
    assert (found.exists, found.marked, found.check, found.type) == (True, False, "absent", found.wanted_type)
    assert found.index == ("valid" if wanted.index_name else "absent")
    assert found.not_null == ("valid" if wanted.not_null else "absent")
    if wanted.not_null:
        assert execute(dsn, "SELECT count(*) FROM users WHERE phone IS NULL") == [(0,)]
        insert = "INSERT INTO users (email) VALUES ('New') RETURNING phone IS NOT NULL"
        assert execute(dsn, insert) == [(True,)]
        with pytest.raises(psycopg2.errors.NotNullViolation):
            execute(dsn, "ALTER TABLE users DISABLE TRIGGER USER; INSERT INTO users (phone) VALUES (NULL)")


def steps_of(major: int, *first: str) -> list[str]:
    check = ["add CHECK NOT VALID", "sweep", "validate", "set NOT NULL", "drop CHECK"]
    proof = ["add NOT NULL NOT VALID", "sweep", "validate"] if major >= 18 else check
    return ["add column", *first, "backfill", *proof, "create index", "analyze"]


def major(dsn: Dsn) -> int:
    return int(execute(dsn, "SHOW server_version_num")[0][0]) // 10000


def filenode(dsn: Dsn) -> int:
    return execute(dsn, "SELECT pg_relation_filenode('users')")[0][0]


@pytest.mark.parametrize("default", ["''", "now()::text", "current_user", "'x' || 'y'", "upper('a')"])
def test_a_default_that_is_the_same_for_all_rows_needs_no_backfill_and_rewrites_nothing(each, default):
    wanted = spec(default=default)
    before = filenode(each)
    assert run(each, wanted) == ["add column with its default", "create index", "analyze"]
    assert filenode(each) == before
    assert_done(each, wanted)


@pytest.mark.parametrize(
    ("given", "first"), [(VOLATILE, "set default"), (MIXED, "set default"), (DERIVED, "create trigger")]
)
def test_everything_else_is_filled_and_proven_in_the_only_safe_order_and_rewrites_nothing(each, given, first):
    wanted = spec(**given)
    before = filenode(each)
    assert run(each, wanted) == steps_of(major(each), first)
    assert filenode(each) == before
    assert_done(each, wanted)


def test_the_values_are_those_of_backfill_default_and_trigger(each):
    run(each, spec(**MIXED))
    run(each, spec(**DERIVED, column="derived"))
    execute(each, "INSERT INTO users (email) VALUES ('NEW')")
    rows = execute(each, "SELECT email, phone, derived FROM users WHERE email IN ('U7', 'NEW') ORDER BY id")
    assert rows == [("U7", "u7", "u7!"), ("NEW", "new", "new!")]


@pytest.mark.parametrize("given", SPECS.values(), ids=SPECS)
def test_cut_off_after_any_step_the_next_run_goes_on_with_the_rest_and_only_that(each, given):
    wanted = spec(**given)
    whole = [step.name for step in next_steps(state(each, wanted), wanted)]
    done: list[str] = []
    while left := next_steps(state(each, wanted), wanted):
        # What comes next is never earlier in the order than what was done, and something new each time.
        assert left[0].name not in done
        assert set(names(each, wanted)) <= set(whole)
        do(each, wanted, left[0])
        done.append(left[0].name)
        # Rows of an old version of the application come in at every point.
        if left[0].name in ("add column", "set default", "create trigger", "backfill"):
            execute(each, "INSERT INTO users (email) VALUES ('between')")
    assert [name for name in whole if name != "sweep"] == [name for name in done if name != "sweep"]
    assert_done(each, wanted)


@pytest.mark.parametrize("given", SPECS.values(), ids=SPECS)
def test_done_is_done(each, given):
    wanted = spec(**given)
    run(each, wanted)
    assert run(each, wanted) == []
    assert_done(each, wanted)


@pytest.mark.parametrize("given", SPECS.values(), ids=SPECS)
def test_a_column_that_may_be_null_is_not_proven(each, given):
    wanted = spec(**given, not_null=False, index=False)
    done = run(each, wanted)
    assert not {"validate", "set NOT NULL", "create index"} & set(done)
    assert names(each, wanted) == []
    assert_done(each, wanted)


def test_a_column_without_any_value_is_just_added(each):
    assert run(each, spec(not_null=False, index=False)) == ["add column", "analyze"]


def test_a_row_that_a_writer_leaves_empty_after_the_backfill_is_swept(each):
    wanted = spec(**MIXED)
    run(each, wanted, limit=3)
    execute(each, "INSERT INTO users (email, phone) VALUES ('Explicit', NULL)")
    assert "backfill" in names(each, wanted)
    run(each, wanted, limit=2)  # backfill, constraint
    assert "sweep" not in names(each, wanted)  # nothing is left, and nothing can come
    run(each, wanted)
    assert_done(each, wanted)


def test_an_empty_table_is_not_analyzed_for_ever(each_database):
    dsn = users(each_database, rows=0)
    for given, column in ((CONSTANT, "a"), (MIXED, "b")):
        wanted = spec(**given, column=column)
        run(dsn, wanted)
        assert names(dsn, wanted) == []


# --- what others have left ---


def test_a_column_of_another_type_or_default_is_refused_before_anything_is_touched(each):
    execute(each, "ALTER TABLE users ADD COLUMN phone varchar(20)")
    with pytest.raises(Refused, match="is there as character varying"):
        names(each, spec(**CONSTANT))
    assert names(each, spec(**CONSTANT, type="varchar(20)"))
    execute(each, "ALTER TABLE users ALTER COLUMN phone SET DEFAULT 'theirs'")
    with pytest.raises(Refused, match="has the default 'theirs'"):
        names(each, spec(**CONSTANT, type="varchar(20)"))
    with pytest.raises(Refused, match="the server computes it"):
        names(each, spec(column="id", type="int", default="1"))


def test_a_column_that_somebody_began_is_finished_and_stays_theirs(each):
    wanted = spec(**CONSTANT)
    execute(each, "ALTER TABLE users ADD COLUMN phone text")
    execute(each, "COMMENT ON COLUMN users.phone IS 'their own words'")
    assert run(each, wanted)[:2] == ["set default", "backfill"]
    assert_done(each, wanted)
    assert execute(each, "SELECT col_description('users'::regclass, 3)") == [("their own words",)]


@pytest.mark.parametrize(
    ("statement", "given", "words"),
    [
        ("ALTER TABLE users ADD CONSTRAINT users_phone_not_null CHECK (id > 0)", MIXED, "constraint"),
        ("CREATE INDEX users_phone_idx ON users (email)", CONSTANT, "relation"),
        ("CREATE TABLE users_phone_idx ()", CONSTANT, "relation"),
        ("CREATE VIEW users_phone_idx AS SELECT 1 AS one", CONSTANT, "relation"),
        (
            "CREATE FUNCTION pgops_fill_users_phone() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            DERIVED,
            "trigger or function",
        ),
        (
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
            "CREATE TRIGGER zzz_pgops_fill_phone BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION f()",
            DERIVED,
            "trigger or function",
        ),
    ],
)
def test_leftovers_of_others_under_our_names_are_refused_and_not_touched(each, statement, given, words):
    execute(each, statement)
    with pytest.raises(Refused, match=f"another {words} named"):
        names(each, spec(**given))
    assert execute(each, "SELECT count(*) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attnum > 0") == [
        (2,)
    ]


def test_a_check_that_is_there_already_is_used_also_on_18(each):
    wanted = spec(**MIXED)
    run(each, wanted, limit=3)
    execute(each, "ALTER TABLE users ADD CONSTRAINT users_phone_not_null CHECK (phone IS NOT NULL) NOT VALID")
    assert names(each, wanted)[:3] == ["validate", "set NOT NULL", "drop CHECK"]
    execute(each, "ALTER TABLE users VALIDATE CONSTRAINT users_phone_not_null")
    assert names(each, wanted)[:2] == ["set NOT NULL", "drop CHECK"]
    execute(each, "ALTER TABLE users ALTER COLUMN phone SET NOT NULL")
    assert names(each, wanted)[0] == "drop CHECK"
    run(each, wanted)
    assert_done(each, wanted)


def test_an_invalid_index_is_dropped_and_built_anew_and_one_under_construction_is_waited_for(each):
    wanted = spec(**CONSTANT)
    run(each, wanted, limit=1)
    with closing(psycopg2.connect(each.conninfo(), password=each.password)) as reader:
        reader.set_session(isolation_level="REPEATABLE READ")
        reader.cursor().execute("SELECT 1")  # CREATE INDEX CONCURRENTLY waits for this snapshot
        build = next_steps(state(each, wanted), wanted)[0]
        assert build.name == "create index"
        assert ["idle in transaction" in words for words in waited_for(each, 0)] == [True]
        assert waited_for(each, 60) == []
        failed: list[Exception] = []

        def patiently(seconds: float) -> None:
            try:
                perform(each, wanted, build, patience_seconds=seconds)
            except DatabaseError as error:
                failed.append(error)

        thread = threading.Thread(target=patiently, args=(3,))
        thread.start()
        assert eventually(lambda: state(each, wanted).index == "building")
        with pytest.raises(Refused, match="being built") as caught:
            names(each, wanted)
        assert caught.value.retry
        thread.join(30)
    assert len(failed) == 1
    assert names(each, wanted) == ["drop invalid index", "create index", "analyze"]
    run(each, wanted)
    assert_done(each, wanted)


def test_a_trigger_of_an_earlier_expression_is_replaced(each):
    run(each, spec(**DERIVED), limit=2)
    wanted = spec(backfill="upper(email)")
    assert names(each, wanted)[0] == "create trigger"
    run(each, wanted, limit=1)
    execute(each, "INSERT INTO users (email) VALUES ('aB')")
    assert execute(each, "SELECT phone FROM users WHERE email = 'aB'") == [("AB",)]
    execute(each, "ALTER TABLE users DISABLE TRIGGER zzz_pgops_fill_phone")
    with pytest.raises(Refused, match="trigger or function"):
        names(each, wanted)


def test_rows_without_a_value_in_sight_are_named_before_anything_is_touched(each):
    execute(each, "INSERT INTO users (email) VALUES (NULL)")
    with pytest.raises(Refused, match="is NULL for some rows"):
        names(each, spec(**DERIVED))
    assert names(each, spec(backfill="coalesce(email, '')"))
    assert run(each, spec(**DERIVED, not_null=False))
    assert names(each, spec(**DERIVED, not_null=False)) == []  # a row that stays NULL is no row to be done


# --- the server's own verdict ---


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"type": "nothing", "default": "''"}, "refuses the type 'nothing'"),
        ({"type": "int", "default": "'x'::text"}, "refuses the default"),
        ({"type": "int", "default": "'x'"}, "refuses the default"),
        ({"default": "nowhere()"}, "refuses the default"),
        ({"default": "max(1)"}, "refuses the default"),
        ({"default": "generate_series(1, 2)"}, "refuses the default"),
        ({"backfill": "emial"}, "refuses the backfill"),
        ({"backfill": "other.email"}, "refuses the backfill"),
        ({"type": "int", "backfill": "email"}, "refuses the backfill"),
        ({"type": "int", "backfill": "max(id)"}, "fails|refuses"),
        ({"type": "positive", "default": "1"}, "rewrites the whole table"),
        ({"table": "nowhere", "default": "''"}, "no such table"),
        ({"table": "v", "default": "''"}, "is no table"),
    ],
)
def test_what_the_server_would_refuse_later_is_refused_now_in_its_words(each, changes, words):
    execute(each, "CREATE DOMAIN positive AS int CHECK (VALUE > 0)")
    execute(each, "CREATE VIEW v AS SELECT 1 AS one")
    with pytest.raises(Refused, match=words):
        state(each, spec(**changes))


def test_a_look_leaves_nothing_behind_and_calls_no_default(each):
    execute(each, "CREATE SEQUENCE s")
    state(each, spec(type="bigint", default="nextval('s')"))
    state(each, spec(type="bigint", backfill="nextval('s')"))
    assert execute(each, "SELECT is_called FROM s") == [(False,)]
    assert execute(each, "SELECT count(*) FROM pg_class WHERE relname LIKE '%%probe%%'") == [(0,)]


def test_a_look_that_takes_too_long_is_not_known_and_its_rows_are_filled_in_any_case(each):
    execute(each, "ALTER TABLE users ADD COLUMN phone text")
    assert state(each, spec(**CONSTANT)).unfilled is True
    execute(each, "CREATE FUNCTION slow(text) RETURNS text LANGUAGE sql AS 'SELECT pg_sleep(5)::text'")
    wanted = spec(backfill="slow(email)", not_null=False)
    found = state(each, wanted, look_seconds=0.1)
    assert found.unfilled is None
    assert "backfill" in [step.name for step in next_steps(found, wanted)]


def test_a_role_that_does_not_own_the_table_is_refused(database):
    execute(database, "CREATE ROLE no_owner LOGIN PASSWORD 'x'")
    try:
        role = Dsn(database.host, database.port, database.dbname, "no_owner", "x")
        with pytest.raises(Refused, match="another role"):
            state(role, spec(**CONSTANT))
    finally:
        execute(database, "DROP ROLE no_owner")


# --- names, partitions, locks ---


def test_names_with_quotes_and_capitals_go_all_the_way(each):
    execute(each, 'CREATE SCHEMA "My ""S"')
    execute(each, 'CREATE TABLE "My ""S"."T %s {x}" (id int PRIMARY KEY, "E mail" text)')
    execute(each, """INSERT INTO "My ""S"."T %s {x}" VALUES (1, '50%'), (2, '{b}')""")
    wanted = spec(table='"My ""S"."T %s {x}"', column='"Pho""ne %s {y}"', backfill="""upper("E mail") || ' %s {}'""")
    for step in next_steps(state(each, wanted), wanted):
        if step.fill is None:
            do(each, wanted, step)
        else:
            update = f'UPDATE "My ""S"."T %s {{x}}" SET "Pho""ne %s {{y}}" = {step.fill.expression}'
            execute(each, f"{update} WHERE {step.fill.where}")
    assert names(each, wanted) == []
    execute(each, """INSERT INTO "My ""S"."T %s {x}" VALUES (3, 'c')""")
    assert execute(each, 'SELECT "Pho""ne %s {y}" FROM "My ""S"."T %s {x}" ORDER BY id') == [
        ("50% %s {}",),
        ("{B} %s {}",),
        ("C %s {}",),
    ]


def test_a_partitioned_table_gets_its_column(each):
    execute(each, "CREATE TABLE events (id int, email text) PARTITION BY RANGE (id)")
    execute(each, "CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (100)")
    execute(each, "INSERT INTO events SELECT g, 'E' || g FROM generate_series(1, 50) g")
    with pytest.raises(Refused, match="partition"):
        state(each, spec(table="events_1", **CONSTANT))
    wanted = spec(table="events", **DERIVED | {"backfill": "lower(email)"}, index=False)
    run(each, wanted)
    assert names(each, wanted) == []
    of_partition = "SELECT attnotnull FROM pg_attribute WHERE attrelid = 'events_1'::regclass AND attname = 'phone'"
    assert execute(each, of_partition) == [(True,)]


def test_a_step_waits_for_its_lock_only_shortly_and_tries_again(each):
    wanted = spec(**CONSTANT)
    step = next_steps(state(each, wanted), wanted)[0]
    with closing(psycopg2.connect(each.conninfo(), password=each.password)) as reader:
        reader.cursor().execute("SELECT * FROM users LIMIT 1")
        with pytest.raises(DatabaseError) as caught:
            perform(each, wanted, step, lock_timeout_ms=50, attempts=2)
        assert caught.value.sqlstate == "55P03"
        thread = threading.Thread(target=perform, args=(each, wanted, step), kwargs={"lock_timeout_ms": 50})
        thread.start()
        reader.rollback()
        thread.join(30)
    assert state(each, wanted).not_null == "valid"


def test_a_backfill_is_no_statement(database):
    wanted = spec(**MIXED)
    fill = next(step for step in next_steps(state(database, wanted), wanted) if step.fill)
    with pytest.raises(PgOpsError, match=r"A backfill is no statement"):
        perform(database, wanted, fill)


def test_each_step_tells_its_statements_locks_and_undo(each):
    wanted = spec(**DERIVED)
    steps = next_steps(state(each, wanted), wanted)
    with closing(psycopg2.connect(each.conninfo(), password=each.password)) as connection:
        texts = {step.name: (step.texts(connection), step.undo_texts(connection)) for step in steps}
    assert texts["add column"][0][0] == 'ALTER TABLE "public"."users" ADD COLUMN "phone" text'
    assert texts["add column"][1] == ('ALTER TABLE "public"."users" DROP COLUMN IF EXISTS "phone"',)
    assert texts["create index"][0] == ('CREATE INDEX CONCURRENTLY "users_phone_idx" ON "public"."users" ("phone")',)
    assert all(step.locks for step in steps)
    assert [step.name for step in steps if step.fill] == ["backfill", "sweep"]
    assert {step.name for step in steps if step.alone} == {"create index"}


# --- back ---


@pytest.mark.parametrize("given", [MIXED, DERIVED, VOLATILE], ids=["both", "derived", "volatile"])
def test_undone_from_any_point_before_not_null_everything_is_as_it_was(each, given):
    wanted = spec(**given)
    before = (state(each, wanted), surroundings(each))
    whole = names(each, wanted)
    for steps in range(1, whole.index("validate") + 1):
        run(each, wanted, limit=steps)
        for step in undo_steps(state(each, wanted), wanted):
            do(each, wanted, step)
        assert (state(each, wanted), surroundings(each)) == before


def surroundings(dsn: Dsn) -> list[tuple]:
    return execute(
        dsn,
        "SELECT 'column', attname::text FROM pg_attribute WHERE attrelid = 'users'::regclass AND NOT attisdropped"
        " UNION ALL SELECT 'constraint', conname FROM pg_constraint WHERE conrelid = 'users'::regclass"
        " UNION ALL SELECT 'trigger', tgname FROM pg_trigger WHERE tgrelid = 'users'::regclass"
        " UNION ALL SELECT 'index', indexrelid::regclass::text FROM pg_index WHERE indrelid = 'users'::regclass"
        " UNION ALL SELECT 'function', proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1, 2",
    )


def test_from_not_null_on_nothing_is_undone(each):
    for given in (CONSTANT, MIXED):
        wanted = spec(**given, column=f"c{len(given)}")
        run(each, wanted)
        with pytest.raises(Refused, match="is NOT NULL"):
            undo_steps(state(each, wanted), wanted)


def test_a_column_of_somebody_else_is_never_dropped(each):
    execute(each, "ALTER TABLE users ADD COLUMN phone text")
    with pytest.raises(Refused, match="not added by this workflow"):
        undo_steps(state(each, spec(**CONSTANT)), spec(**CONSTANT))
    run(each, spec(not_null=False, column="finished"))
    with pytest.raises(Refused, match="not added by this workflow"):
        undo_steps(state(each, spec(not_null=False, column="finished")), spec(not_null=False, column="finished"))
