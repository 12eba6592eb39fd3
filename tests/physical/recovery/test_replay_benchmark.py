"""The benchmark's replay measures two recoveries of the same WAL, and leaves nothing behind."""

from __future__ import annotations

from pathlib import PurePosixPath

from benchmarks.rig.replay import replay_rounds
from pgops.physical import state
from tests.physical.recovery.sources import Source, backed_up


def test_both_sides_replay_the_same_wal(source: Source):
    backed_up(source)
    source.sql("insert into items select n, repeat('x', 500) from generate_series(90001, 120000) n")
    source.commit_later()
    source.archived()
    [found] = replay_rounds(source.engine, source.place, PurePosixPath(source.place.base / "local"), rounds=1)
    assert found["wal_mb"] >= 2 * 16 and found["replay_engine_s"] > 0
    assert found["replay_vs_local"] == found["replay_local_s"] / found["replay_engine_s"]
    assert state.recoveries(source.place) == []
