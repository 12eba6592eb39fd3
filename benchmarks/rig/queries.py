"""A database whose pg_stat_statements is full, one that counts it, and pgbench beside it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import psutil

from benchmarks.rig.ground import Ground
from pgops.ledger import Ledger
from pgops.postgres import Dsn, Limits, connect
from sandbox.postgres import PostgresServer, free_port

DATABASE = "shop"
SETTINGS = {
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.max": "10000",
    "track_io_timing": "on",
}
_COLUMNS = 14
_HISTORY = Path(__file__).with_name("queries.sql")


def dsn(server: PostgresServer, dbname: str) -> Dsn:
    """As superuser."""
    return Dsn("127.0.0.1", server.port, dbname, "postgres", server.password)


def ledger_server(place: Ground) -> PostgresServer:
    """A server of its own for the ledger, so that its CPU is not the target's; the caller destroys it."""
    server = PostgresServer(
        "ledger", place.server.binaries, place.folder / "ledger", free_port(), place.server.password, {"fsync": "off"}
    )
    server.create()
    server.start()
    server.execute("create database ledger")
    return server


def statements(number: int) -> list[str]:
    """So many queries, each with an entry of its own: which columns are read differs."""
    found = []
    for bits in range(1, number + 1):
        columns = [f"column_number_{place}" for place in range(_COLUMNS) if bits >> place & 1]
        found.append(
            f"SELECT {', '.join(columns)} FROM wide WHERE column_number_0 = 7 AND column_number_1 > 3 LIMIT 10"
        )
    return found


def make(server: PostgresServer, number: int) -> None:
    """The database, with an application's role, whose statements have all run once."""
    server.execute(f"create database {DATABASE}")
    server.execute("create extension pg_stat_statements", DATABASE)
    columns = ", ".join(f"column_number_{place} int" for place in range(_COLUMNS))
    server.execute(f"create table wide ({columns}); create role application superuser login", DATABASE)
    server.execute(f"alter role application password '{server.password}'")
    server.execute(f"insert into wide select {', '.join(['7'] * _COLUMNS)} from generate_series(1, 100)", DATABASE)
    run(server, statements(number))


def run(server: PostgresServer, texts: Sequence[str]) -> None:
    """Run statements as the application."""
    application = Dsn("127.0.0.1", server.port, DATABASE, "application", server.password)
    with connect(application, "application", Limits()) as session, session.cursor() as cursor:
        for text in texts:
            cursor.execute(text)


def fill(ledger: Ledger, number: int, days: int, raw_days: int) -> None:
    """Write the history of so many queries into an empty ledger."""
    ledger.rows("has_version")  # which makes its schema
    with connect(ledger.dsn, "pgops.bench", Limits(statement=0)) as session, session.cursor() as cursor:
        for name, value in (("statements", number), ("days", days), ("raw_days", raw_days)):
            cursor.execute("SELECT set_config(%s, %s, false)", (f"bench.{name}", str(value)))
        cursor.execute(_HISTORY.read_text(encoding="utf-8"))


def ledger_bytes(server: PostgresServer) -> int:
    """Of all that concerns queries, with indexes."""
    ((size,),) = server.execute(
        "select sum(pg_total_relation_size(c.oid)) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = 'pgops' and c.relname like 'query%' and c.relkind = 'r'",
        "ledger",
    )
    return int(size)


def cpu_seconds(server: PostgresServer) -> float:
    """CPU that a server has used, sessions that have ended included."""
    postmaster = psutil.Process(int((server.data / "postmaster.pid").read_text().split()[0]))
    while True:
        children = postmaster.children(recursive=True)
        try:
            living = [child.cpu_times() for child in children]
        except psutil.NoSuchProcess:
            continue  # it ended meanwhile: from now on the postmaster counts it
        times = postmaster.cpu_times()
        ended = times.children_user + times.children_system
        return float(times.user + times.system + ended + sum(one.user + one.system for one in living))


def pgbench(server: PostgresServer, seconds: int) -> float:
    """Transactions a second of pgbench, reading, from two clients."""
    arguments = ("-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres")
    done = subprocess.run(
        [str(server.binaries.bindir / "pgbench"), "-S", "-n", "-M", "prepared", "-c2", "-T", str(seconds), *arguments,
         DATABASE],
        env={**os.environ, "PGPASSWORD": server.password, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    assert found is not None, done.stdout
    return float(found[1])


def prepare_pgbench(server: PostgresServer) -> None:
    """Its tables."""
    subprocess.run(
        [str(server.binaries.bindir / "pgbench"), "-i", "-q", "-s", "5", "-h", "127.0.0.1", "-p", str(server.port),
         "-U", "postgres", DATABASE],
        env={**os.environ, "PGPASSWORD": server.password, "LC_ALL": "C"},
        capture_output=True,
        check=True,
    )  # fmt: skip
