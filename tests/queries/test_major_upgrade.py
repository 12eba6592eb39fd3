"""A server that pg_upgrade has taken from 15 to 18: its queries keep their history, and none counts twice or as new."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pgops.ledger import Ledger
from pgops.postgres import Dsn
from pgops.queries.review import Thresholds, review
from pgops.queries.text import kept
from sandbox.postgres import PostgresServer, free_port, pick
from tests.queries.conftest import MONITOR, PASSWORD, PRELOADED, Stage
from tests.servers import MAJORS, NO_WAITING, SUPERUSER_PASSWORD, memory_folder

# The two versions write the last three in different ways.
WORK = (
    "SELECT * FROM t WHERE a = 1",
    "UPDATE t SET b = b + 1 WHERE a = 1",
    "SELECT count(*) FROM t WHERE a IN (1, 2, 3)",
    "SELECT count(*) FROM t WHERE c < now() - interval '1 day'",
    "SET work_mem = '5MB'",
)
OURS = {kept(text).fingerprint for text in WORK}
CALLS = (
    "SELECT s.fingerprint, s.major, sum(d.calls)::int FROM pgops.query_deltas d"
    " JOIN pgops.query_statements s ON s.id = d.statement"
    " WHERE s.database = %(database)s AND s.username = 'postgres' AND s.toplevel GROUP BY 1, 2"
)


@pytest.fixture
def servers() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """One of each version: the old one runs, the new one is empty and still."""
    if not {15, 18} <= set(MAJORS):
        pytest.skip("an upgrade needs PostgreSQL 15 and 18")
    with memory_folder("upgrade") as folder:
        old, new = (
            PostgresServer(
                f"major-{major}", pick(major), folder / str(major), free_port(), SUPERUSER_PASSWORD,
                NO_WAITING | PRELOADED,
            )
            for major in (15, 18)
        )  # fmt: skip
        try:
            old.create()
            old.start()
            old.execute(MONITOR)
            old.execute("GRANT pg_read_all_data TO pgops_monitor")
            old.execute(f"ALTER ROLE pgops_monitor PASSWORD '{PASSWORD}'")
            new.create()
            yield old, new
        finally:
            old.destroy()
            new.destroy()


def upgrade(old: PostgresServer, new: PostgresServer) -> None:
    """As the manual says: both are down, and the old one's files become the new one's."""
    old.stop()
    programs = [new.identity.reachable(one.binaries.bindir) for one in (old, new)]
    done = new.identity.run(
        *("env", "-C", new.home, programs[1] / "pg_upgrade", "--username=postgres", "--no-sync"),
        *("--old-bindir", programs[0], "--new-bindir", programs[1]),
        *("--old-datadir", old.data, "--new-datadir", new.data),
        *("--old-port", str(old.port), "--new-port", str(new.port)),
        env={"PGPASSWORD": SUPERUSER_PASSWORD},
    )
    assert done.returncode == 0, done.stdout
    new.start()


def watched(server: PostgresServer, ledger: Ledger, name: str) -> Stage:
    """A database that was counted twice: three calls of each query lie between."""
    server.execute(f"CREATE DATABASE {name}")
    stage = Stage(
        server, ledger, Dsn("127.0.0.1", server.port, name, "postgres", SUPERUSER_PASSWORD), f"{name}_{server.port}"
    )
    stage.execute("CREATE EXTENSION pg_stat_statements", "CREATE TABLE t (a int, b int, c timestamptz)")
    stage.execute("INSERT INTO t VALUES (1, 1, now())", *WORK * 2)
    stage.snapshot()
    stage.execute(*WORK * 3)
    stage.snapshot()
    # As if it had been watched for a week, and had taken most of a day for these calls.
    stage.kept_write(
        "UPDATE pgops.query_sources SET watched_since = watched_since - interval '8 days'"
        " WHERE database = %(database)s;"
        "UPDATE pgops.query_statements SET first_seen = first_seen - interval '8 days' WHERE database = %(database)s;"
        "UPDATE pgops.query_snapshots SET since = since - interval '20 hours' WHERE database = %(database)s"
    )
    return stage


def test_after_pg_upgrade_history_goes_on_and_nothing_counts_twice_or_is_new(servers, ledger):
    old, new = servers
    as_it_was, updated = watched(old, ledger, "as_it_was"), watched(old, ledger, "updated")
    upgraded_at = datetime.now(UTC)
    upgrade(old, new)
    as_it_was, updated = (replace(one, server=new) for one in (as_it_was, updated))
    updated.execute("ALTER EXTENSION pg_stat_statements UPDATE")  # pg_upgrade leaves it as it was on 15
    for stage in (as_it_was, updated):
        stage.execute(*WORK * 5)
        assert "PostgreSQL 15 has become 18" in stage.snapshot().notes[0]
        stage.execute(*WORK * 2)
        assert stage.snapshot().notes == ()
    for stage in (as_it_was, updated):
        calls = {row for row in stage.kept(CALLS) if row[0] in OURS}
        assert calls == {(one, 15, 3) for one in OURS} | {(one, 18, 7) for one in OURS}
        found = review(ledger, stage.name, upgraded_at + timedelta(days=1), Thresholds(0, 0, 0))
        ours = [one for one in found.costliest if one.key.fingerprint in OURS]
        assert len(ours) == len(OURS), "each is one query, before and after"
        assert not {one.key.fingerprint for one in found.new} & OURS
