"""Each layer of the proof sees what only it can see, and nothing else."""

from __future__ import annotations

import pytest

from pgops.migration.proof.compare import (
    count_values,
    differences,
    drift,
    dump_objects,
    harmless,
    schema_hash,
    take,
    values_at_risk,
)
from pgops.migration.proof.snapshot import Snapshot
from pgops.migration.staging import fill_from_staging
from pgops.postgres import Dsn, connect
from tests.servers import fresh_database

SCHEMA = """
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TYPE address AS (street text, zip text);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text NOT NULL UNIQUE, feels mood DEFAULT 'ok',
    moods mood[], spent positive, lives address, created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO users (email, created_at) SELECT 'u' || i || '@example.com', '2024-01-01' FROM generate_series(1, 50) AS i;
CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint NOT NULL REFERENCES users, total numeric);
INSERT INTO orders SELECT i, 1 + i % 50, i FROM generate_series(1, 200) AS i;
CREATE INDEX orders_user_id_idx ON orders (user_id);
CREATE TABLE log (at timestamptz NOT NULL, line text) PARTITION BY RANGE (at);
CREATE TABLE log_2024 PARTITION OF log FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
INSERT INTO log VALUES ('2024-05-05', 'a line');
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$;
CREATE FUNCTION fail() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE TRIGGER touched BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch();
CREATE VIEW rich AS SELECT * FROM users WHERE id < 3;
CREATE SEQUENCE counter;
CREATE STATISTICS pairs ON email, created_at FROM users;
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON users USING (true);
COMMENT ON TABLE users IS 'people';
CREATE PUBLICATION changes FOR TABLE orders WHERE (id > 5);
"""


def execute(dsn: Dsn, *statements: str) -> None:
    with connect(dsn, "tests") as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.fixture
def app(each_database: Dsn) -> Dsn:
    execute(each_database, SCHEMA)
    return each_database


def found(before: Snapshot, after: Snapshot) -> dict[str, set[str]]:
    """The objects that differ, by layer, residue left out."""
    layers: dict[str, set[str]] = {}
    for one in differences(before, after):
        if not harmless(one):
            layers.setdefault(one.layer, set()).add(one.what)
    return layers


def test_an_untouched_database_has_no_differences_and_a_snapshot_survives_json(app):
    before = take(app)
    read_back = Snapshot.from_json(before.to_json())
    assert read_back == before
    assert len(before.catalog) > 60 and len(before.schema) > 15 and before.data["public.users"].startswith("50 rows")
    assert differences(read_back, take(app, like=read_back)) == []


CATALOG_ALONE = {
    "owner": ("ALTER TABLE orders OWNER TO pg_monitor", "owner of public.orders"),
    "a disabled foreign key": (
        "ALTER TABLE orders DISABLE TRIGGER ALL", "constraint public.orders.orders_user_id_fkey"),
    "a setting": ("DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = ''5MB''', current_database()); END$$",
                  "setting of this database: work_mem"),
}  # fmt: skip

BOTH = {
    "a column default": ("ALTER TABLE orders ALTER total SET DEFAULT 7", "column public.orders.total"),
    "statistics target": ("ALTER TABLE orders ALTER total SET STATISTICS 500", "column public.orders.total"),
    "reloptions": ("ALTER TABLE orders SET (fillfactor = 70)", "table public.orders"),
    "storage": ("ALTER TABLE users ALTER email SET STORAGE EXTERNAL", "column public.users.email"),
    "compression": ("ALTER TABLE users ALTER email SET COMPRESSION pglz", "column public.users.email"),
    "replica identity": ("ALTER TABLE orders REPLICA IDENTITY FULL", "table public.orders"),
    "a constraint not validated": (
        "ALTER TABLE orders ADD CONSTRAINT positive CHECK (total > 0) NOT VALID", "constraint public.orders.positive"),
    "an enum label": ("ALTER TYPE mood ADD VALUE 'glad'", "enum public.mood"),
    "a function body": (
        "CREATE OR REPLACE FUNCTION fail() RETURNS int LANGUAGE sql AS 'SELECT 2'", "function public.fail()"),
    "an aggregate": ("CREATE OR REPLACE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '1')",
                     "function public.total(integer)"),
    "an index": ("CREATE INDEX left_behind ON orders (total)", "index public.left_behind"),
    "a disabled trigger": ("ALTER TABLE users DISABLE TRIGGER touched", "trigger public.users.touched"),
    "a policy": ("ALTER POLICY everybody ON users USING (id > 0)", "policy public.users.everybody"),
    "a comment": ("COMMENT ON COLUMN orders.total IS 'in euros'", "comment on table column public.orders.total"),
    "a grant": ("GRANT SELECT ON orders TO pg_monitor", "privileges on public.orders"),
    "a sequence": ("ALTER SEQUENCE counter INCREMENT 5", "sequence public.counter"),
    "extended statistics": ("DROP STATISTICS pairs", "statistics public.pairs"),
    "a view": ("CREATE OR REPLACE VIEW rich AS SELECT * FROM users WHERE id < 4", "view public.rich"),
    "a publication": ("ALTER PUBLICATION changes SET TABLE orders", "publication changes"),
    "a domain": ("ALTER DOMAIN positive SET DEFAULT 3", "domain public.positive"),
    "a schema": ("CREATE SCHEMA stray", "schema stray"),
    "an extension": ("CREATE EXTENSION pg_trgm", "extension pg_trgm"),
    "a partition": ("CREATE TABLE log_2025 PARTITION OF log FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
                    "partition public.log_2025"),
    "an operator": ("CREATE OPERATOR @#@ (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl)",
                    "operator public.@#@(integer,integer)"),
    "an event trigger": ("CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
                         "CREATE EVENT TRIGGER everything ON ddl_command_end EXECUTE FUNCTION e()",
                         "event trigger everything"),
}  # fmt: skip


