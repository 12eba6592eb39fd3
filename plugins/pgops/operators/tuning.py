"""The steps of configuration_review, one operator each."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import TriggerRule
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from pgops.errors import PgOpsError, Refused
from pgops.fleet import Fleet, Server, load_fleet
from pgops.operators import resources
from pgops.operators.alerting import record_run, tell_slack
from pgops.operators.approval import ApprovalRules, SecondPersonOperator
from pgops.operators.base import FailedForGood, ServerOperator, requester, run_name
from pgops.operators.fleet_report import FleetReportOperator, left_by
from pgops.operators.results import from_xcom, pulled, to_xcom

if TYPE_CHECKING:
    from pgops.ledger import Lease
    from pgops.tuning.apply import Applied
    from pgops.tuning.model import Change
    from pgops.tuning.review import Desk, Reviewed, Target

log = logging.getLogger(__name__)

REVIEW, APPROVE, APPLY = "review_settings", "approve_settings", "apply_settings"
_SHOWN = 40


def is_scheduled(context: Mapping[str, Any]) -> bool:
    """Whether the clock has started this run: it looks at all servers and changes none."""
    return str(context["dag_run"].run_type) == "scheduled"


def plan_name(context: Mapping[str, Any], server: str) -> str:
    """Names the plan for a server: the same for every try of a run."""
    from pgops.tuning.plan import plan_id

    return plan_id(run_name(context), server, context["dag_run"].run_after or datetime.now(UTC))


class ReviewConfigurationOperator(ServerOperator):
    """Judges a server's settings, or plans what takes a change back; keeps it and shows it. Changes nothing."""

    policy = "tuning"

    def work(self, context: Mapping[str, Any], fleet: Fleet, server: Server) -> dict[str, Any]:
        """Return the Reviewed."""
        from pgops.tuning.review import plan_reverse, review
        from pgops.tuning.table import table

        params = context["params"]
        if not is_scheduled(context) and params["server"] not in ("all", server.name):
            raise AirflowSkipException(f"only {params['server']} was asked for")
        desk, target, name = _desk(fleet, context), _target(fleet, server), plan_name(context, server.name)
        if params["mode"] == "reverse" and not is_scheduled(context):
            reviewed = plan_reverse(desk, target, str(params["change"]).strip(), name)
        else:
            reviewed = review(desk, target, name, [] if is_scheduled(context) else list(params["settings"]))
        for line in table(reviewed):
            log.info("%s", line)
        for note in reviewed.notes:
            log.warning("%s", note)
        return to_xcom(reviewed)


def _desk(fleet: Fleet, context: Mapping[str, Any]) -> Desk:
    from pgops.tuning.review import Desk

    settings = fleet.checked_settings()
    return Desk(resources.ledger(settings), resources.bucket(settings), context["run_id"])


def _target(fleet: Fleet, server: Server) -> Target:
    from pgops.tuning.model import Machine
    from pgops.tuning.review import Target

    policy = resources.tuning_policy(server)
    dsn = resources.dsn(policy.connection)
    of_databases = [one.standby_connection for one in fleet.databases if one.server == server.name]
    places = dict.fromkeys(filter(None, (*of_databases, *policy.standbys)))
    return Target(
        name=server.name,
        dsn=dsn,
        machine=Machine(
            memory=int(policy.memory),
            cpus=policy.cpus,
            disk=int(policy.disk),
            connections=policy.connections,
            disk_kind=policy.disk_kind,
            wal_disk=int(policy.wal_disk) if policy.wal_disk else None,
            workload=policy.workload,
            managed=policy.managed,
            deliberate={name: (one.value, one.reason) for name, one in policy.deliberate.items()},
        ),
        standbys={
            place: replace(resources.dsn(place), dbname=dsn.dbname, user=dsn.user, password=dsn.password)
            for place in places
        },
        effect_hours=policy.effect_hours,
    )


