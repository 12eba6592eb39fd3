"""What can be said of a WAL archive from its names and times alone: runs without a gap, and segments written twice."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from pgops.physical.model import WalArchive
from pgops.physical.wal import number_of, segment

_ORDERLY = timedelta(seconds=120)  # engines send some segments side by side, and stores know whole seconds


@dataclass(frozen=True)
class Run:
    """Segments of one timeline without a gap; `first` and `last` are names, both included."""

    timeline: int
    first: str
    last: str
    count: int


@dataclass(frozen=True)
class Gap:
    """Segments that are missing between two that are there."""

    timeline: int
    first: str
    last: str
    count: int


def runs(archive: WalArchive) -> tuple[Run, ...]:
    """The archive's segments as runs, by timeline and position."""
    numbers: dict[int, list[int]] = defaultdict(list)
    for name in archive.segments:
        numbers[int(name[:8], 16)].append(number_of(name, archive.segment_bytes))
    found: list[Run] = []
    for timeline in sorted(numbers):
        first = last = None
        for number in sorted(numbers[timeline]):
            if last is not None and number == last + 1:
                last = number
                continue
            if first is not None and last is not None:
                found.append(_run(archive, timeline, first, last))
            first = last = number
        if first is not None and last is not None:
            found.append(_run(archive, timeline, first, last))
    return tuple(found)


def gaps(archive: WalArchive, since: str | None = None) -> tuple[Gap, ...]:
    """What is missing within each timeline; of `since`'s timeline only what comes after that segment."""
    found = runs(archive)
    between = [_gap(archive, before, after) for before, after in pairwise(found) if before.timeline == after.timeline]
    return tuple(gap for gap in between if since is None or gap.last[:8] != since[:8] or gap.last >= since)


def rewritten(archive: WalArchive) -> tuple[str, ...]:
    """Segments that arrived long after one that follows them.

    An archiver sends segments in their order, and again only the one at which it was interrupted. So another server
    with the same name writes into this archive, or somebody copied by hand: its content is not to be trusted.
    """
    found: list[str] = []
    earliest_after: dict[str, datetime] = {}
    for name in sorted(archive.segments, reverse=True):
        arrived, timeline = archive.segments[name], name[:8]
        earliest = earliest_after.get(timeline)
        if earliest is not None and arrived - earliest > _ORDERLY:
            found.append(name)
        earliest_after[timeline] = arrived if earliest is None else min(arrived, earliest)
    return tuple(reversed(found))


def _run(archive: WalArchive, timeline: int, first: int, last: int) -> Run:
    size = archive.segment_bytes
    return Run(timeline, segment(timeline, first, size), segment(timeline, last, size), last - first + 1)


def _gap(archive: WalArchive, before: Run, after: Run) -> Gap:
    size = archive.segment_bytes
    first, last = number_of(before.last, size) + 1, number_of(after.first, size) - 1
    return Gap(
        before.timeline, segment(before.timeline, first, size), segment(before.timeline, last, size), last - first + 1
    )