@pytest.mark.parametrize("statement, what", BOTH.values(), ids=BOTH)
def test_schema_dump_and_catalog_both_see(database, statement, what):
    execute(database, SCHEMA)
    before = take(database, tables=())
    execute(database, *statement.split(";"))
    layers = found(before, take(database, tables=()))
    assert what in layers["catalog"]
    assert layers["schema"]


@pytest.mark.parametrize("statement, what", CATALOG_ALONE.values(), ids=CATALOG_ALONE)
def test_the_catalog_sees_what_a_dump_of_the_schema_may_not(database, statement, what):
    execute(database, SCHEMA)
    before = take(database, tables=())
    execute(database, statement)
    assert what in found(before, take(database, tables=()))["catalog"]


def test_only_the_catalog_sees_the_invalid_index_of_a_failed_concurrent_build(app):
    before = take(app)
    with pytest.raises(Exception, match="could not create unique index"):
        execute(app, "CREATE UNIQUE INDEX CONCURRENTLY once ON orders (user_id)")
    after = take(app, like=before)
    assert found(before, after) == {"catalog": {"index public.once"}}
    assert "INVALID" in after.catalog["index public.once"]
    assert schema_hash(before) != schema_hash(after)


def test_only_the_rows_tell_of_changed_data_and_columns_that_came_later_do_not_count(app):
    before = take(app)
    execute(app, "ALTER TABLE users ADD phone text", "UPDATE users SET phone = id::text")
    assert "data" not in found(before, take(app, like=before)), "what was there before is as it was"
    execute(app, "ALTER TABLE users DROP phone", "UPDATE users SET email = 'X' || email WHERE id = 7")
    after = take(app, like=before)
    assert found(before, after) == {"data": {"public.users"}}


def test_rows_that_swapped_values_are_seen(app):
    before = take(app)
    execute(app, "UPDATE orders SET total = CASE id WHEN 1 THEN 2 ELSE 1 END WHERE id IN (1, 2)")
    assert found(before, take(app, like=before)) == {"data": {"public.orders"}}


def test_only_chosen_tables_are_read(app):
    assert set(take(app, tables=["public.orders"]).data) == {"public.orders"}
    assert take(app, tables=()).data == {}


def test_residue_that_nothing_takes_back_is_listed_and_called_harmless(app):
    before = take(app)
    execute(app, "ALTER TABLE users ADD phone text", "ALTER TABLE users DROP phone", "SELECT nextval('counter')")
    after = take(app, like=before)
    residue = {one.what: (one.before, one.after) for one in differences(before, after)}
    assert residue == {
        "dropped columns public.users": ("", "1"),
        "sequence position public.counter": ("not used yet", "1"),
    }
    assert all(harmless(one) for one in differences(before, after))
    assert schema_hash(before) == schema_hash(after)


def test_a_column_that_came_back_elsewhere_is_a_difference(app):
    before = take(app)
    execute(app, "ALTER TABLE orders DROP user_id CASCADE", "ALTER TABLE orders ADD user_id bigint")
    layers = found(before, take(app, like=before))
    assert "column order public.orders" in layers["catalog"]
    assert layers["data"] == {"public.orders"}


