"""The proof of an erasure: nothing is found any more; and where the person still is, until when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pgops.catalog import Catalog, time_of
from pgops.errors import PgOpsError
from pgops.fleet import BackupPolicy, MigrationPolicy, Retention
from pgops.postgres import Dsn
from pgops.privacy.erase import left_to_do
from pgops.privacy.model import Archives, Found, SubjectMap
from pgops.privacy.search import LIMITS, Subject, archived, search
from pgops.privacy.sessions import subject_session


@dataclass(frozen=True)
class Holder:
    """A copy that was made before the erasure, and when it is gone at the latest, by today's policy."""

    what: str
    expires_at: datetime | None


@dataclass(frozen=True)
class Proof:
    """What was found after an erasure.

    Attributes:
        kept: rows that stay by policy, in words with the reason.
        holders: backups, and what else still holds the person.
        warnings: what was not looked at.
    """

    at: datetime
    searched: int
    kept: tuple[str, ...]
    holders: tuple[Holder, ...]
    warnings: tuple[str, ...]
    archives_searched: bool


def prove(
    dsn: Dsn, subject_map: SubjectMap, subject: Subject, holders: Sequence[Holder], archives: Archives | None = None
) -> Proof:
    """Search again, everywhere.

    It goes by the subject's key: the row that held e-mail address or name is gone, so there is nothing else to go by.

    Raises:
        PgOpsError: something of the person is still there.
    """
    found: Found = search(dsn, subject_map, subject, archives)
    with subject_session(dsn, subject.key, LIMITS, readonly=True) as connection, connection.cursor() as cursor:
        left = {
            one.title: count
            for one in subject_map.tables
            if one.action != "keep" and (count := left_to_do(cursor, subject_map, one))
        }
    if archives:
        left |= archives.left(archived(subject_map, subject))
    if left:
        raise PgOpsError(
            f"The person is still there: {', '.join(f'{count} rows in {table}' for table, count in left.items())}",
            where=dsn.where,
            remedy="Something wrote meanwhile, or was not erased: clear `erase` and what follows it",
        )
    kept = tuple(
        f"{one.table}: {one.rows} rows, {'anonymised' if one.action == 'anonymise' else one.reason}"
        for one in found.tables
        if one.action != "delete" and one.rows
    ) + tuple(f"{name}: {count} rows, as in its table" for name, count in (found.archives or {}).items())
    return Proof(
        at=datetime.now(UTC),
        searched=len(subject_map.tables),
        kept=kept,
        holders=tuple(holders),
        warnings=found.warnings,
        archives_searched=found.archives is not None,
    )


def erase_archives(subject_map: SubjectMap, subject: Subject, archives: Archives | None) -> dict[str, int]:
    """Let the archives be rewritten; rows that went or changed, by archive."""
    return dict(archives.erase(archived(subject_map, subject))) if archives else {}


def holders(catalog: Catalog, policy: BackupPolicy, migrations: MigrationPolicy | None, at: datetime) -> list[Holder]:
    """What still holds whoever was erased at `at`: every backup begun before, and what is made from backups.

    Conservative: a backup is taken to hold every person, and to stay as long as any rule may keep it. It assumes that
    nightly_backup goes on: the newest backups stay for as long as there are no newer ones.
    """
    backups = catalog.backups()
    ends = _latest_ends(backups, policy.retention)
    found = [Holder(f"backup {one}", ends[one]) for one in backups if time_of(one) <= at]
    if policy.local_copy:
        until = at + timedelta(days=policy.local_copy.keep_days)
        found.append(Holder("copies of backups on the worker's disk", until))
    if migrations and migrations.golden:
        until = at + timedelta(hours=migrations.golden.max_age_hours)
        found.append(Holder("the golden template of migrations, once it is renewed", until))
    found.append(Holder("archived WAL and base backups of the server, for as long as its archive keeps them", None))
    return found


def _latest_ends(backups: Sequence[str], retention: Retention) -> dict[str, datetime]:
    """When each backup goes at the latest: a rule for periods keeps only the newest backup of each."""
    periods: tuple[tuple[int, Callable[[datetime], str], int], ...] = (
        (retention.keep_weekly, lambda at: f"{at:%G-W%V}", 7),
        (retention.keep_monthly, lambda at: f"{at:%Y-%m}", 31),
        (retention.keep_yearly, lambda at: f"{at:%Y}", 366),
    )
    ends = {}
    for one in backups:
        at = time_of(one)
        days = max(retention.keep_days, retention.keep_last)
        for count, period, length in periods:
            newest = max(two for two in backups if period(time_of(two)) == period(at))
            if count and one == newest:
                days = max(days, (count + 1) * length)
        ends[one] = at + timedelta(days=days + 1)
    return ends
