"""What a recovery will do, worked out before anything is touched; or a refusal that names the instants there are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pgops import units
from pgops.errors import Refused
from pgops.physical.intervals import Interval, Restorable, Walk, chain, told
from pgops.physical.model import BaseBackup, WalArchive
from pgops.physical.needs import Needs
from pgops.physical.wal import is_lsn, lsn, lsn_text

LATEST = "latest"
_NAME_BYTES = 63
_REMEDY = "Nothing was touched. Restorable: {words}"


@dataclass(frozen=True)
class Target:
    """The state that is asked for: of an instant, a position, a restore point, or the end of the archived WAL."""

    kind: Literal["time", "lsn", "name", "latest"]
    text: str
    at: datetime | None = None
    lsn: int | None = None

    @property
    def setting(self) -> tuple[str, str] | None:
        """The parameter that stops recovery there; None where it goes to the end."""
        if self.kind == "time":
            assert self.at is not None
            return "recovery_target_time", f"{self.at:%Y-%m-%d %H:%M:%S.%f}+00"
        if self.kind == "latest":
            return None
        return f"recovery_target_{self.kind}", self.text


@dataclass(frozen=True)
class Rates:
    """What earlier recoveries of this server did in a second, in bytes; None where there were none."""

    fetch: float | None = None
    replay: float | None = None


NO_RATES = Rates()


@dataclass(frozen=True)
class RecoveryPlan:
    """How a state is reached.

    Attributes:
        timeline: along which recovery goes.
        backup: the base backup that it begins with; `chain` names that and what it is a difference to, the full first.
        first_wal, last_wal: what it reads of the WAL, at most.
        disk_bytes: what the host must have free.
        expected_seconds: after earlier recoveries; None before the first one.
        needs: what the host must have installed; None when nobody could be asked.
        notes: what the reader must know.
    """

    server: str
    target: Target
    timeline: int
    backup: BaseBackup
    chain: tuple[str, ...]
    interval: Interval
    first_wal: str
    last_wal: str
    wal_bytes: int
    disk_bytes: int
    segment_bytes: int
    expected_seconds: float | None = None
    needs: Needs | None = None
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """For a log, an approval or a message."""
        expected = units.duration(self.expected_seconds) if self.expected_seconds else "not known before a drill"
        return [
            f"target: {self.target.text} ({self.target.kind}), on timeline {self.timeline}",
            f"base backup: {' + '.join(self.chain)} ({self.backup.engine}), ended {told(self.backup.ended_at)},"
            f" {units.size(self.backup.directory_bytes)}",
            f"WAL: {self.first_wal} to {self.last_wal} at most, {units.size(self.wal_bytes)}, every segment is there",
            f"disk: {units.size(self.disk_bytes)}",
            f"expected: {expected}",
            *([f"the host must have: {self.needs.words}"] if self.needs else []),
            *(f"note: {note}" for note in self.notes),
        ]


def parse_target(text: str) -> Target:
    """A target as people write it: an instant with its time zone, an LSN, a restore point's name, or "latest".

    Raises:
        Refused: an instant without zone, or what is nothing of these.
    """
    wanted = text.strip()
    if wanted.lower() == LATEST:
        return Target("latest", LATEST)
    if is_lsn(wanted):
        number = lsn(wanted)
        return Target("lsn", lsn_text(number), lsn=number)
    if re.match(r"^\d{4}-\d", wanted):
        at = _instant(wanted)
        return Target("time", told(at) if at.microsecond % 1000 == 0 else at.isoformat(), at=at)
    if not wanted or len(wanted.encode()) > _NAME_BYTES or not wanted.isprintable():
        raise _unfit(text, "no time, no LSN and no name of a restore point")
    return Target("name", wanted)


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(re.sub(r"\s*(UTC|GMT)$", "+00:00", text))
    except ValueError as error:
        raise _unfit(text, "no time that can be read") from error
    if at.tzinfo is None:
        # PostgreSQL would take it in the server's own zone: hours away from what was meant.
        raise _unfit(text, "a time without its zone")
    return at.astimezone(UTC)


def _unfit(text: str, what: str) -> Refused:
    return Refused(
        f"The target {text!r} is {what}",
        where="the target",
        remedy="Give a time with its zone as an offset, such as 2026-11-23T10:00:00Z or ...+01:00 (a zone's name can "
        "mean two instants), an LSN such as 0/3000060, the name of a restore point, or latest; nothing was touched",
    )


def plan(
    server: str,
    target: Target,
    backups: Sequence[BaseBackup],
    archive: WalArchive,
    possible: Restorable,
    *,
    timeline: int | None = None,
    since: datetime | None = None,
    needs: Needs | None = None,
    rates: Rates = NO_RATES,
) -> RecoveryPlan:
    """Choose the base backup, the timeline and the WAL for a target.

    Args:
        server: its name in the fleet file.
        target: what is asked for.
        backups, archive: as the engine lists them.
        possible: what is restorable, best with the ends of its intervals made exact.
        timeline: one that an earlier recovery left; by default the one that was live at the target.
        since: a restore point was made after this; without it recovery begins with the oldest base backup.
        needs: what the host must have.
        rates: of earlier recoveries.

    Raises:
        Refused: it cannot be reached; with what can.
    """
    interval = _interval(server, target, archive, possible, timeline)
    within = [one for one in backups if one.backup_id in interval.backups]
    backup, notes = _backup(server, target, within, since, possible)
    walk = Walk(interval.timeline, archive)
    last = _last_number(target, walk, interval, backup)
    links = chain(backup, backups)
    assert links is not None  # an interval's backups have theirs
    first = walk.number(backup.first_wal)
    wal_bytes = (last - first + 1) * archive.segment_bytes
    newest = max(one.timeline for one in possible.intervals)
    if interval.broken and target.kind in ("latest", "name"):
        notes.append(f"the WAL ends at {lsn_text(interval.ends_lsn)}, before what the archive lists: {interval.broken}")
    if interval.timeline != newest:
        notes.append(f"timeline {interval.timeline}, which timeline {newest} has left since: it was the live one then")
    return RecoveryPlan(
        server=server,
        target=target,
        timeline=interval.timeline,
        backup=backup,
        chain=tuple(one.backup_id for one in links),
        interval=interval,
        first_wal=backup.first_wal,
        last_wal=walk.name(last),
        wal_bytes=wal_bytes,
        disk_bytes=backup.directory_bytes + wal_bytes,
        segment_bytes=archive.segment_bytes,
        expected_seconds=_expected(backup.directory_bytes, wal_bytes, rates),
        needs=needs,
        notes=tuple(notes),
    )


def _interval(server: str, target: Target, archive: WalArchive, possible: Restorable, timeline: int | None) -> Interval:
    """Where the target lies."""
    known = [one for one in possible.intervals if timeline in (None, one.timeline)]
    if not known:
        why = "; ".join(f"{one.backup_id}: {one.why}" for one in possible.unusable[-3:])
        lacks = f"no timeline {timeline}" if possible.intervals else "no base backup from which it can be restored"
        raise Refused(
            f"{server} has {lacks}" + (f" ({why})" if why else ""),
            where=f"the archive of {server}",
            remedy=_REMEDY.format(words=possible.words),
        )
    fitting = [one for one in known if _holds(one, target)]
    if not fitting:
        raise _out_of_reach(server, target, known, possible, archive)
    if target.kind == "time" and timeline is None:
        assert target.at is not None
        live = [one for one in fitting if _live_at(one.timeline, target.at, archive)]
        fitting = live or fitting
    if target.kind == "latest":  # a timeline whose recovery was taken back is younger, and ends earlier
        return max(fitting, key=lambda one: (archive.segments.get(one.last_wal, one.ends_at), one.timeline))
    return max(fitting, key=lambda one: (one.timeline, one.begins_at))


def _holds(interval: Interval, target: Target) -> bool:
    if target.kind == "time":
        assert target.at is not None
        # Recovery knows that it is past an instant by a commit after it: the last one is out of reach.
        return interval.begins_at <= target.at < interval.ends_at
    if target.kind == "lsn":
        assert target.lsn is not None
        return interval.begins_lsn <= target.lsn < interval.ends_lsn
    return True


def _live_at(timeline: int, at: datetime, archive: WalArchive) -> bool:
    """Whether a timeline had begun; its first segment arrives soon after that."""
    arrivals = [when for name, when in archive.segments.items() if int(name[:8], 16) == timeline]
    return timeline == 1 or not arrivals or min(arrivals) <= at


def _out_of_reach(
    server: str, target: Target, known: Sequence[Interval], possible: Restorable, archive: WalArchive
) -> Refused:
    last = known[-1]
    gap = next((one for one in reversed(known) if one.is_gap_of(archive) and _is_after(one, target)), None)
    early = target.at is not None and target.at < min(one.begins_at for one in known)
    early = early or (target.lsn is not None and target.lsn < min(one.begins_lsn for one in known))
    if early:
        why = "no base backup ended before it"
    elif gap is not None:
        why = f"WAL segment {gap.missing} is missing before it"
    elif target.kind == "time":
        why = f"the archive holds no commit after it; the last is of {told(last.ends_at)}, `latest` leads there"
        why += f" ({last.broken})" if last.broken else ""
    else:
        why = f"the archived WAL ends at {lsn_text(last.ends_lsn)}, " + (
            last.broken or f"where {last.missing} is missing"
        )
    return Refused(
        f"{server} cannot be recovered to {target.text}: {why}",
        where=f"the archive of {server}",
        remedy=_REMEDY.format(words=possible.words),
    )


def _is_after(interval: Interval, target: Target) -> bool:
    if target.at is not None:
        return target.at >= interval.ends_at
    return target.lsn is not None and target.lsn >= interval.ends_lsn


def _backup(
    server: str, target: Target, within: Sequence[BaseBackup], since: datetime | None, possible: Restorable
) -> tuple[BaseBackup, list[str]]:
    """The newest base backup that ended before the target."""
    if target.kind == "time":
        fitting = [one for one in within if target.at is not None and one.ended_at <= target.at]
    elif target.kind == "lsn":
        fitting = [one for one in within if target.lsn is not None and one.end_lsn <= target.lsn]
    elif target.kind == "name":
        if since is None:
            note = "nobody knows when this restore point was made, so recovery begins with the oldest base backup; the"
            return min(within, key=lambda one: one.ended_at), [f"{note} first restore point of that name counts"]
        fitting = [one for one in within if one.ended_at <= since]
    else:
        fitting = list(within)
    if not fitting:
        raise Refused(
            f"No base backup of {server} ended before {told(since) if since else target.text}",
            where=f"the archive of {server}",
            remedy=_REMEDY.format(words=possible.words),
        )
    return max(fitting, key=lambda one: one.ended_at), []


def _last_number(target: Target, walk: Walk, interval: Interval, backup: BaseBackup) -> int:
    """The last segment that recovery can need."""
    last, consistent = walk.number(interval.last_wal), walk.number(backup.last_wal)
    if target.kind == "lsn":
        assert target.lsn is not None
        return min(last, max(consistent, target.lsn // walk.archive.segment_bytes))
    if target.kind == "time":
        # A segment that arrived after the target may still end before it only if it waited; one more is safe.
        for number in range(consistent, last):
            if target.at is not None and walk.archive.segments[walk.name(number)] > target.at:
                return min(last, number + 1)
    return last


def _expected(fetched: int, replayed: int, rates: Rates) -> float | None:
    if not rates.fetch or not rates.replay:
        return None
    return fetched / rates.fetch + replayed / rates.replay