def test_a_grant_that_was_taken_back_is_no_difference(app):
    before = take(app, tables=())
    execute(app, "GRANT SELECT ON orders TO pg_monitor", "REVOKE SELECT ON orders FROM pg_monitor")
    assert found(before, take(app, tables=())).get("catalog") is None


def test_the_projects_own_schema_is_no_part_of_the_proof(app):
    before = take(app)
    execute(app, "CREATE SCHEMA pgops", "CREATE TABLE pgops.versions (id int PRIMARY KEY)")
    execute(app, "COMMENT ON SCHEMA pgops IS 'x'", "CREATE TYPE pgops.state AS ENUM ('a')")
    execute(app, "INSERT INTO pgops.versions VALUES (1)")
    assert found(before, take(app)) == {}


def test_names_that_look_like_others_stay_apart(app):
    execute(
        app, 'CREATE SCHEMA "a.b"', 'CREATE TABLE "a.b".c (i int)', "CREATE SCHEMA a", 'CREATE TABLE a."b.c" (i int)'
    )
    before = take(app)
    execute(app, 'INSERT INTO a."b.c" VALUES (1)')
    assert found(before, take(app, like=before)) == {"data": {'a."b.c"'}}


# --- values that a rollback destroys ---


def test_values_of_new_columns_tables_partitions_and_labels_are_counted(app):
    before = take(app)
    execute(
        app,
        "ALTER TABLE users ADD phone text, ADD fax text, ADD flag boolean NOT NULL DEFAULT false,"
        " ADD tags text[] DEFAULT '{a}', ADD shape json, ADD twice bigint GENERATED ALWAYS AS (1) STORED",
        "ALTER TYPE mood ADD VALUE 'it''s fine, really'",
        "CREATE TABLE notes (id int PRIMARY KEY, note text)",
        "CREATE TABLE empty (id int PRIMARY KEY)",
        "CREATE TABLE log_2025 PARTITION OF log FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
        "INSERT INTO log VALUES ('2025-02-02', 'x')",
        "INSERT INTO notes VALUES (1, 'x'), (2, 'y')",
        "UPDATE users SET phone = id % 3 WHERE id <= 10",
        "UPDATE users SET flag = true WHERE id = 1",
        "UPDATE users SET shape = '{}' WHERE id = 1",
        "UPDATE users SET feels = 'it''s fine, really' WHERE id IN (3, 4)",
        "UPDATE users SET moods = ARRAY['ok', 'it''s fine, really']::mood[] WHERE id = 5",
    )
    risks = {one.what: (one.after, one.destructive) for one in values_at_risk(app, before)}
    assert risks == {
        "column public.users.flag": ("50 values, 2 of them different; 1 rows have another than its default", True),
        "column public.users.phone": ("10 values, 3 of them different", True),
        "column public.users.shape": ("1 values, 1 of them different", True),
        "column public.users.tags": ("50 values, 1 of them different; 0 rows have another than its default", False),
        "table public.notes": ("2 rows", True),
        "partition public.log_2025": ("1 rows", True),
        "enum public.mood label 'it''s fine, really' in public.users.feels": ("2 rows", True),
        "enum public.mood label 'it''s fine, really' in public.users.moods": ("1 rows", True),
    }


def test_a_new_partitioned_table_is_counted_once(app):
    before = take(app)
    execute(
        app,
        "CREATE TABLE visits (at date) PARTITION BY RANGE (at)",
        "CREATE TABLE visits_2025 PARTITION OF visits FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
        "INSERT INTO visits VALUES ('2025-02-02')",
    )
    assert [(one.what, one.after) for one in values_at_risk(app, before)] == [("table public.visits", "1 rows")]


def test_a_default_that_somebody_emptied_counts(app):
    before = take(app)
    execute(app, "ALTER TABLE users ADD plan text DEFAULT 'free'", "UPDATE users SET plan = NULL WHERE id = 1")
    (risk,) = values_at_risk(app, before)
    assert risk.destructive and risk.after.endswith("1 rows have another than its default")


def test_a_default_that_came_later_leaves_empty_rows_as_they_are(app):
    before = take(app)
    execute(app, "ALTER TABLE users ADD price numeric(8,2)", "ALTER TABLE users ALTER price SET DEFAULT 0")
    assert values_at_risk(app, before) == []
    execute(app, "INSERT INTO users (email) VALUES ('new@example.com')")
    assert [one.destructive for one in values_at_risk(app, before)] == [False]
    execute(app, "UPDATE users SET price = 7 WHERE id = 1")
    assert [one.destructive for one in values_at_risk(app, before)] == [True]


