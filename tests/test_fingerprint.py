"""A fingerprint is the same for the same contents, wherever they lie, and another for other contents."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from pgops import fingerprint
from pgops.fingerprint import dumped_tables, fingerprint_tables, large_objects
from pgops.postgres import Dsn, client_program, connect
from tests.nights import SAMPLE, Night, execute
from tests.servers import MAJORS, fresh_database

VALUES = (
    "CREATE TYPE pair AS (a int, b text)",
    "CREATE TYPE mood AS ENUM ('bad', 'good')",
    "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
    'CREATE TABLE "values" (c pair, a int[], aa text[][], r int4range, mr nummultirange, j jsonb, js json, b bytea,'
    " f4 float4, f8 float8, n numeric, i interval, tz timestamptz, ts timestamp, d date, t time, ttz timetz, m money,"
    " u uuid, ts_v tsvector, inet inet, bits varbit, p point, e mood, dom positive, cs char(5), bool bool)",
    """INSERT INTO "values" VALUES (ROW(1, E'a,"b"\n'), '{1,NULL,3}', '{{a,"b,c"},{"",NULL}}', '[1,5)', '{[1,2),(3,9]}',
       '{"a": [1.10, null], "é": "\\u00fc"}', '{"b":  1, "a":2}', '\\x00ff5c27', 0.1, 0.1::float8 + 0.2, 1.100,
       '1 year 2 mons -3 days 04:05:06.789', '2026-03-29 02:30:00+01', '2026-03-29 02:30', '2026-12-31', '24:00',
       '12:00+05:30', 1234.56, '0bfa2b2e-5b3a-4b8e-9d8e-0b1c2d3e4f50', 'a:1 b:2', '10.0.0.0/8', '10110',
       '(0.1,-0.2)', 'good', 5, 'ab', true)""",
    """INSERT INTO "values" (f4, f8, n, tz, d, i) VALUES ('NaN', '-Infinity', 'NaN', 'infinity', '-infinity', '0'),
       (1e-38, 1e308, 1e-100, '0044-03-15 00:00:00+00 BC', '4713-01-01 BC', '-1 day +23:59:59')""",
    'INSERT INTO "values" (a) VALUES (NULL)',
)
# What a session may have set, and pg_dump's or the server's defaults need not.
OTHER_SETTINGS = (
    "timezone = 'America/New_York'",
    "datestyle = 'SQL, DMY'",
    "intervalstyle = 'iso_8601'",
    "extra_float_digits = 0",
    "bytea_output = 'escape'",
    "lc_monetary = 'C'",
    "xmlbinary = 'hex'",
    "search_path = 'public, pg_catalog'",
    "row_security = on",
    "quote_all_identifiers = on",
    "standard_conforming_strings = on",
)


def prints(dsn: Dsn, jobs: int = 2) -> dict[tuple[str, str], tuple[int, str]]:
    with connect(dsn, "the.tests") as connection:
        found = fingerprint_tables(dsn, dumped_tables(connection), application_name="the.tests", jobs=jobs)
        lobs = large_objects(connection)
    return {(one.schema, one.name): (one.rows, one.hash) for one in found} | {("", ""): (lobs.count, lobs.hash)}


def copy(source: Dsn, target: Dsn) -> None:
    """By pg_dump and pg_restore, as the drill does."""
    version = execute(source, "SHOW server_version_num")[0][0]
    environ = os.environ | {"PGPASSWORD": source.password}
    archive = subprocess.run(
        [client_program("pg_dump", int(version)), "-Fc", "-Z0", "-d", source.conninfo()],
        env=environ, capture_output=True, check=True,
    )  # fmt: skip
    subprocess.run(
        [client_program("pg_restore", int(version)), "--exit-on-error", "-d", target.conninfo()],
        env=environ, input=archive.stdout, capture_output=True, check=True,
    )  # fmt: skip


PAIRS = [(MAJORS[0], MAJORS[0]), (MAJORS[-1], MAJORS[-1]), (MAJORS[0], MAJORS[-1])]


@pytest.fixture(params=dict.fromkeys(PAIRS), ids=lambda pair: f"{pair[0]} to {pair[1]}")
def source_and_copy(request, postgres_of) -> Iterator[tuple[Dsn, Dsn]]:
    with (
        fresh_database(postgres_of(request.param[0])) as source,
        fresh_database(postgres_of(request.param[1])) as target,
    ):
        yield source, target


def test_a_restored_copy_has_the_fingerprint_of_its_source(source_and_copy):
    source, target = source_and_copy
    execute(source, *SAMPLE, *VALUES)
    if int(execute(source, "SHOW server_version_num")[0][0]) >= 180000:
        execute(
            source,
            "CREATE TABLE virtual (a int, v int GENERATED ALWAYS AS (a * 3) VIRTUAL)",
            "INSERT INTO virtual (a) SELECT generate_series(1, 5)",
        )
    for number, setting in enumerate(OTHER_SETTINGS):
        name, value = setting.split(" = ")
        dsn = (source, target)[number % 2]
        value = value if name != "search_path" else "public, pg_catalog"
        execute(dsn, f"ALTER DATABASE {dsn.dbname} SET {name} = {value}")
    copy(source, target)
    expected = prints(source)
    assert prints(target) == expected
    assert len(expected) >= 14
    assert expected[("public", "values")][0] == 4
    assert expected[("", "")][0] == 3


def test_columns_that_were_dropped_or_added_do_not_matter(source_and_copy):
    source, target = source_and_copy
    execute(
        source,
        "CREATE TABLE t (a int, b int, c text)",
        "INSERT INTO t SELECT g, g, 'x' FROM generate_series(1, 50) g",
        "ALTER TABLE t DROP COLUMN b",
        "ALTER TABLE t ADD COLUMN d int DEFAULT 7",
    )
    copy(source, target)
    assert prints(target) == prints(source)


CHANGES = {
    "a value": "UPDATE t SET b = 'other' WHERE a = 3",
    "a null": "UPDATE t SET b = NULL WHERE a = 3",
    "an empty text for a null": "UPDATE t SET b = '' WHERE b IS NULL",
    "two values exchanged": "UPDATE t SET b = CASE a WHEN 1 THEN 'row 2' ELSE 'row 1' END WHERE a IN (1, 2)",
    "a row twice, another missing": "UPDATE t SET (a, b) = (4, 'row 4') WHERE a = 3",
    "a space": "UPDATE t SET b = b || ' ' WHERE a = 3",
    "a row missing": "DELETE FROM t WHERE a = 3",
    "a large object's byte": "SELECT lo_put(4711, 2, 'X')",
    "a large object's length": "SELECT lo_put(4711, 50, '\\x00')",
    "a large object missing": "SELECT lo_unlink(4711)",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_other_contents_have_another_fingerprint(database, change):
    execute(
        database,
        "CREATE TABLE t (a int, b text)",
        "INSERT INTO t SELECT g, 'row ' || g FROM generate_series(1, 9) g",
        "INSERT INTO t VALUES (10, NULL)",
        "SELECT lo_from_bytea(4711, 'a large object')",
    )
    before = prints(database)
    execute(database, change)
    assert prints(database) != before


def test_the_order_of_rows_does_not_matter(database):
    execute(database, "CREATE TABLE t AS SELECT g FROM generate_series(1, 500) g")
    before = prints(database)
    execute(database, "CREATE TABLE u AS SELECT g FROM t ORDER BY g DESC", "DROP TABLE t", "ALTER TABLE u RENAME TO t")
    assert prints(database) == before


def test_ranges_of_blocks_add_up_to_the_table(database, monkeypatch):
    execute(
        database,
        "CREATE TABLE t AS SELECT g, md5(g::text) FROM generate_series(1, 20000) g",
        "DELETE FROM t WHERE g % 3 = 0 OR g BETWEEN 5000 AND 9000",
        "VACUUM t",
        "INSERT INTO t SELECT g, 'again' FROM generate_series(1, 300) g",
        "DELETE FROM t WHERE g > 19000",
    )
    whole = prints(database, jobs=1)
    for blocks in (1, 7, 64, 10_000):
        monkeypatch.setattr(fingerprint, "RANGE_BLOCKS", blocks)
        assert prints(database, jobs=3) == whole


def test_rows_on_blocks_beyond_the_size_that_was_seen_are_counted(database, monkeypatch):
    """A table may have grown between the listing of its size and its reading; its last range has no end."""
    monkeypatch.setattr(fingerprint, "RANGE_BLOCKS", 4)
    execute(database, "CREATE TABLE t AS SELECT g, md5(g::text) FROM generate_series(1, 2000) g")
    with connect(database, "the.tests") as connection:
        tables = dumped_tables(connection)
        execute(database, "INSERT INTO t SELECT g, md5(g::text) FROM generate_series(2001, 9000) g")
        (found,) = fingerprint_tables(database, tables, application_name="the.tests")
    assert found.rows == 9000


def test_a_role_that_row_security_applies_to_fails_and_does_not_shrink(database):
    execute(
        database,
        *SAMPLE,
        "DROP ROLE IF EXISTS blind",
        "CREATE ROLE blind LOGIN PASSWORD 'blind-of-the-tests'",
        "GRANT pg_read_all_data TO blind",
    )
    blind = Dsn(database.host, database.port, database.dbname, "blind", "blind-of-the-tests")
    try:
        with pytest.raises(Exception, match="row-level security"):
            prints(blind)
    finally:
        execute(database, "DROP OWNED BY blind", "DROP ROLE blind")


def test_temporary_and_foreign_tables_views_and_members_of_extensions_are_left_out(database):
    with connect(database, "the.tests") as connection:
        connection.cursor().execute("CREATE TEMPORARY TABLE temporary (x int)")
        execute(
            database,
            *SAMPLE,
            "CREATE EXTENSION file_fdw",
            "CREATE SERVER s FOREIGN DATA WRAPPER file_fdw",
            "CREATE FOREIGN TABLE remote (x text) SERVER s OPTIONS (filename '/dev/null')",
            "CREATE TABLE member (x int)",
            "ALTER EXTENSION file_fdw ADD TABLE member",
        )
        names = {table.name for table in dumped_tables(connection)}
    assert not names & {"temporary", "remote", "member", "v", "mv", "parted"}
    assert {"orders", "unlogged", "parted_1"} <= names


def test_hash_partitions_of_an_enum_are_dumped_by_their_root_and_compared_by_it(night_of, source_and_copy):
    """pg_dump loads them through the root, since an enum's hash is another one in another database."""
    source, target = source_and_copy
    execute(
        source,
        "CREATE TYPE noise AS ENUM ('never used')",
        "CREATE TYPE colour AS ENUM ('red', 'green', 'blue', 'white', 'black', 'grey')",
        "CREATE TABLE cars (c colour, n int) PARTITION BY HASH (c)",
        *(f"CREATE TABLE cars_{n} PARTITION OF cars FOR VALUES WITH (MODULUS 3, REMAINDER {n})" for n in range(3)),
        "INSERT INTO cars SELECT c, g FROM unnest(enum_range(NULL::colour)) c, generate_series(1, 50) g",
        "CREATE TABLE other AS SELECT 1 AS x",
    )
    night_of(source).backup()
    execute(target, "CREATE TYPE shift1 AS ENUM ('x')", "CREATE TYPE shift2 AS ENUM ('y')")
    copy(source, target)
    assert prints(target) == prints(source)
    assert prints(source)[("public", "cars")][0] == 300


