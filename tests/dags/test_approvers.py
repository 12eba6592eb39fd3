"""Who may approve a deployment."""

from __future__ import annotations

import pytest

from pgops.errors import Refused
from pgops.fleet.migrations import DeployPolicy
from pgops.operators.deployment.approval import may_approve

pytestmark = pytest.mark.airflow


def policy(*approvers: str, requester_may_approve: bool = False) -> DeployPolicy:
    return DeployPolicy(connection="x", approvers=approvers, requester_may_approve=requester_may_approve)


def test_whoever_asks_is_not_among_those_who_may_approve():
    assert may_approve(policy("ann", "bob"), "ann") == ["bob"]


def test_whoever_asks_may_approve_where_the_policy_says_so():
    assert may_approve(policy("ann", requester_may_approve=True), "ann") == ["ann"]


def test_it_is_refused_before_it_is_asked_when_nobody_is_left_who_may_approve():
    with pytest.raises(Refused, match="ann asked for it and is the only approver"):
        may_approve(policy("ann"), "ann")


def test_without_named_approvers_airflow_alone_decides_who_may_answer():
    assert may_approve(policy(), "ann") == []
