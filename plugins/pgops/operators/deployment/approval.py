"""The approval of a deployment: a person, with the checklist, the rehearsal and the SQL in front of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pgops import units
from pgops.fleet import DeployPolicy, load_fleet
from pgops.operators import approval, resources
from pgops.operators.deployment.base import migration_of

if TYPE_CHECKING:
    from pgops.migration.model import Migration

_SQL_LINES = 80
_STATEMENTS = 12


class ApproveOperator(approval.SecondPersonOperator):
    """Waits for a person who may approve, with the checklist and the rehearsal in front of them. Silence is a no.

    Args:
        database, version: what would be deployed.
    """

    template_fields = ("subject", "body", "database", "version")

    def __init__(self, *, database: str, version: str, **kwargs: Any) -> None:
        self.version = version
        super().__init__(database=database, subject=f"Deploy migration {version} to {database}?", **kwargs)

    def rules(self) -> approval.ApprovalRules:
        """As the deployment policy has them now."""
        return _rules(resources.deploy_policy(load_fleet().database(self.database)))

    def about(self) -> str:
        """Database and migration."""
        return f"{self.database}, migration {self.version}"

    def record(self, context: Mapping[str, Any], approver: str) -> None:
        """Keep it with the deployment."""
        settings = load_fleet().checked_settings()
        resources.ledger(settings).rows("approve_deployment", run_id=context["run_id"], approved_by=approver)

    def question(self, context: Mapping[str, Any], until: str) -> str:
        """The checklist, the rehearsal and the SQL."""
        settings = load_fleet().checked_settings()
        database = load_fleet().database(self.database)
        verdict = context["ti"].xcom_pull(task_ids="validation")
        bucket = resources.bucket(settings)
        report = bucket.get_json(f"{verdict['folder']}/report.json")
        rows = resources.ledger(settings).rows("evidence", run_id=context["run_id"])
        return "\n\n".join(
            [
                until,
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
    return approval.may_approve(_rules(policy), asked)


def _rules(policy: DeployPolicy) -> approval.ApprovalRules:
    return approval.ApprovalRules(
        approvers=policy.approvers,
        minutes=policy.approval_minutes,
        where="migrations.deploy.approvers",
        requester_may_approve=policy.requester_may_approve,
    )


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
