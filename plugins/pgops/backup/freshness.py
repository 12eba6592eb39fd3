"""Is every database's newest proven backup young enough?

Asks the bucket alone, so it also answers when Airflow is dead.

`python -m pgops.backup.freshness` needs neither Airflow nor the ledger: for cron or a monitor elsewhere. It finds the
store by boto3's own variables (AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID, ...). The exit code is 0 when all are fresh.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from pgops.catalog import Catalog
from pgops.errors import PgOpsError, Refused
from pgops.fleet import Fleet, load_fleet
from pgops.storage import Bucket, StorageError

_CLOCKS_DIFFER_HOURS = 0.1


@dataclass(frozen=True)
class Freshness:
    """The age of a database's newest proven backup against its RPO, in hours; `why` says what is wrong.

    A backup that its restore drill refuted does not count; `refuted` names those that are newer than the one that does.
    """

    database: str
    fresh: bool
    backup_id: str | None
    age_hours: float | None
    rpo_hours: float | None
    why: str = ""
    refuted: tuple[str, ...] = ()

    def line(self) -> str:
        """As people read it."""
        age = "" if self.age_hours is None else f"{self.age_hours:.1f} h of {self.rpo_hours:g} h"
        words = ("fresh" if self.fresh else "STALE", f"{self.database:<12}", self.backup_id or "-", age, self.why)
        refuted = f"(not counted, since its drill failed: {', '.join(self.refuted)})" if self.refuted else ""
        return "  ".join(word for word in (*words, refuted) if word)


def freshness(fleet: Fleet, bucket: Bucket, now: datetime) -> list[Freshness]:
    """Look at every database that the fleet file names, valid entry or not."""
    return [freshness_of(name, fleet, bucket, now) for name, _ in fleet.names]


def freshness_of(name: str, fleet: Fleet, bucket: Bucket, now: datetime) -> Freshness:
    """Look at one database.

    Raises:
        StorageError: the bucket did not answer.
    """
    try:
        rpo_hours = fleet.database(name).backup.rpo_hours
        catalog = Catalog(bucket, name)
        newest, _, refuted = catalog.newest_usable()
        gone = catalog.missing(newest) if newest else []
    except StorageError:
        raise  # nobody knows how old the backups are: that is another alarm than an old one
    except PgOpsError as error:
        return Freshness(name, False, None, None, None, str(error))
    if newest is None:
        why = "there is no proven backup at all" if not refuted else "no backup is left that no drill refuted"
        return Freshness(name, False, None, None, rpo_hours, why, refuted)
    # The state that can be brought back is the snapshot's: the age counts from the start.
    age_hours = (now - newest.started_at).total_seconds() / 3600
    why = ""
    if gone:
        why = f"of the newest proven backup {gone[0]} is missing or cut off: a lifecycle rule, or somebody"
    elif age_hours < -_CLOCKS_DIFFER_HOURS:
        why = f"the newest proven backup lies {-age_hours:.1f} h in the future: a clock was or is wrong"
    elif age_hours > rpo_hours:
        why = f"the newest proven backup is {age_hours:.1f} h old, allowed are {rpo_hours:g} h"
    return Freshness(name, not why, newest.backup_id, round(age_hours, 2), rpo_hours, why, refuted)


def refuse_stale(found: Freshness) -> None:
    """Raise Refused when a database is not fresh."""
    if not found.fresh:
        raise Refused(
            found.why,
            where=f"backups of {found.database}",
            remedy="Look at last night's nightly_backup; run it now for this database",
        )


def main() -> int:
    """Print one line per database and, last, one JSON line."""
    import boto3

    fleet = load_fleet()
    try:
        storage = fleet.checked_settings().storage
    except PgOpsError as error:
        print(error, file=sys.stderr)
        return 2
    client = boto3.client("s3")
    bucket = Bucket(client, storage.bucket, storage.prefix)
    print(f"asked {bucket.where()} at {client.meta.endpoint_url}")
    try:
        found = freshness(fleet, bucket, datetime.now(UTC))
    except PgOpsError as error:
        print(f"UNKNOWN  {error}")
        print(json.dumps({"fresh": None, "error": str(error)}))
        return 2
    for one in found:
        print(one.line())
    fresh = all(one.fresh for one in found)
    print(json.dumps({"fresh": fresh, "databases": [asdict(one) for one in found]}))
    return 0 if fresh else 1


if __name__ == "__main__":
    sys.exit(main())