@pytest.fixture
def night_of(bucket, ledger):
    return lambda dsn: Night(dsn, bucket, ledger)


def test_configuration_tables_of_an_extension_are_dumped_by_its_condition(postgres_of, night_of, tmp_path):
    if 18 not in MAJORS:
        pytest.skip("needs PostgreSQL 18: extensions outside of the installation")
    folder = tmp_path / "extension"
    folder.mkdir()
    (folder / "pgops_demo.control").write_text("default_version = '1.0'\nrelocatable = false\nschema = public\n")
    (folder / "pgops_demo--1.0.sql").write_text(
        "CREATE TABLE rules (id int, own boolean DEFAULT true);\n"
        "INSERT INTO rules VALUES (1, false), (2, false);\n"
        "SELECT pg_extension_config_dump('rules', 'WHERE own');\n"
        "CREATE TABLE constant (id int);\nINSERT INTO constant VALUES (1);\n"
    )
    for path in (*tmp_path.parents, tmp_path, folder):
        if path.is_relative_to("/tmp") and path != path.parent:
            os.chmod(path, 0o755 if str(path) != "/tmp" else 0o1777)  # noqa: PTH101
    server = postgres_of(18)
    server.execute(f"ALTER SYSTEM SET extension_control_path = '$system:{tmp_path}'")
    server.execute("SELECT pg_reload_conf()")
    try:
        with fresh_database(server) as source, fresh_database(server) as target:
            execute(source, "CREATE EXTENSION pgops_demo", "INSERT INTO rules VALUES (7), (8), (9)")
            night_of(source).backup()
            copy(source, target)
            assert prints(target) == prints(source)
            assert prints(source)[("public", "rules")][0] == 3
            assert ("public", "constant") not in prints(source)
    finally:
        server.execute("ALTER SYSTEM RESET extension_control_path")
        server.execute("SELECT pg_reload_conf()")
        shutil.rmtree(folder)


@pytest.mark.slow
def test_five_thousand_tables_fit_a_servers_default_lock_table(night_of, database):
    assert execute(database, "SHOW max_locks_per_transaction") == [("64",)]
    for first in range(0, 5000, 500):
        execute(
            database,
            f"DO $$ BEGIN FOR n IN {first}..{first + 499} LOOP"
            " EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY); INSERT INTO t%s VALUES (%s)', n, n, n);"
            " END LOOP; END $$",
        )
    committed = night_of(database).backup()
    assert (committed.tables, committed.rows) == (5000, 5000)
