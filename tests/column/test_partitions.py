"""The index of a partitioned table: built on each partition while the application goes on, from any half-done state."""

from __future__ import annotations

import pytest

from pgops.column import ColumnSpec, next_steps, state, undo_steps
from pgops.errors import Refused
from pgops.postgres import Dsn
from tests.column.test_steps import do, execute, names, spec

TREE = """
CREATE SCHEMA old;
CREATE TABLE events (id int, email text) PARTITION BY RANGE (id);
CREATE TABLE "events 1" PARTITION OF events FOR VALUES FROM (0) TO (100);
CREATE TABLE old.events_2 (email text, dropped int, id int);
ALTER TABLE old.events_2 DROP COLUMN dropped;
ALTER TABLE events ATTACH PARTITION old.events_2 FOR VALUES FROM (100) TO (200);
CREATE TABLE events_3 PARTITION OF events FOR VALUES FROM (200) TO (400) PARTITION BY RANGE (id);
CREATE TABLE events_3a PARTITION OF events_3 FOR VALUES FROM (200) TO (300);
INSERT INTO events SELECT g, 'E' || g FROM generate_series(1, 290) g;
"""
WHOLE = [
    *("create parent index", "create parent index", "attach index"),
    *("create index", "attach index") * 3,
]


@pytest.fixture
def each(each_database) -> Dsn:
    execute(each_database, TREE)
    return each_database


@pytest.fixture
def wanted() -> ColumnSpec:
    return spec(table="events", default="''")


def index_names(dsn: Dsn, wanted: ColumnSpec) -> list[str]:
    return [name for name in names(dsn, wanted) if "index" in name]


def first(dsn: Dsn, wanted: ColumnSpec, count: int) -> None:
    """Do some steps, reading the state anew before each, as the DAG does."""
    for _ in range(count):
        do(dsn, wanted, next_steps(state(dsn, wanted), wanted)[0])


def finish(dsn: Dsn, wanted: ColumnSpec) -> None:
    while steps := next_steps(state(dsn, wanted), wanted):
        do(dsn, wanted, steps[0])


def indexes(dsn: Dsn) -> list[tuple]:
    return execute(
        dsn,
        "SELECT indrelid::regclass::text, indexrelid::regclass::text, indisvalid FROM pg_index"
        " WHERE indrelid IN (SELECT relid FROM pg_partition_tree('events')) ORDER BY 1",
    )


def assert_complete(dsn: Dsn) -> None:
    assert indexes(dsn) == [
        ('"events 1"', '"events 1_phone_idx"', True),
        ("events", "events_phone_idx", True),
        ("events_3", "events_3_phone_idx", True),
        ("events_3a", "events_3a_phone_idx", True),
        ("old.events_2", "old.events_2_phone_idx", True),
    ]
    tree = "SELECT count(*) FROM pg_partition_tree('events_phone_idx')"
    assert execute(dsn, tree) == [(5,)]


def test_every_partition_gets_its_index_and_from_any_point_it_goes_on(each, wanted):
    assert names(each, wanted) == ["add column with its default", *WHOLE, "analyze"]
    first(each, wanted, 1)
    for done in range(len(WHOLE)):
        assert index_names(each, wanted) == WHOLE[done:]
        first(each, wanted, 1)
    assert_complete(each)
    finish(each, wanted)
    assert names(each, wanted) == []


def test_a_plan_read_once_is_carried_out_to_the_same_end(each, wanted):
    for step in next_steps(state(each, wanted), wanted):
        do(each, wanted, step)
    assert_complete(each)
    assert names(each, wanted) == []


def test_an_invalid_index_of_a_partition_is_dropped_and_built_anew(each, wanted):
    first(each, wanted, 4)
    execute(each, 'CREATE INDEX "events 1_phone_idx" ON "events 1" (phone)')
    execute(
        each,
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = '\"events 1_phone_idx\"'::regclass",
    )
    assert index_names(each, wanted)[2:5] == ["drop invalid index", "create index", "attach index"]
    finish(each, wanted)
    assert_complete(each)


def test_a_partition_that_comes_meanwhile_brings_its_index(each, wanted):
    first(each, wanted, 4)
    execute(each, "CREATE TABLE events_3b PARTITION OF events_3 FOR VALUES FROM (300) TO (400)")
    execute(each, "CREATE TABLE events_4 PARTITION OF events FOR VALUES FROM (400) TO (500)")
    finish(each, wanted)
    assert [valid for _, _, valid in indexes(each)] == [True] * 7


def test_what_is_in_the_way_is_refused(each, wanted):
    first(each, wanted, 1)
    execute(each, "CREATE TABLE old.events_2_phone_idx ()")
    with pytest.raises(Refused, match=r"another relation named old\.events_2_phone_idx"):
        names(each, wanted)
    execute(each, "DROP TABLE old.events_2_phone_idx")
    first(each, wanted, 3)
    execute(each, 'CREATE INDEX mine ON "events 1" (phone)')
    execute(each, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'mine'::regclass")
    execute(each, "ALTER INDEX events_phone_idx ATTACH PARTITION mine")
    with pytest.raises(Refused, match=r"public\.mine is invalid, and part of"):
        names(each, wanted)


def test_a_partition_on_another_server_is_refused_before_anything_is_touched(each, wanted):
    execute(each, "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w")
    execute(each, "CREATE FOREIGN TABLE far PARTITION OF events FOR VALUES FROM (900) TO (999) SERVER s")
    with pytest.raises(Refused, match=r"public\.far lies on another server"):
        names(each, wanted)


@pytest.mark.parametrize("done", [3, 6])
def test_undone_half_way_no_index_is_left(each, done):
    wanted = spec(table="events", default="''", not_null=False)
    first(each, wanted, done)
    for step in undo_steps(state(each, wanted), wanted):
        do(each, wanted, step)
    assert indexes(each) == []
