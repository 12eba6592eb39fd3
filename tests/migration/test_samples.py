"""The sample's migrations fit on its database, in SQL and with Alembic, and leave nothing behind when taken back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest

from pgops.fleet.migrations import MigrationPolicy
from pgops.migration.gate import check as gate
from pgops.migration.model import Migration, Source
from pgops.migration.scripts.revisions import revisions_in
from pgops.migration.scripts.sources import migrations_in
from pgops.migration.scripts.statements import parse
from pgops.postgres import Dsn, client_program

ROOT = Path(__file__).parents[2]
ALEMBIC = ROOT / "include" / "alembic" / "app"
PAIRS = migrations_in(ROOT / "include" / "migrations" / "app")
REVISIONS = revisions_in(ALEMBIC)
SAMPLE = (ROOT / "sandbox" / "sql" / "init-db.sql").read_text()


@contextmanager
def session(dsn: Dsn) -> Iterator[psycopg2.extensions.cursor]:
    with closing(psycopg2.connect(**dsn.parameters(), password=dsn.password)) as connection:
        connection.autocommit = True
        yield connection.cursor()


def run(dsn: Dsn, *sources: Source | None) -> None:
    for source in sources:
        assert source is not None
        for segment in parse(source).segments:
            with session(dsn) as cursor:
                if segment.transactional:
                    cursor.execute("BEGIN")
                for statement in segment.statements:
                    cursor.execute(statement.text)
                if segment.transactional:
                    cursor.execute("COMMIT")


def schema(dsn: Dsn) -> list[str]:
    with session(dsn) as cursor:
        version = cursor.connection.server_version
    argv = [str(client_program("pg_dump", version)), "-s", "--exclude-table=alembic_version", "-d", dsn.conninfo()]
    env = {**os.environ, "PGPASSWORD": dsn.password}
    dump = subprocess.run(argv, env=env, capture_output=True, text=True, check=True).stdout
    return [line for line in dump.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]


def prepare(dsn: Dsn) -> None:
    with session(dsn) as cursor:
        cursor.execute(SAMPLE)
        cursor.execute("INSERT INTO users (email, name) VALUES ('a@example.com', 'A'), ('b@example.com', 'B')")


@pytest.mark.parametrize("migrations", [PAIRS, REVISIONS], ids=["pairs", "alembic"])
def test_they_pass_the_gate(migrations: Sequence[Migration]) -> None:
    findings = gate.check(migrations, MigrationPolicy(folder="migrations/app", connection="x"), 150018)
    assert [finding.rule for finding in findings] == ["allowed"], [str(finding) for finding in findings]


def test_they_apply_and_their_rollbacks_leave_nothing_behind(each_database: Dsn) -> None:
    prepare(each_database)
    before = schema(each_database)
    for _ in range(2):
        run(each_database, *(one.up for one in PAIRS))
        run(each_database, *(one.down for one in reversed(PAIRS)))
        assert schema(each_database) == before


def test_a_preference_is_dated_kept_in_the_history_and_found(database: Dsn) -> None:
    prepare(database)
    run(database, PAIRS[0].up)
    with session(database) as cursor:
        cursor.execute("""INSERT INTO user_preferences (user_id, preferences) VALUES (1, '{"theme": "dark"}')""")
        cursor.execute("""UPDATE user_preferences SET preferences = '{"theme": "light"}'""")
        cursor.execute("UPDATE user_preferences SET user_id = 2")
        cursor.execute("SELECT count(*), count(*) FILTER (WHERE changed_by = 'postgres') FROM user_preferences_history")
        assert cursor.fetchone() == (2, 2)
        cursor.execute("SELECT updated_at > created_at FROM user_preferences")
        assert cursor.fetchone() == (True,)
        cursor.execute("SELECT get_user_preference(2, 'theme'), get_user_preference(2, 'no', '?')")
        assert cursor.fetchone() == ("light", "?")
        with pytest.raises(psycopg2.errors.CheckViolation):
            cursor.execute("UPDATE user_preferences SET preferences = '[]'")


def test_alembic_makes_the_same_schema(database: Dsn) -> None:
    prepare(database)
    before = schema(database)
    run(database, *(one.up for one in REVISIONS))
    made = schema(database)
    run(database, *(one.down for one in reversed(REVISIONS)))
    assert schema(database) == before
    run(database, *(one.up for one in PAIRS))
    assert schema(database) == made


def test_plain_alembic_runs_the_revisions_too(database: Dsn) -> None:
    prepare(database)
    before = schema(database)
    url = f"postgresql://{database.user}@{database.host}:{database.port}/{database.dbname}"
    for direction in (["upgrade", "head"], ["downgrade", "base"]):
        subprocess.run(
            [sys.executable, "-m", "alembic", "-c", str(ALEMBIC / "alembic.ini"), *direction],
            env={**os.environ, "DATABASE_URL": url, "PGPASSWORD": database.password},
            capture_output=True,
            check=True,
        )
        if direction[0] == "upgrade":
            upgraded = schema(database)
            assert upgraded != before
    assert schema(database) == before
    run(database, *(one.up for one in PAIRS))
    assert schema(database) == upgraded
