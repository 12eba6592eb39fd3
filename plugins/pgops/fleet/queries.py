"""How a database's queries are looked at."""

from __future__ import annotations

from pydantic import Field

from pgops.fleet.base import ConnectionId, Policy


class QueryPolicy(Policy):
    """How query_snapshot and query_review look at a database.

    connection: of the role pgops_monitor, in this database on the primary.
    regression_seconds: from so many seconds more a day on a query counts as a regression.
    regression_calls: with fewer calls a day its times prove nothing.
    new_seconds: a new query is worth a line from so many seconds a day on.
    plans: of how many queries, those that cost most, the plan is taken and compared.
    plan_seconds: what planning them all may take.
    prove_on_copy: where HypoPG is not installed, index candidates are built on a copy from the golden template
        (needs migrations); without it they stay unverified.
    analyze_connection: of a role without write rights on a standby or a copy, where query_plan may execute a query; the
        database's standby_connection unless given.
    approvers: who may approve that, as Airflow names its users; empty: anybody who may edit the run.
    requester_may_approve: whether whoever asked for it may also approve it.
    approval_minutes: without an answer by then it is rejected.
    """

    connection: ConnectionId
    regression_seconds: float = Field(60, ge=0)
    regression_calls: int = Field(100, ge=1)
    new_seconds: float = Field(60, ge=0)
    plans: int = Field(50, ge=0, le=1000)
    plan_seconds: float = Field(60, gt=0, le=3600)
    prove_on_copy: bool = False
    analyze_connection: ConnectionId | None = None
    approvers: tuple[str, ...] = ()
    requester_may_approve: bool = False
    approval_minutes: float = Field(60, gt=0, le=7 * 24 * 60)
