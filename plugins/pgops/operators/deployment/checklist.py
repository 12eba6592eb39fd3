"""The items of the deployment checklist that come before the approval, and the one after it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pgops.errors import Refused
from pgops.fleet import Database, Fleet, Settings
from pgops.include import include_folder
from pgops.operators import resources
from pgops.operators.base import requester
from pgops.operators.deployment.base import (
    DeploymentOperator,
    EvidenceOperator,
    record_evidence,
    refuse_if_deployed,
    refuse_unapproved,
    same_schema,
    snapshots,
)
from pgops.operators.deployment.report import tell
from pgops.operators.results import to_xcom

if TYPE_CHECKING:
    from pgops.migration.deployment.evidence import Evidence
    from pgops.migration.verdict.records import Verdict
    from pgops.postgres import Dsn

log = logging.getLogger(__name__)


class ValidationEvidenceOperator(DeploymentOperator):
    """Checks that this very migration passed its rehearsal, rollback included, and begins the deployment's record."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return the Verdict."""
        from pgops.migration.deployment.evidence import Evidence
        from pgops.migration.deployment.versions import applied
        from pgops.migration.verdict.records import newest_verdict

        settings, migration = fleet.checked_settings(), self.migration(database)
        production = self.production(database)
        ledger = resources.ledger(settings)
        verdict = newest_verdict(ledger, database.name, self.version)
        ledger.rows(
            "begin_deployment",
            run_id=context["run_id"],
            database=database.name,
            version=self.version,
            checksum=migration.checksum,
            requested_by=requester(context),
            forecast=json.dumps(verdict.forecast if verdict else None),
        )
        refuse_if_deployed(applied(production).get(self.version), context, production.where)
        problem = _not_validated(verdict, migration.checksum)
        summary = problem or f"passed {verdict.at:%Y-%m-%d %H:%M} UTC, rollback tested" if verdict else problem
        facts = {"checksum": migration.checksum, "folder": verdict.folder if verdict else None}
        record_evidence(settings, context, Evidence("rehearsal", not problem, summary, facts))
        if problem or verdict is None:
            raise Refused(
                f"Migration {migration.label} may not be deployed: {problem}",
                where=f"{database.name}, checksum {migration.checksum[:12]}",
                remedy="Run migration_validation for it, and deploy what has passed",
            )
        return to_xcom(verdict)


def _not_validated(verdict: Verdict | None, checksum: str) -> str:
    if verdict is None:
        return "it was never rehearsed"
    if verdict.checksum != checksum:
        return "its files were changed since they were rehearsed"
    return "" if verdict.passed else f"its rehearsal refused it: {'; '.join(verdict.reasons)}"


class BackupEvidenceOperator(EvidenceOperator):
    """There is a proven backup that is young enough."""

    def look(self, context: Mapping[str, Any], settings: Settings, database: Database) -> Evidence:
        """Look into the bucket."""
        from pgops.migration.deployment.evidence import backup_evidence

        hours = resources.deploy_policy(database).backup_max_age_hours
        return backup_evidence(resources.catalog(settings, database.name), hours)


class DowntimeOperator(EvidenceOperator):
    """The longest time that a table is blocked stays under the limit."""

    def look(self, context: Mapping[str, Any], settings: Settings, database: Database) -> Evidence:
        """Compare the forecast with the policy."""
        from pgops.migration.deployment.evidence import downtime_evidence

        forecast = self.validated(context).forecast or {}
        limit = resources.deploy_policy(database).downtime_seconds
        return downtime_evidence(forecast.get("downtime_seconds", 0.0), limit)


class ConnectionsOperator(EvidenceOperator):
    """How many connections there are, and whether old transactions would be in the way."""

    def look(self, context: Mapping[str, Any], settings: Settings, database: Database) -> Evidence:
        """Ask production."""
        from pgops.migration.deployment.evidence import connections_evidence, long_transactions_evidence

        production = self.production(database)
        record_evidence(settings, context, long_transactions_evidence(production))
        return connections_evidence(production)


