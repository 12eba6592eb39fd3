"""What `bench partitions` measures: parents, the ways to make their next partition, and inserts beside that."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import psycopg2

from pgops.errors import PgOpsError
from pgops.fleet.partitions import PartitionPolicies
from pgops.partitions import create_all, plan
from pgops.postgres import Dsn
from sandbox.postgres import PostgresServer

NOW = datetime.now(UTC)
COPY = "copy"
PARENT = """
CREATE TABLE p{0} (id bigint NOT NULL, at timestamptz NOT NULL, user_id bigint {1}, body text, PRIMARY KEY (id, at))
    PARTITION BY RANGE (at);
CREATE INDEX ON p{0} (user_id);
CREATE INDEX ON p{0} (at, body);
"""
REFERENCES = "REFERENCES users"
READ_SECONDS = 1.5
# As people set it who have set one.
BARE_LOCK_TIMEOUT = "3s"


def make_parents(server: PostgresServer, count: int, partitions: int) -> None:
    """A database "parents" with tables that have so many partitions each, from this month on."""
    server.execute("DROP DATABASE IF EXISTS parents")
    server.execute("CREATE DATABASE parents")
    with _session(server, "parents") as cursor:
        cursor.execute("CREATE TABLE users (id bigint PRIMARY KEY)")
        for number in range(count):
            cursor.execute(PARENT.format(number, REFERENCES))
            for month in range(partitions):
                cursor.execute(_partition_of(f"p{number}", month))
        cursor.execute("VACUUM ANALYZE pg_catalog.pg_class, pg_catalog.pg_attribute, pg_catalog.pg_inherits")


def make_partman_parents(server: PostgresServer, count: int) -> bool:
    """The same for pg_partman 4, in a database "partman"; False where it is not installed."""
    ((there,),) = server.execute(
        "SELECT count(*) FROM pg_available_extension_versions WHERE name = 'pg_partman' AND version LIKE '4.%'"
    )
    if not there:
        return False
    server.execute("CREATE DATABASE partman")
    with _session(server, "partman") as cursor:
        cursor.execute("CREATE SCHEMA partman; CREATE EXTENSION pg_partman SCHEMA partman")
        cursor.execute("CREATE TABLE users (id bigint PRIMARY KEY)")
        for number in range(count):
            cursor.execute(PARENT.format(number, REFERENCES))
            cursor.execute(
                f"SELECT partman.create_parent('public.p{number}', 'at', 'native', 'monthly', p_premake := 1)"
            )
        cursor.execute("UPDATE partman.part_config SET premake = 2")
        cursor.execute("VACUUM ANALYZE")
    return True


def step(
    server: PostgresServer, name: str, work: Callable[[PostgresServer, str], None], *, copies: bool = True
) -> Callable[[], dict[str, float]]:
    """A way to do it, on a copy of its database: seconds that sessions were active in it, and on the clock."""
    template = "partman" if name in ("partman", "ours_with_default") else "parents"

    def measure() -> dict[str, float]:
        dbname = template
        if copies:
            dbname = COPY
            server.execute(f"DROP DATABASE IF EXISTS {COPY} WITH (FORCE)")
            server.execute(f"CREATE DATABASE {COPY} TEMPLATE {template}")
        before, began = _active_seconds(server, dbname), time.monotonic()
        work(server, dbname)
        clock = time.monotonic() - began
        if not copies:
            return {name: clock}
        return {name: _active_seconds(server, dbname) - before, f"{name}_clock": clock}

    return measure


def bare(server: PostgresServer, dbname: str) -> None:
    """CREATE TABLE ... PARTITION OF, a transaction each."""
    with _session(server, dbname) as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'p' ORDER BY relname")
        for (parent,) in cursor.fetchall():
            cursor.execute(_partition_of(parent, 1))


def ours(server: PostgresServer, dbname: str) -> None:
    """Plan and create, as the DAG's tasks do."""
    dsn = _dsn(server, dbname)
    policies = _policies("public.p*", premake=2 if dbname_is_partman(server, dbname) else 1)
    made = plan(dsn, policies, NOW)
    for one, created in create_all(dsn, made.parents, policies, now=NOW):
        if isinstance(created, PgOpsError):
            raise created
        if len(created.partitions) != 1:
            raise PgOpsError("Not one partition was made", where=one.parent.title, remedy="Mend the benchmark")


def dbname_is_partman(server: PostgresServer, dbname: str) -> bool:
    """Whether pg_partman has made the parents: they have a partition more then."""
    return bool(server.execute("SELECT 1 FROM pg_extension WHERE extname = 'pg_partman'", dbname))


def partman(server: PostgresServer, dbname: str) -> None:
    """pg_partman's maintenance, a transaction for each parent."""
    with _session(server, dbname) as cursor:
        cursor.execute("CALL partman.run_maintenance_proc(p_analyze := false)")


