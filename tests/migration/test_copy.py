"""A golden template is whole or not there; a clone is as the source in what a migration can notice, and always goes."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2
import pytest
from psycopg2 import sql

from pgops.errors import PgOpsError, Refused
from pgops.fleet.migrations import MigrationPolicy
from pgops.migration import copy
from pgops.migration.copy import (
    GoldenOrigin,
    Settings,
    clone_name,
    drop_clone,
    golden_name,
    golden_state,
    make_clone,
    make_golden,
    read_settings,
)
from pgops.migration.documentation import schema_document
from pgops.migration.proof.compare import differences, take, values_at_risk
from pgops.migration.proof.review import review
from pgops.migration.staging import fill_from_staging
from pgops.postgres import Dsn, connect
from pgops.processes import ProgramFailed
from sandbox.postgres import PostgresServer
from tests.servers import fresh_database

ROOT = Path(__file__).parents[2]
PASSWORD = "of the tests"


def ask(dsn: Dsn, statement: str) -> list[tuple]:
    with connect(dsn, "tests") as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def databases(server: Dsn, name: str) -> list[str]:
    """The databases on the server that were made for the source `name`."""
    rows = ask(server, "SELECT datname FROM pg_database WHERE datname LIKE 'pgops\\_%' ORDER BY 1")
    return [found for (found,) in rows if found.endswith(name)]


@pytest.fixture(scope="module")
def drill_role(each_postgres: PostgresServer) -> Iterator[Dsn]:
    """The server for copies as the role that include/sql/roles gives it: no superuser."""
    each_postgres.execute((ROOT / "include/sql/roles/drill.sql").read_text(encoding="utf-8"))
    each_postgres.execute(f"ALTER ROLE pgops_drill PASSWORD '{PASSWORD}'")
    yield Dsn("127.0.0.1", each_postgres.port, "postgres", "pgops_drill", PASSWORD)


@pytest.fixture
def name(drill_role: Dsn) -> Iterator[str]:
    """A source's name that no other test uses; what it left is removed."""
    name = f"app_{secrets.token_hex(3)}"
    yield name
    drop_clone(drill_role, name)
    with copy._maintenance(drill_role) as cursor:
        for prefix in ("pgops_golden_", "pgops_build_", "pgops_old_"):
            copy._drop(cursor, drill_role, prefix + name)


def filled(rows: int = 3, backup_id: str = "20260101T000000Z-abcd"):
    def fill(target: Dsn) -> GoldenOrigin:
        ask(target, f"CREATE TABLE people AS SELECT generate_series(1, {rows}) AS id; ALTER TABLE people ADD note text")
        return GoldenOrigin("s3://backups/app", backup_id, "hash-of-settings")

    return fill


# --- names ---


def test_names_fit_and_stay_apart():
    long = "ä" * 60
    names = {make(one) for make in (golden_name, clone_name) for one in ("app", long, long + "b", "x" * 63)}
    assert len(names) == 8
    assert all(len(one.encode()) <= 63 for one in names)


def test_a_name_cannot_carry_sql(drill_role):
    evil = 'x"; DROP DATABASE postgres; --'
    make_golden(drill_role, evil, filled())
    try:
        assert make_clone(drill_role, evil).dbname == f"pgops_clone_{evil}"
    finally:
        drop_clone(drill_role, evil)
        with copy._maintenance(drill_role) as cursor:
            copy._drop(cursor, drill_role, golden_name(evil))
    assert ask(drill_role, "SELECT 1") == [(1,)]


# --- the golden template ---


def test_a_golden_template_says_what_it_is_and_lets_nobody_in(drill_role, name):
    assert golden_state(drill_role, name) is None
    state = make_golden(drill_role, name, filled())
    assert golden_state(drill_role, name) == state
    assert (state.made_from, state.backup_id, state.settings_hash) == (
        "s3://backups/app", "20260101T000000Z-abcd", "hash-of-settings")  # fmt: skip
    assert 0 <= state.age_hours(datetime.now(UTC)) < 1
    assert state.age_hours(datetime.now(UTC) + timedelta(hours=24)) >= 24
    with pytest.raises(PgOpsError, match="not currently accepting connections"):
        ask(drill_role.on(golden_name(name)), "SELECT 1")
    assert databases(drill_role, name) == [golden_name(name)]


