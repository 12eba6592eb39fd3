"""The steps of nightly_backup, one operator each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowSkipException

from pgops.fleet import Database, Fleet
from pgops.operators import resources
from pgops.operators.base import PgOpsOperator
from pgops.operators.results import from_xcom, to_xcom

if TYPE_CHECKING:
    from pgops.backup import Source

# One event for each backup that exists, with the partition key "<database>/<backup_id>". A name and no URI: for a
# URI Airflow loads the handlers of every provider, boto3 among them, whenever a task reads its DAG file.
PROVEN_BACKUP = Asset("proven_backup")


def _sources(database: Database) -> tuple[list[Source], list[str]]:
    """Where to dump from, in order, and why not from a preferred standby."""
    from pgops.backup import sources

    standby = resources.dsn(database.standby_connection) if database.standby_connection else None
    return sources(resources.dsn(database.connection), standby, database.backup)


class PreflightOperator(PgOpsOperator):
    """Checks all that can be known to be wrong before a dump is begun; skips a database that was not asked for."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return a Preflight."""
        from pgops.backup import preflight
        from pgops.catalog import Encryption

        settings = fleet.checked_settings()
        lease = resources.backup_lease(settings, database.name, context)
        encryption = database.backup.encryption
        if encryption is not None and encryption.verify == "decrypted":
            catalog = resources.catalog(settings, database.name)
            where = "backup.encryption.recipients in the fleet file"
            catalog.identities_for(Encryption.to(encryption.recipients), where)
        found, notes = _sources(database)
        tls = fleet.server(database.server).tls
        return to_xcom(preflight(database.name, found, notes, resources.bucket(settings), lease, tls))

    def execute(self, context: Any) -> Any:
        """As PgOpsOperator.execute."""
        wanted = context["params"].get("databases") or []
        if wanted and self.database not in wanted:
            raise AirflowSkipException(f"{self.database} was not asked for")
        return super().execute(context)


class DumpOperator(PgOpsOperator):
    """Dumps and fingerprints one snapshot of the database into the bucket."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return a Dump."""
        from pgops.backup import dump

        settings = fleet.checked_settings()
        found, notes = _sources(database)
        catalog = resources.catalog(settings, database.name)
        lease = resources.backup_lease(settings, database.name, context)
        return to_xcom(dump(database.name, found, tuple(notes), database.backup, catalog, lease))


class VerifyOperator(PgOpsOperator):
    """Reads the dump back from the bucket and holds it against the snapshot.

    Args:
        dump: the DumpOperator's result.
    """

    template_fields: Sequence[str] = ("database", "dump")

    def __init__(self, *, dump: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dump = dump

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return a Verified."""
        from pgops.backup import verify

        settings = fleet.checked_settings()
        lease = resources.backup_lease(settings, database.name, context)
        catalog = resources.catalog(settings, database.name)
        encryption = database.backup.encryption
        decrypt = encryption is None or encryption.verify == "decrypted"
        return to_xcom(verify(catalog, self.dump["backup_id"], lease, decrypt=decrypt))


class CommitOperator(PgOpsOperator):
    """Writes the manifest, records the backup, and announces it to the restore drill.

    Args:
        verified: the VerifyOperator's result.
    """

    template_fields: Sequence[str] = ("database", "verified")

    def __init__(self, *, verified: Any, **kwargs: Any) -> None:
        super().__init__(outlets=[PROVEN_BACKUP], **kwargs)
        self.verified = verified

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return a Committed."""
        from pgops.backup import Verified, commit

        settings = fleet.checked_settings()
        committed = commit(
            resources.catalog(settings, database.name),
            from_xcom(Verified, self.verified),
            resources.ledger(settings),
            resources.backup_lease(settings, database.name, context),
        )
        context["outlet_events"][PROVEN_BACKUP].add_partitions(f"{committed.database}/{committed.backup_id}")
        return to_xcom(committed)


class PruneOperator(PgOpsOperator):
    """Removes the backups that no rule of the policy keeps any more. The param `prune_dry_run` only says which.

    Args:
        committed: the CommitOperator's result: without tonight's backup nothing is removed.
    """

    template_fields: Sequence[str] = ("database", "committed")

    def __init__(self, *, committed: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.committed = committed

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return a Pruned."""
        from pgops.backup import prune

        settings = fleet.checked_settings()
        pruned = prune(
            resources.catalog(settings, database.name),
            database.backup.retention,
            resources.ledger(settings),
            resources.backup_lease(settings, database.name, context),
            datetime.now(UTC),
            tonight=self.committed["backup_id"],
            dry_run=bool(context["params"].get("prune_dry_run")),
        )
        return to_xcom(pruned)


class FreshnessOperator(PgOpsOperator):
    """Fails when the database's newest proven backup is older than its RPO, or there is none."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return a Freshness."""
        from pgops.backup.freshness import freshness_of, refuse_stale

        found = freshness_of(database.name, fleet, resources.bucket(fleet.checked_settings()), datetime.now(UTC))
        refuse_stale(found)
        return to_xcom(found)
