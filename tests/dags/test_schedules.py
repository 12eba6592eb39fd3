"""When the scheduled DAGs run, in the fleet's zone: once a night, also when the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pgops.fleet import TuningPolicy, load_fleet
from tests.dags.conftest import read_dags

pytestmark = pytest.mark.airflow


def starts(dag_id: str, begin: datetime, days: int, monkeypatch) -> list[str]:
    """When the scheduler starts runs, by its own rule: a run's successor is computed when the run is made."""
    from airflow.serialization.encoders import coerce_to_core_timetable
    from airflow.timetables import trigger
    from airflow.timetables.base import TimeRestriction

    timetable = coerce_to_core_timetable(read_dags().dags[dag_id].timetable)
    restriction = TimeRestriction(earliest=None, latest=None, catchup=False)
    zone = load_fleet().timezone
    now, last, found = begin, None, []
    while True:
        monkeypatch.setattr(trigger, "utcnow", lambda moment=now: moment)
        info = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=restriction)
        assert info is not None
        if info.run_after > begin + timedelta(days=days):
            return found
        if info.run_after >= begin:
            found.append(f"{info.run_after.in_timezone(zone):%d %H:%M%z}")
        now, last = max(now, info.run_after) + timedelta(seconds=5), info.data_interval


@pytest.mark.parametrize(
    ("begin", "expected"),
    [
        # In spring 02:30 does not exist: the run starts an hour later by the clock, 24 h after the one before.
        (datetime(2026, 3, 27, 12, tzinfo=UTC), ["28 02:30+0100", "29 03:30+0200", "30 02:30+0200"]),
        # In autumn there are two: the second one counts.
        (datetime(2026, 10, 23, 12, tzinfo=UTC), ["24 02:30+0200", "25 02:30+0100", "26 02:30+0100"]),
    ],
    ids=["clocks go forward", "clocks go back"],
)
def test_one_backup_a_night_also_when_the_clocks_change(site, begin, expected, monkeypatch):
    site.fleet(lambda fleet: fleet.update(timezone="Europe/Berlin", schedules={"nightly_backup": "30 2 * * *"}))
    assert starts("nightly_backup", begin, 3, monkeypatch) == expected


@pytest.mark.parametrize("day", [datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 10, 24, 22, tzinfo=UTC)])
def test_the_watch_looks_every_hour_also_when_the_clocks_change(site, day, monkeypatch):
    site.fleet(lambda fleet: fleet.update(timezone="Europe/Berlin"))
    found = starts("backup_watch", day, 1, monkeypatch)
    assert len(found) == len(set(found)) == 24


def test_what_was_changed_in_working_hours_is_measured_by_the_next_days_review(site, monkeypatch):
    found = starts("configuration_review", datetime(2026, 11, 23, 7, tzinfo=UTC), 4, monkeypatch)
    looks = [datetime.strptime(f"2026-11-{one}", "%Y-%m-%d %H:%M%z") for one in found]
    hours = timedelta(hours=TuningPolicy.model_fields["effect_hours"].default)
    for hour in range(8, 18):
        applied = datetime(2026, 11, 23, hour, tzinfo=UTC)
        assert next(look for look in looks if look >= applied + hours).day == 24


def test_unpausing_starts_nothing(site, monkeypatch):
    """Without a start date the first run is the next one by the clock, not the one that was missed."""
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert starts("nightly_backup", noon, 1, monkeypatch) == ["24 02:00+0000"]