def test_values_are_counted_in_the_transaction_that_would_destroy_them(database):
    execute(database, SCHEMA)
    before = take(database, tables=())
    execute(database, "ALTER TABLE users ADD phone text")
    with connect(database, "tests", system_names=True) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("LOCK public.users")
        cursor.execute("UPDATE public.users SET phone = '1' WHERE id = 1")
        (risk,) = count_values(connection, before)
        cursor.execute("ROLLBACK")
    assert risk.what == "column public.users.phone"
    assert values_at_risk(database, before) == []


# --- production against what was validated ---


def test_the_hash_ignores_what_is_a_servers_own_and_sees_what_a_migration_changes(app):
    before = take(app, tables=(), dump=False)
    execute(
        app,
        "ALTER TABLE orders OWNER TO pg_monitor",
        "GRANT SELECT ON users TO pg_monitor",
        "CREATE TABLE log_2025 PARTITION OF log FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
        "COMMENT ON TABLE orders IS 'bought'",
        "DROP POLICY everybody ON users",
    )
    same = take(app, tables=(), dump=False)
    assert schema_hash(same) == schema_hash(before)
    assert drift(before, same) == []
    execute(app, "ALTER TABLE orders ADD note text")
    changed = take(app, tables=(), dump=False)
    assert schema_hash(changed) != schema_hash(before)
    assert [one.what for one in drift(before, changed)] == ["column public.orders.note"]


# --- the dump, taken apart ---


def test_the_random_key_of_a_dump_and_the_order_of_its_objects_do_not_matter():
    one = "--\n-- Name: {0}; Type: TABLE; Schema: public; Owner: me\n--\n\n"
    one += "CREATE TABLE public.{0} (\n    i integer\n);\n\n\n"
    first = "\\restrict aB3\n\n" + one.format("a") + "SET default_table_access_method = heap;\n\n" + one.format("b")
    second = (
        "\\restrict zZ9\n\n"
        + one.format("b")
        + one.format("a")
        + "--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict zZ9\n"
    )
    assert dump_objects(first) == dump_objects(second)
    assert set(dump_objects(first)) == {"TABLE public.a", "TABLE public.b"}


def test_a_role_without_rights_on_a_table_is_told_so(database):
    execute(database, SCHEMA, "DROP ROLE IF EXISTS stranger", "CREATE ROLE stranger LOGIN PASSWORD 'of the tests'")
    try:
        stranger = Dsn(database.host, database.port, database.dbname, "stranger", "of the tests")
        with pytest.raises(Exception, match="permission denied for table orders"):
            take(stranger, tables=["public.orders"])
    finally:
        execute(database, "DROP ROLE stranger")


def test_an_empty_database_has_a_snapshot_and_is_equal_to_itself(each_database):
    before = take(each_database)
    assert before.schema == {} and before.data == {"large objects": "0"}
    assert differences(before, take(each_database)) == []


def test_a_copy_that_was_restored_is_no_drift_though_the_server_prints_some_expressions_otherwise(each_postgres):
    """The server prints IN (...) on a varchar in one way, and what it reads of that in another."""
    with fresh_database(each_postgres) as production, fresh_database(each_postgres) as copy:
        execute(
            production,
            """CREATE TABLE t (id int PRIMARY KEY, s varchar(9) CHECK (s IN ('a', 'it''s, [b]', 'c"')), o varchar,
                   g text GENERATED ALWAYS AS (CASE WHEN s IN ('a', 'b') THEN 'x' END) STORED,
                   CHECK (s IN (o, 'z')))""",
            "CREATE INDEX i ON t (id) WHERE s IN ('a', 'b')",
            "CREATE VIEW v AS SELECT id FROM t WHERE s IN ('a', 'b') AND o NOT IN ('d', 'e')",
            "CREATE DOMAIN d AS varchar CHECK (value IN ('x', 'y'))",
            "CREATE FUNCTION f(varchar) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1 WHERE $1 IN ('a', 'b'); END",
        )
        fill_from_staging(production)(copy)
        restored, there = take(copy, (), dump=False), take(production, (), dump=False)
        assert restored.catalog != there.catalog, "else this test proves nothing"
        assert drift(restored, there) == []
        assert schema_hash(restored) == schema_hash(there)
        execute(production, "DROP VIEW v", "CREATE VIEW v AS SELECT id FROM t WHERE s IN ('a', 'B')")
        assert [one.what for one in drift(restored, take(production, (), dump=False))] == ["view public.v"]
