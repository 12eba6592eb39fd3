"""What a change did is measured by the next review, once, and never over counters that began anew."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

from pgops.alerts.tuning import ConfigurationNews, configuration_message
from pgops.tuning import records
from pgops.tuning.effect import compare, counters
from pgops.tuning.page import html_page
from pgops.tuning.table import table
from tests.tuning.reviews import Stand

START = datetime(2026, 3, 2, tzinfo=UTC)


def counted(hours: float, **more: float) -> dict:
    at = START + timedelta(hours=hours)
    zero = dict.fromkeys(
        (
            "checkpoints_requested",
            "checkpoints_timed",
            "temp_bytes",
            "wal_bytes",
            "commits",
            "blocks_hit",
            "blocks_read",
        ),
        0.0,
    )
    return {"at": at.isoformat(), "started": START.isoformat(), "since": START.isoformat(), **zero, **more}


def test_rates_before_and_after_stand_side_by_side():
    earlier, baseline = counted(0), counted(10, temp_bytes=1000.0, blocks_hit=90.0, blocks_read=10.0)
    present = counted(30, temp_bytes=1200.0, blocks_hit=190.0, blocks_read=10.0)
    effect = compare("plan", ["work_mem"], START, earlier, baseline, present)
    figures = {one.name: (one.before, one.after) for one in effect.figures}
    assert figures["temporary files an hour"] == (100, 10)
    assert figures["cache hit"] == (90, 100)
    assert effect.hours == 20 and effect.notes == ()


def test_counters_that_began_anew_are_said_and_not_compared():
    reset = {**counted(30), "since": (START + timedelta(hours=20)).isoformat()}
    effect = compare("plan", ["work_mem"], START, None, counted(10, commits=5.0), reset)
    assert all(one.after is None for one in effect.figures)
    assert any("began anew" in note for note in effect.notes)
    dropped = compare("plan", ["jit"], START, None, counted(10, commits=50.0), counted(20, commits=5.0))
    assert all(one.after is None for one in dropped.figures)


def test_the_next_review_measures_once(stand: Stand):
    first = counters(stand.dsn)
    assert first["wal_bytes"] >= 0 and first["checkpoints_requested"] >= 0
    _review_of_yesterday(stand, {**first, "at": (datetime.now(UTC) - timedelta(days=1)).isoformat(), "commits": 0})
    plan = stand.planned("work_mem")
    stand.apply(plan)
    stand.execute(
        "CHECKPOINT", "CREATE TABLE t AS SELECT generate_series(1, 100000) AS n", "DROP TABLE t", "CHECKPOINT"
    )
    stand.execute("SELECT pg_sleep(1.1)")  # a rate needs a second
    looked = stand.look()
    (effect,) = looked.effects
    way_back = f"mode reverse with change {plan.id}"
    assert any(way_back in line for line in table(looked)) and way_back in html_page(looked)
    assert way_back in str(configuration_message(ConfigurationNews((looked,), looked.at, "")).blocks)
    figures = {one.name: one for one in effect.figures}
    assert (effect.plan, effect.settings) == (plan.id, ("work_mem",))
    assert (figures["WAL an hour"].after or 0) > 0
    assert 0 < (figures["commits an hour"].before or 0) < first["commits"], "over the day, not over the last second"
    assert stand.look().effects == ()


def test_what_was_taken_back_has_no_effect_to_measure(stand: Stand):
    plan = stand.planned("work_mem")
    stand.apply(plan)
    stand.apply(stand.planned_reverse(plan))
    assert stand.look().effects == ()


def _review_of_yesterday(stand: Stand, figures: dict) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    records.record_review(stand.ledger, f"run-{secrets.token_hex(6)}", stand.name, yesterday, (), figures, None)
