"""The watch after a deployment sees what became worse, and nothing on a database where nothing did."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, replace

import psycopg2
import pytest

from pgops.fleet.migrations import Watch
from pgops.migration.deployment import watch as watching
from pgops.migration.deployment.watch import Baseline, Watched, baseline, watch
from pgops.postgres import Dsn, Limits
from sandbox.postgres import PostgresServer, Standby, free_port
from tests.migration.deployments import execute, holding, open_session
from tests.servers import MAJORS, SUPERUSER_PASSWORD, fresh_database, memory_folder, running_postgres

TABLES = ("public.t",)
LIMITS = Watch(minutes=0.02, max_errors=10, max_slowdown=2, max_lag_mb=64, max_latency_ms=50)
QUERY = "SELECT count(*) FROM t WHERE app()"


@pytest.fixture(scope="module", params=MAJORS)
def each_server(request) -> Iterator[PostgresServer]:
    """A server of its own, with pg_stat_statements."""
    with running_postgres(request.param, shared_preload_libraries="pg_stat_statements") as made:
        yield made


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One, where the version does not matter."""
    with running_postgres(MAJORS[0], shared_preload_libraries="pg_stat_statements") as made:
        yield made


@pytest.fixture
def app(server) -> Iterator[Dsn]:
    """A database with an application's table and a query that can be made slow."""
    with application(server) as dsn:
        yield dsn


@pytest.fixture
def each_app(each_server) -> Iterator[Dsn]:
    """As app, on a server of each version."""
    with application(each_server) as dsn:
        yield dsn


@contextmanager
def application(server: PostgresServer) -> Iterator[Dsn]:
    with fresh_database(server) as dsn:
        execute(dsn, "CREATE EXTENSION pg_stat_statements")
        execute(dsn, "CREATE TABLE t (id int); INSERT INTO t VALUES (1)")
        speed(dsn, 0.001)
        yield dsn


def speed(dsn: Dsn, seconds: float) -> None:
    execute(
        dsn,
        "CREATE OR REPLACE FUNCTION app() RETURNS boolean LANGUAGE sql AS"
        f" $$ SELECT pg_sleep({seconds}) IS NOT NULL $$",
    )


@contextmanager
def load(dsn: Dsn, statement: str) -> Iterator[None]:
    """An application that runs one statement again and again, whatever comes of it."""
    over = threading.Event()

    def go_on() -> None:
        with closing(open_session(dsn, "application")) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                while not over.is_set():
                    with suppress(psycopg2.Error):
                        cursor.execute(statement)
                    over.wait(0.01)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def usual(dsn: Dsn, seconds: float = 1.0, tables=TABLES) -> Baseline:
    return baseline(dsn, tables, seconds, interval=0.2)


def watched(dsn: Dsn, before: Baseline, minutes: float = 0.5, limits: Watch = LIMITS, tables=TABLES) -> Watched:
    """For as long as `minutes` unless there is a breach."""
    return watch(dsn, before, limits.model_copy(update={"minutes": minutes}), tables, interval=0.2)


def test_an_idle_database_shows_no_breach(each_app):
    lines: list[str] = []
    found = watch(each_app, usual(each_app, 0.5), LIMITS, TABLES, lines.append, interval=0.2)
    assert (found.breach, found.notes) == (None, ())
    assert found.seconds >= LIMITS.minutes * 60
    assert all(not sample.breaches for sample in found.samples)
    assert lines
    json.dumps(asdict(found))


def test_a_steady_application_shows_no_breach_and_its_query_is_known(each_app):
    with load(each_app, QUERY):
        before = usual(each_app)
        found = watched(each_app, before, 0.03)
    assert found.breach is None
    assert any("app()" in text for text in before.queries.values())
    assert not any("Purpose" in text for text in before.queries.values())
    assert found.samples[-1].slowdown is not None
    json.dumps(asdict(before))


def test_errors_of_the_application_are_a_breach(app):
    before = usual(app, 0.5)
    with load(app, "SELECT * FROM a_column_that_went"):
        found = watched(app, before)
    assert found.breach is not None
    assert found.breach.startswith("errors: ")
    assert "usual were 0.0, the limit is 10" in found.breach


def test_errors_that_were_usual_before_are_none(app):
    before = replace(usual(app, 0.3), rollbacks_per_minute=1_000_000)
    with load(app, "SELECT * FROM a_column_that_went"):
        assert watched(app, before, 0.02).breach is None