class OwnershipOperator(EvidenceOperator):
    """The role that deploys may alter what the migration touches."""

    def look(self, context: Mapping[str, Any], settings: Settings, database: Database) -> Evidence:
        """Ask production."""
        from pgops.migration.deployment.evidence import ownership_evidence

        return ownership_evidence(self.production(database), self.touched(database))


class LagOperator(EvidenceOperator):
    """How far the standbys are behind."""

    def look(self, context: Mapping[str, Any], settings: Settings, database: Database) -> Evidence:
        """Ask production."""
        from pgops.migration.deployment.evidence import lag_evidence

        allowed = resources.deploy_policy(database).watch.max_lag_mb
        return lag_evidence(self.production(database), allowed, expected=1 if database.standby_connection else 0)


class TellOnCallOperator(DeploymentOperator):
    """Tells the team what is about to happen; that Slack took it is an item of the checklist."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return the Evidence."""
        from pgops.migration.deployment.evidence import Evidence

        settings = fleet.checked_settings()
        sent = tell(context, settings, database, self, "asks", "", _asks(database, requester(context)))
        found = Evidence("on-call told", sent, "in Slack" if sent else "Slack did not take the message", {})
        record_evidence(settings, context, found)
        return to_xcom(found)


def _asks(database: Database, asked: str) -> str:
    from pgops.operators.deployment.approval import may_approve

    policy = resources.deploy_policy(database)
    names = ", ".join(may_approve(policy, asked)) or "whoever may edit the run"
    return f"Approve or reject it ({names}); without an answer it is rejected after {policy.approval_minutes:g} min."


class CheckAgainOperator(DeploymentOperator):
    """After the wait: nobody else deploys, the files are still those, production is what the rehearsal began with.

    From here on this run alone may deploy into this database; maintenance_off gives that back.
    """

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return the Evidence."""
        lease = resources.deploy_lease(fleet.checked_settings(), database, context)
        lease.take()
        try:
            return self._compare(context, fleet.checked_settings(), database)
        except BaseException:
            lease.release()
            raise

    def _compare(self, context: Mapping[str, Any], settings: Settings, database: Database) -> dict[str, Any]:
        from pgops.migration.deployment.evidence import Evidence
        from pgops.migration.deployment.versions import applied

        verdict = self.validated(context)
        refuse_unapproved(settings, context)
        production = self.production(database)
        if self.migration(database).checksum != verdict.checksum:
            raise Refused(
                "The migration's files were changed while it waited for its approval",
                where=f"{database.name}, migration {self.version}",
                remedy="Validate and deploy what they are now",
            )
        there = applied(production).get(self.version)
        refuse_if_deployed(there, context, production.where)
        before, _ = snapshots(settings, verdict)
        if there is not None:
            found = Evidence("production as rehearsed", True, f"an earlier try got so far: {there.standing}", {})
        else:
            found = same_schema("production as rehearsed", before, production)
        record_evidence(settings, context, found)
        if not found.passed:
            raise Refused(
                f"Production is not what the migration was rehearsed on: {found.summary}",
                where=production.where,
                remedy=self._remedy(database, production),
            )
        return to_xcom(found)

    def _remedy(self, database: Database, production: Dsn) -> str:
        from pgops.migration.scripts.history import migrations_of, on

        policy = resources.migration_policy(database)
        migrations = migrations_of(policy, include_folder())
        there = on(production, migrations, policy.baseline)
        earlier = migrations[: [one.version for one in migrations].index(self.version)]
        missing = [one.version for one in earlier if one.version not in there]
        if missing:
            return f"It was rehearsed on top of {', '.join(missing[:10])}, which production lacks: deploy that first"
        return (
            "Find out who changed it; then validate again with refresh, from a backup that was taken since. No backup"
            " has an INVALID index: repair or drop it"
        )


class BaselineOperator(DeploymentOperator):
    """How production is before: what the watch afterwards is held against."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return a Baseline."""
        from pgops.migration.deployment.watch import baseline

        seconds = resources.deploy_policy(database).watch.baseline_seconds
        return to_xcom(baseline(self.production(database), self.touched(database), seconds, on_progress=log.info))
