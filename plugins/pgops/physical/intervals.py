"""Which instants can be restored: where a base backup and all the WAL after it are there, and where that breaks off."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pgops.physical.model import BaseBackup, WalArchive
from pgops.physical.wal import Branch, branches, number_of, segment, timeline_of


@dataclass(frozen=True)
class Interval:
    """Restorable instants of one timeline without a gap. Times are UTC.

    Attributes:
        backups: ids of the base backups within, oldest first.
        begins_at, begins_lsn: where the first of them ended; nothing before it can be reached.
        ends_at: when the last transaction committed that the archive knows; a target in time must lie before it.
            Unless `exact` it is when the last segment arrived, which is later.
        ends_lsn: up to where the archive knows the WAL; unless `exact` the end of the last segment.
        last_wal: the last segment.
        missing: the segment that is not there after it.
        broken: why the last segment's WAL ends amid it; empty when it is whole, or nobody has looked.
    """

    timeline: int
    backups: tuple[str, ...]
    begins_at: datetime
    begins_lsn: int
    ends_at: datetime
    ends_lsn: int
    last_wal: str
    missing: str
    exact: bool = False
    broken: str = ""

    def is_gap_of(self, archive: WalArchive) -> bool:
        """Whether later segments of this timeline are there, so that one is missing in between."""
        return any(name > self.missing and name[:8] == self.missing[:8] for name in archive.segments)

    @property
    def words(self) -> str:
        """As refusals name it."""
        until = "before" if self.exact else "at most until"
        return f"timeline {self.timeline}: {told(self.begins_at)} {until} {told(self.ends_at)}"


@dataclass(frozen=True)
class Unusable:
    """A base backup from which nothing can be restored, and why."""

    backup_id: str
    why: str


@dataclass(frozen=True)
class Restorable:
    """What an archive allows, as it was listed.

    Attributes:
        intervals: by timeline and time.
        unusable: base backups that are good for nothing on any timeline.
    """

    intervals: tuple[Interval, ...]
    unusable: tuple[Unusable, ...]

    @property
    def words(self) -> str:
        """As refusals name what is restorable."""
        return "; ".join(one.words for one in self.intervals) or "nothing"


def told(at: datetime) -> str:
    """An instant in the words of messages."""
    return f"{at:%Y-%m-%d %H:%M:%S.%f}"[:-3] + "Z"


def restorable(backups: Sequence[BaseBackup], archive: WalArchive) -> Restorable:
    """Say which instants can be restored, from the lists of the archive alone."""
    timelines = sorted({timeline_of(name) for name in archive.segments} | {one.timeline for one in backups})
    found: list[Interval] = []
    usable: set[str] = set()
    problems: dict[str, str] = {}
    for timeline in timelines:
        walk = Walk(timeline, archive)
        runs: dict[int, list[BaseBackup]] = {}
        for backup in sorted(backups, key=lambda one: one.ended_at):
            if not walk.passes(backup):
                continue
            problem = _problem(backup, backups, walk)
            if problem:
                problems.setdefault(backup.backup_id, problem)
                continue
            usable.add(backup.backup_id)
            runs.setdefault(walk.last_from(walk.number(backup.first_wal)), []).append(backup)
        found += [
            walk.interval(last, those) for last, those in runs.items() if walk.is_own(last) or len(timelines) == 1
        ]
    unusable = [Unusable(name, why) for name, why in problems.items() if name not in usable]
    return Restorable(tuple(sorted(found, key=lambda one: (one.timeline, one.begins_at))), tuple(unusable))


def chain(backup: BaseBackup, backups: Iterable[BaseBackup]) -> tuple[BaseBackup, ...] | None:
    """A backup with all that it is a difference to, the full one first; None where one is missing."""
    by_id = {one.backup_id: one for one in backups}
    found = [backup]
    while found[0].parent is not None:
        parent = by_id.get(found[0].parent)
        if parent is None or parent in found:
            return None
        found.insert(0, parent)
    return tuple(found)


def _problem(backup: BaseBackup, backups: Sequence[BaseBackup], walk: Walk) -> str:
    """Why nothing can be restored from a backup; empty when it is fit."""
    if chain(backup, backups) is None:
        return f"it is a difference to {backup.parent}, and a part of that chain is missing"
    missing = walk.missing(walk.number(backup.first_wal), walk.number(backup.last_wal))
    return f"WAL segment {missing[0]} is missing, without which it is not consistent" if missing else ""


class Walk:
    """The way of a recovery through an archive, along a timeline and its ancestors.

    Args:
        timeline: where it ends.
        archive: the WAL there is.
    """

    def __init__(self, timeline: int, archive: WalArchive) -> None:
        self.timeline = timeline
        self.archive = archive
        self.branches: tuple[Branch, ...] = branches(timeline, archive.histories)

    def number(self, name: str) -> int:
        """A segment's number."""
        return number_of(name, self.archive.segment_bytes)

    def name(self, number: int) -> str:
        """The segment that recovery reads there: where timelines part it is that of the younger one."""
        size = self.archive.segment_bytes
        branch = next(one for one in reversed(self.branches) if one.begins // size <= number)
        return segment(branch.timeline, number, size)

    def passes(self, backup: BaseBackup) -> bool:
        """Whether a backup lies on this way."""
        return any(
            one.timeline == backup.timeline and (one.ends is None or backup.end_lsn <= one.ends)
            for one in self.branches
        )

    def is_own(self, number: int) -> bool:
        """Whether a segment is this timeline's, and not one of its ancestors'."""
        return timeline_of(self.name(number)) == self.timeline

    def last_from(self, number: int) -> int:
        """The last segment before the first gap."""
        while self.name(number) in self.archive.segments:
            number += 1
        return number - 1

    def missing(self, first: int, last: int) -> list[str]:
        """What is not there of the segments from first to last."""
        names = (self.name(number) for number in range(first, last + 1))
        return [name for name in names if name not in self.archive.segments]

    def interval(self, last: int, backups: Sequence[BaseBackup]) -> Interval:
        """The instants from the first of these backups on, up to a segment."""
        name = self.name(last)
        return Interval(
            timeline=self.timeline,
            backups=tuple(one.backup_id for one in backups),
            begins_at=backups[0].ended_at,
            begins_lsn=backups[0].end_lsn,
            ends_at=self.archive.segments[name],
            ends_lsn=(last + 1) * self.archive.segment_bytes,
            last_wal=name,
            missing=self.name(last + 1),
        )
