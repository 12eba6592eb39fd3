"""A drill's verdict, kept beside the manifest and in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from pgops.catalog import Catalog
from pgops.ledger import Ledger
from pgops.recovery.checks import Check
from pgops.recovery.restore import Restored


@dataclass(frozen=True)
class DrillReport:
    """What was restored, compared and measured. Seconds; `failures` is empty when the drill passed.

    `unfinished` are those of the failures that are no findings: steps without an outcome.
    """

    database: str
    backup_id: str
    at: str
    passed: bool
    rto_seconds: float
    rto_limit_seconds: float
    restored: Restored | None
    checks: tuple[Check, ...]
    failures: tuple[str, ...]
    unfinished: tuple[str, ...] = ()


def report(
    catalog: Catalog,
    backup_id: str,
    started_at: datetime,
    rto_limit_seconds: float,
    restored: Restored | None,
    checks: Sequence[Check],
    unfinished: Sequence[str],
    ledger: Ledger,
) -> DrillReport:
    """Judge a drill and record it beside the manifest and in the ledger.

    Args:
        catalog: the database's backups.
        backup_id: which one was restored.
        started_at: when the drill began.
        rto_limit_seconds: the policy's objective for download and restore together.
        restored: None when the restore did not succeed.
        checks: the outcomes there are.
        unfinished: why steps did not come to an outcome.
        ledger: where it is recorded.
    """
    failures = list(unfinished)
    failures += [f"{check.name}: {'; '.join(check.problems)}" for check in checks if check.problems]
    if restored is not None and restored.seconds > rto_limit_seconds:
        failures.append(f"RTO missed: {restored.seconds:.0f} s, allowed are {rto_limit_seconds:.0f} s")
    finished_at = datetime.now(UTC)
    verdict = DrillReport(
        database=catalog.database,
        backup_id=backup_id,
        at=finished_at.isoformat(),
        passed=not failures,
        rto_seconds=restored.seconds if restored else 0.0,
        rto_limit_seconds=rto_limit_seconds,
        restored=restored,
        checks=tuple(checks),
        failures=tuple(failures),
        unfinished=tuple(unfinished),
    )
    catalog.write_drill(backup_id, finished_at, verdict)
    ledger.record_drill(catalog.database, backup_id, started_at, finished_at, asdict(verdict))
    return verdict
