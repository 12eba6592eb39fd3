"""What changed since yesterday: that alone is worth a message."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from pgops.health.model import Finding, Outcome, Report, Status, fingerprint


@dataclass(frozen=True)
class Mute:
    """Say nothing until then: of one finding, or without a fingerprint of the whole database."""

    database: str
    reason: str
    until: datetime
    fingerprint: str = ""

    def covers(self, finding: Finding, target: str, at: datetime) -> bool:
        """Whether it silences a finding of this target (the database's name in the fleet file) at this time."""
        return self.database == target and at < self.until and self.fingerprint in ("", finding.fingerprint)


@dataclass(frozen=True)
class Changes:
    """A report beside the one before. Each finding is in one place only; all of them carry since when.

    Attributes:
        new: was not there before.
        worse: was there, less serious.
        better: is less serious now, but still there.
        same: as before.
        resolved: was there, and its check ran and does not see it any more.
        retired: was there, and its check or its server is not looked at any more.
        unseen: was there, and its check could not look this time: it stays open.
        muted: would be among new, worse, better or same.
    """

    new: tuple[Finding, ...] = ()
    worse: tuple[Finding, ...] = ()
    better: tuple[Finding, ...] = ()
    same: tuple[Finding, ...] = ()
    resolved: tuple[Finding, ...] = ()
    retired: tuple[Finding, ...] = ()
    unseen: tuple[Finding, ...] = ()
    muted: tuple[tuple[Finding, Mute], ...] = ()

    @property
    def open(self) -> tuple[Finding, ...]:
        """What the next run compares with: everything that is neither resolved nor retired."""
        muted = (finding for finding, _ in self.muted)
        return (*self.new, *self.worse, *self.better, *self.same, *self.unseen, *muted)

    @property
    def anything(self) -> bool:
        """Whether there is something to say."""
        return bool(self.new or self.worse or self.better or self.resolved)


def compare(report: Report, before: Iterable[Finding], mutes: Iterable[Mute] = ()) -> Changes:
    """Hold a report against the findings that were open before it.

    Args:
        report: of this run.
        before: `open` of the run before, for the same target and the same scopes. Of each only what the ledger keeps is
            looked at: fingerprint, check, object, status, since. One that was muted then has the status ok: nobody was
            told, so it is new when the mute is over.
        mutes: of this fleet; those of other databases and of the past are ignored.
    """
    known = {one.fingerprint: one for one in before}
    silent = tuple(mutes)
    parts: dict[str, list[Finding]] = {"new": [], "worse": [], "better": [], "same": []}
    muted: list[tuple[Finding, Mute]] = []
    for finding in report.findings:
        earlier = known.pop(finding.fingerprint, None)
        finding = replace(finding, since=(earlier.since if earlier else None) or report.at)
        mute = next((one for one in silent if one.covers(finding, report.target, report.at)), None)
        if mute is not None:
            muted.append((finding, mute))
        else:
            parts[_change(finding, earlier)].append(finding)
    parts |= {"resolved": [], "retired": [], "unseen": []}
    for gone in known.values():
        parts[_end(gone, report)].append(gone)
    return Changes(**{name: tuple(findings) for name, findings in parts.items()}, muted=tuple(muted))


def _change(finding: Finding, earlier: Finding | None) -> str:
    if earlier is None or earlier.status is Status.OK:
        return "new"
    if finding.status is earlier.status:
        return "same"
    return "worse" if finding.status.rank > earlier.status.rank else "better"


def _end(gone: Finding, report: Report) -> str:
    """What became of a finding that is not there any more. That is good news only if its check could look at all."""
    outcome = next((one for one in report.outcomes if _would_say(one, gone)), None)
    if outcome is None:
        return "retired"
    if not outcome.findings:
        return "resolved" if outcome.status is Status.OK else "unseen"
    blind = outcome.cut or any(one.status is Status.UNKNOWN and one.object == gone.object for one in outcome.findings)
    return "unseen" if blind else "resolved"


def _would_say(outcome: Outcome, finding: Finding) -> bool:
    """Whether it is this check, on this server, that would find it."""
    name = outcome.check.name
    same = fingerprint(outcome.server, outcome.database, name, finding.object) == finding.fingerprint
    return name == finding.check and same
