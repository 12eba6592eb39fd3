"""Faults of sessions, locks and transactions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress

from psycopg2.errors import QueryCanceled

from tests.health.scenes import Scene, fault
from tests.servers import eventually


@fault("connections_used")
def connections_used(scene: Scene) -> Iterator[str]:
    for _ in range(24):  # of the 27 that max_connections = 30 leaves to ordinary roles
        scene.session()
    yield ""


@fault("blocked_sessions", at=0)
def blocked_sessions(scene: Scene) -> Iterator[str]:
    scene.execute("CREATE TABLE wanted ()")
    root = scene.session("the root")
    root.execute("BEGIN; LOCK wanted")
    waiters = [
        threading.Thread(target=scene.session("waiter").execute, args=("BEGIN; LOCK wanted; COMMIT",)) for _ in range(2)
    ]
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    for number, waiter in enumerate(waiters, 1):
        waiter.start()
        assert eventually(lambda number=number: scene.execute(waiting)[0][0] == number)
    yield f"{scene.dsn.dbname} postgres the root"
    root.execute("ROLLBACK")
    for waiter in waiters:
        waiter.join()


@fault("idle_in_transaction", at=0)
def idle_in_transaction(scene: Scene) -> Iterator[str]:
    for _ in range(2):
        scene.session("<b>forgetful</b>").execute("BEGIN; SELECT 1")
    yield f"{scene.dsn.dbname} postgres <b>forgetful</b>"


@fault("old_transactions", at=0)
def old_transactions(scene: Scene) -> Iterator[str]:
    scene.session("slow").execute("BEGIN; SELECT pg_current_xact_id()")
    yield f"{scene.dsn.dbname} postgres slow"


@fault("long_queries", at=0)
def long_queries(scene: Scene) -> Iterator[str]:
    cursor = scene.session("report's")

    def sleep() -> None:
        with suppress(QueryCanceled):
            cursor.execute("SELECT pg_sleep(60)")

    sleeper = threading.Thread(target=sleep)
    sleeper.start()
    running = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    assert eventually(lambda: scene.execute(running)[0][0])
    yield f"{scene.dsn.dbname} postgres report's"
    scene.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    sleeper.join()


@fault("xmin_horizon", at=2)
def xmin_horizon(scene: Scene) -> Iterator[str]:
    scene.execute("BEGIN; CREATE TABLE t (n int); PREPARE TRANSACTION 'nobody''s'")
    for number in range(5):
        scene.execute(f"CREATE TABLE t{number} ()")
    yield "prepared transaction 'nobody''s'"
    scene.execute("ROLLBACK PREPARED 'nobody''s'")


@fault("prepared_transactions", at=0)
def prepared_transactions(scene: Scene) -> Iterator[str]:
    scene.execute("BEGIN; CREATE TABLE t (n int); PREPARE TRANSACTION '<i>'")
    yield f"{scene.dsn.dbname} '<i>'"
    scene.execute("ROLLBACK PREPARED '<i>'")


@fault("connection_limits")
def connection_limits(scene: Scene) -> Iterator[str]:
    scene.execute(f"ALTER DATABASE {scene.dsn.dbname} CONNECTION LIMIT 5")
    for _ in range(5):
        scene.session()
    yield f"DATABASE {scene.dsn.dbname}"
    scene.execute(f"ALTER DATABASE {scene.dsn.dbname} CONNECTION LIMIT -1")
