"""A script is taken apart as the server will see it, or refused with the place and the reason."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest

from pgops.migration.model import Source
from pgops.migration.scripts.statements import Unreadable, acknowledges_destruction, parse
from pgops.postgres import Dsn


def kinds(text: str) -> list[tuple[bool, list[str]]]:
    return [
        (segment.transactional, [one.kind for one in segment.statements])
        for segment in parse(Source("V1__x.sql", text)).segments
    ]


def refusal(text: str) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        parse(Source("V1__x.sql", text))
    return caught.value


def test_statements_that_can_be_in_a_transaction_share_one_and_others_stand_alone() -> None:
    assert kinds(
        """
        CREATE TABLE a (id int);
        ALTER TABLE a ADD COLUMN b int;
        CREATE INDEX CONCURRENTLY a_b_idx ON a (b);
        VACUUM a;
        COMMENT ON TABLE a IS 'x; y';
        """
    ) == [
        (True, ["CREATE TABLE", "ALTER TABLE"]),
        (False, ["CREATE INDEX CONCURRENTLY"]),
        (False, ["VACUUM"]),
        (True, ["COMMENT"]),
    ]


def test_a_statement_knows_its_line_and_keeps_the_comments_before_it() -> None:
    script = parse(Source("x", "-- é: one\nSELECT 1;;\n\n/* two\n */ SELECT\n 2 -- here\n;\nSELECT 3"))
    assert [one.line for one in script.statements] == [2, 5, 8]
    assert [one.text for one in script.statements] == [
        "-- é: one\nSELECT 1",
        "/* two\n */ SELECT\n 2 -- here",
        "SELECT 3",
    ]


def test_a_comment_makes_a_statement_commit_by_itself() -> None:
    text = "ALTER TYPE mood ADD VALUE 'meh';\n-- pgops: autocommit\nSELECT 1;\nSELECT 2;"
    assert kinds(text) == [(True, ["ALTER TYPE"]), (False, ["SELECT"]), (True, ["SELECT"])]


ALONE = [
    "CREATE INDEX CONCURRENTLY i ON a (b)",
    "DROP INDEX CONCURRENTLY a_b_idx",
    "REINDEX TABLE CONCURRENTLY a",
    "REINDEX (CONCURRENTLY) INDEX a_b_idx",
    "REINDEX SCHEMA public",
    "REINDEX DATABASE x",
    "REINDEX SYSTEM x",
    "VACUUM a",
    "VACUUM (FULL, ANALYZE) a",
    "CLUSTER",
    "ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY",
    "CREATE DATABASE x",
    "DROP DATABASE x",
    "ALTER DATABASE x SET TABLESPACE pg_default",
    "CREATE TABLESPACE x LOCATION '/nowhere'",
    "DROP TABLESPACE x",
    "ALTER SYSTEM SET work_mem = '4MB'",
    "CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p",
    "DO $$ BEGIN COMMIT; END $$",
    "DO $$ BEGIN IF true THEN ROLLBACK; END IF; END $$",
    "CALL commits()",
    "DO $$ BEGIN CALL commits(); END $$",
]
TOGETHER = [
    "CREATE INDEX i ON a (b)",
    "DROP INDEX a_b_idx",
    "REINDEX TABLE a",
    "REINDEX (CONCURRENTLY false) TABLE a",
    "ANALYZE a",
    "CLUSTER a USING a_b_idx",
    "ALTER TABLE p DETACH PARTITION p1",
    "ALTER DATABASE postgres SET work_mem = '4MB'",
    "CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false)",
    "ALTER TYPE mood ADD VALUE 'meh'",
    "DO $$ BEGIN PERFORM 1; END $$",
    "DO $$ BEGIN EXECUTE 'SELECT 1'; END $$",
    "CREATE PROCEDURE more() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$",
]


SETUP = """
    CREATE TABLE a (b int);
    CREATE INDEX a_b_idx ON a (b);
    CREATE TABLE p (c int) PARTITION BY LIST (c);
    CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
    CREATE TYPE mood AS ENUM ('sad');
    CREATE PROCEDURE commits() LANGUAGE plpgsql AS 'BEGIN COMMIT; END';
