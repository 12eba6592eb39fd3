"""Writes after a migration touch what is new, all of it that can be written, and nothing else."""

from __future__ import annotations

import pytest

from pgops.migration.rehearsal.synthetic import shape, write_rows
from pgops.postgres import Dsn, connect

BEFORE = """
CREATE TABLE users (id int PRIMARY KEY, name text, changed int DEFAULT 0, parent int);
INSERT INTO users SELECT n, 'name ' || n FROM generate_series(1, 10) n;
CREATE TABLE log (x text);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN new.changed = new.changed + 1; INSERT INTO log VALUES ('touched'); RETURN new; END $$;
CREATE TRIGGER touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch();
"""


def execute(dsn: Dsn, statement: str) -> list[tuple]:
    with connect(dsn, "test") as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def written(dsn: Dsn, migration: str, before: str = BEFORE) -> list[str]:
    execute(dsn, before)
    old = shape(dsn)
    execute(dsn, migration)
    return write_rows(dsn, old)


def test_new_columns_of_some_rows_get_values_and_the_old_ones_stay(each_database):
    notes = written(each_database, "ALTER TABLE users ADD phone varchar(20), ADD level int NOT NULL DEFAULT 0")
    assert notes == []
    assert execute(each_database, "SELECT phone, level FROM users WHERE phone IS NOT NULL ORDER BY id") == [
        ("pgops 1", 1),
        ("pgops 2", 2),
        ("pgops 3", 3),
    ]
    assert execute(each_database, "SELECT id, name, changed FROM users ORDER BY id") == [
        (n, f"name {n}", 0) for n in range(1, 11)
    ]
    assert execute(each_database, "SELECT * FROM log") == []


COLUMNS = [
    "smallint",
    "integer",
    "bigint",
    "numeric(4,2)",
    "real",
    "money",
    "boolean",
    "text",
    "varchar(3)",
    "char(1)",
    "date",
    "time",
    "timetz",
    "timestamp",
    "timestamptz",
    "interval",
    "uuid",
    "json",
    "jsonb",
    "bytea",
    "inet",
    "cidr",
    "macaddr",
    "bit(3)",
    "varbit",
    "tsvector",
    "point",
    "int4range",
    "text[]",
    "mood",
    "mood[]",
    "short",
    "picky_mood",
    '"Odd ""Type"""',
]


def test_every_usual_type_has_a_value(each_database):
    columns = ", ".join(f'"column {n}" {kind}' for n, kind in enumerate(COLUMNS))
    added = ", ".join(f'ADD "column {n}" {kind}' for n, kind in enumerate(COLUMNS))
    notes = written(
        each_database,
        "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN short AS varchar(2) CHECK (value <> 'no');"
        'CREATE DOMAIN picky_mood AS mood; CREATE TYPE "Odd ""Type""" AS ENUM (\'x\');'
        f'CREATE TABLE "Made ""it""" ({columns}); ALTER TABLE old {added}',
        "CREATE TABLE old (); INSERT INTO old SELECT FROM generate_series(1, 2)",
    )
    assert notes == []
    (row,) = execute(each_database, 'SELECT * FROM "Made ""it"""')
    assert None not in row
    rows = execute(each_database, "SELECT * FROM old")
    assert len(rows) == 2
    assert None not in (*rows[0], *rows[1])


def test_new_tables_get_a_row_whose_keys_refer_to_existing_ones(each_database):
    notes = written(
        each_database,
        "CREATE TABLE child (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a text NOT NULL, b int,"
        "  sum int GENERATED ALWAYS AS (b + 1) STORED, made timestamptz DEFAULT now());"
        "CREATE TABLE parent (a text, b int, user_id int NOT NULL REFERENCES users, PRIMARY KEY (a, b),"
        "  self_a text, self_b int, FOREIGN KEY (self_a, self_b) REFERENCES parent);"
        "ALTER TABLE child ADD FOREIGN KEY (a, b) REFERENCES parent",
    )
    assert notes == []
    joined = "SELECT count(*) FROM child JOIN parent USING (a, b) JOIN users u ON u.id = user_id"
    assert execute(each_database, joined) == [(1,)]
    assert execute(each_database, "SELECT self_a FROM parent") == [(None,)]


def test_a_new_column_that_refers_to_a_table_gets_a_key_of_it(database):
    notes = written(database, "CREATE TABLE team (id int PRIMARY KEY); ALTER TABLE users ADD boss int REFERENCES users")
    assert notes == []
    assert execute(database, "SELECT count(boss) FROM users") == [(3,)]


