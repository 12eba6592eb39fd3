"""How fast WAL is replayed from an engine's archive, beside PostgreSQL replaying it from a local directory."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

from pgops.physical import recover, state
from pgops.physical.intervals import Walk
from pgops.physical.model import BaseBackup, Engine, Host
from pgops.physical.plan import RecoveryPlan, parse_target, plan
from pgops.physical.recoverability import WalReader, survey
from pgops.physical.state import Place


class FromDirectory:
    """The same base backup, with its WAL in a local directory: the floor.

    Args:
        engine: whose base backup it is.
        wal: the directory.
    """

    def __init__(self, engine: Engine, wal: PurePosixPath) -> None:
        self.engine, self.wal, self.name = engine, wal, "cp"

    def fetch(self, backup: BaseBackup, directory: PurePosixPath, host: Host, watch: Callable[[str], None]) -> None:
        self.engine.fetch(backup, directory, host, watch)

    def restore_command(self, host: Host) -> str:
        return f"cp {shlex.quote(str(self.wal))}/%f %p"


def planned(engine: Engine, place: Place) -> RecoveryPlan:
    """From the newest base backup through all the WAL that there is."""
    command = engine.restore_command(place.host)
    found = survey(engine, WalReader(place.host, place.bindir, command, place.base / ".wal"))
    newest = max(found.backups, key=lambda one: one.ended_at)
    return plan("bench", parse_target("latest"), [newest], found.archive, found.possible)


def copied_wal(engine: Engine, place: Place, made: RecoveryPlan, folder: PurePosixPath) -> FromDirectory:
    """Fetch the plan's segments into a local directory, with the engine's own command."""
    place.host.run(["mkdir", "-p", str(folder)])
    walk = Walk(made.timeline, engine.archive())
    command = engine.restore_command(place.host)
    for number in range(walk.number(made.first_wal), walk.number(made.last_wal) + 1):
        name = walk.name(number)
        words = {"%f": name, "%p": shlex.quote(str(folder / name)), "%%": "%"}
        place.host.run(["sh", "-c", re.sub("%[fp%]", lambda found: words[found[0]], command)])  # noqa: B023
    return FromDirectory(engine, folder)


def replay_seconds(engine: Any, place: Place, made: RecoveryPlan) -> float:
    """Recover once from an archive; how long the replay took, the fetching not counted."""
    now = datetime.now(UTC)
    state.remove(place, "replay")
    recovery = recover.prepare(place, "replay", made, now, timedelta(hours=1))
    recovery = recover.restore(place, recovery, engine, lambda line: None)
    recovery = recover.recover(place, recovery, engine, lambda line: None, patience_seconds=0)
    state.remove(place, "replay")
    return recovery.replay_seconds


def replay_rounds(
    engine: Engine, place: Place, folder: PurePosixPath, rounds: int, between: Callable[[], None] = lambda: None
) -> list[dict[str, float]]:
    """The engine's archive and a local directory in turns; replay_vs_local is 1 where the engine costs nothing.

    Args:
        engine: with a base backup, and as much WAL after it as shall be replayed.
        place: where copies are recovered.
        folder: for the segments of the local directory.
        rounds: of both; the order turns from round to round.
        between: what is done before each replay, such as to wait until the machine is quiet.
    """
    made = planned(engine, place)
    local = copied_wal(engine, place, made, folder)
    found = []
    for number in range(rounds):
        one: dict[str, float] = {"wal_mb": made.wal_bytes / 1e6}
        for name, source in (("engine", engine), ("local", local))[:: 1 if number % 2 == 0 else -1]:
            between()
            one[f"replay_{name}_s"] = replay_seconds(source, place, made)
        one["replay_vs_local"] = one["replay_local_s"] / one["replay_engine_s"]
        found.append(one)
    return found
