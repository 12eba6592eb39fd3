"""The steps of query_snapshot, query_review and query_plan, one operator each."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from pgops.errors import Refused
from pgops.fleet import Database, Fleet, load_fleet
from pgops.include import include_folder
from pgops.operators import approval, resources
from pgops.operators.alerting import record_run, tell_slack
from pgops.operators.base import PgOpsOperator
from pgops.operators.fleet_report import FleetReportOperator, left_by
from pgops.operators.results import to_xcom
from pgops.operators.validation import production_settings

if TYPE_CHECKING:
    from pgops.postgres import Dsn

log = logging.getLogger(__name__)

REVIEW = "review_queries"  # the task id by which the report finds what the reviews left
_COPY_USE = "advice"


class SnapshotOperator(PgOpsOperator):
    """Counts what every statement of a database did since the last snapshot."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return a Snapshot."""
        from pgops.queries.snapshot import take_snapshot

        policy = resources.query_policy(database)
        ledger = resources.ledger(fleet.checked_settings())
        taken = take_snapshot(ledger, database.name, resources.dsn(policy.connection), database.server)
        log.info(
            "%s: %s statements, %s moved, %s new, in %.2f s",
            *(taken.database, taken.statements, taken.moved, taken.new, taken.seconds),
        )
        for note in taken.notes:
            log.warning("%s", note)
        return to_xcom(taken)


class QueryReviewOperator(PgOpsOperator):
    """Reviews a day of one database's queries: the last one; in a backfill over dates the one before that date."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return a Reviewed."""
        from pgops.queries.daily import Desk, Target, review_past, review_queries
        from pgops.queries.review import Thresholds
        from pgops.queries.table import table

        settings, policy = fleet.checked_settings(), resources.query_policy(database)
        desk = Desk(resources.ledger(settings), resources.bucket(settings), context["run_id"])
        limits = Thresholds(policy.regression_seconds, policy.regression_calls, policy.new_seconds)
        if context["dag_run"].run_type == "backfill":
            reviewed, whole = review_past(desk, database.name, context["logical_date"], limits)
        else:
            dsn = resources.dsn(policy.connection)
            target = Target(
                name=database.name,
                dsn=dsn,
                server=database.server,
                standbys=_standbys(database, dsn),
                copy=(lambda: _copy(database)) if policy.prove_on_copy and database.migrations else None,
                first_version=_first_version(database),
            )
            reviewed, whole = review_queries(desk, target, limits, plans=policy.plans, plan_seconds=policy.plan_seconds)
        for line in table(whole):
            log.info("%s", line)
        return to_xcom(reviewed)


def _standbys(database: Database, dsn: Dsn) -> dict[str, Dsn]:
    """Roles and passwords replicate, so the monitor's login is the same there."""
    further = database.health.standbys if database.health else ()
    places = filter(None, (database.standby_connection, *further))
    return {place: replace(resources.dsn(place), user=dsn.user, password=dsn.password) for place in places}


@contextmanager
def _copy(database: Database) -> Iterator[Dsn]:
    """A copy from the golden template, which migration_validation keeps young."""
    from pgops.migration.copy import drop_clone, make_clone

    server = resources.dsn(resources.migration_policy(database).connection)
    made = make_clone(server, database.name, production_settings(database), _COPY_USE)
    try:
        yield server.on(made.dbname)
    finally:
        drop_clone(server, database.name, _COPY_USE)


def _first_version(database: Database) -> int | None:
    """What follows the newest migration of a folder of SQL pairs."""
    if database.migrations is None or database.migrations.folder is None:
        return None
    from pgops.migration.scripts.history import migrations_of

    versions = [one.version for one in migrations_of(database.migrations, include_folder())]
    return max((int(version.replace("_", ".").split(".")[0].split("-")[0]) for version in versions), default=0) + 1


