"""What became of a deployment, for Slack, the ledger and whoever waits."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import TriggerRule

from pgops.errors import PgOpsError
from pgops.fleet import Database, Fleet, Settings
from pgops.operators import resources
from pgops.operators.base import requester
from pgops.operators.deployment.base import (
    DeploymentOperator,
    state_of,
)

log = logging.getLogger(__name__)


class DeploymentReportOperator(DeploymentOperator):
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
        tell(context, settings, database, self, state, error, next_step, actual)
        result = {"database": database.name, "version": self.version, "state": state, "error": error, "actual": actual}
        if state != "deployed" or error:
            context["ti"].xcom_push(key="report", value=result)
            raise PgOpsError(f"The migration {_STATES[state]}: {error}", where=database.name, remedy=next_step)
        return result


_STATES = {
    "deployed": "is deployed, but not everything after it was done",
    "rolled back": "was deployed and rolled back",
    "failed": "is in a state that a person must look at",
    "refused": "was not deployed",
}


_STEPS = (
    "validation",
    *("backup", "downtime", "connections", "lag", "ownership"),
    *("tell_on_call", "approve", "check_again", "baseline", "maintenance_on"),
    *("deploy", "verify_schema", "smoke_tests", "watch", "roll_back", "maintenance_off", "document"),
)


def _outcome(context: Mapping[str, Any]) -> tuple[Any, str]:
    """What the ledger calls it, and what a person does next."""
    deploy, roll_back = state_of(context, "deploy"), state_of(context, "roll_back")
    if deploy == "success" and roll_back == "skipped":
        undone = [step for step in ("maintenance_off", "document") if state_of(context, step) == "failed"]
        return "deployed", f"Clear {' and '.join(undone)} when its cause is mended" if undone else ""
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
        if state_of(context, step) == "failed":
            return f"{step}: failed, see its log"
    return ""


def _actual(context: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for step, name in (("deploy", "seconds"), ("roll_back", "rollback_seconds")):
        done = context["ti"].xcom_pull(task_ids=step)
        if done:
            found[name] = done["seconds"]
        if done and step == "deploy" and done["first_segment"] == 0 and not done["already"]:
            # What a forecast is of: not the waiting for locks and its pauses, and not the rest of a run cut off.
            found["measured_seconds"] = sum(one["ms"] for one in done["statements"]) / 1000
    return found


def tell(
    context: Mapping[str, Any],
    settings: Settings,
    database: Database,
    step: DeploymentOperator,
    state: Any,
    error: str,
    next_step: str,
    actual: Mapping[str, Any] | None = None,
) -> bool:
    """Tell Slack how the deployment stands; whether it took the message."""
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
        requested_by=kept.get("requested_by") or requester(context),
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
        **_link(context, state),
    )
    return tell_slack(deployment_message(news, runbook_url=settings.runbook_url), settings, f"deployment_{state}")


def _link(context: Mapping[str, Any], state: str) -> dict[str, str]:
    """Where the message leads: to the approval while it is asked for, then to the log."""
    here: str = context["ti"].log_url
    if state != "asks":
        return {"log_url": here}
    step = f"/tasks/{context['ti'].task_id}"
    before, found, _ = here.partition(step)
    if not found:
        return {"log_url": here}
    return {"log_url": f"{before}/tasks/approve/required_actions", "log_label": "Approve or reject it"}