"""
NOT_IN_A_TRANSACTION = ("25001", "2D000")


def test_the_server_agrees_about_what_cannot_be_in_a_transaction(each_database: Dsn) -> None:
    with closing(psycopg2.connect(**each_database.parameters(), password=each_database.password)) as connection:
        cursor = connection.cursor()
        cursor.execute(SETUP)
        connection.commit()
        refused = {}
        for statement in ALONE + TOGETHER:
            cursor.execute("SELECT 1")  # a transaction is open
            try:
                cursor.execute(statement)
            except psycopg2.Error as error:
                refused[statement] = error.pgcode
            connection.rollback()
    assert list(refused) == ALONE
    assert set(refused.values()) <= set(NOT_IN_A_TRANSACTION)
    assert [kinds(statement)[0][0] for statement in ALONE + TOGETHER] == [False] * len(ALONE) + [True] * len(TOGETHER)


def test_a_procedure_of_the_same_file_that_does_not_commit_may_be_called_in_a_transaction() -> None:
    procedure = "CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN {} END $$;\nCALL p();"
    assert kinds(procedure.format("PERFORM 1;"))[-1] == (True, ["CREATE PROCEDURE", "CALL"])
    assert kinds(procedure.format("COMMIT;"))[-1] == (False, ["CALL"])


@pytest.mark.parametrize(
    ("text", "rule", "line", "says"),
    [
        ("SELECT 1;\nCREATE TABEL x ();", "syntax", 2, 'syntax error at or near "TABEL"'),
        ("SELECT 'é';\nSELECT 'open", "syntax", 2, "unterminated quoted string"),
        ("SELECT 1;\n\\set x 1\n", "psql-command", 2, "\\set"),
        ("SELECT :'name';", "psql-command", 1, "psql"),
        ("COPY a FROM stdin;\n1\t2\n\\.\n", "copy-from-stdin", 2, "COPY"),
        ("COPY a FROM stdin;\n\\.\n", "copy-from-stdin", 2, "COPY"),
        ("COPY a FROM STDIN;", "copy-from-stdin", 1, "COPY"),
        ("", "empty", 0, "no statement"),
        ("-- nothing\n;;", "empty", 0, "no statement"),
        ("SELECT 1;\nBEGIN;\nSELECT 2;\nCOMMIT;", "own-transaction", 2, "transactions"),
        ("SAVEPOINT a;", "own-transaction", 1, "transactions"),
        ("SELECT 1;\0DROP TABLE users;", "syntax", 1, "NUL"),
        ("SELECT 1;\nDO $$\nBEGIN\n  PERFROM 1;\nEND $$;", "syntax", 4, "PERFROM"),
        (
            "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$\nBEGIN\n  RETRUN 1;\nEND $$;",
            "syntax",
            3,
            "RETRUN",
        ),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$\n  SELECT 1;\n  SELEC 2 $$;", "syntax", 3, "SELEC"),
    ],
)
def test_a_script_that_cannot_be_run_is_refused_with_its_line(text: str, rule: str, line: int, says: str) -> None:
    error = refusal(text)
    assert (error.rule, error.line) == (rule, line)
    assert says in error.what
    assert error.where == (f"V1__x.sql:{line}" if line else "V1__x.sql")
    assert error.remedy


def test_types_and_variables_that_only_the_database_knows_are_left_to_it() -> None:
    text = """
    CREATE FUNCTION f(a users, b users.id%TYPE) RETURNS TABLE (n bigint, m my.type[]) LANGUAGE plpgsql AS $$
    DECLARE
        one users%ROWTYPE;
        many CURSOR FOR SELECT * FROM users;
    BEGIN
        FOR one IN many LOOP
            n := one.id; m := '{}'; RETURN NEXT;
        END LOOP;
        RETURN QUERY SELECT 1::bigint, NULL::my.type[];
        EXCEPTION WHEN unique_violation OR SQLSTATE '22012' THEN RAISE;
    END $$;
    CREATE FUNCTION t() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '%', tg_tag; END $$;
    CREATE FUNCTION v(VARIADIC xs int[], OUT total int) LANGUAGE plpgsql AS $$ BEGIN total := xs[1]; END $$;
    """
    assert kinds(text) == [(True, ["CREATE FUNCTION"] * 3)]


def test_a_rollback_acknowledges_destruction_by_a_comment_of_its_own_line() -> None:
    assert acknowledges_destruction(Source("x", "SELECT 1;\n  -- rollback: destructive acknowledged (JIRA-1)\n"))
    assert not acknowledges_destruction(Source("x", "SELECT '-- rollback: destructive acknowledged';"))
