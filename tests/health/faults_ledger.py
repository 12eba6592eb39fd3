"""Faults that the ledger knows: backups and drills that are missing, old or bad."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pgops.ledger import Ledger
from tests.health.scenes import Scene, fault, record_backup, record_drill


@contextmanager
def emptied(scene: Scene) -> Iterator[Ledger]:
    """The ledger, which knows nothing of the scene's database, and will not afterwards."""
    ledger = Ledger(scene.ledger)
    try:
        yield ledger
    finally:
        with ledger.session() as connection, connection.cursor() as cursor:
            for table in ("backups", "drills"):
                cursor.execute(f"DELETE FROM pgops.{table} WHERE database = %s", (scene.target.name,))


@fault("backup_age")
def backup_age(scene: Scene) -> Iterator[str]:
    with emptied(scene) as ledger:
        record_backup(ledger, scene.target.name, "old", hours=30)
        record_backup(ledger, scene.target.name, "refuted", hours=2)
        record_drill(ledger, scene.target.name, "refuted", hours=1, passed=False)
        yield ""


def has_backup(scene: Scene) -> None:
    record_backup(Ledger(scene.ledger), scene.target.name, "refuted", hours=2)


@fault("backup_missing", before=has_backup)
def backup_missing(scene: Scene) -> Iterator[str]:
    with emptied(scene) as ledger:
        record_drill(ledger, scene.target.name, "refuted", hours=1, passed=False)
        yield ""


@fault("backup_shrunk")
def backup_shrunk(scene: Scene) -> Iterator[str]:
    with emptied(scene) as ledger:
        record_backup(ledger, scene.target.name, "full", hours=30, rows=1000)
        record_backup(ledger, scene.target.name, "hollow", hours=6, rows=100)
        yield ""


@fault("drill_age")
def drill_age(scene: Scene) -> Iterator[str]:
    with emptied(scene) as ledger:
        record_drill(ledger, scene.target.name, "old", hours=11 * 24)
        record_drill(ledger, scene.target.name, "new", hours=1, passed=False)
        yield ""


def has_drill(scene: Scene) -> None:
    record_drill(Ledger(scene.ledger), scene.target.name, "old", hours=30)


@fault("drill_missing", before=has_drill)
def drill_missing(scene: Scene) -> Iterator[str]:
    with emptied(scene):
        pass  # its drills were of another ledger
    with emptied(scene) as ledger:
        record_drill(ledger, scene.target.name, "new", hours=1, passed=False)
        yield ""


@fault("drill_failed")
def drill_failed(scene: Scene) -> Iterator[str]:
    with emptied(scene) as ledger:
        record_drill(ledger, scene.target.name, "old", hours=30)
        record_drill(ledger, scene.target.name, "new", hours=1, passed=False)
        yield ""
