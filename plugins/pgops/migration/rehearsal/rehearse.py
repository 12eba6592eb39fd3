"""One migration on a copy: applied, written to, rolled back, compared, applied again; everything measured."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from pgops.fleet import MigrationPolicy
from pgops.include import sql_text
from pgops.migration.gate.check import allowed_rules
from pgops.migration.model import Difference, Finding, Migration, Ran, Script, Stall
from pgops.migration.proof import compare
from pgops.migration.proof.review import failing_writes, review
from pgops.migration.proof.snapshot import Snapshot
from pgops.migration.rehearsal import recorder
from pgops.migration.rehearsal.load import Load, refused_writes, touched_tables
from pgops.migration.rehearsal.synthetic import Shape, shape, write_rows
from pgops.migration.verdict.judge import Rehearsal, acknowledged
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
    refused_before = refused_writes(copy, touched)
    log.info("%s: applying, beside readers and writers of %s", migration.label, ", ".join(touched) or "no table")
    applied, stalls = _apply(scripts.up, copy, policy, touched)
    seen = Rehearsal(
        version=migration.version,
        name=migration.name,
        checksum=migration.checksum,
        findings=findings,
        applied=applied,
        stalls=stalls,
        bytes_by_relation={name: sizes[name] for name in touched},
    )
    if applied.failure is not None:
        return Rehearsed(seen, before, None)
    after = _migrated(migration, copy, before)
    brought = [*review(copy, before, policy), *failing_writes(refused_before, refused_writes(copy, touched), policy)]
    allowed = allowed_rules(migration)
    seen = replace(seen, findings=(*findings, *(_allowed(one) if one.rule in allowed else one for one in brought)))
    if scripts.down is None:
        return Rehearsed(seen, before, after)
    log.info("%s: writing rows, then rolling back", migration.label)
    seen = _roll_back(seen, migration, scripts.down, copy, policy, shape_before, before, after)
    if seen.rolled_back is None or seen.rolled_back.failure is not None:
        return Rehearsed(seen, before, after)
    log.info("%s: applying again", migration.label)
    return Rehearsed(_apply_again(seen, scripts.up, copy, policy, after), before, after)


def _apply(up: Script, copy: Dsn, policy: MigrationPolicy, touched: tuple[str, ...]) -> tuple[Ran, tuple[Stall, ...]]:
    """The first run, beside an application, with the lock timeouts of a deployment."""
    with Load(copy, touched, hold_seconds=HELD_SECONDS) as load:
        ran = recorder.run(
            copy,
            up,
            "apply",
            policy.budget_seconds,
            lock_timeout_ms=policy.deploy.lock_timeout_ms if policy.deploy else LOCK_TIMEOUT_MS,
            lock_attempts=LOCK_ATTEMPTS,
            in_the_way=load.in_the_way,
        )
    return ran, load.stalls()


def _migrated(migration: Migration, copy: Dsn, before: Snapshot) -> Snapshot:
    """The schema after the migration; rows only of tables that lost columns, where the rollback may say so."""
    after = compare.take(copy, ())
    if acknowledged(migration) and (losing := compare.lost_columns(before, after)):
        rows = compare.take(copy, losing, like=before, dump=False)  # of no other table are they compared with these
        after = replace(after, data=rows.data, columns=rows.columns)
    return after


def _roll_back(
    seen: Rehearsal,
    migration: Migration,
    down: Script,
    copy: Dsn,
    policy: MigrationPolicy,
    shape_before: Shape,
    before: Snapshot,
    after: Snapshot,
) -> Rehearsal:
    """Write as an application would, count what is at stake, roll back, and compare with what was there before."""
    notes = tuple(write_rows(copy, shape_before))
    destroyed = tuple(one for one in compare.values_at_risk(copy, before, shape_before.by_oid) if one.destructive)
    rolled_back = recorder.run(copy, down, "rollback", policy.budget_seconds)
    seen = replace(seen, notes=notes, destroyed=destroyed, rolled_back=rolled_back)
    if rolled_back.failure is not None:
        return seen
    left = compare.differences(before, compare.take(copy, like=before))
    accepted = {one for one in left if compare.harmless(one)}
    if acknowledged(migration):
        back = compare.take(copy, {one.what for one in left if one.layer == "data"}, like=after, dump=False)
        accepted |= {one for one in left if compare.inevitable(before, after, back, one)}
    return replace(
        seen,
        left_behind=tuple(one for one in left if one not in accepted),
        notes=(*notes, *(_stays(one) for one in left if one in accepted)),
    )


def _apply_again(seen: Rehearsal, up: Script, copy: Dsn, policy: MigrationPolicy, after: Snapshot) -> Rehearsal:
    """The second run: it must give the same schema."""
    again = recorder.run(copy, up, "apply", policy.budget_seconds)
    if again.failure is not None:
        return replace(seen, applied_again=again)
    changed = compare.differences(replace(after, data={}), compare.take(copy, ()))
    differs = tuple(one for one in changed if not compare.harmless(one))
    return replace(seen, applied_again=again, differs_again=differs)


def _allowed(one: Finding) -> Finding:
    message = f"A comment allows {one.rule}: {one.message}"
    return replace(one, rule="allowed", level="warning", message=message, remedy="Nothing, if it is meant")


def _stays(one: Difference) -> str:
    if one.layer == "data":
        return f"the migration destroys values of {one.what}, and no rollback brings them back"
    return f"stays after a rollback: {one.what} {one.after}"


def relation_bytes(dsn: Dsn) -> dict[str, int]:
    """Sizes with indexes, by "schema.table"; what is partitioned has the sum of its partitions."""
    with connect(dsn, APPLICATION, system_names=True) as connection, connection.cursor() as cursor:
        cursor.execute(sql_text("migration/rehearsal/relation_bytes.sql"))
        return dict(cursor.fetchall())
