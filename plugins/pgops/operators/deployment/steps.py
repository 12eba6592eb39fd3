"""The deployment itself, the look at what it did, and the way back."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pgops.errors import PgOpsError, Refused
from pgops.fleet import Database, Fleet, Settings
from pgops.operators import resources
from pgops.operators.deployment.base import (
    DeploymentOperator,
    EvidenceOperator,
    record_evidence,
    refuse_unapproved,
    run_facts,
    same_schema,
    skip_unless_deployed,
    snapshots,
)
from pgops.operators.results import from_xcom, to_xcom

if TYPE_CHECKING:
    from pgops.migration.deployment.evidence import Evidence

log = logging.getLogger(__name__)

_TAKEN_BACK = "The task roll_back takes the migration back now: see its log"


class MaintenanceOnOperator(DeploymentOperator):
    """Tells the application and the monitoring, and mutes this database for the window.

    The mute is recorded first: maintenance_off takes back what a run with a record may have begun.
    """

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> None:
        """Return nothing."""
        resources.ledger(fleet.checked_settings()).rows(
            "begin_mute",
            database=database.name,
            run_id=context["run_id"],
            reason=f"migration {self.version} is being deployed",
            seconds=resources.deploy_window_seconds(database),
        )
        _announce("on", database, self.version, context)


def _announce(state: str, database: Database, version: str, context: Mapping[str, Any]) -> None:
    """Tell everybody, also when one of them does not take it; then raise that."""
    from pgops.operators.webhooks import announce

    policy, problems = resources.deploy_policy(database), []
    for connection_id in (policy.maintenance, policy.monitoring):
        if connection_id:
            try:
                announce(connection_id, state, database.name, version, context["run_id"])
            except PgOpsError as error:
                problems.append(error)
    if problems:
        raise problems[0]


class DeployOperator(DeploymentOperator):
    """Applies the migration: short lock timeouts, tried again, blockers named, the budget kept."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return a Deployed."""
        from pgops.migration.deployment.deploy import apply
        from pgops.migration.scripts.statements import parse

        refuse_unapproved(fleet.checked_settings(), context)
        migration, policy = self.migration(database), resources.migration_policy(database)
        if migration.checksum != self.validated(context).checksum:
            raise Refused("The migration's files were changed", where=self.version, remedy="Validate them again")
        return to_xcom(
            apply(
                self.production(database),
                migration,
                parse(migration.up),
                "apply",
                resources.deploy_policy(database),
                policy.budget_seconds,
                run_facts(context),
            )
        )


class VerifySchemaOperator(EvidenceOperator):
    """The schema is now what it was after the rehearsal."""

    remedy = _TAKEN_BACK

    def look(self, context: Mapping[str, Any], settings: Settings, database: Database) -> Evidence:
        """Compare production with the rehearsed copy."""
        _, after = snapshots(settings, self.validated(context))
        return same_schema("schema as rehearsed", after, self.production(database))


class SmokeTestsOperator(EvidenceOperator):
    """The fleet file's questions have their known answers."""

    remedy = _TAKEN_BACK

    def look(self, context: Mapping[str, Any], settings: Settings, database: Database) -> Evidence:
        """Ask production."""
        from pgops.migration.deployment.evidence import smoke_evidence

        return smoke_evidence(self.production(database), resources.deploy_policy(database).smoke_tests)


class WatchOperator(EvidenceOperator):
    """Errors, query times, standbys and latency stay as they were."""

    remedy = _TAKEN_BACK

    def look(self, context: Mapping[str, Any], settings: Settings, database: Database) -> Evidence:
        """Watch production for the policy's window."""
        from pgops.migration.deployment.evidence import Evidence
        from pgops.migration.deployment.watch import Baseline, watch

        before = from_xcom(Baseline, context["ti"].xcom_pull(task_ids="baseline"))
        limits = resources.deploy_policy(database).watch
        seen = watch(self.production(database), before, limits, self.touched(database), log.info)
        summary = seen.breach or "as before"
        return Evidence("watched afterwards", not seen.breach, summary, to_xcom(seen))


class RollBackOperator(DeploymentOperator):
    """Takes the migration back after a breach, unless that destroys what nobody has given up."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return a Deployed."""
        skip_unless_deployed(context)
        from pgops.migration.deployment.deploy import apply
        from pgops.migration.deployment.losses import destruction_guard
        from pgops.migration.scripts.statements import parse
        from pgops.migration.verdict.judge import acknowledged

        migration, policy = self.migration(database), resources.migration_policy(database)
        production, verdict = self.production(database), self.validated(context)
        if migration.down is None or migration.checksum != verdict.checksum:
            raise Refused(
                "There is no rollback that was rehearsed with this migration",
                where=f"{database.name}, migration {self.version}",
                remedy="Decide by hand: mend forward, or take it back with the files of the deployed version",
            )
        script = parse(migration.down)
        guard = destruction_guard(script, acknowledged=acknowledged(migration), where=production.where)
        deploy_policy = resources.deploy_policy(database)
        undone = apply(
            production, migration, script, "rollback", deploy_policy, policy.budget_seconds, run_facts(context), guard
        )
        before, _ = snapshots(fleet.checked_settings(), verdict)
        found = same_schema("schema as before after the rollback", before, production)
        record_evidence(fleet.checked_settings(), context, found)
        if not found.passed:
            raise PgOpsError(
                f"The rollback ran, and the schema is not what it was: {found.summary}",
                where=production.where,
                remedy="Compare with the rehearsal's snapshots and mend it by hand",
            )
        return to_xcom(undone)


class MaintenanceOffOperator(DeploymentOperator):
    """Ends the mute, tells the application and the monitoring again, and lets others deploy."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> None:
        """Return nothing."""
        settings = fleet.checked_settings()
        ledger = resources.ledger(settings)
        try:
            if ledger.rows("end_mute", database=database.name, run_id=context["run_id"]):
                _announce("off", database, self.version, context)
            else:
                log.info("this run has not begun any maintenance")
        finally:
            resources.deploy_lease(settings, database, context).release()


class DocumentOperator(DeploymentOperator):
    """Writes down the schema as it is now, beside the backups."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> str:
        """Return where it lies."""
        skip_unless_deployed(context)
        from pgops.migration.documentation import schema_document

        bucket = resources.bucket(fleet.checked_settings())
        key = bucket.key(database.name, "schema.md")
        bucket.put(key, schema_document(self.production(database)).encode(), "text/markdown; charset=utf-8")
        return bucket.where(key)
