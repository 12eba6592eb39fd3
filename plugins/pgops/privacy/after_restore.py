"""Erases again, in a database that was restored by hand, who was erased since its backup.

`python -m pgops.privacy.after_restore app app_restored --as-of 2026-11-20T02:00:00Z` needs neither Airflow nor the
ledger. The database is reached as psql reaches it (PGHOST, PGPORT, PGUSER, PGPASSWORD or ~/.pgpass), the bucket by
boto3's own variables (AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID, ...). PGOPS_PRIVACY_SECRETS holds the secret of the
connection that privacy.secret_connection names, and those before it, a line each.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime

from pgops.errors import PgOpsError, Refused
from pgops.fleet import load_fleet
from pgops.postgres import Dsn
from pgops.privacy.tombstones import Secret, replay
from pgops.storage import Bucket

SECRETS = "PGOPS_PRIVACY_SECRETS"


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay the tombstones and say what was done; the exit code is 0 when people may be let in."""
    given = _arguments(arguments)
    try:
        print(_replayed(given.database, given.restored, given.as_of, os.environ))
    except PgOpsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pgops.privacy.after_restore", description=__doc__)
    parser.add_argument("database", help="its name in the fleet file")
    parser.add_argument("restored", help="the name of the restored database")
    parser.add_argument(
        "--as-of",
        type=_instant,
        required=True,
        help="started_at of the backup's manifest, or the target of a recovery; with its time zone",
    )
    return parser.parse_args(arguments)


def _instant(text: str) -> datetime:
    with suppress(ValueError):
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at
    raise argparse.ArgumentTypeError(f"{text!r} is no instant with its time zone, such as 2026-11-20T02:00:00Z")


def _replayed(database: str, restored: str, as_of: datetime, environment: Mapping[str, str]) -> str:
    import boto3

    fleet = load_fleet()
    policy = fleet.database(database).privacy
    if policy is None:
        raise Refused(
            f"{database} has no privacy policy",
            where=f"include/fleet.yaml, databases, {database}",
            remedy="Nothing to replay, unless it had one when somebody was erased: then add it again",
        )
    passwords = [line for line in environment.get(SECRETS, "").splitlines() if line]
    if not passwords:
        raise Refused(
            "The secret that keys the tombstones is not given",
            where=SECRETS,
            remedy=f"Export it: the password of the connection {policy.secret_connection}, and those before it",
        )
    storage = fleet.checked_settings().storage
    bucket = Bucket(boto3.client("s3"), storage.bucket, storage.prefix)
    done = replay(
        _dsn(restored, environment), bucket, database, policy, [Secret(one) for one in passwords], as_of=as_of
    )
    people = "nobody was there again" if not done.erased else f"{len(done.erased)} persons were erased again"
    return f"{restored}: {done.tombstones} tombstones, {done.keys} keys compared, {people}"


def _dsn(dbname: str, environment: Mapping[str, str]) -> Dsn:
    """What is empty is found by libpq itself."""
    return Dsn(
        host=environment.get("PGHOST", ""),
        port=int(environment.get("PGPORT") or 5432),
        dbname=dbname,
        user=environment.get("PGUSER", ""),
        password=environment.get("PGPASSWORD", ""),
    )


if __name__ == "__main__":
    sys.exit(main())