def planned(server: PostgresServer, dbname: str) -> None:
    """A plan in which there is nothing to do."""
    made = plan(_dsn(server, dbname), _policies("public.p*", premake=3), NOW)
    if any(one.create or one.findings for one in made.parents):
        raise PgOpsError("There is something to do", where="plan", remedy="Mend the benchmark")


# --- what an insert feels ---


def stalls(server: PostgresServer) -> list[Callable[[], dict[str, float]]]:
    """The longest insert in milliseconds beside a long reader: alone, beside ours, beside PARTITION OF."""

    def nothing(dsn: Dsn) -> None:
        time.sleep(READ_SECONDS)

    def make(dsn: Dsn) -> None:
        policies = _policies("public.p0", premake=1, lock_tries=4)
        list(create_all(dsn, plan(dsn, policies, NOW).parents, policies, now=NOW))

    def make_bare(dsn: Dsn) -> None:
        with _session(server, dsn.dbname) as cursor, suppress(psycopg2.errors.LockNotAvailable):
            cursor.execute(f"SET lock_timeout = '{BARE_LOCK_TIMEOUT}'")
            cursor.execute(_partition_of("p0", 1))

    def one(name: str, work: Callable[[Dsn], None], *, guarded: bool = False) -> Callable[[], dict[str, float]]:
        return lambda: {name: 1000 * _longest_insert(server, work, guarded)}

    return [
        one("insert_alone_ms", nothing),
        one("insert_stall_ms", make),
        one("insert_stall_guarded_ms", make, guarded=True),
        one("insert_stall_bare_ms", make_bare),
    ]


def _longest_insert(server: PostgresServer, work: Callable[[Dsn], None], guarded: bool) -> float:
    """Seconds; `guarded`: with a foreign key and a DEFAULT, which the reader has read too."""
    server.execute(f"DROP DATABASE IF EXISTS {COPY} WITH (FORCE)")
    server.execute(f"CREATE DATABASE {COPY}")
    with _session(server, COPY) as cursor:
        cursor.execute("CREATE TABLE users (id bigint PRIMARY KEY); INSERT INTO users VALUES (1)")
        cursor.execute(PARENT.format(0, REFERENCES if guarded else ""))
        cursor.execute(_partition_of("p0", 0))
        if guarded:
            cursor.execute("CREATE TABLE rest PARTITION OF p0 DEFAULT")
    with _session(server, COPY) as reader:
        reader.execute("BEGIN; SELECT count(*) FROM p0")
        with _inserting(server) as took:
            work(_dsn(server, COPY))
    return max(took)


@contextmanager
def _inserting(server: PostgresServer) -> Iterator[list[float]]:
    """Inserts one after the other; seconds of each. The first, which loads its session's caches, is left out."""
    took: list[float] = []
    begun, done = threading.Event(), threading.Event()

    def insert() -> None:
        with _session(server, COPY) as cursor:
            number = 0
            while not done.is_set():
                number += 1
                before = time.monotonic()
                cursor.execute("INSERT INTO p0 (id, at, user_id) VALUES (%s, %s, 1)", (number, NOW))
                if begun.is_set():
                    took.append(time.monotonic() - before)
                begun.set()

    thread = threading.Thread(target=insert)
    thread.start()
    begun.wait()
    try:
        yield took
    finally:
        done.set()
        thread.join()


# --- parts ---


def _partition_of(parent: str, months: int) -> str:
    lower, upper = _month(months), _month(months + 1)
    return (
        f"CREATE TABLE {parent}_{lower:%Y_%m} PARTITION OF {parent}"
        f" FOR VALUES FROM ('{lower:%Y-%m-%d}+00') TO ('{upper:%Y-%m-%d}+00')"
    )


def _month(ahead: int) -> datetime:
    year, month = divmod(NOW.year * 12 + NOW.month - 1 + ahead, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)


def _policies(parent: str, premake: int, **more: Any) -> PartitionPolicies:
    tables = [{"parent": parent, "interval": "month", "premake": premake}]
    return PartitionPolicies.model_validate({"connection": "benchmark", "tables": tables} | more)


def _dsn(server: PostgresServer, dbname: str) -> Dsn:
    return Dsn("127.0.0.1", server.port, dbname, "postgres", server.password)


@contextmanager
def _session(server: PostgresServer, dbname: str) -> Iterator[Any]:
    with closing(psycopg2.connect(server.dsn(dbname))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def _active_seconds(server: PostgresServer, dbname: str) -> float:
    """What sessions of a database have worked in all; they report it when they end."""
    deadline = time.monotonic() + 30
    others = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{dbname}' AND backend_type = 'client backend'"
    while server.execute(others) != [(0,)] and time.monotonic() < deadline:
        time.sleep(0.05)
    ((milliseconds,),) = server.execute(
        f"SELECT coalesce(sum(active_time), 0)::float8 FROM pg_stat_database WHERE datname = '{dbname}'"
    )
    assert isinstance(milliseconds, float)
    return milliseconds / 1000