def test_a_new_template_takes_the_place_of_the_old_one(drill_role, name):
    make_golden(drill_role, name, filled(3))
    make_golden(drill_role, name, filled(5, "second"))
    assert golden_state(drill_role, name).backup_id == "second"
    clone = make_clone(drill_role, name)
    assert ask(drill_role.on(clone.dbname), "SELECT count(*) FROM people") == [(5,)]


def test_a_fill_that_fails_leaves_the_old_template_and_nothing_else(drill_role, name):
    make_golden(drill_role, name, filled(3))

    def fails(target: Dsn) -> GoldenOrigin:
        ask(target, "CREATE TABLE half ()")
        raise PgOpsError("The dump is gone", where="s3", remedy="none")

    with pytest.raises(PgOpsError, match="The dump is gone"):
        make_golden(drill_role, name, fails)
    assert databases(drill_role, name) == [golden_name(name)]
    assert make_clone(drill_role, name).bytes > 0


def test_sessions_that_a_dead_fill_left_do_not_stop_it(drill_role, name):
    left = []

    def fill(target: Dsn) -> GoldenOrigin:
        left.append(psycopg2.connect(target.conninfo(), password=target.password))
        return filled()(target)

    assert make_golden(drill_role, name, fill).backup_id
    left[0].close()


def test_one_run_at_a_time_makes_a_template(drill_role, name):
    def fill(target: Dsn) -> GoldenOrigin:
        with pytest.raises(Refused, match="Another run is making") as refusal:
            make_golden(drill_role, name, filled())
        assert refusal.value.retry
        return filled()(target)

    make_golden(drill_role, name, fill)


def test_a_template_whose_note_was_overwritten_is_none(drill_role, name):
    make_golden(drill_role, name, filled())
    ask(drill_role, f"COMMENT ON DATABASE {golden_name(name)} IS 'mine'")
    assert golden_state(drill_role, name) is None
    with pytest.raises(Refused, match="There is no golden template"):
        make_clone(drill_role, name)
    assert make_golden(drill_role, name, filled()) == golden_state(drill_role, name)


POINTS = [
    "_create_empty", "fill", "_vacuum_analyze", "_end_sessions", "_swap", "inside the swap", "the last drop",
]  # fmt: skip


@pytest.mark.parametrize("had_one", [False, True], ids=["none before", "one before"])
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_moment_the_old_template_or_the_new_one_is_there(drill_role, name, point, had_one):
    if had_one:
        make_golden(drill_role, name, filled(3, "old"))
    died = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED_AT), point, name, str(drill_role.port), PASSWORD],
        env=os.environ | {"PYTHONPATH": str(ROOT / "plugins")},
        capture_output=True, text=True,
    )  # fmt: skip
    assert died.returncode == -signal.SIGKILL, died.stderr

    state = golden_state(drill_role, name)
    if point == "the last drop":
        assert state is not None and state.backup_id == "new"
    else:
        assert (state.backup_id if state else None) == ("old" if had_one else None)
    if state is not None:
        clone = make_clone(drill_role, name)
        assert ask(drill_role.on(clone.dbname), "SELECT count(*) FROM people") == [(3,)]
        drop_clone(drill_role, name)

    assert retried(lambda: make_golden(drill_role, name, filled(4, "third"))).backup_id == "third"
    assert databases(drill_role, name) == [golden_name(name)]


KILLED_AT = """
    import os, signal, sys
    from pgops.migration import copy
    from pgops.postgres import Dsn, connect

    point, name, port, password = sys.argv[1:]

    def die(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGKILL)

    def fill(target):
        with connect(target, "tests") as connection:
            connection.cursor().execute("CREATE TABLE people AS SELECT generate_series(1, 3) AS id")
            if point == "fill":
                die()
        return copy.GoldenOrigin("here", "new")

    if point == "inside the swap":
        real_mark = copy._mark
        copy._mark = lambda dbname, template, connections: die() if template else real_mark(
            dbname, template=template, connections=connections)
    elif point == "the last drop":
        real_swap = copy._swap
        copy._swap = lambda *args: (real_swap(*args), die())
    elif point != "fill":
        assert hasattr(copy, point)
        setattr(copy, point, die)
    copy.make_golden(Dsn("127.0.0.1", int(port), "postgres", "pgops_drill", password), name, fill)
"""


