"""Whether a rehearsed migration may be deployed, and if not, exactly why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pgops import units
from pgops.fleet import MigrationPolicy
from pgops.migration.model import Difference, Executed, Finding, Lock, Migration, Ran, Stall
from pgops.migration.scripts.statements import acknowledges_destruction

_NAMED = 5


@dataclass(frozen=True)
class Rehearsal:
    """Everything that rehearsing one migration showed. What did not happen is None or empty.

    Attributes:
        findings: of the static gate and of the schema review.
        applied, rolled_back, applied_again: the three runs.
        stalls: what an application beside the first run felt.
        destroyed: values that the rollback destroyed, counted after synthetic writes.
        left_behind: what differed after the rollback from what was there before.
        differs_again: what differed after the second run from what the first had made.
        bytes_by_relation: sizes on the copy, of the tables that the migration touches.
        notes: what a reader must know, such as rows that could not be written.
    """

    version: str
    name: str
    checksum: str
    findings: tuple[Finding, ...] = ()
    applied: Ran | None = None
    rolled_back: Ran | None = None
    applied_again: Ran | None = None
    stalls: tuple[Stall, ...] = ()
    destroyed: tuple[Difference, ...] = ()
    left_behind: tuple[Difference, ...] = ()
    differs_again: tuple[Difference, ...] = ()
    bytes_by_relation: dict[str, int] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Forecast:
    """What the migration will cost in production.

    Attributes:
        seconds: of the whole migration; `uncorrected_seconds` is it before the experience of earlier ones.
        downtime_seconds: the longest that a table which exists cannot be used, or written.
        size_ratio: production's tables to the copy's.
        correction: actual to forecast, of earlier deployments of this database.
        wal_bytes: what standbys will have to receive; None when the server could not tell.
    """

    seconds: float
    uncorrected_seconds: float
    downtime_seconds: float
    size_ratio: float
    correction: float
    wal_bytes: int | None


def acknowledged(migration: Migration) -> bool:
    """Whether the rollback's file says that it knows what it destroys."""
    return migration.down is not None and acknowledges_destruction(migration.down)


def reasons(rehearsal: Rehearsal, migration: Migration, policy: MigrationPolicy) -> tuple[str, ...]:
    """Why this migration is refused; empty when it passed."""
    errors = [one for one in rehearsal.findings if one.level == "error"]
    found = [f"{one.message} ({one.place}, {one.rule})" for one in errors]
    if rehearsal.applied is None:
        return tuple(found) or ("it was not rehearsed",)
    found += _failed(rehearsal.applied, "the migration", policy.budget_seconds)
    found += _held_too_long(rehearsal.applied, policy)
    found += _too_big(rehearsal, policy)
    found += _stalled(rehearsal.stalls, policy)
    if rehearsal.applied.failure is not None:
        return tuple(found)
    if rehearsal.rolled_back is None:
        return (*found, "there is no rollback" if migration.down is None else "the rollback was not rehearsed")
    found += _failed(rehearsal.rolled_back, "the rollback", policy.budget_seconds)
    if rehearsal.destroyed and not acknowledged(migration):
        destroyed = _some([f"{one.what}: {one.after}" for one in rehearsal.destroyed])
        found.append(
            f"the rollback destroys {destroyed}; if that is meant, write '-- rollback: destructive acknowledged'"
            " into its file"
        )
    if rehearsal.left_behind:
        found.append(f"after the rollback it is not as before: {_differences(rehearsal.left_behind)}")
    if rehearsal.applied_again is not None:
        found += _failed(rehearsal.applied_again, "applying it again", policy.budget_seconds)
    if rehearsal.differs_again:
        found.append(f"applied again it gives something else: {_differences(rehearsal.differs_again)}")
    return tuple(found)