def test_a_query_that_became_slow_is_a_breach_that_names_it(each_app):
    with load(each_app, QUERY):
        before = usual(each_app)
        speed(each_app, 0.05)
        found = watched(each_app, before)
    assert found.breach is not None
    assert found.breach.startswith("query time: ")
    assert "FROM t WHERE app()" in found.breach


def test_statistics_that_are_reset_or_evicted_are_no_breach(app):
    with load(app, QUERY):
        before = usual(app)
        resetting = threading.Timer(0.7, execute, (app, "SELECT pg_stat_statements_reset(), pg_stat_reset()"))
        resetting.start()
        found = watched(app, before, 0.03)
        resetting.join()
    assert found.breach is None


def test_without_pg_stat_statements_the_rest_is_watched_and_that_is_noted(app):
    execute(app, "DROP EXTENSION pg_stat_statements")
    before = usual(app, 0.3)
    assert "pg_stat_statements is not installed" in before.notes[0]
    with load(app, "SELECT 1 / 0"):
        found = watched(app, before)
    assert (found.breach or "").startswith("errors: ")
    assert "pg_stat_statements is not installed" in found.notes[0]


def test_an_extension_whose_library_is_not_loaded_is_noted_and_makes_no_errors(each_database):
    execute(each_database, "CREATE EXTENSION pg_stat_statements; CREATE TABLE t (id int)")
    before = usual(each_database, 0.5)
    assert "shared_preload_libraries" in before.notes[0]
    assert before.rollbacks_per_minute == 0


def test_a_table_that_cannot_be_read_in_time_is_a_breach(app, monkeypatch):
    before = usual(app, 0.3)
    monkeypatch.setattr(watching, "Limits", lambda **_: Limits(statement=0.2, lock=0.1))
    with holding(app, "LOCK t"):
        found = watched(app, before)
    assert found.breach is not None
    assert found.breach.startswith("read latency of public.t: ")
    assert "the limit is 50.0 ms" in found.breach
    assert found.looks == 2


def test_a_breach_that_does_not_last_is_none(app, monkeypatch):
    """One slow sample, and the next is as usual."""
    before = usual(app, 0.3)
    slow: Callable[..., float] = iter([1000.0] + [1.0] * 1000).__next__
    monkeypatch.setattr(watching, "_latency_of", lambda *_: slow())
    found = watched(app, before, 0.02)
    assert found.breach is None
    assert found.samples[0].breaches and not found.samples[1].breaches


def test_a_table_that_the_migration_dropped_or_made_does_not_disturb(app):
    before = usual(app, 0.3, ("public.t", "public.u"))
    execute(app, "DROP TABLE t; CREATE TABLE u (id int)")
    found = watched(app, before, 0.02, tables=("public.t", "public.u"))
    assert found.breach is None
    assert any(note.startswith("public.t is not there") for note in found.notes)


@pytest.fixture(scope="module")
def pair(server) -> Iterator[tuple[PostgresServer, Standby]]:
    with memory_folder("standby") as folder:
        standby = Standby("follower", server, folder / "server", free_port())
        standby.create()
        standby.start()
        try:
            yield server, standby
        finally:
            standby.destroy()
            server.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


def test_a_standby_that_falls_behind_is_a_breach_and_one_that_vanishes_too(pair):
    primary, standby = pair
    standby.wait_until_caught_up()
    dsn = Dsn("127.0.0.1", primary.port, "postgres", "postgres", SUPERUSER_PASSWORD)
    before = usual(dsn, 0.3, ())
    assert before.standbys == {"follower at 127.0.0.1": 1}
    standby.execute("SELECT pg_wal_replay_pause()")
    primary.execute("CREATE TABLE filler AS SELECT repeat('x', 500) FROM generate_series(1, 10000)")
    behind = watched(dsn, before, limits=LIMITS.model_copy(update={"max_lag_mb": 1.0}), tables=())
    standby.execute("SELECT pg_wal_replay_resume()")
    assert (behind.breach or "").startswith("standby lag: ")
    standby.stop("immediate")
    gone = watched(dsn, before, tables=())
    assert gone.breach == "standby: follower at 127.0.0.1 no longer streams; it did before the deployment"


def test_a_database_that_does_not_answer_is_a_breach(app):
    before = usual(app, 0.3)
    found = watched(replace(app, port=free_port()), before)
    assert (found.breach or "").startswith("the database does not answer")
