"""Faults of replication, slots and the archive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.health.scenes import Scene, fault
from tests.servers import eventually


@contextmanager
def physical_slot(scene: Scene, name: str) -> Iterator[None]:
    scene.execute(f"SELECT pg_create_physical_replication_slot('{name}', true)")
    try:
        yield
    finally:
        scene.execute(f"SELECT pg_drop_replication_slot('{name}')")


def switch_wal(scene: Scene, times: int = 1) -> None:
    for _ in range(times):
        scene.execute("SELECT pg_logical_emit_message(false, 'tests', 'x'); SELECT pg_switch_wal()")


@contextmanager
def setting(scene: Scene, name: str, value: str) -> Iterator[None]:
    scene.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    scene.execute("SELECT pg_reload_conf()")
    shown = f"SELECT setting FROM pg_settings WHERE name = '{name}'"
    assert eventually(lambda: scene.execute(shown)[0][0] == value)
    try:
        yield
    finally:
        scene.execute(f"ALTER SYSTEM RESET {name}")
        scene.execute("SELECT pg_reload_conf()")
        assert eventually(lambda: scene.execute(shown)[0][0] != value)


@fault("standby_lag", at=0)
def standby_lag(scene: Scene) -> Iterator[str]:
    scene.standby.wait_until_caught_up()
    scene.standby.execute("SELECT pg_wal_replay_pause()")
    scene.execute("CREATE TABLE later ()")
    behind = "SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()"
    assert eventually(lambda: scene.standby.execute(behind)[0][0])
    yield "standby"
    scene.standby.execute("SELECT pg_wal_replay_resume()")


@fault("standby_lag_bytes", at=1000)
def standby_lag_bytes(scene: Scene) -> Iterator[str]:
    scene.standby.wait_until_caught_up()
    scene.standby.execute("SELECT pg_wal_replay_pause()")
    scene.execute("CREATE TABLE later AS SELECT n FROM generate_series(1, 1000) n")
    yield "standby 127.0.0.1"
    scene.standby.execute("SELECT pg_wal_replay_resume()")


@fault("standby_missing")
def standby_missing(scene: Scene) -> Iterator[str]:
    scene.standby.stop("immediate")
    assert eventually(lambda: not scene.execute("SELECT 1 FROM pg_stat_replication"))
    yield ""
    scene.standby.start()


@fault("slot_inactive")
def slot_inactive(scene: Scene) -> Iterator[str]:
    scene.facts["slot_idle_minutes"] = "0"
    with physical_slot(scene, "nobody"):
        yield "nobody"


@fault("slot_retained_wal", at=2**24)
def slot_retained_wal(scene: Scene) -> Iterator[str]:
    with physical_slot(scene, "nobody"):
        switch_wal(scene, 3)
        yield "nobody"


@fault("slot_lost")
def slot_lost(scene: Scene) -> Iterator[str]:
    with physical_slot(scene, "nobody"):
        switch_wal(scene, 3)
        scene.catch_up()  # else the standby's slot is lost too
        with setting(scene, "max_slot_wal_keep_size", "1"):
            scene.execute("CHECKPOINT")
            yield "nobody"


@fault("replication_places")
def replication_places(scene: Scene) -> Iterator[str]:
    with physical_slot(scene, "a"), physical_slot(scene, "b"), physical_slot(scene, "c"), physical_slot(scene, "d"):
        yield "max_replication_slots"


@fault("sync_standby_missing")
def sync_standby_missing(scene: Scene) -> Iterator[str]:
    with setting(scene, "synchronous_standby_names", "nobody"):
        yield ""


@contextmanager
def failing_archiver(scene: Scene) -> Iterator[None]:
    with setting(scene, "archive_command", "/bin/false"):
        switch_wal(scene)
        failed = "SELECT last_failed_time > coalesce(last_archived_time, '-infinity') FROM pg_stat_archiver"
        assert eventually(lambda: scene.execute(failed)[0][0])
        yield
    switch_wal(scene)
    assert eventually(lambda: not scene.execute(failed)[0][0], 90)


@fault("archiver_failing")
def archiver_failing(scene: Scene) -> Iterator[str]:
    with failing_archiver(scene):
        yield ""


@fault("archive_waiting_files", at=0)
def archive_waiting_files(scene: Scene) -> Iterator[str]:
    with failing_archiver(scene):
        yield ""


@fault("archive_waiting_time", at=0)
def archive_waiting_time(scene: Scene) -> Iterator[str]:
    with failing_archiver(scene):
        yield ""
