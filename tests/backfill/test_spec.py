"""What a specification may say; and that nothing but its UPDATE can come out of it."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from pgops import backfill
from pgops.backfill.statements import KeyColumn, Part, Statements
from pgops.errors import Refused
from pgops.postgres import Dsn
from tests.backfill.backfills import ME, begun, connected, execute, one, spec, users

EVIL_PREDICATES = [
    "tier IS NULL; DROP TABLE users",
    "tier IS NULL); DROP TABLE users; SELECT (1",
    "1) FROM users WHERE (true",
    "tier IS NULL) ORDER BY (1",
    "tier IS NULL) UNION SELECT (true",
    "tier IS NULL RETURNING *",
    "(WITH gone AS (DELETE FROM users RETURNING 1) SELECT true)",
    "(SELECT true FROM users FOR UPDATE LIMIT 1)",
    "tier IS NULL /*",
    "tier IS NULL, (SELECT pg_terminate_backend(1))",
    "$1",
    "tier = :'name'",
    "tier IS NULL \\; DROP TABLE users",
    "true",
    "CURRENT OF c",
    "",
]
EVIL_ASSIGNMENTS = [
    "tier = 'x' WHERE true",
    "tier = 'x' FROM orders",
    "tier = 'x' RETURNING *",
    "tier = 'x'; DROP TABLE users",
    "tier = DEFAULT",
    "(tier, spent) = (1, 2)",
    "(tier, spent) = (SELECT 1, 2)",
    "tier[1] = 'x'",
    "tier = 1, tier = 2",
    {"tier": "'x'; DROP TABLE users"},
    {"tier": "'x', spent = 0"},
    {"tier": "(WITH d AS (UPDATE users SET spent = 0 RETURNING 1) SELECT 'x')"},
    {"tier": 5},
    {},
]
EVIL_TABLES = [
    "users; DROP TABLE users",
    "users, orders",
    "ONLY users",
    "users u",
    "f(1)",
    "(SELECT 1)",
    "users WHERE true",
]
VOLATILE = [
    "nextval('numbers')::text",
    "set_config('a.b', 'c', false)",
    "pg_terminate_backend(1)::text",
    "pg_sleep(1)::text",
    "(SELECT pg_read_file('/etc/passwd'))",
    "query_to_xml('DELETE FROM users', true, true, '')::text",
    "lo_unlink(1)::text",
    "pg_advisory_lock(1)::text",
    "spent @!@ 1",
    "users.takes_notes",
    "public.takes_notes(users)",
]


@pytest.mark.parametrize("text", EVIL_PREDICATES)
def test_a_predicate_is_one_expression_that_only_reads(text: str) -> None:
    with pytest.raises(Refused):
        spec(where=text)


@pytest.mark.parametrize("given", EVIL_ASSIGNMENTS, ids=str)
def test_an_assignment_is_one_expression_for_one_column(given: Any) -> None:
    with pytest.raises(Refused):
        spec(set=given)


@pytest.mark.parametrize("name", EVIL_TABLES)
def test_a_table_is_a_name(name: str) -> None:
    with pytest.raises(Refused):
        spec(table=name)


@pytest.mark.parametrize("key", ["id; DROP TABLE users", [["id"]], ["id", "id"], 7])
def test_a_key_is_a_list_of_columns(each_database: Dsn, key: Any) -> None:
    users(each_database, 1)
    with pytest.raises(Refused):
        backfill.check(each_database, spec(key=key))


@pytest.mark.parametrize("expression", VOLATILE)
def test_what_may_do_more_than_compute_is_refused(database: Dsn, expression: str) -> None:
    users(database, 1)
    execute(
        database,
        """
        CREATE SEQUENCE numbers;
        CREATE FUNCTION takes_notes(users) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT 'x' $$;
        CREATE FUNCTION counts(int, int) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT 'x' $$;
        CREATE OPERATOR @!@ (FUNCTION = counts, LEFTARG = int, RIGHTARG = int);
        """,
    )
    with pytest.raises(Refused, match="Volatile"):
        backfill.check(database, spec(set={"tier": expression}))
    with pytest.raises(Refused, match="Volatile"):
        backfill.check(database, spec(where=f"tier IS NULL AND ({expression}) IS NOT NULL"))
    assert one(database, "SELECT is_called FROM numbers") is False


def test_a_volatile_function_may_be_allowed_by_name(database: Dsn) -> None:
    users(database, 3)
    execute(database, "CREATE SEQUENCE numbers")
    checked = backfill.check(database, spec(set={"tier": "nextval('numbers')::text"}, allow_functions=["nextval"]))
    job = backfill.begin(database, checked, backfill.plan(database, checked), ME)
    assert backfill.work(database, job.id).rows == 3
    assert one(database, "SELECT count(DISTINCT tier) FROM users") == 3


def test_other_values_each_time_are_no_harm(each_database: Dsn) -> None:
    users(each_database, 1)
    backfill.check(each_database, spec(set={"tier": "gen_random_uuid()::text || random() || clock_timestamp()"}))


@pytest.mark.parametrize("answer", ["random() < 0.5", "clock_timestamp() > 'today'", "random() IS NOT NULL"])
def test_whether_a_row_is_to_do_may_not_be_another_answer_each_time(database: Dsn, answer: str) -> None:
    users(database, 1)
    with pytest.raises(Refused, match="Volatile"):
        backfill.check(database, spec(where=f"tier IS NULL AND {answer}"))
    backfill.check(database, spec(where="tier IS NULL AND random() IS NOT NULL", allow_functions=["random"]))


def test_text_is_taken_as_text(each_database: Dsn) -> None:
    users(each_database, 3)
    text = "it's 100% {braces} %s %(x)s \\' -- ; DROP TABLE users"
    quoted = text.replace("'", "''")
    job = begun(each_database, set={"tier": f"'{quoted}'"}, where=f"tier IS DISTINCT FROM '{quoted}'")
    assert backfill.work(each_database, job.id).rows == 3
    assert execute(each_database, "SELECT DISTINCT tier FROM users") == [(text,)]


def test_a_server_that_reads_backslashes_differently_changes_nothing(database: Dsn) -> None:
    users(database, 3)
    execute(database, f'ALTER DATABASE "{database.dbname}" SET standard_conforming_strings = off')
    job = begun(database, set={"tier": r"'a\'"}, where="tier IS NULL")
    assert backfill.work(database, job.id).rows == 3
    assert execute(database, "SELECT DISTINCT tier FROM users") == [("a\\",)]


def test_only_one_kind_of_statement_changes_rows(database: Dsn) -> None:
    given = spec(table='"A b"."u""x"', set={'ti"er': "'a' || spent"}, where="tier IS NULL OR spent > 3")
    statements = Statements(Part(1, "A b", 'u"x', (KeyColumn("id", "bigint"),)), given)
    with closing(connected(database)) as connection:
        text = statements.update(statements.between(("1",), ("5",))).as_string(connection)
    assert text.split("\n", 1)[1].strip() == (
        'UPDATE ONLY "A b"."u""x" AS "u""x" SET "ti""er" = (\'a\' || spent)'
        ' WHERE ("u""x"."id") > (\'1\'::bigint) AND ("u""x"."id") <= (\'5\'::bigint) AND (tier IS NULL OR spent > 3)'
    )


def test_a_form_and_yaml_say_the_same() -> None:
    text = """
        database: app
        table: users
        set: {tier: "CASE WHEN spent > 500 THEN 'gold' ELSE 'standard' END"}
        where: tier IS NULL
    """
    form = spec(set="tier = case when spent > 500 then 'gold' else 'standard' end", where="tier  is null -- still")
    assert backfill.read_yaml(text).hash == form.hash == spec().hash


@pytest.mark.parametrize("text", ["[1", "just words", "{table: users}", "database: app\ntable: users\nwhat: 1"])
def test_a_text_that_is_no_specification_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        backfill.read_yaml(text)


FAULTS = [
    ({"table": "nobody"}, "no table"),
    ({"table": "seen"}, "a view"),
    ({"table": "pg_catalog.pg_class", "set": {"relname": "'x'"}, "where": "relname IS NULL"}, "system"),
    ({"set": {"teir": "'x'"}}, "no column 'teir'"),
    ({"set": {"tier": "no_such_column"}}, "42703"),
    ({"set": {"spent": "'x' || tier"}}, "42804"),
    ({"where": "spent"}, "boolean"),
    ({"set": {"tier": "no_such_function(1)"}}, "42883"),
    ({"set": {"tier": "count(*)::text"}}, "42803"),
    ({"set": {"doubled": "1"}}, "generated"),
    ({"key": ["spent"]}, "no key"),
    ({"set": {"id": "id + 1"}, "key": ["id"]}, "both set and the key"),
]


@pytest.mark.parametrize(("changes", "words"), FAULTS, ids=[words for _, words in FAULTS])
def test_what_does_not_fit_the_database_is_refused_in_words(
    each_database: Dsn, changes: dict[str, Any], words: str
) -> None:
    users(each_database, 1)
    execute(
        each_database,
        "ALTER TABLE users ADD COLUMN doubled int GENERATED ALWAYS AS (spent * 2) STORED;"
        "CREATE VIEW seen AS SELECT * FROM users",
    )
    with pytest.raises(Refused, match=words):
        backfill.check(each_database, spec(**changes))


def test_a_role_without_the_privilege_is_refused_before_anything_happens(database: Dsn) -> None:
    users(database, 1)
    role = f"r_{database.dbname}"
    execute(database, f"CREATE ROLE {role} LOGIN PASSWORD 'x'; CREATE SCHEMA pgops AUTHORIZATION {role}")
    stranger = Dsn(database.host, database.port, database.dbname, role, "x")
    try:
        with pytest.raises(Refused, match="permission denied"):
            backfill.check(stranger, spec())
        execute(database, f"GRANT SELECT, UPDATE ON users TO {role}; ALTER TABLE users ENABLE ROW LEVEL SECURITY")
        with pytest.raises(Refused, match="Row security"):
            backfill.check(stranger, spec())
    finally:
        execute(database, f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_tampered_job_is_read_as_strictly_as_a_form(database: Dsn) -> None:
    users(database, 3)
    job = begun(database)
    execute(
        database,
        """UPDATE pgops.backfill_jobs SET spec = jsonb_set(spec, '{where}', '"true); DROP TABLE users; --"')""",
    )
    with pytest.raises(Refused):
        backfill.work(database, job.id)
    assert one(database, "SELECT count(*) FROM users") == 3