def retried(call):
    """As a task would: the dead run's session may live for another moment."""
    for _ in range(50):
        try:
            return call()
        except PgOpsError as error:
            if not error.retry:
                raise
    return call()


# --- filled from staging ---


@pytest.fixture
def staging(each_postgres: PostgresServer) -> Iterator[Dsn]:
    with fresh_database(each_postgres, "staging") as dsn:
        ask(dsn, "CREATE TABLE people AS SELECT i AS id, md5(i::text) AS note FROM generate_series(1, 20000) AS i")
        ask(dsn, "CREATE INDEX ON people (note); COMMENT ON TABLE people IS 'x'; GRANT SELECT ON people TO pg_monitor")
        yield dsn


def test_staging_fills_the_template_and_the_clone_has_its_rows_and_statistics(drill_role, name, staging):
    state = make_golden(drill_role, name, fill_from_staging(staging, "h"))
    assert (state.backup_id, state.made_from, state.settings_hash) == ("staging", staging.where, "h")
    clone = drill_role.on(make_clone(drill_role, name).dbname)
    rows = "SELECT count(*), sum(hashtext(note)) FROM people"
    assert ask(clone, rows) == ask(staging, rows)
    assert ask(clone, "SELECT reltuples::int FROM pg_class WHERE relname = 'people'") == [(20000,)]


def test_a_dump_that_fails_is_told_and_leaves_no_template(drill_role, name, staging):
    with pytest.raises(PgOpsError, match="does not exist"):
        make_golden(drill_role, name, fill_from_staging(staging.on("not_there")))
    stranger = replace(staging, user="pgops_drill", password=PASSWORD)
    with pytest.raises(ProgramFailed, match=r"pg_dump ended .*permission denied"):
        make_golden(drill_role, name, fill_from_staging(stranger))
    assert databases(drill_role, name) == []


def test_a_restore_that_fails_is_told_and_not_the_broken_pipe_of_the_dump(drill_role, name, staging, each_postgres):
    each_postgres.execute("CREATE ROLE only_here")
    ask(staging, "CREATE POLICY p ON people TO only_here USING (true)")
    ask(staging, "CREATE EXTENSION pg_stat_statements")
    try:
        with pytest.raises(ProgramFailed, match=r"pg_restore ended .*permission denied to create extension"):
            make_golden(drill_role, name, fill_from_staging(staging))
    finally:
        ask(staging, "DROP POLICY p ON people")
        each_postgres.execute("DROP ROLE only_here")
    assert databases(drill_role, name) == []


# --- clones ---


def test_a_clone_replaces_the_one_of_a_dead_run_with_whoever_is_on_it(drill_role, name):
    make_golden(drill_role, name, filled())
    first = drill_role.on(make_clone(drill_role, name).dbname)
    with connect(first, "tests of a dead run") as left:
        left.cursor().execute("DROP TABLE people")
        assert make_clone(drill_role, name).dbname == clone_name(name)
    assert ask(first, "SELECT count(*) FROM people") == [(3,)]
    drop_clone(drill_role, name)
    drop_clone(drill_role, name)
    assert databases(drill_role, name) == [golden_name(name)]


def test_a_superuser_on_the_clone_is_named_and_the_next_drop_succeeds(drill_role, name, each_postgres):
    make_golden(drill_role, name, filled())
    clone = make_clone(drill_role, name)
    superuser = Dsn(drill_role.host, drill_role.port, clone.dbname, "postgres", each_postgres.password)
    with connect(superuser, "curious"):
        with pytest.raises(PgOpsError, match=r"cannot be dropped: .*; on it: postgres \(pid \d+, curious\)") as error:
            drop_clone(drill_role, name)
        assert error.value.retry
    drop_clone(drill_role, name)
    assert databases(drill_role, name) == [golden_name(name)]