def test_what_was_renamed_or_replaced_is_not_new(each_database):
    execute(each_database, "CREATE TABLE copied (id int, v text); INSERT INTO copied VALUES (1, 'kept')")
    notes = written(
        each_database,
        "ALTER TABLE users RENAME name TO full_name; ALTER TABLE users RENAME TO people;"
        "ALTER TABLE people ADD extra int;"
        "CREATE TABLE copy_of (id int, v text, w text); INSERT INTO copy_of SELECT * FROM copied; DROP TABLE copied;"
        "ALTER TABLE copy_of RENAME TO copied",
    )
    assert notes == []
    old_values = "SELECT count(*) FROM people WHERE full_name = 'name ' || id AND changed = 0"
    assert execute(each_database, old_values) == [(10,)]
    assert execute(each_database, "SELECT count(extra) FROM people") == [(3,)]
    assert execute(each_database, "SELECT * FROM copied") == [(1, "kept", "pgops 1")]


def test_rows_reach_partitions_through_their_table(each_database):
    notes = written(
        each_database,
        "CREATE TABLE events (id int, at timestamptz NOT NULL) PARTITION BY RANGE (at);"
        "CREATE TABLE events_now PARTITION OF events DEFAULT;"
        "ALTER TABLE old_events ADD note text",
        "CREATE TABLE old_events (id int) PARTITION BY HASH (id);"
        "CREATE TABLE old_0 PARTITION OF old_events FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
        "CREATE TABLE old_1 PARTITION OF old_events FOR VALUES WITH (MODULUS 2, REMAINDER 1);"
        "INSERT INTO old_events SELECT generate_series(1, 20)",
    )
    assert notes == []
    assert execute(each_database, "SELECT count(*) FROM events_now") == [(1,)]
    assert execute(each_database, "SELECT count(note), count(*) FROM old_events") == [(3, 20)]


UNWRITABLE = {
    "CREATE TYPE pair AS (a int, b int); CREATE TABLE made (p pair NOT NULL)": (
        "public.made: no example is known of type pair"
    ),
    "CREATE TABLE made (v int NOT NULL CHECK (v > 100))": 'public.made: new row for relation "made" violates check',
    "CREATE TABLE empty (id int PRIMARY KEY CHECK (id < 0)); CREATE TABLE made (v int NOT NULL REFERENCES empty)": (
        "public.made: the table that it refers to has no row"
    ),
    "ALTER TABLE users ADD v text CHECK (v = 'only this')": (
        'public.users (v): new row for relation "users" violates check'
    ),
    "ALTER TABLE users ADD v int, ADD FOREIGN KEY (parent, v) REFERENCES pairs": (
        "public.users (v): a part of its foreign key was there before"
    ),
}


@pytest.mark.parametrize(("migration", "note"), UNWRITABLE.items())
def test_what_cannot_be_written_is_told_and_does_not_stop_the_rest(database, migration, note):
    notes = written(
        database,
        "ALTER TABLE users ADD written int; CREATE TABLE written (v int);" + migration,
        BEFORE + "CREATE TABLE pairs (a int, b int, PRIMARY KEY (a, b));",
    )
    assert [one for one in notes if one.startswith(note)], notes
    assert execute(database, "SELECT count(written), (SELECT count(*) FROM written) FROM users") == [(3, 1)]


def test_without_the_right_to_switch_triggers_off_tables_with_triggers_are_left_alone(database):
    execute(
        database, "CREATE ROLE clerk_of_the_tests LOGIN PASSWORD 'x'; CREATE SCHEMA s AUTHORIZATION clerk_of_the_tests"
    )
    try:
        clerk = Dsn(
            database.host, database.port, database.dbname, "clerk_of_the_tests", "x", {"options": "-c search_path=s"}
        )
        notes = written(clerk, "ALTER TABLE users ADD phone text; CREATE TABLE made (v text)")
        assert [note.partition(":")[0] for note in notes] == ["s.users"]
        assert execute(clerk, "SELECT count(phone), (SELECT v FROM made), (SELECT count(*) FROM log) FROM users") == [
            (0, "pgops 1", 0)
        ]
    finally:
        execute(database, "DROP OWNED BY clerk_of_the_tests CASCADE; DROP ROLE clerk_of_the_tests")
