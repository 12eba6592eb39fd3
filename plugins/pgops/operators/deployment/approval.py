"""The approval: a person, with the checklist, the rehearsal and the SQL in front of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.exceptions import HITLRejectException
from airflow.providers.standard.operators.hitl import ApprovalOperator

from pgops import units
from pgops.errors import PgOpsError, Refused
from pgops.fleet import DeployPolicy, load_fleet
from pgops.operators import resources
from pgops.operators.base import FailedForGood, requester
from pgops.operators.deployment.base import migration_of

if TYPE_CHECKING:
    from pgops.migration.model import Migration

log = logging.getLogger(__name__)

_SQL_LINES = 80
_STATEMENTS = 12


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
            policy = resources.deploy_policy(load_fleet().database(self.database))
            names = may_approve(policy, requester(context))
            self.response_timeout = timedelta(minutes=policy.approval_minutes)
            self.assigned_users = [{"id": name, "name": name} for name in names] or None
            self.body = self._body(context, names)
        except PgOpsError as error:
            _keep_problem(context, self.database, str(error))
            raise FailedForGood(error) from error
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Record who said yes; whoever asked for it may not, unless the policy allows that."""
        user = event.get("responded_by_user") or {}
        # A run knows its requester by name; not every auth manager has names for ids.
        known_as = {str(user[key]) for key in ("id", "name") if user.get(key)}
        answerer = str(user.get("name") or user.get("id") or "")
        try:
            answer = super().execute_complete(context, event)
        except HITLRejectException:
            said = f"{answerer} rejected it" if answerer else "nobody answered in time, which is a no"
            _keep_problem(context, self.database, said)
            raise
        try:
            self._record(context, answerer, known_as)
        except PgOpsError as error:
            _keep_problem(context, self.database, str(error))
            raise FailedForGood(error) from error
        return {"approved_by": answerer, "at": str(answer["responded_at"])}

    def _record(self, context: Mapping[str, Any], approver: str, known_as: set[str]) -> None:
        """Airflow lets only the assigned users answer; the policy may be another one by now."""
        policy = resources.deploy_policy(load_fleet().database(self.database))
        asked = requester(context)
        names = may_approve(policy, asked)
        own = asked in known_as and not policy.requester_may_approve
        if not approver or own or (names and not known_as & set(names)):
            raise Refused(
                f"{approver or 'nobody'} may not approve what {asked} asked for",
                where=f"{self.database}, migration {self.version}",
                remedy=f"Let one of these approve it: {', '.join(names) or 'anybody else'}",
            )
        settings = load_fleet().checked_settings()
        resources.ledger(settings).rows("approve_deployment", run_id=context["run_id"], approved_by=approver)
        log.info("approved by %s", approver)

    def _body(self, context: Mapping[str, Any], names: Sequence[str]) -> str:
        settings = load_fleet().checked_settings()
        database = load_fleet().database(self.database)
        verdict = context["ti"].xcom_pull(task_ids="validation")
        bucket = resources.bucket(settings)
        report = bucket.get_json(f"{verdict['folder']}/report.json")
        until = datetime.now(UTC) + timedelta(minutes=resources.deploy_policy(database).approval_minutes)
        rows = resources.ledger(settings).rows("evidence", run_id=context["run_id"])
        return "\n\n".join(
            [
                f"**{requester(context)}** asks for it. {_listed(names)} may approve it; without an answer by"
                f" **{until:%H:%M} UTC on {until:%-d %B}** it is rejected.",
                "**Checklist**",
                "\n".join(f"- {'✓' if row['passed'] else '✗'} **{row['item']}**: {row['summary']}" for row in rows),
                "**Rehearsal**",
                _forecast(verdict["forecast"] or {}, report["rehearsal"]),
                _statements(report["rehearsal"]["applied"]["statements"]),
                f"The whole report: `{bucket.where(verdict['folder'] + '/report.html')}`",
                *_sql(migration_of(database, self.version)),
            ]
        )


def may_approve(policy: DeployPolicy, asked: str) -> list[str]:
    """Who may approve a deployment that somebody asked for; empty: anybody whom Airflow lets.

    Raises:
        Refused: nobody is left.
    """
    names = [name for name in policy.approvers if policy.requester_may_approve or name != asked]
    if policy.approvers and not names:
        raise Refused(
            f"Nobody may approve it: {asked} asked for it and is the only approver",
            where="migrations.deploy.approvers",
            remedy="Let somebody else trigger it, or name more approvers",
        )
    return names


def _keep_problem(context: Mapping[str, Any], database: str, words: str) -> None:
    """The report says in one line what failed; a failed task leaves no result."""
    context["ti"].xcom_push(key="problem", value={"database": database, "error": words})


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "Whoever may edit this run, but not its requester,"
    return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else f"Only {names[0]}"


def _forecast(forecast: Mapping[str, Any], rehearsal: Mapping[str, Any]) -> str:
    rollback = (rehearsal.get("rolled_back") or {}).get("seconds")
    back = "" if rollback is None else f" The rollback took {units.moment(rollback)}."
    return (
        f"About {units.moment(forecast.get('seconds', 0))} in production; a table is blocked for at most"
        f" {units.moment(forecast.get('downtime_seconds', 0))}.{back}"
    )


def _statements(statements: Sequence[Mapping[str, Any]]) -> str:
    """The statements that lock what was there before, the longest held first."""
    locks = [(lock, one) for one in statements for lock in one["locks"] if lock["existed"] and lock["blocks"]]
    locks.sort(key=lambda pair: -float(pair[0]["held_ms"]))
    if not locks:
        return "Nothing that was there before is blocked."
    rows = [
        f"| {one['line']} | {one['kind']} | `{lock['mode']}` on `{lock['relation']}` | {lock['held_ms']:.1f} |"
        f" {lock['blocks']} |"
        for lock, one in locks[:_STATEMENTS]
    ]
    return "\n".join(["| line | statement | lock | held ms | blocks |", "|---|---|---|---|---|", *rows])


def _sql(migration: Migration) -> list[str]:
    found = []
    for title, source in (("The migration", migration.up), ("Its rollback", migration.down)):
        if source is None:
            continue
        lines = source.text.strip().splitlines()
        more = [f"-- and {len(lines) - _SQL_LINES} more lines"] if len(lines) > _SQL_LINES else []
        fence = "`" * (max((len(line) - len(line.lstrip("`")) for line in lines), default=0) + 3)
        shown = "\n".join(lines[:_SQL_LINES] + more)
        found += [f"**{title}**, `{source.name}`", f"{fence}sql\n{shown}\n{fence}"]
    return found
