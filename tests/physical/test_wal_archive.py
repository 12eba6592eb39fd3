"""What names and times of segments tell: runs, gaps, and segments that were written twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pgops.physical.archive import Gap, gaps, rewritten, runs
from pgops.physical.model import WalArchive

AT = datetime(2026, 11, 23, 2, tzinfo=UTC)
MB = 1 << 20


def archive(*names: str, segment_bytes: int = 16 * MB, **late: float) -> WalArchive:
    """Segments that arrived a minute apart, in the order of their names; `late` are more minutes for some."""
    ordered = sorted(names, key=lambda name: name[8:])
    times = {name: AT + timedelta(minutes=place + late.get(f"_{name}", 0)) for place, name in enumerate(ordered)}
    return WalArchive(times, {}, segment_bytes)


def name(number: int, timeline: int = 1, log: int = 0) -> str:
    return f"{timeline:08X}{log:08X}{number:08X}"


def test_a_run_goes_on_where_the_log_number_changes() -> None:
    whole = archive(name(0xFE), name(0xFF), name(0, log=1), name(1, log=1))
    assert [(run.first, run.last, run.count) for run in runs(whole)] == [(name(0xFE), name(1, log=1), 4)]
    assert gaps(whole) == ()


def test_it_changes_earlier_with_larger_segments() -> None:
    assert gaps(archive(name(63), name(0, log=1), segment_bytes=64 * MB)) == ()
    assert gaps(archive(name(63), name(0, log=1))) == (Gap(1, name(64), name(255), 192),)


def test_a_gap_is_named_by_what_is_missing_and_forgotten_when_no_backup_needs_it() -> None:
    torn = archive(name(1), name(2), name(4), name(7), name(9))
    expected = (Gap(1, name(3), name(3), 1), Gap(1, name(5), name(6), 2), Gap(1, name(8), name(8), 1))
    assert gaps(torn) == expected
    assert gaps(torn, since=name(7)) == expected[2:]


def test_timelines_are_not_one_run() -> None:
    assert gaps(archive(name(1), name(2), name(5, timeline=2), name(6, timeline=2))) == ()


@pytest.mark.parametrize(("minutes", "found"), [(0, ()), (1, ()), (30, (name(2),))])
def test_a_segment_that_arrived_long_after_its_successor_was_written_twice(
    minutes: float, found: tuple[str, ...]
) -> None:
    late = {f"_{name(2)}": minutes}
    assert rewritten(archive(name(1), name(2), name(3), name(4), **late)) == found


def test_nothing_is_known_of_an_empty_archive() -> None:
    assert (runs(archive()), gaps(archive()), rewritten(archive())) == ((), (), ())
