"""What the lists of an archive allow, and the refusals that say what is possible instead."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pgops.errors import Refused
from pgops.physical.intervals import restorable
from pgops.physical.model import BaseBackup, WalArchive
from pgops.physical.plan import Rates, parse_target, plan
from pgops.physical.wal import branches, lsn, lsn_text, number_of, segment

MB16 = 16 << 20
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def backup(name: str, first: int, last: int, timeline: int = 1, **facts) -> BaseBackup:
    """A base backup over these segments; segment n was finished n minutes after noon."""
    return BaseBackup(
        engine="plain",
        backup_id=name,
        started_at=at(first - 0.9),
        ended_at=at(last - 0.5),
        start_lsn=first * MB16 + 40,
        end_lsn=last * MB16 + 400,
        timeline=timeline,
        first_wal=segment(timeline, first, MB16),
        last_wal=segment(timeline, last, MB16),
        bytes=1 << 20,
        directory_bytes=100 << 20,
        server_version=150000,
        system_identifier="7",
        **facts,
    )


def archive(*numbers: int, timeline: int = 1) -> WalArchive:
    return WalArchive({segment(timeline, number, MB16): at(number) for number in numbers})


def made(target: str, backups: list[BaseBackup], wal: WalArchive, **options):
    return plan("primary", parse_target(target), backups, wal, restorable(backups, wal), **options)


FULL = archive(*range(1, 21))
BACKUPS = [backup("first", 2, 3), backup("second", 9, 9), backup("third", 15, 16)]


def test_the_newest_base_backup_that_ended_before_the_target_is_taken():
    assert made(at(8.6).isoformat(), BACKUPS, FULL).backup.backup_id == "second"
    assert made(at(8.4).isoformat(), BACKUPS, FULL).backup.backup_id == "first"
    assert made("latest", BACKUPS, FULL).backup.backup_id == "third"
    assert made(lsn_text(9 * MB16 + 400), BACKUPS, FULL).backup.backup_id == "second"
    assert made(lsn_text(9 * MB16 + 399), BACKUPS, FULL).backup.backup_id == "first"


def test_a_restore_point_is_looked_for_from_the_oldest_base_backup_unless_its_time_is_told():
    found = made("before_release", BACKUPS, FULL)
    assert found.backup.backup_id == "first" and "nobody knows when" in found.notes[0]
    assert made("before_release", BACKUPS, FULL, since=at(10)).backup.backup_id == "second"
    with pytest.raises(Refused, match="No base backup of primary ended before"):
        made("before_release", BACKUPS, FULL, since=at(1))


def test_a_plan_names_wal_disk_and_the_time_that_earlier_recoveries_predict():
    found = made(at(10.5).isoformat(), BACKUPS, FULL, rates=Rates(fetch=10 << 20, replay=16 << 20))
    assert (found.first_wal, found.last_wal) == (segment(1, 9, MB16), segment(1, 12, MB16))
    assert found.wal_bytes == 4 * MB16 and found.disk_bytes == (100 << 20) + 4 * MB16
    assert found.expected_seconds == 10 + 4
    assert made(at(10.5).isoformat(), BACKUPS, FULL).expected_seconds is None
    text = "\n".join(found.lines())
    assert "second" in text and found.last_wal in text and "every segment is there" in text


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (at(2).isoformat(), "no base backup ended before it"),
        (at(20).isoformat(), "holds no commit after it"),
        (lsn_text(21 * MB16), "the archived WAL ends at"),
        (lsn_text(MB16), "no base backup ended before it"),
    ],
    ids=["before the first backup's end", "after the last commit", "beyond the WAL", "before the WAL"],
)
def test_a_target_out_of_reach_is_refused_with_what_is_restorable(target, why):
    with pytest.raises(Refused, match=why) as refused:
        made(target, BACKUPS, FULL)
    assert "timeline 1: 2026-11-23 12:02:30.000Z" in refused.value.remedy and "12:20" in refused.value.remedy


def test_a_missing_segment_parts_the_restorable_instants_and_is_named():
    wal = archive(*range(1, 12), *range(13, 21))
    found = restorable(BACKUPS, wal)
    assert [one.backups for one in found.intervals] == [("first", "second"), ("third",)]
    assert found.intervals[0].missing == segment(1, 12, MB16)
    with pytest.raises(Refused, match=f"WAL segment {segment(1, 12, MB16)} is missing before it"):
        made(at(12.5).isoformat(), BACKUPS, wal)
    assert made(at(10).isoformat(), BACKUPS, wal).backup.backup_id == "second"
    assert made(at(19).isoformat(), BACKUPS, wal).backup.backup_id == "third"


def test_a_base_backup_without_its_own_wal_is_good_for_nothing():
    wal = archive(*range(4, 21))
    found = restorable(BACKUPS, wal)
    assert [one.backup_id for one in found.unusable] == ["first"]
    assert segment(1, 2, MB16) in found.unusable[0].why
    with pytest.raises(Refused, match="no base backup from which it can be restored") as refused:
        made("latest", BACKUPS[:1], wal)
    assert segment(1, 2, MB16) in refused.value.what


def test_wal_without_a_base_backup_restores_nothing():
    with pytest.raises(Refused, match="no base backup from which"):
        made("latest", [], FULL)


def test_a_difference_whose_chain_is_broken_is_good_for_nothing():
    delta = backup("delta", 9, 9, parent="second")
    found = restorable([BACKUPS[0], delta], FULL)
    assert [one.backup_id for one in found.unusable] == ["delta"]
    second = backup("second", 5, 5)
    assert made("latest", [second, delta], FULL).chain == ("second", "delta")


# --- timelines ---

SWITCH = 10 * MB16 + 5000
HISTORY = f"1\t{lsn_text(SWITCH)}\tbefore 2026-11-23 12:10:05+00\n"


def two_timelines() -> WalArchive:
    """Timeline 1 went on to segment 14; at minute 15 the server was recovered to a point within segment 10."""
    first = {segment(1, number, MB16): at(number) for number in range(1, 15)}
    second = {segment(2, number, MB16): at(number + 6) for number in range(10, 15)}
    return WalArchive(first | second, {2: HISTORY})


def test_after_an_earlier_recovery_the_timeline_that_was_live_at_the_target_is_taken():
    wal, backups = two_timelines(), [backup("first", 2, 3)]
    assert made(at(9).isoformat(), backups, wal).timeline == 1
    assert made(at(12).isoformat(), backups, wal).timeline == 1, "abandoned since, but live then"
    found = made(at(17).isoformat(), backups, wal)
    assert (found.timeline, found.backup.backup_id) == (2, "first")
    assert found.last_wal == segment(2, 13, MB16)
    assert made("latest", backups, wal).timeline == 2
    assert made("latest", backups, wal, timeline=1).timeline == 1
    with pytest.raises(Refused, match="no timeline 3"):
        made("latest", backups, wal, timeline=3)


def test_the_latest_state_is_on_the_timeline_whose_wal_arrived_last():
    """A recovery in place was taken back: the server goes on on the first timeline, and the second one is abandoned."""
    wal = two_timelines()
    since = {segment(1, number, MB16): at(number + 10) for number in range(15, 18)}
    wal = replace(wal, segments=wal.segments | since)
    found = made("latest", [backup("first", 2, 3)], wal)
    assert (found.timeline, found.last_wal) == (1, segment(1, 17, MB16))


def test_a_base_backup_of_the_abandoned_part_does_not_serve_the_new_timeline():
    wal, late = two_timelines(), backup("late", 12, 12)
    found = restorable([backup("first", 2, 3), late], wal)
    by_timeline = {one.timeline: one.backups for one in found.intervals}
    assert by_timeline == {1: ("first", "late"), 2: ("first",)}
    assert made("latest", [late], wal, timeline=1).backup.backup_id == "late"
    with pytest.raises(Refused, match="no timeline 2"):
        made("latest", [late], wal, timeline=2)


def test_the_new_timelines_first_segment_must_be_there_though_the_old_one_has_that_number_too():
    wal = two_timelines()
    kept = {name: when for name, when in wal.segments.items() if name != segment(2, 10, MB16)}
    found = restorable([backup("first", 2, 3)], replace(wal, segments=kept))
    assert [one.timeline for one in found.intervals] == [1]


# --- words ---


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("2026-11-23T10:00:00Z", "time"),
        ("2026-11-23 10:00:00 UTC", "time"),
        ("2026-11-23 11:00:00.000+01:00", "time"),
        ("0/3000060", "lsn"),
        ("LATEST", "latest"),
        ("before release 12", "name"),
    ],
)
def test_targets_are_read_as_people_write_them(text, kind):
    target = parse_target(text)
    assert target.kind == kind
    if kind == "time":
        assert target.setting == ("recovery_target_time", "2026-11-23 10:00:00.000000+00")


@pytest.mark.parametrize("text", ["2026-11-23 10:00:00", "2026-11-23", "2026-13-01T00:00Z", "", "x" * 64, "a\nb"])
def test_a_target_without_zone_or_sense_is_refused(text):
    with pytest.raises(Refused, match="nothing was touched"):
        parse_target(text)


def test_segments_are_numbered_as_the_server_numbers_them():
    assert segment(1, number_of("0000000100000002000000FF", MB16) + 1, MB16) == "000000010000000300000000"
    assert lsn_text(lsn("2/FF000028")) == "2/FF000028"
    assert number_of("000000010000000000000003", 1 << 30) == 3
    assert segment(1, 4, 1 << 30) == "000000010000000100000000"


def test_a_history_that_cannot_be_read_is_an_error_and_no_guess():
    assert [(one.timeline, one.ends) for one in branches(2, {2: HISTORY})] == [(1, SWITCH), (2, None)]
    with pytest.raises(Refused, match="cannot be read"):
        branches(2, {2: "nonsense"})
