"""Which backups stay: every rule, its boundaries, and what must hold whatever the policy."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from pgops.backup.retention import plan
from pgops.catalog import new_backup_id, time_of
from pgops.fleet import Retention

NOW = datetime(2026, 11, 23, 3, 30, tzinfo=UTC)  # a Monday
NONE = {"keep_last": 1, "keep_days": 0, "keep_weekly": 0, "keep_monthly": 0, "keep_yearly": 0}


def nightly(nights: int, last: datetime = NOW) -> list[str]:
    return [new_backup_id(last - timedelta(days=night, minutes=90)) for night in range(nights)]


def days(backups) -> list[str]:
    return sorted(f"{time_of(backup_id):%Y-%m-%d}" for backup_id in backups)


def test_of_nothing_nothing_is_kept_or_removed():
    assert plan([], Retention(), NOW) == plan([], Retention(**NONE), NOW)
    assert plan([], Retention(), NOW).remove == ()


@pytest.mark.parametrize("count", [1, 3, 10])
def test_by_count(count):
    backups = nightly(10)
    decided = plan(backups, Retention(**NONE | {"keep_last": count}), NOW)
    assert list(decided.keep) == backups[:count]
    assert set(decided.remove) == set(backups[count:])


def test_by_days_the_boundary_is_kept():
    exactly = new_backup_id(NOW - timedelta(days=7))
    older = new_backup_id(NOW - timedelta(days=7, seconds=1))
    newest = new_backup_id(NOW)
    decided = plan([older, exactly, newest], Retention(**NONE | {"keep_days": 7}), NOW)
    assert decided.remove == (older,)


def test_weeks_are_iso_weeks_over_the_years_end():
    """2026-12-28 to 2027-01-03 is one week, 2026-W53; a calendar year in the label would make it two."""
    backups = nightly(30, datetime(2027, 1, 10, 3, 30, tzinfo=UTC))
    decided = plan(backups, Retention(**NONE | {"keep_weekly": 3}), datetime(2027, 1, 10, 4, tzinfo=UTC))
    assert days(decided.keep) == ["2026-12-27", "2027-01-03", "2027-01-10"]


def test_months_and_years_keep_their_newest():
    backups = nightly(800)
    decided = plan(backups, Retention(**NONE | {"keep_monthly": 3, "keep_yearly": 3}), NOW)
    assert days(decided.keep) == ["2024-12-31", "2025-12-31", "2026-09-30", "2026-10-31", "2026-11-23"]
    assert "monthly 2026-11" in decided.keep[backups[0]]


def test_grandfather_father_son_after_a_year_of_nights():
    """Pruned every night, as it happens: the long-term backups must not be eaten before their time."""
    kept: list[str] = []
    policy = Retention(keep_last=3, keep_days=7, keep_weekly=4, keep_monthly=6, keep_yearly=1)
    for night in range(400):
        now = datetime(2025, 10, 20, 2, tzinfo=UTC) + timedelta(days=night)
        kept = list(plan([*kept, new_backup_id(now)], policy, now).keep)
    at_once = plan([new_backup_id(now - timedelta(days=n)) for n in range(400)], policy, now)
    # Whoever prunes every night keeps what whoever prunes once would have kept, and within the same bounds.
    assert set(days(at_once.keep)) <= set(days(kept))
    assert len(kept) <= 3 + 8 + 4 + 6 + 1


def test_both_nights_of_a_clock_change_count_as_nights():
    """Ids are in UTC, so the hour that comes twice in autumn makes two different backups."""
    twice = [new_backup_id(datetime(2026, 10, 25, hour, 30, tzinfo=UTC)) for hour in (0, 1)]
    decided = plan(twice, Retention(**NONE | {"keep_last": 2}), datetime(2026, 10, 25, 3, tzinfo=UTC))
    assert len(decided.keep) == 2
    assert sorted(twice) == twice


def test_days_that_were_skipped_do_not_shrink_what_is_kept():
    """Two months without a run: counts are of backups that exist, so none of them is lost to the calendar."""
    backups = nightly(10, NOW - timedelta(days=60))
    decided = plan(backups, Retention(**NONE | {"keep_last": 3, "keep_weekly": 2}), NOW)
    assert set(backups[:3]) <= set(decided.keep)
    assert len(decided.keep) >= 3


def test_what_holds_whatever_the_policy_and_the_history():
    random_ = random.Random(20261123)
    for _ in range(300):
        moments = {
            NOW - timedelta(minutes=random_.randrange(0, 60 * 24 * 1500)) for _ in range(random_.randrange(1, 60))
        }
        backups = [new_backup_id(moment) for moment in moments]
        random_.shuffle(backups)
        policy = Retention(
            keep_last=random_.randint(1, 10),
            keep_days=random_.randint(0, 60),
            keep_weekly=random_.randint(0, 10),
            keep_monthly=random_.randint(0, 24),
            keep_yearly=random_.randint(0, 4),
        )
        decided = plan(backups, policy, NOW)
        assert set(decided.keep) | set(decided.remove) == set(backups)
        assert not set(decided.keep) & set(decided.remove)
        assert max(backups) in decided.keep
        assert len(decided.keep) >= min(policy.keep_last, len(backups))
        assert all(decided.keep.values())
        young = [one for one in backups if NOW - time_of(one) <= timedelta(days=policy.keep_days)]
        assert set(young) <= set(decided.keep)
        again = plan(list(decided.keep), policy, NOW)
        assert again.remove == ()  # what stayed, stays
        tighter = plan(backups, policy.model_copy(update={"keep_last": 1, "keep_days": 0}), NOW)
        assert set(tighter.keep) <= set(decided.keep)
