"""Rehearses migrations one after the other on one copy, each on top of those before it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pgops.errors import Refused
from pgops.fleet import MigrationPolicy
from pgops.migration.gate.rules import NEVER_RUN
from pgops.migration.model import Finding, Migration
from pgops.migration.rehearsal import recorder
from pgops.migration.rehearsal.rehearse import Rehearsed, Scripts, rehearse
from pgops.migration.scripts.statements import parse
from pgops.migration.verdict.judge import Rehearsal, forecast, reasons
from pgops.migration.verdict.report import Judged
from pgops.postgres import Dsn

log = logging.getLogger(__name__)

# Bringing a fresh copy to where it was is no measurement: as long as it takes, but not for ever.
_REPLAY_SECONDS = 4 * 3600


@dataclass(frozen=True)
class Bench:
    """Where migrations are rehearsed.

    Attributes:
        database: its name in the fleet.
        copy: the clone.
        renew: drops the clone and makes it anew, as it was in the beginning.
        production_bytes: sizes of production's tables.
        correction: see verdict.forecast.
    """

    database: str
    copy: Dsn
    renew: Callable[[], None]
    production_bytes: Mapping[str, int]
    correction: float = 1.0


@dataclass(frozen=True)
class Validated:
    """A verdict, with the schema before and after for the deployment; None where it did not get that far."""

    judged: Judged
    rehearsed: Rehearsed | None


def validate(
    bench: Bench,
    first: Sequence[Migration],
    chosen: Sequence[Migration],
    findings: Sequence[Finding],
    policy: MigrationPolicy,
) -> Iterator[Validated]:
    """Rehearse each chosen migration on top of those before it, and judge it.

    One that is refused does not hide what comes after it: whatever of it can be applied is, and the next is rehearsed
    on that.

    Args:
        first: applied before, unmeasured.
        findings: of the static gate, of all chosen ones; an error refuses a migration before it touches the copy.
    """
    there = _Ground(bench)
    for migration in first:
        there.put(migration)
    for number, migration in enumerate(chosen, 1):
        own = tuple(one for one in findings if one.where in _names(migration))
        log.info("%s of %s: %s", number, len(chosen), migration.label)
        yield _one(there, migration, own, policy)


def _one(there: _Ground, migration: Migration, findings: tuple[Finding, ...], policy: MigrationPolicy) -> Validated:
    rehearsed = None
    if any(one.level == "error" for one in findings):
        seen = Rehearsal(migration.version, migration.name, migration.checksum, findings=findings)
        if any(one.rule in NEVER_RUN for one in findings):
            log.warning("%s is left out of what comes after it: it reaches out of the copy", migration.label)
        else:
            there.put_if_possible(migration)
    else:
        scripts = Scripts(migration, parse(migration.up), parse(migration.down) if migration.down else None)
        rehearsed = rehearse(scripts, there.bench.copy, policy, findings)
        seen = rehearsed.rehearsal
        there.take_over(migration, seen)
    refused = reasons(seen, migration, policy)
    expected = forecast(seen, dict(there.bench.production_bytes), there.bench.correction)
    return Validated(Judged(there.bench.database, seen, refused, expected), rehearsed)


class _Ground:
    """What was applied to the copy so far, so that a spoilt copy can be brought there again."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.applied: list[Migration] = []

    def put(self, migration: Migration) -> None:
        """Apply one, unmeasured.

        Raises:
            Refused: it fails, so nothing that comes after it can be rehearsed.
        """
        ran = recorder.run(self.bench.copy, parse(migration.up), "apply", _REPLAY_SECONDS)
        if ran.failure is not None:
            raise Refused(
                f"{migration.label}, which comes before, fails: {ran.failure.message}",
                where=f"{ran.script}:{ran.failure.line}",
                remedy="Rehearse that one first",
            )
        self.applied.append(migration)

    def put_if_possible(self, migration: Migration) -> None:
        """Apply one that was refused, for the sake of those after it."""
        try:
            self.put(migration)
        except Refused as error:
            log.warning("%s is left out of what comes after it: %s", migration.label, error.what)
            self._again()

    def take_over(self, migration: Migration, seen: Rehearsal) -> None:
        """Go on from where the rehearsal ended, or make the copy anew where it ended badly."""
        clean = seen.applied_again is not None and seen.applied_again.failure is None and not seen.left_behind
        if clean:
            self.applied.append(migration)
            return
        self._again()
        if seen.applied is not None and seen.applied.failure is None:
            self.put(migration)

    def _again(self) -> None:
        log.info("making the copy anew, with %s migrations", len(self.applied))
        self.bench.renew()
        earlier, self.applied = self.applied, []
        for migration in earlier:
            self.put(migration)


def _names(migration: Migration) -> set[str]:
    return {migration.up.name} | ({migration.down.name} if migration.down else set())
