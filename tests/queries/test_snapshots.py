"""Snapshots of pg_stat_statements: what is counted, what is not, and what could not be told."""

from __future__ import annotations


def test_only_what_was_done_since_the_snapshot_before_is_counted(stage):
    stage.execute("CREATE TABLE t (a int)", "SELECT * FROM t WHERE a = 1")
    first = stage.snapshot()
    assert (first.since, first.moved) == (None, 0) and "counting begins" in first.notes[0]
    stage.execute("SELECT * FROM t WHERE a = 2", "SELECT * FROM t WHERE a = 3")
    second = stage.snapshot()
    assert second.since == first.at and second.notes == ()
    assert stage.deltas("SELECT * FROM t%") == [(2, 0)]
    assert stage.snapshot().moved == 0
