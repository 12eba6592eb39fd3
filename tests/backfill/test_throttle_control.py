"""The law of the controller: what it waits for, how it slows down and recovers, and what it never does."""

from __future__ import annotations

import pytest

from pgops.backfill.pace import Go, Stop, Unthrottled, Wait
from pgops.backfill.throttle.board import Board
from pgops.backfill.throttle.control import Controller, Law, at_speed, next_ratio, sleep_seconds
from pgops.backfill.throttle.readings import Reading
from pgops.backfill.throttle.replication import StandbyLag
from pgops.backfill.throttle.server import Wraparound
from tests.backfill.throttles import LEAST_SLEEP, Clock, Told, controller


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told(clock) -> Told:
    return Told(clock)


def test_the_sleep_grows_by_half_while_red_and_melts_by_a_twelfth_while_green():
    assert next_ratio(1.0, True, 0.05, 8) == 1.5
    assert next_ratio(1.0, False, 0.05, 8) == pytest.approx(0.92)


def test_the_sleep_stays_between_floor_and_ceiling():
    ratio = LEAST_SLEEP
    for _ in range(100):
        ratio = next_ratio(ratio, True, LEAST_SLEEP, 8)
    assert ratio == 8
    for _ in range(200):
        ratio = next_ratio(ratio, False, LEAST_SLEEP, 8)
    assert ratio == LEAST_SLEEP


@pytest.mark.parametrize("ratio", [0.05, 1, 8, 1000])
@pytest.mark.parametrize(("rows", "ms"), [(1, 40), (100, 40), (5000, 40), (100, 5000)])
def test_the_rate_never_falls_below_the_floor_of_progress_unless_the_batch_itself_is_slower(ratio, rows, ms):
    seconds = ms / 1000 + sleep_seconds(rows, ms, ratio, 200)
    assert rows / seconds >= min(200, rows / (ms / 1000)) * 0.999


def test_a_batch_without_rows_sleeps_by_its_ratio_and_without_a_floor_nothing_is_cut():
    assert sleep_seconds(0, 100, 2, 200) == pytest.approx(0.2)
    assert sleep_seconds(1, 100, 8, 0) == pytest.approx(0.8)


@pytest.mark.parametrize(("speed", "whole"), [(1, 0.2), (0.5, 0.4), (0.1, 2.0), (2, 0.1), (100, 0.1)])
def test_the_operators_speed_scales_batch_and_sleep_together(speed, whole):
    assert 0.1 + at_speed(100, 0.1, speed) == pytest.approx(whole)


def test_all_green_goes_and_sleeps_as_little_as_the_policy_allows(clock, told):
    pace = controller(clock, told)
    told.say(("lag", "green", True))
    assert pace.before_batch() == Go()
    assert pace.after_batch(1000, 40, 0) == pytest.approx(0.04 * LEAST_SLEEP)
    assert pace.reasons() == {}


def test_a_hard_red_waits_for_as_long_as_it_lasts_and_its_seconds_are_counted(clock, told):
    pace = controller(clock, told)
    told.say(("lag", "red", True))
    assert isinstance(pace.before_batch(), Wait)
    clock.at += 3
    assert pace.before_batch() == Wait("lag is red", 0.25)
    clock.at += 2
    assert pace.reasons() == {"lag": 5.0}
    told.say(("lag", "green", True))
    clock.at += 1
    assert pace.before_batch() == Go()
    clock.at += 100
    assert pace.reasons() == {"lag": 6.0}


def test_a_change_of_reason_is_counted_for_each(clock, told):
    pace = controller(clock, told)
    told.say(("lag", "red", True), ("blocked", "red", True))
    pace.before_batch()
    clock.at += 4
    told.say(("lag", "green", True), ("blocked", "red", True))
    assert pace.before_batch() == Wait("blocked is red", 0.25)
    clock.at += 1
    assert pace.reasons() == {"lag": 4.0, "blocked": 1.0}


def test_a_soft_red_never_waits_but_slows_down_and_the_first_reason_counts(clock, told):
    pace = controller(clock, told)
    told.say(("lag", "green", True), ("latency", "red", False), ("connections", "red", False))
    slept = 0.0
    for _ in range(20):
        assert pace.before_batch() == Go()
        slept += pace.after_batch(1000, 40, 0)
    assert pace.ratio == 8
    assert pace.reasons() == {"latency": pytest.approx(slept)}


def test_latency_alone_never_starves(clock, told):
    pace = controller(clock, told, ceiling=1000, floor=500)
    told.say(("latency", "red", False))
    rows, seconds = 0, 0.0
    for _ in range(200):
        assert pace.before_batch() == Go()
        seconds += 0.04 + pace.after_batch(100, 40, 0)
        rows += 100
    assert rows / seconds >= 500 * 0.999