def forecast(rehearsal: Rehearsal, production_bytes: dict[str, int], correction: float) -> Forecast | None:
    """What production will see, from what the copy saw and how much larger production is.

    Args:
        production_bytes: sizes of the same tables there; tables that are missing count as on the copy.
        correction: actual to forecast of earlier deployments; 1 when there is no experience.
    """
    ran = rehearsal.applied
    if ran is None or ran.failure is not None:
        return None
    here = rehearsal.bytes_by_relation or {}
    there = sum(production_bytes.get(name, size) for name, size in here.items())
    ratio = max(there / sum(here.values()), 1.0) if sum(here.values()) else 1.0
    blocked = max((lock.held_ms for lock in ran.locks if lock.blocks), default=0.0) / 1000
    # Beside other sessions not every server can tell; the second run had the copy to itself.
    again = rehearsal.applied_again
    wal = ran.wal_bytes if ran.wal_bytes is not None or again is None else again.wal_bytes
    seconds = sum(one.ms for one in ran.statements) / 1000  # not the waiting for the reader beside it
    return Forecast(
        seconds=seconds * ratio * correction,
        uncorrected_seconds=seconds * ratio,
        downtime_seconds=blocked * ratio * correction,
        size_ratio=ratio,
        correction=correction,
        wal_bytes=None if wal is None else int(wal * ratio),
    )


def _failed(ran: Ran, what: str, budget_seconds: float) -> list[str]:
    if ran.over_budget:
        return [f"{what} took longer than its budget of {units.duration(budget_seconds)} and was cut off"]
    if ran.failure is None:
        return []
    failure = ran.failure
    code = f" (SQLSTATE {failure.sqlstate})" if failure.sqlstate else ""
    return [f"{what} failed at {ran.script}:{failure.line}, {failure.kind}: {failure.message}{code}"]


def _held_too_long(ran: Ran, policy: MigrationPolicy) -> list[str]:
    return [
        f"{lock.mode} on {lock.relation} was held for {lock.held_ms:.0f} ms and blocks {lock.blocks};"
        f" allowed are {_allowed_ms(lock, policy)} ms"
        for lock in ran.locks
        if lock.blocks and lock.held_ms > _allowed_ms(lock, policy)
    ][:_NAMED]


def _allowed_ms(lock: Lock, policy: MigrationPolicy) -> int:
    return policy.locks.reads_and_writes if lock.blocks == "reads and writes" else policy.locks.writes


def _too_big(rehearsal: Rehearsal, policy: MigrationPolicy) -> list[str]:
    """Rewrites of big tables, and full scans of them under a lock that keeps others waiting."""
    assert rehearsal.applied is not None
    limit = policy.big_table_mb * 1_000_000
    big = {name: size for name, size in (rehearsal.bytes_by_relation or {}).items() if size > limit}
    found = []
    for one in rehearsal.applied.statements:
        where = f"{rehearsal.applied.script}:{one.line}, {one.kind}"
        found += [f"{where} rewrites {name}, {units.size(big[name])}" for name in one.rewritten if name in big]
        blocked = _blocked(rehearsal.applied, one)
        found += [
            f"{where} reads all of {scan.relation}, {units.size(big[scan.relation])}, while it blocks others"
            for scan in one.scans
            if scan.relation in big and scan.relation in blocked and scan.relation not in one.rewritten
        ]
    return found


def _blocked(ran: Ran, at: Executed) -> set[str]:
    """The relations that others cannot use during a statement: locks last until the end of the segment."""
    until = ran.statements.index(at) + 1
    earlier = [one for one in ran.statements[:until] if one.segment == at.segment]
    return {lock.relation for one in earlier for lock in one.locks if lock.blocks}


def _stalled(stalls: Sequence[Stall], policy: MigrationPolicy) -> list[str]:
    return [
        f"a {stall.kind} of {stall.relation} beside it waited {stall.longest_ms:.0f} ms; allowed are"
        f" {policy.max_stall_ms} ms"
        for stall in stalls
        if stall.longest_ms > policy.max_stall_ms
    ]


def _differences(found: Sequence[Difference]) -> str:
    return _some([_difference(one) for one in found])


def _difference(one: Difference) -> str:
    if not one.before:
        return f"{one.what} is there ({one.after})" if one.after else one.what
    return f"{one.what} is gone" if not one.after else f"{one.what} was {one.before!r}, is {one.after!r}"


def _some(texts: Sequence[str]) -> str:
    shown = [_cut(text) for text in texts[:_NAMED]]
    return "; ".join(shown) + (f"; and {len(texts) - _NAMED} more" if len(texts) > _NAMED else "")


def _cut(text: str, limit: int = 160) -> str:
    """One line of at most `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