def test_prepared_transactions_of_a_migration_do_not_keep_the_clone(drill_role, name, each_postgres):
    each_postgres.execute("ALTER SYSTEM SET max_prepared_transactions = 5")
    each_postgres.restart()
    make_golden(drill_role, name, filled())
    clone = drill_role.on(make_clone(drill_role, name).dbname)
    with connect(clone, "tests") as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("DELETE FROM people")
        cursor.execute("PREPARE TRANSACTION 'left behind'")
    drop_clone(drill_role, name)
    assert databases(drill_role, name) == [golden_name(name)]


def test_small_templates_go_through_the_wal_and_large_ones_by_file(drill_role, name, monkeypatch):
    make_golden(drill_role, name, filled())
    assert make_clone(drill_role, name).strategy == "WAL_LOG"
    monkeypatch.setattr(copy, "FILE_COPY_BYTES", 1)
    clone = make_clone(drill_role, name)
    assert clone.strategy == "FILE_COPY" and clone.seconds > 0
    assert ask(drill_role.on(clone.dbname), "SELECT count(*) FROM people") == [(3,)]


def test_nobody_but_the_owner_enters_a_clone(drill_role, name, each_postgres):
    make_golden(drill_role, name, filled())
    clone = make_clone(drill_role, name)
    each_postgres.execute(f"CREATE ROLE passer_by LOGIN PASSWORD '{PASSWORD}'")
    try:
        with pytest.raises(PgOpsError, match="permission denied for database"):
            ask(replace(drill_role, user="passer_by", dbname=clone.dbname), "SELECT 1")
    finally:
        each_postgres.execute("DROP ROLE passer_by")


def test_who_is_on_the_template_is_named(drill_role, name, each_postgres, monkeypatch):
    make_golden(drill_role, name, filled())
    monkeypatch.setattr(copy, "CLONE_ATTEMPTS", 1)
    golden = golden_name(name)
    each_postgres.execute(f"ALTER DATABASE {golden} ALLOW_CONNECTIONS true")
    intruder = Dsn(drill_role.host, drill_role.port, golden, "postgres", each_postgres.password)
    with connect(intruder, "nosy") as connection:
        each_postgres.execute(f"ALTER DATABASE {golden} ALLOW_CONNECTIONS false")
        with pytest.raises(PgOpsError, match=r"in use by postgres \(pid \d+, nosy\)") as error:
            make_clone(drill_role, name)
        assert error.value.retry
        assert connection.closed == 0
    assert databases(drill_role, name) == [golden]


def test_a_standby_the_source_itself_and_a_role_without_createdb_are_refused(drill_role, name, each_postgres):
    make_golden(drill_role, name, filled())
    source = read_settings(Dsn("127.0.0.1", each_postgres.port, "postgres", "postgres", each_postgres.password))
    with pytest.raises(Refused, match="the source itself"):
        make_clone(drill_role, name, source)
    with pytest.raises(Refused, match="the source itself"):
        make_golden(drill_role, name, filled(), source_identity=source.identity)
    each_postgres.execute("ALTER ROLE pgops_drill NOCREATEDB")
    try:
        with pytest.raises(Refused, match="may not create databases"):
            make_clone(drill_role, name)
    finally:
        each_postgres.execute("ALTER ROLE pgops_drill CREATEDB")
    (each_postgres.data / "standby.signal").touch()
    each_postgres.restart()
    try:
        with pytest.raises(Refused, match="is a standby"):
            make_clone(drill_role, name)
        with pytest.raises(Refused, match="is a standby"):
            make_golden(drill_role, name, filled())
    finally:
        (each_postgres.data / "standby.signal").unlink()
        each_postgres.restart()


def test_too_little_disk_is_refused_before_anything_is_copied(drill_role, name, monkeypatch):
    make_golden(drill_role, name, filled())
    real = os.statvfs

    class Full:
        f_bavail, f_frsize = 10, 4096

    monkeypatch.setattr(copy.os, "statvfs", lambda path: real(path) and Full())
    with pytest.raises(Refused, match=r"A copy needs .*, free are 40 KiB"):
        make_clone(drill_role, name)
    assert databases(drill_role, name) == [golden_name(name)]