class QueryReportOperator(FleetReportOperator):
    """Says what got worse, in one message for the fleet. Runs whatever failed before it.

    It fails where a database could not be reviewed, or its queries could not be counted.

    Args:
        databases: those that are reviewed.
    """

    def __init__(self, *, databases: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.databases = list(databases)

    def execute(self, context: Any) -> dict[str, Any]:
        """Return regressions, advice and migrations of each database, the worst first."""
        from pgops.alerts.messages import run_command
        from pgops.alerts.queries import QueryNews, query_message
        from pgops.queries.daily import Reviewed

        settings = self.settings()
        if not self.databases:
            raise AirflowSkipException("no database of the fleet file has a query policy")
        reviewed, failed = left_by(context, REVIEW, Reviewed, self.databases)
        failed |= {name: one.blind for name, one in reviewed.items() if one.blind}
        for name in self.databases:
            detail = {"error": failed[name]} if name in failed else {"report": reviewed[name].page}
            record_run(settings, context, name, "failed" if name in failed else "success", detail)
        started_at = context["dag_run"].start_date or datetime.now(UTC)
        news = QueryNews(
            reviewed=tuple(reviewed.values()),
            failed=failed,
            started_at=started_at,
            seconds=(datetime.now(UTC) - started_at).total_seconds(),
            log_url=context["ti"].log_url,
            command=run_command("query_review"),
        )
        tell_slack(query_message(news, runbook_url=settings.runbook_url), settings, "query_report")
        result = _result(reviewed, failed)
        if failed:
            context["ti"].xcom_push(key="return_value", value=result)
            raise AirflowFailException("; ".join(f"{name}: {why}" for name, why in failed.items()))
        return result


def _result(reviewed: Mapping[str, Any], failed: Mapping[str, str]) -> dict[str, Any]:
    regressions = [
        {"database": name, **{key: found[key] for key in ("cause", "added", "why", "query")}}
        for name, one in reviewed.items()
        for found in one.regressions
    ]
    return {
        "regressions": sorted(regressions, key=lambda found: -found["added"])[:20],
        "new": {name: [found["query"] for found in one.new] for name, one in reviewed.items() if one.new},
        "advice": [
            {"database": name, **{key: found[key] for key in ("kind", "object", "proof")}}
            for name, one in reviewed.items()
            for found in one.advice
        ][:20],
        "migrations": {name: list(one.pairs) for name, one in reviewed.items() if one.pairs},
        "reports": {name: one.page for name, one in reviewed.items()},
        "notes": {name: list(one.notes) for name, one in reviewed.items() if one.notes},
        "failed": dict(failed),
    }


# --- query_plan: by hand, for one query ---


class ExplainOperator(PgOpsOperator):
    """Takes a query's plan without executing it, and refuses what may not be executed later."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> str:
        """Return the plan as text."""
        from pgops.queries.explain import NotExplained, explain
        from pgops.queries.text import masked

        policy = resources.query_policy(database)
        dsn = resources.dsn(policy.connection)
        try:
            plan = explain(dsn, masked(str(context["params"]["query"])))
        except NotExplained as why:
            raise Refused(
                f"There is no plan: {why}",
                where=dsn.where,
                remedy="Give a single SELECT of tables that pgops_monitor may read",
            ) from why
        log.info("planned, not executed:\n%s", plan.text)
        return plan.text


class ApproveAnalyzeOperator(approval.SecondPersonOperator):
    """Waits for a person who may let a query run. Silence is a no."""

    def __init__(self, *, database: str, **kwargs: Any) -> None:
        super().__init__(database=database, subject=f"Execute a query of {database} and measure it?", **kwargs)

    def rules(self) -> approval.ApprovalRules:
        """As the query policy has them now."""
        policy = resources.query_policy(load_fleet().database(self.database))
        return approval.ApprovalRules(
            approvers=policy.approvers,
            minutes=policy.approval_minutes,
            where=f"include/fleet.yaml, databases, {self.database}, queries.approvers",
            requester_may_approve=policy.requester_may_approve,
        )

    def question(self, context: Mapping[str, Any], until: str) -> str:
        """The query, its plan, and where it would run."""
        database = load_fleet().database(self.database)
        plan = context["ti"].xcom_pull(task_ids="explain")
        return "\n\n".join(
            [
                until,
                f"It would run on **{_analyze_place(database).where}**, read only, for at most"
                f" **{context['params']['seconds']} s**:",
                f"```sql\n{context['params']['query']}\n```",
                f"```\n{plan}\n```",
            ]
        )

    def about(self) -> str:
        """The database."""
        return f"a query of {self.database}"

    def record(self, context: Mapping[str, Any], approver: str) -> None:
        """Keep who approved it; the run's record holds no literal of the query."""
        from pgops.queries.text import masked

        detail = {"approved_by": approver, "query": masked(str(context["params"]["query"]))}
        record_run(load_fleet().checked_settings(), context, self.database, "success", detail)


class AnalyzeOperator(PgOpsOperator):
    """Executes the query on a standby or a copy, and measures each step of its plan."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return the measured plan."""
        from pgops.queries.explain import analyze

        policy = resources.query_policy(database)
        place = _analyze_place(database)
        production = resources.dsn(policy.connection)
        plan = analyze(place, production, str(context["params"]["query"]), float(context["params"]["seconds"]))
        log.info("measured on %s:\n%s", place.where, plan.text)
        return {"database": database.name, "where": place.where, "plan": plan.text}


def _analyze_place(database: Database) -> Dsn:
    """Where queries may be executed.

    Raises:
        Refused: the fleet file names neither a standby nor a copy.
    """
    policy = resources.query_policy(database)
    if policy.analyze_connection is not None:
        return resources.dsn(policy.analyze_connection)
    if database.standby_connection is None:
        raise Refused(
            f"Queries of {database.name} can be executed nowhere but in production",
            where=f"include/fleet.yaml, databases, {database.name}, queries",
            remedy="Add analyze_connection: a role without write rights on a standby or a copy",
        )
    monitor = resources.dsn(policy.connection)
    return replace(resources.dsn(database.standby_connection), user=monitor.user, password=monitor.password)
