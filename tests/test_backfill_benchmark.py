"""`./dev bench backfill` computes what its documentation says, and its strategies do the same work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.backfill import Goal, felt, flatness, speeds
from benchmarks.rig.backfills import MODES, STRATEGIES, Beside, Cost, Load, beside, cost
from benchmarks.rig.ground import Ground
from benchmarks.rig.people import DATABASE, People
from sandbox.postgres import PostgresServer

ROWS = 20_000


def took(seconds: float, buffers: float = 7, cpu_us: float = 3) -> Cost:
    return Cost(1000, seconds, 0.1, cpu_us, buffers, 1, 1)


def test_a_backfill_is_as_many_times_as_fast_as_the_others_take_longer() -> None:
    seconds = {"source": 30.0, "source_no_sleep": 12.0, "single_update": 6.0, "create_table_as": 2.0}
    seconds |= {"ours": 8.0, "ours_two": 4.0, "ours_no_vacuum": 6.0}
    assert set(seconds) == set(STRATEGIES)
    assert speeds({(name, 1000): took(each) for name, each in seconds.items()}, 1000) == {
        "vs_source_loop": 3.75,
        "vs_source_loop_no_sleep": 1.5,
        "two_workers_vs_source_no_sleep": 3.0,
        "vs_single_update": 0.75,
        "vs_single_update_no_vacuum": 1.0,
        "two_workers": 2.0,
        "vs_create_table_as": 0.25,
    }


def test_flatness_is_what_the_dearest_size_costs_beyond_the_cheapest() -> None:
    rounds = [{("ours", 1): took(1, 7, 2), ("ours", 2): took(1, 7.7, 3)}]
    assert flatness(rounds, [1, 2]) == pytest.approx({"flatness": 0.5, "buffers_flatness": 0.1, "cpu_flatness": 0.5})


def test_what_the_application_felt_is_set_against_no_backfill_and_against_the_documents() -> None:
    def mode(rate: float, p99: float, worst: float) -> Beside:
        return Beside(int(rate * 10), 10, 4000, 1, 1, p99, worst, 1, 1, {})

    pair = dict(zip(MODES, [mode(0, 4, 8), mode(100, 20, 120), mode(250, 6, 12)], strict=True))
    assert felt(pair) == {
        "rate_vs_source_under_load": 2.5,
        "p99_vs_idle": 1.5,
        "max_vs_source": 0.1,
        "source_p99_vs_idle": 5.0,
    }


def test_a_goal_that_is_missed_says_so() -> None:
    fast, short = Goal(1.4, at_least=True), Goal(1.5, at_least=False)
    assert [goal.said(figure)[-6:] for goal, figure in ((fast, 1.39), (short, 1.51))] == ["MISSED"] * 2
    assert [goal.said(figure)[-5:] for goal, figure in ((fast, 1.4), (short, 1.5))] == [": met"] * 2


@pytest.fixture
def place(postgres: PostgresServer, tmp_path: Path) -> Iterator[Ground]:
    (tmp_path / "tmp").mkdir()
    no_store: Any = None
    try:
        yield Ground(postgres, no_store, tmp_path, on_memory=False)
    finally:
        postgres.execute(f"drop database if exists {DATABASE} with (force)")


def test_every_strategy_changes_all_rows_to_the_same_and_what_it_cost_is_measured(place: Ground) -> None:
    people = People(place.server)
    people.make(ROWS)
    results = set()
    for strategy in ("source_no_sleep", "single_update", "ours", "ours_two"):
        measured = cost(place, people, strategy, ROWS, settle=0)
        assert measured.buffers > 1 and measured.cpu_us > 0 and measured.wal_mb > 1, strategy
        results.add(str(people.execute("select tier, count(*), sum(id) from people group by tier order by tier")))
    assert len(results) == 1


@pytest.mark.parametrize("mode", MODES)
def test_the_application_is_listened_to_for_as_long_as_asked_and_with_a_backfill_at_work(
    place: Ground, mode: str
) -> None:
    people = People(place.server)
    people.make(ROWS)
    measured = beside(place, people, mode, Load(ROWS, seconds=1, baseline=0.2, settle=0))
    assert measured.seconds >= 0.99
    assert (measured.rows > 0) == (mode != "idle")
    assert measured.requests > 0 and measured.worst >= measured.p99 >= measured.p50 > 0
