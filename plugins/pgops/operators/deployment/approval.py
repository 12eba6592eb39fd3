"""The approval: a person, with the checklist and the rehearsal in front of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowFailException

from pgops.errors import PgOpsError
from pgops.fleet import Settings, load_fleet
from pgops.operators import resources
from pgops.operators.base import FailedForGood
from pgops.operators.deployment.base import (
    requester,
)

log = logging.getLogger(__name__)


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
        user = answer["responded_by_user"] or {}
        # A run knows its requester by name; not every auth manager has names for ids.
        names = {str(user[key]) for key in ("id", "name") if user.get(key)}
        approver = user.get("name") or user.get("id") or "nobody"
        policy = resources.deploy_policy(load_fleet().database(self.database))
        if requester(context) in names and not policy.requester_may_approve:
            raise AirflowFailException(f"{approver} asked for this deployment, so somebody else must approve it")
        if policy.approvers and not names & set(policy.approvers):
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
            f"Requested by **{requester(context)}**. Without an answer it is rejected.",
            "",
            f"Forecast: {forecast.get('seconds', 0):.1f} s, of which a table is blocked for at most"
            f" {forecast.get('downtime_seconds', 0):.2f} s.",
            f"Report: `{resources.bucket(settings).where(verdict['folder'] + '/report.html')}`",
            "",
            *lines,
        ]
    )