def test_a_rehearsal_from_golden_template_to_dropped_clone_needs_no_superuser(drill_role, name, staging):
    make_golden(drill_role, name, fill_from_staging(staging))
    clone = drill_role.on(make_clone(drill_role, name, replace(read_settings(staging), identity="")).dbname)
    before = take(clone)
    ask(clone, "ALTER TABLE people ADD seen timestamp")
    ask(clone, "UPDATE people SET seen = now() WHERE id < 10")
    policy = MigrationPolicy(folder="migrations/app", connection="pg_copies")
    assert [one.rule for one in review(clone, before, policy)] == ["timestamp-without-time-zone"]
    assert [one.after for one in values_at_risk(clone, before)] == ["9 values, 1 of them different"]
    assert "`seen`" in schema_document(clone)
    ask(clone, "ALTER TABLE people DROP seen")
    assert [one.what for one in differences(before, take(clone, like=before))] == ["dropped columns public.people"]
    drop_clone(drill_role, name)
    assert databases(drill_role, name) == [golden_name(name)]


# --- settings ---


def test_a_clone_understands_sql_as_the_source_does(drill_role, name, each_postgres):
    superuser = Dsn("127.0.0.1", each_postgres.port, "postgres", "postgres", each_postgres.password)
    each_postgres.execute("CREATE ROLE deployer LOGIN; CREATE ROLE reporter LOGIN")
    try:
        with fresh_database(each_postgres, "source") as source:
            ask(source, "ALTER ROLE ALL SET intervalstyle = 'iso_8601'")
            ask(source, f"ALTER DATABASE {source.dbname} SET timezone = 'Europe/Paris'")
            ask(source, f"ALTER DATABASE {source.dbname} SET search_path = \"$user\", 'My App', public")
            ask(source, f"ALTER DATABASE {source.dbname} SET my.flag = 'it''s \"on\"'")
            ask(source, f"ALTER DATABASE {source.dbname} SET log_min_duration_statement = 5")
            ask(source, "ALTER ROLE deployer SET timezone = 'Asia/Tokyo'")
            ask(source, f"ALTER ROLE deployer IN DATABASE {source.dbname} SET work_mem = '5MB'")
            ask(source, "ALTER ROLE reporter SET timezone = 'UTC'")
            plain, deployer = read_settings(source), read_settings(source, "deployer")
    finally:
        each_postgres.execute("ALTER ROLE ALL RESET intervalstyle; DROP ROLE deployer; DROP ROLE reporter")
    assert plain.hash != deployer.hash
    assert read_settings(superuser).hash == read_settings(superuser).hash

    make_golden(drill_role, name, filled())
    clone = make_clone(drill_role, name, replace(plain, identity=""))
    assert settings_of(drill_role.on(clone.dbname)) == (
        "Europe/Paris", '"$user", "My App", public', "iso_8601", "4MB")  # fmt: skip
    assert [note for note in clone.notes if "log_min_duration_statement = '5'" in note and "permission denied" in note]
    assert [note for note in clone.notes if "my.flag = 'it" in note and "permission denied" in note]
    assert [note for note in clone.notes if "The role reporter has settings of its own" in note]

    clone = make_clone(drill_role, name, replace(deployer, identity=""))
    assert settings_of(drill_role.on(clone.dbname))[0] == "Asia/Tokyo"
    assert settings_of(drill_role.on(clone.dbname))[3] == "5MB"
    assert not [note for note in clone.notes if "deployer" in note]


def settings_of(dsn: Dsn) -> tuple:
    names = ("timezone", "search_path", "intervalstyle", "work_mem")
    shown = sql.SQL(", ").join(sql.SQL("current_setting({})").format(sql.Literal(one)) for one in names)
    with connect(dsn, "tests") as connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("SELECT {}").format(shown))
        return cursor.fetchone()


def test_settings_travel_as_plain_values(drill_role):
    settings = Settings({"TimeZone": "UTC"}, {}, "1/1")
    assert settings == Settings(**settings.__dict__)
