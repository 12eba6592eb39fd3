"""Which backups stay, and the removal of the others. The plan is a pure function; the removal is cautious."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pgops.catalog import MANIFEST, Catalog, time_of
from pgops.errors import Refused
from pgops.fleet import Retention
from pgops.ledger import Lease, Ledger, held_lease
from pgops.storage import Locked

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """Why each kept backup is kept, and which ones go; newest first."""

    keep: dict[str, tuple[str, ...]]
    remove: tuple[str, ...]


@dataclass(frozen=True)
class Pruned:
    """What was removed, or would have been.

    `strange` are keys that were left, since this project cannot name them; `locked` says which backups nobody may
    remove yet, and until when.
    """

    database: str
    dry_run: bool
    removed: tuple[str, ...]
    kept: int
    strange: tuple[str, ...]
    locked: tuple[str, ...] = ()


def plan(backups: Sequence[str], retention: Retention, now: datetime, restored: str | None = None) -> Plan:
    """Decide which backups stay: a backup stays when any rule keeps it; the newest always stays.

    Args:
        backups: ids of backups that exist, which means proven.
        retention: the policy.
        now: an aware datetime.
        restored: the newest backup whose last drill passed; it stays too.
    """
    newest_first = sorted(backups, reverse=True)
    reasons: dict[str, list[str]] = {backup_id: [] for backup_id in newest_first}
    for position, backup_id in enumerate(newest_first):
        if position == 0:
            reasons[backup_id].append("newest")
        if backup_id == restored:
            reasons[backup_id].append("newest that was restored in a drill")
        if position < retention.keep_last:
            reasons[backup_id].append(f"last {retention.keep_last}")
        if now - time_of(backup_id) <= timedelta(days=retention.keep_days):
            reasons[backup_id].append(f"younger than {retention.keep_days} days")
    rules: tuple[tuple[str, int, Callable[[datetime], str]], ...] = (
        ("weekly", retention.keep_weekly, lambda at: f"{at:%G-W%V}"),
        ("monthly", retention.keep_monthly, lambda at: f"{at:%Y-%m}"),
        ("yearly", retention.keep_yearly, lambda at: f"{at:%Y}"),
    )
    for name, count, period in rules:
        for label, backup_id in _newest_of_each(newest_first, period)[:count]:
            reasons[backup_id].append(f"{name} {label}")
    return Plan(
        keep={backup_id: tuple(why) for backup_id, why in reasons.items() if why},
        remove=tuple(backup_id for backup_id, why in reasons.items() if not why),
    )


def _newest_of_each(newest_first: Sequence[str], period: Callable[[datetime], str]) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for backup_id in newest_first:
        found.setdefault(period(time_of(backup_id)), backup_id)
    return list(found.items())


def prune(
    catalog: Catalog,
    retention: Retention,
    ledger: Ledger,
    lease: Lease,
    now: datetime,
    *,
    tonight: str,
    dry_run: bool,
) -> Pruned:
    """Remove what the policy no longer keeps.

    The manifest goes first: a backup that is being removed no longer exists, whatever happens next, and the next
    run sweeps up its objects.

    Args:
        catalog: the database's backups.
        retention: the policy.
        ledger: is told what was removed.
        lease: held meanwhile.
        now: an aware datetime.
        tonight: the backup that was just committed; unless it is the newest, nothing is removed.
        dry_run: only say what would be removed.

    Raises:
        Refused: tonight's backup is not there, or is not the newest.
    """
    with held_lease(lease):
        backups = catalog.backups()
        if not backups or backups[-1] != tonight:
            raise Refused(
                f"Tonight's backup {tonight} is not the newest one: nothing is removed",
                where=catalog.bucket.where(catalog.bucket.key(catalog.database)),
                remedy="Run nightly_backup for this database first",
            )
        catalog.manifest(tonight)  # it must be readable, not merely there
        decided = plan(backups, retention, now, _newest_restored(catalog, backups))
        for backup_id, why in decided.keep.items():
            log.info("keep   %s: %s", backup_id, ", ".join(why))
        strange: list[str] = []
        locked: list[str] = []
        removed: list[str] = []
        for backup_id in decided.remove:
            until = catalog.bucket.locked_until(catalog.key(backup_id, MANIFEST))
            if until is None:
                log.info("%s %s: no rule keeps it", "would remove" if dry_run else "remove", backup_id)
                removed.append(backup_id)
                try:
                    strange += _remove(catalog, backup_id, dry_run)
                except Locked as error:  # the manifest is gone, and with it the backup; its objects stay for now
                    until = error.until
            if until is not None:
                locked.append(f"{backup_id} is locked until {until:%Y-%m-%d %H:%M} UTC: no rule keeps it any more")
                log.info("%s", locked[-1])
        if removed and not dry_run:
            ledger.record_pruned(catalog.database, tuple(removed))
    lease.release()
    return Pruned(
        database=catalog.database,
        dry_run=dry_run,
        removed=tuple(removed),
        kept=len(backups) - len(removed),
        strange=tuple(strange),
        locked=tuple(locked),
    )


def _newest_restored(catalog: Catalog, backups: Sequence[str]) -> str | None:
    for backup_id in reversed(backups):
        verdict = catalog.last_drill(backup_id)
        if verdict is not None and verdict.passed:
            return backup_id
    return None


def _remove(catalog: Catalog, backup_id: str, dry_run: bool) -> list[str]:
    known, strange = catalog.contents(backup_id)
    for key in strange:
        log.warning("left alone, since this project did not write it: %s", key)
    if not dry_run:
        manifest = catalog.key(backup_id, MANIFEST)
        catalog.bucket.delete(key for key in known if key == manifest)
        catalog.bucket.delete(key for key in known if key != manifest)
    return strange
