"""The steps of migration_deploy, one operator each."""

from __future__ import annotations

import json
import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import TriggerRule
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from pgops.errors import PgOpsError, Refused
from pgops.fleet import Database, Fleet, Settings, load_fleet
from pgops.include import include_folder
from pgops.operators import resources
from pgops.operators.base import FailedForGood, PgOpsOperator
from pgops.operators.results import from_xcom, to_xcom

if TYPE_CHECKING:
    from pgops.migration.evidence import Evidence
    from pgops.migration.model import Difference, Migration
    from pgops.migration.records import Verdict
    from pgops.migration.snapshot import Snapshot
    from pgops.migration.versions import RunFacts
    from pgops.postgres import Dsn

log = logging.getLogger(__name__)

# Longer than any step after it that has no limit of its own; the mute ends by itself then.
_MUTE_SPARE_SECONDS = 1800


class _DeploymentOperator(PgOpsOperator):
    """A step of one deployment.

    Args:
        version: of the migration.
    """

    template_fields: Sequence[str] = ("database", "version")

    def __init__(self, *, version: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.version = version

    def migration(self, database: Database) -> Migration:
        """The migration, as its files are now."""
        from pgops.migration.history import migrations_of
        from pgops.migration.sources import chosen

        return chosen(migrations_of(resources.migration_policy(database), include_folder()), self.version)

    def validated(self, context: Mapping[str, Any]) -> Verdict:
        """The verdict that this deployment began with."""
        from pgops.migration.records import Verdict

        return from_xcom(Verdict, context["ti"].xcom_pull(task_ids="validation"))

    def touched(self, database: Database) -> tuple[str, ...]:
        """The tables that the migration names and that are in production now."""
        from pgops.migration.load import touched_tables
        from pgops.migration.statements import parse

        return touched_tables(self.production(database), parse(self.migration(database).up))

    @staticmethod
    def production(database: Database) -> Dsn:
        """Production, as the role that deploys."""
        return resources.dsn(resources.deploy_policy(database).connection)


def _requester(context: Mapping[str, Any]) -> str:
    return context["dag_run"].triggering_user_name or "nobody that Airflow knows"


def _state_of(context: Mapping[str, Any], task_id: str) -> str | None:
    states = context["ti"].get_task_states(dag_id=context["dag"].dag_id, run_ids=[context["run_id"]])
    found: str | None = states.get(context["run_id"], states).get(task_id)
    return found


def _skip_unless_deployed(context: Mapping[str, Any]) -> None:
    if _state_of(context, "deploy") != "success":
        raise AirflowSkipException("nothing was deployed by this run")


# --- the checklist ---


class _EvidenceOperator(_DeploymentOperator):
    """An item of the checklist: what was found is kept, and when it does not pass the task fails."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return the Evidence."""
        found = self.look(context, fleet.checked_settings(), database)
        _record(fleet.checked_settings(), context, found)
        if not found.passed:
            raise Refused(
                f"{found.item}: {found.summary}",
                where=f"{database.name}, migration {self.version}",
                remedy="Nothing was deployed: mend this and trigger it again",
            )
        log.info("%s: %s", found.item, found.summary)
        return to_xcom(found)

    @abstractmethod
    def look(self, context: Mapping[str, Any], settings: Settings, database: Database) -> Evidence:
        """Find out."""


def _record(settings: Settings, context: Mapping[str, Any], found: Evidence) -> None:
    resources.ledger(settings).rows(
        "record_evidence",
        run_id=context["run_id"],
        item=found.item,
        passed=found.passed,
        summary=found.summary,
        facts=json.dumps(found.facts, default=str),
    )


class ValidationEvidenceOperator(_DeploymentOperator):
    """Checks that this very migration passed its rehearsal, rollback included, and begins the deployment's record."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return the Verdict."""
        from pgops.migration.evidence import Evidence
        from pgops.migration.records import newest_verdict

        settings, migration = fleet.checked_settings(), self.migration(database)
        resources.deploy_policy(database)
        ledger = resources.ledger(settings)
        verdict = newest_verdict(ledger, database.name, self.version)
        ledger.rows(
            "begin_deployment",
            run_id=context["run_id"],
            database=database.name,
            version=self.version,
            checksum=migration.checksum,
            requested_by=_requester(context),
            forecast=json.dumps(verdict.forecast if verdict else None),
        )
        problem = _not_validated(verdict, migration.checksum)
        summary = problem or f"rehearsed {verdict.at:%Y-%m-%d %H:%M} UTC, rollback tested" if verdict else problem
        facts = {"checksum": migration.checksum, "folder": verdict.folder if verdict else None}
        _record(settings, context, Evidence("rehearsed, rollback tested", not problem, summary, facts))
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


class BackupEvidenceOperator(_EvidenceOperator):
    """There is a proven backup that is young enough."""

    def look(self, context: Mapping[str, Any], settings: Settings, database: Database) -> Evidence:
        """Look into the bucket."""
        from pgops.migration.evidence import backup_evidence

        hours = resources.deploy_policy(database).backup_max_age_hours
        return backup_evidence(resources.catalog(settings, database.name), hours)


class DowntimeOperator(_EvidenceOperator):
    """The longest time that a table is blocked stays under the limit."""

    def look(self, context: Mapping[str, Any], settings: Settings, database: Database) -> Evidence:
        """Compare the forecast with the policy."""
        from pgops.migration.evidence import downtime_evidence

        forecast = self.validated(context).forecast or {}
        limit = resources.deploy_policy(database).downtime_seconds
        return downtime_evidence(forecast.get("downtime_seconds", 0.0), limit)


class ConnectionsOperator(_EvidenceOperator):
    """How many connections there are, and whether old transactions would be in the way."""

    def look(self, context: Mapping[str, Any], settings: Settings, database: Database) -> Evidence:
        """Ask production."""
        from pgops.migration.evidence import connections_evidence, long_transactions_evidence

        production = self.production(database)
        _record(settings, context, long_transactions_evidence(production))
        return connections_evidence(production)


class LagOperator(_EvidenceOperator):
    """How far the standbys are behind."""

    def look(self, context: Mapping[str, Any], settings: Settings, database: Database) -> Evidence:
        """Ask production."""
        from pgops.migration.evidence import lag_evidence

        allowed = resources.deploy_policy(database).watch.max_lag_mb
        return lag_evidence(self.production(database), allowed, expected=1 if database.standby_connection else 0)


class TellOnCallOperator(_DeploymentOperator):
    """Tells the team what is about to happen; that Slack took it is an item of the checklist."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return the Evidence."""
        from pgops.migration.evidence import Evidence

        settings = fleet.checked_settings()
        sent = _tell(context, settings, database, self, "asks", "", "Approve or reject it under Required Actions.")
        found = Evidence("on-call told", sent, "in Slack" if sent else "Slack did not take the message", {})
        _record(settings, context, found)
        return to_xcom(found)


class ApproveOperator(ApprovalOperator):
    """Waits for a person who may approve, with the checklist and the rehearsal in front of them. Silence is a no.

    Args:
        database, version: what would be deployed.
    """

    template_fields = ("subject", "body", "database", "version")

    def __init__(self, *, database: str, version: str, **kwargs: Any) -> None:
        self.database, self.version = database, version
        super().__init__(
            subject=f"Deploy migration {version} to {database}?",
            defaults="Reject",
            fail_on_reject=True,
            **kwargs | {"execution_timeout": None, "retries": 0},
        )

    def execute(self, context: Any) -> Any:
        """Fill in what the policy and the checklist say, and ask."""
        try:
            settings = load_fleet().checked_settings()
            policy = resources.deploy_policy(load_fleet().database(self.database))
        except PgOpsError as error:
            raise FailedForGood(error) from error
        self.response_timeout = timedelta(minutes=policy.approval_minutes)
        self.assigned_users = [{"id": name, "name": name} for name in policy.approvers] or None
        self.body = _approval_body(context, settings)
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Record who said yes; whoever asked for it may not, unless the policy allows that."""
        answer = super().execute_complete(context, event)
        approver = (answer["responded_by_user"] or {}).get("id") or "nobody"
        policy = resources.deploy_policy(load_fleet().database(self.database))
        if approver == _requester(context) and not policy.requester_may_approve:
            raise AirflowFailException(f"{approver} asked for this deployment, so somebody else must approve it")
        if policy.approvers and approver not in policy.approvers:
            raise AirflowFailException(f"{approver} is not one of those who may approve: {', '.join(policy.approvers)}")
        settings = load_fleet().checked_settings()
        resources.ledger(settings).rows("approve_deployment", run_id=context["run_id"], approved_by=approver)
        return {"approved_by": approver}


def _approval_body(context: Mapping[str, Any], settings: Settings) -> str:
    verdict = context["ti"].xcom_pull(task_ids="validation")
    forecast = verdict["forecast"] or {}
    rows = resources.ledger(settings).rows("evidence", run_id=context["run_id"])
    lines = [f"- {'yes' if row['passed'] else '**NO**'}: {row['item']}: {row['summary']}" for row in rows]
    return "\n".join(
        [
            f"Requested by **{_requester(context)}**. Without an answer it is rejected.",
            "",
            f"Forecast: {forecast.get('seconds', 0):.1f} s, of which a table is blocked for at most"
            f" {forecast.get('downtime_seconds', 0):.2f} s.",
            f"Report: `{resources.bucket(settings).where(verdict['folder'] + '/report.html')}`",
            "",
            *lines,
        ]
    )


# --- the deployment ---


class CheckAgainOperator(_DeploymentOperator):
    """After the wait: the files are still those, and production is what the rehearsal began with."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return the Evidence."""
        from pgops.migration.evidence import Evidence
        from pgops.migration.versions import applied

        settings, verdict = fleet.checked_settings(), self.validated(context)
        production = self.production(database)
        if self.migration(database).checksum != verdict.checksum:
            raise Refused(
                "The migration's files were changed while it waited for its approval",
                where=f"{database.name}, migration {self.version}",
                remedy="Validate and deploy what they are now",
            )
        there = applied(production).get(self.version)
        before, _ = _snapshots(settings, verdict)
        if there is not None and not there.complete:
            found = Evidence("production as rehearsed", True, f"an earlier run stopped half way: {there.standing}", {})
        else:
            found = _same_schema("production as rehearsed", before, production)
        _record(settings, context, found)
        if not found.passed:
            raise Refused(
                f"Production is not what the migration was rehearsed on: {found.summary}",
                where=production.where,
                remedy="Find out who changed it; then validate again with refresh",
            )
        return to_xcom(found)


def _snapshots(settings: Settings, verdict: Verdict) -> tuple[Snapshot, Snapshot]:
    from pgops.migration.records import snapshots_of

    return snapshots_of(resources.bucket(settings), verdict)


def _same_schema(item: str, expected: Snapshot, dsn: Dsn) -> Evidence:
    from pgops.migration import proof
    from pgops.migration.evidence import Evidence

    found = proof.take(dsn, (), dump=False)
    if found.server_version // 10000 != expected.server_version // 10000:
        summary = "not compared: the copy's server is of another major version"
        return Evidence(item, True, summary, {"copy": expected.server_version, "production": found.server_version})
    different = proof.drift(expected, found)
    shown = "; ".join(_shown(one) for one in different[:5]) + ("; ..." if len(different) > 5 else "")
    return Evidence(item, not different, shown or "the same", {"differences": [asdict(one) for one in different[:50]]})


def _shown(one: Difference) -> str:
    return f"{one.what} is {one.after or 'gone'}, expected {one.before or 'none'}"[:200]


class BaselineOperator(_DeploymentOperator):
    """How production is before: what the watch afterwards is held against."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return a Baseline."""
        from pgops.migration.watch import baseline

        seconds = resources.deploy_policy(database).watch.baseline_seconds
        return to_xcom(baseline(self.production(database), self.touched(database), seconds, on_progress=log.info))


class MaintenanceOnOperator(_DeploymentOperator):
    """Tells the application and the monitoring, and mutes this database's alerts for the window."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> None:
        """Return nothing."""
        from pgops.operators.webhooks import announce

        policy, settings = resources.deploy_policy(database), fleet.checked_settings()
        budget = resources.migration_policy(database).budget_seconds
        resources.ledger(settings).rows(
            "begin_mute",
            database=database.name,
            run_id=context["run_id"],
            reason=f"migration {self.version} is being deployed",
            seconds=2 * budget + policy.watch.minutes * 60 + _MUTE_SPARE_SECONDS,
        )
        for connection_id in (policy.maintenance, policy.monitoring):
            if connection_id:
                announce(connection_id, "on", database.name, self.version, context["run_id"])


class DeployOperator(_DeploymentOperator):
    """Applies the migration: short lock timeouts, tried again, blockers named, the budget kept."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return a Deployed."""
        from pgops.migration.deploy import apply
        from pgops.migration.statements import parse

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
                _facts(context),
            )
        )


