"""One migration on a copy: applied, written to, rolled back, compared, applied again; everything measured."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from pgops.fleet import MigrationPolicy
from pgops.include import sql_text
from pgops.migration.model import Finding, Migration, Script
from pgops.migration.proof import compare
from pgops.migration.proof.review import review
from pgops.migration.proof.snapshot import Snapshot
from pgops.migration.rehearsal import recorder
from pgops.migration.rehearsal.load import Load, touched_tables
from pgops.migration.rehearsal.synthetic import shape, write_rows
from pgops.migration.verdict.judge import Rehearsal
from pgops.postgres import Dsn, connect

log = logging.getLogger(__name__)

APPLICATION = "pgops.rehearsal"
# One reader beside the migration does not end at once: a statement that waits behind it keeps everybody waiting, unless
# it gives up soon and tries again.
HELD_SECONDS = 1.0
LOCK_TIMEOUT_MS = 500
LOCK_ATTEMPTS = 30


@dataclass(frozen=True)
class Scripts:
    """Both directions of a migration, taken apart; `down` is None when there is no rollback."""

    migration: Migration
    up: Script
    down: Script | None


@dataclass(frozen=True)
class Rehearsed:
    """What was seen, with the schema before and after, against which production is compared later."""

    rehearsal: Rehearsal
    before: Snapshot
    after: Snapshot | None


def rehearse(scripts: Scripts, copy: Dsn, policy: MigrationPolicy, findings: tuple[Finding, ...]) -> Rehearsed:
    """Rehearse one migration on a copy that has all the migrations before it.

    When everything went well the migration is applied in the end. Else the copy is in whatever state was reached.

    Args:
        findings: of the static gate; they go into the rehearsal.
    """
    migration = scripts.migration
    before, shape_before, sizes = compare.take(copy), shape(copy), relation_bytes(copy)
    touched = tuple(name for name in touched_tables(copy, scripts.up) if name in sizes)
    log.info("%s: applying, beside readers and writers of %s", migration.label, ", ".join(touched) or "no table")
    with Load(copy, touched, hold_seconds=HELD_SECONDS) as load:
        applied = recorder.run(
            copy,
            scripts.up,
            "apply",
            policy.budget_seconds,
            lock_timeout_ms=policy.deploy.lock_timeout_ms if policy.deploy else LOCK_TIMEOUT_MS,
            lock_attempts=LOCK_ATTEMPTS,
        )
    seen = Rehearsal(
        version=migration.version,
        name=migration.name,
        checksum=migration.checksum,
        findings=findings,
        applied=applied,
        stalls=load.stalls(),
        bytes_by_relation={name: sizes[name] for name in touched},
    )
    if applied.failure is not None:
        return Rehearsed(seen, before, None)
    after = compare.take(copy, ())  # no rows: nothing is compared with those of the migrated copy
    findings += tuple(review(copy, before, policy))
    if scripts.down is None:
        return Rehearsed(replace(seen, findings=findings), before, after)
    log.info("%s: writing rows, then rolling back", migration.label)
    notes = tuple(write_rows(copy, shape_before))
    destroyed = tuple(one for one in compare.values_at_risk(copy, before) if one.destructive)
    rolled_back = recorder.run(copy, scripts.down, "rollback", policy.budget_seconds)
    seen = replace(seen, findings=findings, notes=notes, destroyed=destroyed, rolled_back=rolled_back)
    if rolled_back.failure is not None:
        return Rehearsed(seen, before, after)
    left = compare.differences(before, compare.take(copy, like=before))
    seen = replace(
        seen,
        left_behind=tuple(one for one in left if not compare.harmless(one)),
        notes=(*notes, *(f"stays after a rollback: {one.what} {one.after}" for one in left if compare.harmless(one))),
    )
    log.info("%s: applying again", migration.label)
    again = recorder.run(copy, scripts.up, "apply", policy.budget_seconds)
    if again.failure is None:
        changed = compare.differences(after, compare.take(copy, ()))
        seen = replace(seen, differs_again=tuple(one for one in changed if not compare.harmless(one)))
    return Rehearsed(replace(seen, applied_again=again), before, after)


def relation_bytes(dsn: Dsn) -> dict[str, int]:
    """Sizes with indexes, by "schema.table"; what is partitioned has the sum of its partitions."""
    with connect(dsn, APPLICATION, system_names=True) as connection, connection.cursor() as cursor:
        cursor.execute(sql_text("migration/rehearsal/relation_bytes.sql"))
        return dict(cursor.fetchall())