def test_an_episode_of_waiting_slows_down_once_and_not_with_every_question(clock, told):
    pace = controller(clock, told)
    told.say(("lag", "red", True))
    for _ in range(50):
        pace.before_batch()
    assert pace.ratio == pytest.approx(LEAST_SLEEP * 1.5)


def test_a_critical_reading_stops_also_behind_a_red_one_and_if_it_is_soft(clock, told):
    pace = controller(clock, told)
    told.say(("lag", "red", True), ("disk", "critical", False))
    assert pace.before_batch() == Stop("disk is critical")


def test_what_was_written_since_the_last_look_counts_as_lag_and_so_does_the_batch_that_is_to_come(clock, told):
    pace = controller(clock, told, lag_limit=lambda: 100, lag_name="lag")
    told.say(("lag", "green", True), figure=40)
    clock.at += 0.01
    pace.after_batch(1, 1, 25)
    assert pace.before_batch() == Go()
    pace.after_batch(1, 1, 25)
    held = pace.before_batch()
    assert isinstance(held, Wait) and "written since" in held.reason
    clock.at += 0.01
    told.say(("lag", "green", True), figure=40)  # a new look knows better
    assert pace.before_batch() == Go()


def test_what_was_written_while_a_look_took_its_time_counts_too(clock, told):
    signal = StandbyLag(1, 2)
    board = Board([signal], 60, clock)
    pace = Controller(Law(LEAST_SLEEP, 8, 0), board.observed, clock, lag_limit=lambda: 100, lag_name=signal.name)
    asked = clock.at
    clock.at += 0.5
    pace.after_batch(1, 1, 90)
    clock.at += 0.5
    board.put(signal, Reading(signal.name, "green", 40, 100, "as it was half a second ago"), asked)
    assert isinstance(pace.before_batch(), Wait)
    board.put(signal, Reading(signal.name, "green", 40, 100, "as it is now"))
    assert pace.before_batch() == Go()


def test_batches_that_write_more_than_the_limit_wait_until_the_standby_is_near_and_no_longer(clock, told):
    pace = controller(clock, told, lag_limit=lambda: 100, lag_name="lag")
    told.say(("lag", "green", True), figure=0)
    pace.after_batch(1, 1, 1000)
    clock.at += 0.01
    told.say(("lag", "green", True), figure=51)
    assert isinstance(pace.before_batch(), Wait)
    told.say(("lag", "green", True), figure=50)
    assert pace.before_batch() == Go()


def test_nobody_following_means_no_projected_lag(clock, told):
    pace = controller(clock, told, lag_limit=lambda: None, lag_name="lag")
    told.say(("lag", "green", True), figure=0)
    pace.after_batch(1, 1, 10**12)
    assert pace.before_batch() == Go()


def test_a_database_is_idle_only_while_no_batch_runs(clock, told):
    pace = controller(clock, told)
    told.say(("lag", "green", True))
    pace.before_batch()
    clock.at += 60
    assert pace.idle_seconds() == 0  # one long batch is no pause
    pace.after_batch(1, 60_000, 0)
    clock.at += 5
    assert pace.idle_seconds() == 5


def test_without_a_throttle_nothing_waits():
    assert Unthrottled().before_batch() == Go()
    assert Unthrottled().after_batch(1, 1, 1) == 0


def test_a_signal_that_fails_is_red_at_once_and_critical_when_it_lasts(clock):
    signal = Wraparound()
    board = Board([signal], 60, clock)
    board.put(signal, Reading(signal.name, "green", 1, 2, "fine"))
    board.failed(signal, "syntax error")
    [seen] = board.observed()
    assert (seen.reading.level, seen.hard, "syntax error" in seen.reading.words) == ("red", True, True)
    clock.at += 61
    board.failed(signal, "syntax error")
    assert board.observed()[0].reading.level == "critical"
    board.put(signal, Reading(signal.name, "green", 1, 2, "fine"))
    assert board.observed()[0].reading.level == "green"


def test_a_signal_that_nobody_reads_any_more_does_not_stay_green(clock):
    signal = Wraparound()
    board = Board([signal], 60, clock)
    assert board.observed()[0].reading.level == "red"  # never read at all
    board.put(signal, Reading(signal.name, "green", 1, 2, "fine"))
    clock.at += 26
    [seen] = board.observed()
    assert (seen.reading.level, "does not answer" in seen.reading.words) == ("red", True)
    clock.at += 60
    assert board.observed()[0].reading.level == "critical"