def _facts(context: Mapping[str, Any]) -> RunFacts:
    from pgops.migration.versions import RunFacts

    return RunFacts(dag_run=f"{context['dag'].dag_id}/{context['run_id']}", requested_by=_requester(context))


class VerifySchemaOperator(_EvidenceOperator):
    """The schema is now what it was after the rehearsal."""

    def look(self, context: Mapping[str, Any], settings: Settings, database: Database) -> Evidence:
        """Compare production with the rehearsed copy."""
        _, after = _snapshots(settings, self.validated(context))
        return _same_schema("schema as rehearsed", after, self.production(database))


class SmokeTestsOperator(_EvidenceOperator):
    """The fleet file's questions have their known answers."""

    def look(self, context: Mapping[str, Any], settings: Settings, database: Database) -> Evidence:
        """Ask production."""
        from pgops.migration.evidence import smoke_evidence

        return smoke_evidence(self.production(database), resources.deploy_policy(database).smoke_tests)


class WatchOperator(_EvidenceOperator):
    """Errors, query times, standbys and latency stay as they were."""

    def look(self, context: Mapping[str, Any], settings: Settings, database: Database) -> Evidence:
        """Watch production for the policy's window."""
        from pgops.migration.evidence import Evidence
        from pgops.migration.watch import Baseline, watch

        before = from_xcom(Baseline, context["ti"].xcom_pull(task_ids="baseline"))
        limits = resources.deploy_policy(database).watch
        seen = watch(self.production(database), before, limits, self.touched(database), log.info)
        summary = seen.breach or "as before"
        return Evidence("watched afterwards", not seen.breach, summary, to_xcom(seen))


