"""Which migrations a database has, which it lacks, and which of them somebody asks for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from pgops.errors import Refused
from pgops.fleet import MigrationPolicy
from pgops.migration.deployment.versions import applied
from pgops.migration.model import Migration
from pgops.migration.scripts.revisions import revisions_in
from pgops.migration.scripts.sources import chosen, migrations_in
from pgops.postgres import Dsn

PENDING, ALL = "pending", "all"


def migrations_of(policy: MigrationPolicy, include: Path) -> list[Migration]:
    """All migrations of a database, in order.

    Raises:
        Refused: the folder or a file in it is wrong.
    """
    if policy.alembic is not None:
        return revisions_in(include / policy.alembic)
    assert policy.folder is not None  # the policy has one or the other
    return migrations_in(include / policy.folder)


def on(dsn: Dsn, migrations: Sequence[Migration], baseline: str | None) -> set[str]:
    """The versions that a database has.

    Args:
        baseline: the version up to which a database that was there before this project has everything.

    Raises:
        Refused: the baseline is no version.
    """
    there = {version for version, one in applied(dsn).items() if one.complete and one.direction == "apply"}
    if baseline is None:
        return there
    known = [one.version for one in migrations]
    if baseline not in known:
        raise Refused(
            f"The baseline {baseline!r} is no version",
            where=f"known: {', '.join(known[-10:])}",
            remedy="Correct migrations.baseline in the fleet file",
        )
    return there | set(known[: known.index(baseline) + 1])


def asked_for(migrations: Sequence[Migration], wanted: str, there: Collection[str]) -> list[Migration]:
    """The migrations that somebody wants to rehearse.

    Args:
        migrations: all of the database, in order.
        wanted: a version, "pending" (those that the database lacks) or "all".
        there: the versions that the database has.

    Raises:
        Refused: there is no such version, or nothing is pending.
    """
    if wanted == ALL:
        return list(migrations)
    if wanted == PENDING:
        missing = [one for one in migrations if one.version not in there]
        if not missing:
            raise Refused(
                "No migration is pending: the database has all of them",
                where=f"{len(migrations)} migrations",
                remedy="Add a migration, or name a version",
            )
        return missing
    return [chosen(migrations, wanted)]


def beforehand(migrations: Sequence[Migration], wanted: Sequence[Migration], there: Collection[str]) -> list[Migration]:
    """What a copy lacks that comes before the wanted ones: it is applied first, unmeasured.

    Raises:
        Refused: the copy has a wanted one already.
    """
    for one in wanted:
        if one.version in there:
            raise Refused(
                f"The copy has migration {one.version} already",
                where="its version ledger, pgops.schema_steps",
                remedy="What the copy was made from has it; `pending` rehearses what it lacks. If it was rolled back"
                " since, trigger this again with refresh",
            )
    versions = {one.version for one in wanted}
    last = max(number for number, one in enumerate(migrations) if one.version in versions)
    return [one for one in migrations[:last] if one.version not in versions and one.version not in there]
