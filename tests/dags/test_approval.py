"""Who may approve a deployment, whatever the auth manager calls its users, and that nothing else is an approval."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException

from pgops.errors import Refused
from pgops.fleet import load_fleet
from pgops.operators import resources
from pgops.operators.deployment.approval import ApproveOperator
from pgops.operators.deployment.steps import DeployOperator
from tests.dags.conftest import Site

pytestmark = pytest.mark.airflow


def context(site: Site, requested_by: str = "ann") -> dict[str, Any]:
    """A deployment that has begun."""
    resources.ledger(load_fleet().checked_settings()).rows(
        "begin_deployment",
        run_id="manual__1",
        database="app",
        version="001",
        checksum="c",
        requested_by=requested_by,
        forecast=json.dumps(None),
    )
    return {
        "run_id": "manual__1",
        "dag_run": SimpleNamespace(triggering_user_name=requested_by),
        "params": {},
        "ti": SimpleNamespace(xcom_push=lambda key, value: None),
    }


def answer(found: dict[str, Any], user: dict[str, str]) -> Any:
    event = {
        "chosen_options": ["Approve"],
        "params_input": {},
        "responded_by_user": user,
        "responded_at": datetime.now(UTC),
        "timedout": False,
    }
    return ApproveOperator(task_id="approve", database="app", version="001").execute_complete(found, event)


@pytest.mark.parametrize("user", [{"id": "ann", "name": "ann"}, {"id": "7", "name": "ann"}], ids=["names", "numbers"])
def test_whoever_asked_for_it_may_not_approve_it(site, user):
    def anybody(document: dict[str, Any]) -> None:
        document["databases"][0]["migrations"]["deploy"]["approvers"] = []

    site.fleet(anybody)
    found = context(site)
    with pytest.raises(AirflowException, match="ann may not approve what ann asked for"):
        answer(found, user)
    assert site.ledger("select approved_by from pgops.deployments") == [(None,)]


@pytest.mark.parametrize("user", [{"id": "op", "name": "op"}, {"id": "7", "name": "op"}], ids=["names", "numbers"])
def test_one_of_the_approvers_is_known_by_name_and_recorded_so(site, user):
    assert answer(context(site), user)["approved_by"] == "op"
    assert site.ledger("select approved_by from pgops.deployments") == [("op",)]


def test_somebody_else_is_not_one_of_the_approvers(site):
    with pytest.raises(AirflowException, match="eve may not approve what ann asked for"):
        answer(context(site), {"id": "7", "name": "eve"})


def test_a_task_that_somebody_marked_as_success_is_no_approval(site):
    found = context(site)
    fleet = load_fleet()
    task = DeployOperator(task_id="deploy", database="app", version="001")
    with pytest.raises(Refused, match="Nobody has approved"):
        task.work(found, fleet, fleet.database("app"))