class RollBackOperator(_DeploymentOperator):
    """Takes the migration back after a breach, unless that destroys what nobody has given up."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return a Deployed."""
        from pgops.migration.deploy import apply
        from pgops.migration.losses import destruction_guard
        from pgops.migration.statements import parse
        from pgops.migration.verdict import acknowledged

        _skip_unless_deployed(context)
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
            production, migration, script, "rollback", deploy_policy, policy.budget_seconds, _facts(context), guard
        )
        before, _ = _snapshots(fleet.checked_settings(), verdict)
        found = _same_schema("schema as before after the rollback", before, production)
        _record(fleet.checked_settings(), context, found)
        if not found.passed:
            raise PgOpsError(
                f"The rollback ran, and the schema is not what it was: {found.summary}",
                where=production.where,
                remedy="Compare with the rehearsal's snapshots and mend it by hand",
            )
        return to_xcom(undone)


class MaintenanceOffOperator(_DeploymentOperator):
    """Tells the application and the monitoring again, and ends the mute."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> None:
        """Return nothing."""
        from pgops.operators.webhooks import announce

        policy = resources.deploy_policy(database)
        for connection_id in (policy.maintenance, policy.monitoring):
            if connection_id:
                announce(connection_id, "off", database.name, self.version, context["run_id"])
        ledger = resources.ledger(fleet.checked_settings())
        ledger.rows("end_mute", database=database.name, run_id=context["run_id"])


class DocumentOperator(_DeploymentOperator):
    """Writes down the schema as it is now, beside the backups."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> str:
        """Return where it lies."""
        from pgops.migration.documentation import schema_document

        _skip_unless_deployed(context)
        bucket = resources.bucket(fleet.checked_settings())
        key = bucket.key(database.name, "schema.md")
        bucket.put(key, schema_document(self.production(database)).encode(), "text/markdown; charset=utf-8")
        return bucket.where(key)


