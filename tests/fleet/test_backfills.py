"""What the fleet file says about backfills: windows of time that people can read, and limits that make sense."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from pgops.fleet.windows import window
from tests.fleet.test_loader import GOOD, changed, load, refusal

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).astimezone(UTC)


def until(text: str, moment: datetime, zone: ZoneInfo = BERLIN) -> str | None:
    end = window(text).until(moment, zone)
    return end and f"{end.astimezone(zone):%a %H:%M}"


# 2026-03-02 is a Monday.
@pytest.mark.parametrize(
    ("text", "moment", "expected"),
    [
        ("Mon-Fri 09:00-17:00", "2026-03-02T09:00", "Mon 17:00"),
        ("Mon-Fri 09:00-17:00", "2026-03-02T16:59:59", "Mon 17:00"),
        ("Mon-Fri 09:00-17:00", "2026-03-02T17:00", None),
        ("Mon-Fri 09:00-17:00", "2026-03-02T08:59:59", None),
        ("Mon-Fri 09:00-17:00", "2026-03-07T12:00", None),
        ("mon-fri 09:00-17:00", "2026-03-06T12:00", "Fri 17:00"),
        ("Fri-Mon 10:00-11:00", "2026-03-08T10:30", "Sun 11:00"),
        ("Fri-Mon 10:00-11:00", "2026-03-04T10:30", None),
        ("Sat,Sun 00:00-24:00", "2026-03-07T23:59", "Sun 00:00"),
        ("Sat,Sun 00:00-24:00", "2026-03-09T00:00", None),
        ("Mon,Wed-Thu 10:00-11:00", "2026-03-05T10:00", "Thu 11:00"),
        ("22:30-01:00", "2026-03-03T00:59", "Tue 01:00"),
        ("22:30-01:00", "2026-03-02T22:30", "Tue 01:00"),
        ("22:30-01:00", "2026-03-03T01:00", None),
        ("Fri 22:00-02:00", "2026-03-07T01:00", "Sat 02:00"),
        ("Fri 22:00-02:00", "2026-03-06T01:00", None),
        ("Sun 22:00-02:00", "2026-03-02T01:00", "Mon 02:00"),
    ],
)
def test_a_window_is_what_its_text_says(text, moment, expected):
    assert until(text, at(moment)) == expected


def test_a_window_follows_the_clock_on_the_wall_in_summer_and_winter():
    for day in ("2026-01-12", "2026-07-13"):
        assert until("Mon 09:00-17:00", at(f"{day}T09:00")) == "Mon 17:00"
        assert until("Mon 09:00-17:00", at(f"{day}T08:59")) is None


def test_in_the_night_when_an_hour_comes_twice_the_window_lasts_to_its_second_end():
    # 2026-10-25 03:00 CEST is 02:00 CET again.
    for fold in (0, 1):
        assert until("01:00-02:30", at("2026-10-25T02:15", fold=fold)) == "Sun 02:30"
    assert until("01:00-02:30", at("2026-10-25T02:45", fold=0)) == "Sun 02:30"
    assert until("01:00-02:30", at("2026-10-25T02:45", fold=1)) is None
    assert until("02:00-04:00", at("2026-10-25T02:00", fold=0)) == "Sun 04:00"


def test_in_the_night_when_an_hour_is_missing_the_window_around_it_still_holds():
    # 2026-03-29 02:00 CET is 03:00 CEST.
    assert until("01:00-04:00", at("2026-03-29T01:30")) == "Sun 04:00"
    assert until("01:00-04:00", at("2026-03-29T03:30")) == "Sun 04:00"
    assert until("01:00-04:00", at("2026-03-29T04:00")) is None
    assert until("01:00-02:30", at("2026-03-29T01:59")) == "Sun 03:30"  # its end is no time of that night


@pytest.mark.parametrize(
    "text",
    [
        *("", "Mon", "09:00", "Mon-Fri", "Mon 9:00-17:00", "Moon 09:00-17:00", "09:00-25:00", "09:60-10:00"),
        *("24:00-01:00", "09:00-09:00", "Mon- 09:00-17:00", "Mon Fri 09:00-17:00", "09:00-17:00 Mon", "24:30-24:40"),
    ],
)
def test_what_is_no_window_is_refused_with_an_example(text):
    with pytest.raises(ValueError) as caught:
        window(text)
    assert "09:00" in str(caught.value) or "24:00" in str(caught.value)


def backfill(tmp_path, **keys):
    return load(tmp_path, changed("databases", 0, "backfill", to={"connection": "pg_app_owner", **keys}))


def test_a_policy_has_sound_defaults(tmp_path):
    policy = backfill(tmp_path).database("app").backfill
    assert (policy.batch_ms, policy.max_lag_mb, policy.on_error) == (3, 16, "stop")
    assert load(tmp_path, GOOD).database("app").backfill is None


@pytest.mark.parametrize(
    ("keys", "key", "fact"),
    [
        ({"max_lag": 3}, "backfill.max_lag", "no key 'max_lag'"),
        ({"on_error": "ignore"}, "backfill.on_error", "'ignore'"),
        ({"blackouts": ["Mon-Fri 9-17"]}, "backfill.blackouts", "no window of time"),
        ({"max_lag_mb": 2000}, "backfill", "critical_lag_mb has to be above max_lag_mb"),
        ({"batch_ms": 0}, "backfill.batch_ms", "0"),
        ({"latency": {"factor": 1}}, "backfill.latency.factor", "1"),
        ({"standbys": [""]}, "backfill.standbys", "application_name"),
        ({"connection": None}, "backfill.connection", "None"),
    ],
)
def test_a_bad_policy_is_refused_with_key_and_fact(tmp_path, keys, key, fact):
    error = refusal(backfill(tmp_path, **keys))
    assert key in error.where and fact in error.what
