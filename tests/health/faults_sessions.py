"""Faults of sessions, locks and transactions."""

from __future__ import annotations

import threading
from collections.abc import Iterator

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