# --- the end ---


class DeploymentReportOperator(_DeploymentOperator):
    """Says what became of the deployment, and fails unless the migration is deployed.

    Runs whatever failed before it.
    """

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("trigger_rule", TriggerRule.ALL_DONE)
        super().__init__(**kwargs)

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return the outcome."""
        settings = fleet.checked_settings()
        state, next_step = _outcome(context)
        error = _first_problem(context)
        actual = _actual(context)
        ledger = resources.ledger(settings)
        kept = json.dumps(actual) if actual else None
        ledger.rows("end_deployment", run_id=context["run_id"], state=state, actual=kept)
        _tell(context, settings, database, self, state, error, next_step, actual)
        result = {"database": database.name, "version": self.version, "state": state, "error": error, "actual": actual}
        if state != "deployed":
            context["ti"].xcom_push(key="report", value=result)
            raise PgOpsError(f"The migration {_STATES[state]}: {error}", where=database.name, remedy=next_step)
        return result


_STATES = {
    "rolled back": "was deployed and rolled back",
    "failed": "is in a state that a person must look at",
    "refused": "was not deployed",
}
_STEPS = (
    "validation",
    *("backup", "downtime", "connections", "lag"),
    *("tell_on_call", "approve", "check_again", "baseline", "maintenance_on"),
    *("deploy", "verify_schema", "smoke_tests", "watch", "roll_back", "maintenance_off"),
)


def _outcome(context: Mapping[str, Any]) -> tuple[Any, str]:
    """What the ledger calls it, and what a person does next."""
    deploy, roll_back = _state_of(context, "deploy"), _state_of(context, "roll_back")
    if deploy == "success" and roll_back == "skipped":
        return "deployed", ""
    if roll_back == "success":
        return "rolled back", "Find out why from the checklist; mend the migration and validate it again"
    if deploy == "success":
        return "failed", "It is deployed, something is wrong, and the rollback did not take place: decide by hand, now"
    if deploy == "failed":
        return "failed", "See the log of deploy for what is committed; triggering it again goes on from there"
    return "refused", "Mend what the checklist says and trigger it again; production was not touched"


def _first_problem(context: Mapping[str, Any]) -> str:
    for step in _STEPS:
        problem = context["ti"].xcom_pull(task_ids=step, key="problem")
        if problem:
            return f"{step}: {problem['error']}"
        if _state_of(context, step) == "failed":
            return f"{step}: rejected or not answered in time" if step == "approve" else f"{step}: failed, see its log"
    return ""


def _actual(context: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for step, name in (("deploy", "seconds"), ("roll_back", "rollback_seconds")):
        done = context["ti"].xcom_pull(task_ids=step)
        if done:
            found[name] = done["seconds"]
    return found


def _tell(
    context: Mapping[str, Any],
    settings: Settings,
    database: Database,
    step: _DeploymentOperator,
    state: Any,
    error: str,
    next_step: str,
    actual: Mapping[str, Any] | None = None,
) -> bool:
    from pgops.alerts.migrations import DeploymentNews, deployment_message
    from pgops.operators.alerting import tell_slack

    ledger = resources.ledger(settings)
    kept = next(iter(ledger.rows("deployment", run_id=context["run_id"])), {})
    verdict = context["ti"].xcom_pull(task_ids="validation") or {}
    folder = verdict.get("folder")
    news = DeploymentNews(
        database=database.name,
        label=step.version,
        state=state,
        requested_by=kept.get("requested_by") or _requester(context),
        approved_by=kept.get("approved_by") or "",
        evidence=tuple(
            (row["item"], row["passed"], row["summary"]) for row in ledger.rows("evidence", run_id=context["run_id"])
        ),
        forecast=verdict.get("forecast") or {},
        actual=actual or {},
        report=resources.bucket(settings).where(f"{folder}/report.html") if folder else "",
        error=error,
        next_step=next_step,
        started_at=context["dag_run"].start_date or datetime.now(UTC),
        log_url=context["ti"].log_url,
    )
    return tell_slack(deployment_message(news, runbook_url=settings.runbook_url), settings, f"deployment_{state}")