class ApproveConfigurationOperator(SecondPersonOperator):
    """Asks a second person, who sees every setting with its reason and the scripts. Skipped when nothing is asked for.

    Args:
        database: the server's name in the fleet file.
    """

    def __init__(self, *, database: str, **kwargs: Any) -> None:
        kwargs.setdefault("trigger_rule", TriggerRule.NONE_FAILED)  # other servers are skipped
        super().__init__(database=database, subject=f"Change settings of {database}?", **kwargs)

    def execute(self, context: Any) -> Any:
        """Ask, if something is to be changed; what is asked for lies in the ledger before."""
        from pgops.tuning import records

        if is_scheduled(context):
            raise AirflowSkipException("the clock only looks")
        if not context["params"]["apply"]:
            raise AirflowSkipException("only a look was asked for")
        if self.database == "all":
            raise AirflowSkipException("one server at a time is changed: name it in the param server")
        plan = _reviewed(context, self.database).plan
        if not plan.changes:
            raise AirflowSkipException("there is nothing that a reload could change")
        try:
            ledger = resources.ledger(load_fleet().checked_settings())
            records.record_plan(ledger, plan, context["run_id"], requester(context))
        except PgOpsError as error:
            raise FailedForGood(error) from error
        return super().execute(context)

    def rules(self) -> ApprovalRules:
        """As the tuning policy has them now."""
        policy = resources.tuning_policy(load_fleet().server(self.database, "tuning"))
        return ApprovalRules(policy.approvers, policy.approval_minutes, "tuning.approvers")

    def about(self) -> str:
        """The change."""
        return f"server {self.database}, a change of its settings"

    def record(self, context: Mapping[str, Any], approver: str) -> None:
        """Keep it with the plan."""
        from pgops.tuning import records

        ledger = resources.ledger(load_fleet().checked_settings())
        records.approve(ledger, plan_name(context, self.database), approver)

    def question(self, context: Mapping[str, Any], until: str) -> str:
        """What changes, why, and what takes it back."""
        plan = _reviewed(context, self.database).plan
        rows = [
            f"| `{one.setting}` | {_cell(one.shown_before)} | {_cell(_then(one))} | {_cell(one.says)} |"
            for one in plan.changes[:_SHOWN]
        ]
        about = f"It takes back `{plan.undoes}`." if plan.undoes else "Each is applied alone and seen in a new session."
        return "\n\n".join(
            [
                until,
                f"Change `{plan.id}`. {about} No restart.",
                "\n".join(["| setting | now | then | why |", "|---|---|---|---|", *rows]),
                f"```sql\n{plan.forward}\n```",
                f"**What takes it back**\n\n```sql\n{plan.reverse}\n```",
            ]
        )


def _then(change: Change) -> str:
    return "the server's own" if change.value is None else change.value or "nothing"


def _cell(text: str) -> str:
    """Text of a server's, within a table of Markdown."""
    return text.replace("|", "\\|").replace("\n", " ")


class ApplyConfigurationOperator(ServerOperator):
    """Applies the approved plan; a second try goes on where the first was stopped."""

    policy = "tuning"

    def work(self, context: Mapping[str, Any], fleet: Fleet, server: Server) -> dict[str, Any]:
        """Return the Applied."""
        from pgops.ledger.leases import held_lease
        from pgops.tuning import records
        from pgops.tuning.apply import apply

        settings = fleet.checked_settings()
        ledger, policy = resources.ledger(settings), resources.tuning_policy(server)
        if policy.managed != "none":
            raise Refused(
                f"{server.name} is managed: its settings are changed in the service's parameters",
                where=f"include/fleet.yaml, servers, {server.name}, tuning.managed",
                remedy="Take the list of parameters from the report",
            )
        plan = records.approved_plan(ledger, plan_name(context, server.name))
        with held_lease(_lease(fleet, server, context)) as lease:
            applied = apply(resources.dsn(policy.connection), plan, ledger, datetime.now(UTC))
            lease.release()
        return to_xcom(applied)


def _lease(fleet: Fleet, server: Server, context: Mapping[str, Any]) -> Lease:
    """The right to change a server's settings; it belongs to the DAG run, so a retry goes on with it."""
    from pgops.ledger import Lease

    return Lease(resources.ledger(fleet.checked_settings()), f"configuration/{server.name}", run_name(context))


