"""Faults that show in what was counted since the last look."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress

from psycopg2 import OperationalError
from psycopg2.errors import DataCorrupted, DeadlockDetected

from tests.health.scenes import Scene, fault
from tests.servers import eventually


@fault("statements_deallocated", at=0)
def statements_deallocated(scene: Scene) -> Iterator[str]:
    scene.execute("CREATE EXTENSION pg_stat_statements")
    scene.execute(f"CREATE TABLE wide ({', '.join(f'c{n} int' for n in range(30))})")
    scene.look()
    scene.execute("; ".join(f"SELECT c{a}, c{b} FROM wide" for a in range(30) for b in range(30)))
    yield ""


@fault("forced_checkpoints")
def forced_checkpoints(scene: Scene) -> Iterator[str]:
    scene.look()
    for _ in range(12):
        scene.execute("CHECKPOINT")
    table = "pg_stat_checkpointer" if scene.server.binaries.major >= 17 else "pg_stat_bgwriter"
    column = "num_requested" if scene.server.binaries.major >= 17 else "checkpoints_req"
    before = scene.history[0].samples[0].amount
    assert eventually(lambda: scene.execute(f"SELECT 1 FROM {table} WHERE {column} >= {before + 12}"))
    yield ""


@fault("temp_bytes", at=10**6)
def temp_bytes(scene: Scene) -> Iterator[str]:
    scene.look()
    scene.execute("SET work_mem = '64kB'; SELECT count(*) FROM generate_series(1, 300000)")
    assert eventually(lambda: scene.execute("SELECT 1 FROM pg_stat_database WHERE temp_bytes > 1000000"))
    yield ""


@fault("deadlocks")
def deadlocks(scene: Scene) -> Iterator[str]:
    scene.execute("CREATE TABLE a (); CREATE TABLE b ()")
    scene.look()
    one, two = scene.session(), scene.session()
    one.execute("BEGIN; LOCK a")
    two.execute("BEGIN; LOCK b")

    def wait() -> None:
        with suppress(DeadlockDetected):
            one.execute("LOCK b")

    waiter = threading.Thread(target=wait)
    waiter.start()
    with suppress(DeadlockDetected):
        two.execute("LOCK a")
    two.execute("ROLLBACK")
    waiter.join()
    one.execute("ROLLBACK")
    assert eventually(
        lambda: scene.execute("SELECT 1 FROM pg_stat_database WHERE datname = current_database() AND deadlocks = 1")
    )
    yield ""


@fault("checksum_failures")
def checksum_failures(scene: Scene) -> Iterator[str]:
    scene.execute("CREATE TABLE damaged AS SELECT repeat('x', 100) AS t FROM generate_series(1, 100)")
    file = scene.server.data / str(scene.execute("SELECT pg_relation_filepath('damaged')")[0][0])
    scene.look()
    scene.server.stop()
    with file.open("r+b") as page:
        page.seek(4000)
        page.write(b"\xff" * 100)
    scene.server.start()
    with suppress(DataCorrupted):
        scene.execute("SELECT count(t) FROM damaged")
    assert eventually(lambda: scene.execute("SELECT 1 FROM pg_stat_database WHERE checksum_failures > 0"))
    assert eventually(lambda: scene.execute("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"), 30)
    yield ""


@fault("rollbacks")
def rollbacks(scene: Scene) -> Iterator[str]:
    scene.look()
    scene.execute("DO $$ BEGIN FOR i IN 1..3000 LOOP PERFORM i; ROLLBACK; END LOOP; END $$")
    counted = "SELECT 1 FROM pg_stat_database WHERE datname = current_database() AND xact_rollback >= 3000"
    assert eventually(lambda: scene.execute(counted))
    yield ""


@fault("standby_conflicts")
def standby_conflicts(scene: Scene) -> Iterator[str]:
    standby = scene.standby
    scene.execute("CREATE TABLE wanted (n int)")
    scene.catch_up()
    scene.look()
    standby.execute("ALTER SYSTEM SET max_standby_streaming_delay = 0")
    standby.execute("SELECT pg_reload_conf()")
    assert eventually(lambda: standby.execute("SHOW max_standby_streaming_delay")[0][0] == "0")
    reader = scene.session(dsn=scene.standby_dsn)
    reader.execute("BEGIN; SELECT FROM wanted")
    scene.execute("DROP TABLE wanted")
    counted = f"SELECT 1 FROM pg_stat_database WHERE datname = '{scene.dsn.dbname}' AND conflicts > 0"
    assert eventually(lambda: standby.execute(counted))
    yield "standby"
    with suppress(OperationalError):  # replay has ended it
        reader.execute("ROLLBACK")
    standby.execute("ALTER SYSTEM RESET max_standby_streaming_delay")
    standby.execute("SELECT pg_reload_conf()")


@fault("stats_reset")
def stats_reset(scene: Scene) -> Iterator[str]:
    scene.execute("SELECT pg_stat_reset()")
    yield ""
