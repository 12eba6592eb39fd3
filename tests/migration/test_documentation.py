"""The document holds the whole schema, in an order that only the schema decides."""

from __future__ import annotations

from pgops.migration.documentation import schema_document
from pgops.postgres import Dsn, connect
from sandbox.postgres import PostgresServer
from tests.servers import fresh_database

TABLES = [
    "CREATE TYPE mood AS ENUM ('sad', 'o|k')",
    "CREATE DOMAIN positive AS int DEFAULT 1 CHECK (VALUE > 0)",
    "CREATE TYPE address AS (street text, zip varchar(5))",
    """CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email varchar(80) NOT NULL UNIQUE,
       feels mood DEFAULT 'sad', spent positive, CONSTRAINT filled CHECK (email <> ''))""",
    "CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint REFERENCES users ON DELETE CASCADE,"
    " twice bigint GENERATED ALWAYS AS (id * 2) STORED)",
    "CREATE INDEX orders_user_id_idx ON orders (user_id)",
    "CREATE TABLE log (at date NOT NULL, line text) PARTITION BY RANGE (at)",
    "CREATE TABLE log_2024 PARTITION OF log FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')",
    "CREATE TABLE log_2025 PARTITION OF log FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
    "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$BEGIN RETURN NEW; END$$",
    "CREATE TRIGGER touched BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch()",
    "CREATE VIEW rich AS SELECT id, email FROM users WHERE id < 3",
    "COMMENT ON TABLE users IS 'people; retention: for ever'",
    "COMMENT ON COLUMN users.email IS E'lower case | verified\n<script>'",
    "COMMENT ON FUNCTION touch() IS 'sets nothing'",
    "CREATE EXTENSION pg_trgm",
    'CREATE SCHEMA "My App"',
    'CREATE TABLE "My App"."odd `name`" (i int)',
    "CREATE SCHEMA pgops",
    "CREATE TABLE pgops.versions (i int)",
]


def execute(dsn: Dsn, statements: list[str]) -> None:
    with connect(dsn, "tests") as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def test_everything_of_a_schema_is_in_its_document(each_database):
    execute(each_database, TABLES)
    document = schema_document(each_database, "app")
    for line in (
        "# Schema of app",
        "## Schema `public`",
        "### `public.users`",
        "Table. people; retention: for ever",
        "| `id` | `bigint` | no | `identity, always` |  |",
        "| `email` | `character varying(80)` | no |  | lower case \\| verified \\<script> |",
        "| `feels` | `public.mood` | yes | `'sad'::public.mood` |  |",
        "| `twice` | `bigint` | yes | `generated: (id * 2)` |  |",
        "- Primary key `users_pkey`: `PRIMARY KEY (id)`",
        "- Check `filled`: `CHECK (email::text <> ''::text)`",
        "- Foreign key `orders_user_id_fkey`: `FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE`",
        "- `public.orders`: `orders_user_id_fkey`,"
        " `FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE`",
        "- `CREATE INDEX orders_user_id_idx ON public.orders USING btree (user_id)`",
        "- `CREATE TRIGGER touched BEFORE UPDATE ON public.users FOR EACH ROW EXECUTE FUNCTION public.touch()`",
        "Partitioned by `RANGE (at)`.",
        "- `public.log_2024`: `FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')`",
        "| `public.mood` | enum | `'sad', 'o\\|k'` |  |",
        "| `public.positive` | domain | `integer DEFAULT 1 CHECK (VALUE > 0)` |  |",
        "| `public.address` | composite | `street text, zip character varying(5)` |  |",
        "| `public.touch()` | function | `trigger` | plpgsql, security definer | sets nothing |",
        '### `` "My App"."odd `name`" ``',
    ):
        assert line in document.splitlines(), line
    assert "FROM public.users" in document, "the view's query"
    assert "### `public.log_2024`" not in document, "partitions stand with their table"
    assert "versions" not in document, "the project's own records are no part of it"
    assert "- `pg_trgm`: text similarity" in document


def test_the_same_schema_made_in_another_order_has_the_same_document(database: Dsn, postgres: PostgresServer):
    execute(database, TABLES)
    with fresh_database(postgres) as other:
        types, users, orders, log, rest = TABLES[:3], TABLES[3], TABLES[4:6], TABLES[6:9], TABLES[9:]
        execute(other, [log[0], log[2], log[1], *reversed(types), users, *rest, *orders])
        execute(
            other,
            ["INSERT INTO users (email) VALUES ('x')", "ALTER TABLE orders ADD x int", "ALTER TABLE orders DROP x"],
        )
        assert schema_document(other, "app") == schema_document(database, "app")


def test_an_invalid_index_is_marked(database):
    execute(database, ["CREATE TABLE t (i int)", "INSERT INTO t VALUES (1), (1)"])
    try:
        execute(database, ["CREATE UNIQUE INDEX CONCURRENTLY once ON t (i)"])
    except Exception as error:
        assert "could not create unique index" in str(error)
    assert "**INVALID**" in schema_document(database)