class ConfigurationReportOperator(FleetReportOperator):
    """Says what was found and what was changed, in one message. Runs whatever failed before it.

    What the clock looked at is told when it is news; log, ledger and report have all of it.
    It fails where a server could not be looked at, or where something that was approved is not in place.

    Args:
        servers: those whose settings are reviewed.
    """

    def __init__(self, *, servers: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.servers = list(servers)

    def execute(self, context: Any) -> dict[str, Any]:
        """Return verdicts by server, what was applied, and the id by which it is taken back."""
        from pgops.alerts.messages import run_command
        from pgops.alerts.tuning import ConfigurationNews, configuration_message, worth_telling
        from pgops.tuning.apply import Applied
        from pgops.tuning.review import Reviewed

        fleet, settings = load_fleet(), self.settings()
        if not self.servers:
            raise AirflowSkipException("no server of the fleet file has a tuning policy")
        asked = str(context["params"]["server"])
        wanted = self.servers if is_scheduled(context) or asked == "all" else [asked]
        reviewed, failed = left_by(context, REVIEW, Reviewed, wanted, "server")
        applied = next((from_xcom(Applied, one) for one in pulled(context, APPLY)), None)
        problem = _problem(context)
        news = ConfigurationNews(
            reviewed=tuple(reviewed.values()),
            failed=failed,
            applied=applied,
            error=problem,
            requested_by="" if is_scheduled(context) else requester(context),
            approved_by=str((context["ti"].xcom_pull(task_ids=APPROVE) or {}).get("approved_by", "")),
            started_at=context["dag_run"].start_date or datetime.now(UTC),
            log_url=context["ti"].log_url,
            command=_command(run_command, applied),
        )
        for line in _lines(news.applied, problem):
            log.info("%s", line)
        if not is_scheduled(context) or worth_telling(news):
            tell_slack(configuration_message(news, runbook_url=settings.runbook_url), settings, "configuration_report")
        result = _result(reviewed, applied, failed, problem)
        for name in (*reviewed, *failed):
            state = "failed" if name in failed or problem or (applied and not applied.whole) else "success"
            for database in fleet.on_server(name):
                record_run(settings, context, database, state, {"server": name, **result["servers"].get(name, {})})
        bad = [*(f"{name}: {why}" for name, why in failed.items()), *filter(None, [problem])]
        if applied and not applied.whole:
            bad += [f"{one.setting}: {one.state}: {one.says}" for one in applied.outcomes if one.state != "applied"]
        if bad:
            context["ti"].xcom_push(key="return_value", value=result)
            raise AirflowFailException("; ".join(bad))
        return result


def _reviewed(context: Mapping[str, Any], server: str) -> Reviewed:
    from pgops.tuning.review import Reviewed

    for one in pulled(context, REVIEW):
        if one["server"] == server:
            return from_xcom(Reviewed, one)
    raise AirflowSkipException(f"{server} was not reviewed")


def _problem(context: Any) -> str:
    """Why an approved or wanted change was not made."""
    for step in (APPROVE, APPLY):
        for problem in pulled(context, step, "problem"):
            return f"{step}: {problem['error']}"
    return ""


def _command(run_command: Any, applied: Applied | None) -> str:
    """What takes back what was applied."""
    if applied is None or applied.undoes or not applied.of("applied"):
        return ""
    conf = {"server": applied.server, "mode": "reverse", "change": applied.plan}
    return str(run_command("configuration_review", conf))


def _lines(applied: Applied | None, error: str) -> list[str]:
    found = [error] if error else []
    if applied is not None:
        found += [f"{one.setting}: {one.state}: {one.before} -> {one.now}: {one.says}" for one in applied.outcomes]
    return found


def _result(
    reviewed: Mapping[str, Reviewed], applied: Applied | None, failed: Mapping[str, str], error: str
) -> dict[str, Any]:
    return {
        "servers": {
            name: {
                "counts": dict(one.counts),
                "dangerous": [verdict.setting for verdict in one.verdicts if verdict.grade == "dangerous"],
                "advice": [verdict.setting for verdict in one.verdicts if verdict.grade == "advice"],
                "planned": [change.setting for change in one.plan.changes],
                "restart": [verdict.setting for verdict in one.verdicts if verdict.action == "restart"],
                "news": list(one.news),
                "effects": [[figure.shown for figure in effect.figures] for effect in one.effects],
                "report": one.page,
            }
            for name, one in reviewed.items()
        },
        "change": applied.plan if applied else None,
        "undoes": applied.undoes if applied else None,
        "applied": {one.setting: one.now for one in applied.of("applied")} if applied else {},
        "not_applied": {one.setting: one.says for one in applied.outcomes if one.state != "applied"} if applied else {},
        "failed": dict(failed),
        "error": error,
    }
