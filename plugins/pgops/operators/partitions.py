"""The steps of partition_maintenance and of partition_restore, one operator each."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, TriggerRule
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from pgops.errors import PgOpsError, Refused
from pgops.fleet import Database, Fleet, PartitionPolicies, PartitionPolicy, Settings, load_fleet
from pgops.fleet.partitions import TimeInterval
from pgops.operators import resources
from pgops.operators.alerting import record_run, tell_slack
from pgops.operators.base import FailedForGood, PgOpsOperator, run_name
from pgops.operators.fleet_report import FleetReportOperator
from pgops.operators.results import from_xcom, pulled, to_xcom

if TYPE_CHECKING:
    from pgops.alerts.partitions import ParentLine
    from pgops.partitions import ParentPlan, Plan

log = logging.getLogger(__name__)

# Airflow maps a task at most 1,024 times; the parents beyond that have their turn at the next run.
MOST_PARENTS = 1000


def _ledger_table(parent: str, interval: TimeInterval, retention: str) -> PartitionPolicy:
    return PartitionPolicy(  # type: ignore[call-arg]
        parent=parent, interval=interval, premake=3, retention=retention, archive=False, grace_days=0
    )


# The ledger's own: what is measured every day, for trends over a year; what queries cost, by snapshot for as long as a
# review compares with the weeks before, and by day for two years.
LEDGER_TABLES = (
    _ledger_table("pgops.health_figures", "month", "13 months"),
    _ledger_table("pgops.query_snapshots", "week", "5 weeks"),
    _ledger_table("pgops.query_deltas", "week", "5 weeks"),
    _ledger_table("pgops.query_days", "month", "24 months"),
)


def _skip_dry_run(context: Mapping[str, Any]) -> None:
    if context["params"]["dry_run"]:
        raise AirflowSkipException("a dry run: see the log of plan_partitions")


def _plan(database: Database) -> Plan:
    from pgops.partitions import plan

    policies = resources.partition_policies(database)
    return plan(resources.dsn(policies.connection), policies, datetime.now(UTC))


class PlanPartitionsOperator(PgOpsOperator):
    """Says what is to be done; what is planned here is what is executed."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> list[dict[str, Any]]:
        """Return the parents that need something: their plans, and the oids of what is on its way out."""
        from pgops.partitions import lines
        from pgops.partitions.unfinished import unfinished

        planned = _plan(database)
        for line in lines(planned):
            log.info("%s", line)
        leaving: dict[str, list[int]] = {}
        for table in unfinished(resources.partition_place(fleet.checked_settings(), database, context)):
            log.info("%s.%s of %s is on its way out", table.schema, table.name, table.parent)
            leaving.setdefault(table.parent, []).append(table.oid)
        found: list[dict[str, Any]] = [
            {
                "parent": one.parent.title,
                "plan": to_xcom(one),
                "leaving": [*leaving.pop(one.parent.title, []), *(partition.oid for partition in one.retire)],
            }
            for one in planned.parents
        ]
        for parent, oids in leaving.items():
            log.warning("%s has %s tables on their way out and no policy any more", parent, len(oids))
        todo = [one for one in found if one["leaving"] or one["plan"]["create"] or one["plan"]["finalize"]]
        if len(todo) > MOST_PARENTS:
            log.warning("%s parents need something: the first %s now", len(todo), MOST_PARENTS)
        return todo[:MOST_PARENTS]


class _OnParent(PgOpsOperator):
    """A step for one partitioned table.

    Args:
        parent: one of PlanPartitionsOperator's.
    """

    template_fields: Sequence[str] = ("database", "parent")

    def __init__(self, *, parent: Any, **kwargs: Any) -> None:
        kwargs.setdefault("map_index_template", "{{ task.parent['parent'] }}")
        super().__init__(**kwargs)
        self.parent = parent

    def about(self) -> dict[str, Any]:
        """The table, beside the database."""
        return {"parent": self.parent["parent"]} if isinstance(self.parent, Mapping) else {}

    def planned(self) -> ParentPlan:
        """The plan."""
        from pgops.partitions import ParentPlan

        return from_xcom(ParentPlan, self.parent["plan"])


class CreatePartitionsOperator(_OnParent):
    """Ends interrupted detaches, then makes what is missing."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return what was made."""
        from pgops.partitions import RowsInDefault, create, finalize

        policies = resources.partition_policies(database)
        _skip_dry_run(context)
        if not policies.create:
            raise AirflowSkipException("creating is switched off in the fleet file")
        dsn, planned = resources.dsn(policies.connection), self.planned()
        for partition in planned.finalize:
            finalize(dsn, partition.oid, policies)
        try:
            made = create(dsn, planned, policies)
        except RowsInDefault as error:
            context["ti"].xcom_push(key="done", value=to_xcom(error.created))
            raise
        for note in made.notes:
            log.info("%s", note)
        return to_xcom(made)


class RetirePartitionsOperator(_OnParent):
    """Takes each partition beyond retention as far as it may go now; one that fails stops no other."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> list[dict[str, Any]]:
        """Return how far each has come."""
        from pgops.partitions.retire import advance

        policies = resources.partition_policies(database)
        _skip_dry_run(context)
        if not policies.retire:
            raise AirflowSkipException("retiring is switched off in the fleet file")
        place, planned = resources.partition_place(fleet.checked_settings(), database, context), self.planned()
        advanced: list[dict[str, Any]] = []
        errors: list[PgOpsError] = []
        for oid in self.parent["leaving"]:
            try:
                one = advance(place, oid, planned.policy)
            except PgOpsError as error:
                log.error("%s", error)
                errors.append(error)
                continue
            log.info("%s.%s: %s %s", one.schema, one.name, one.state, "; ".join(one.notes))
            advanced.append(to_xcom(one))
        if errors:
            context["ti"].xcom_push(key="done", value=advanced)
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise PgOpsError(
                f"{len(errors)} partitions could not be retired; the first: {errors[0].what}",
                where=errors[0].where,
                remedy=errors[0].remedy,
                retry=any(error.retry for error in errors),
            )
        return advanced


class TidyPartitionsOperator(PgOpsOperator):
    """Drops restored copies whose time is over, and what dead runs left in the bucket."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return what went."""
        from pgops.partitions.manifest import finish_rewrites
        from pgops.partitions.restore import drop_expired_copies

        _skip_dry_run(context)
        place = resources.partition_place(fleet.checked_settings(), database, context)
        return {"copies": list(drop_expired_copies(place)), "objects": finish_rewrites(place.bucket, database.name)}


class CheckPartitionsOperator(PgOpsOperator):
    """Reads the result back: plans again, and says what is still missing. Runs whatever failed before it."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("trigger_rule", TriggerRule.ALL_DONE)
        super().__init__(**kwargs)

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> list[dict[str, Any]]:
        """Return a row for each parent, and one with an empty name for what concerns the database."""
        planned, dry_run = _plan(database), context["params"]["dry_run"]
        rows = [{"database": database.name, "parent": "", **_findings(planned.findings)}]
        for one in planned.parents:
            missing = [] if dry_run else [f"{new.name} is still missing" for new in one.create]
            row = {"database": database.name, "parent": one.parent.title, **_findings(one.findings)}
            row["bad"] += missing
            row["horizon"] = str(one.horizon) if one.horizon is not None else None
            rows.append(row)
        for row in rows:
            for finding in row["bad"]:
                log.warning("%s %s: %s", row["database"], row["parent"], finding)
        _record_horizons(fleet.checked_settings(), database.name, planned)
        return rows


def _record_horizons(settings: Settings, database: str, planned: Plan) -> None:
    """Leave how far ahead partitions are there, for the dashboard; a ledger that is down hides nothing else."""
    from pgops.ledger import Figure

    now = datetime.now(UTC)
    ahead = {
        one.parent.title: (one.horizon - now).total_seconds() if isinstance(one.horizon, datetime) else 0.0
        for one in planned.parents
        if isinstance(one.horizon, datetime) or (one.horizon is None and isinstance(one.policy.interval, str))
    }
    figures = [Figure("partition_horizon", table, seconds, {"unit": "seconds"}) for table, seconds in ahead.items()]
    try:
        resources.ledger(settings).record_figures(database, now, figures)
    except PgOpsError as error:
        log.error("the ledger did not take how far ahead partitions are there: %s", error)


def _findings(found: Iterable[Any]) -> dict[str, Any]:
    every = list(found)
    return {
        "bad": [f"{one.what}. {one.remedy}" for one in every if one.bad],
        "findings": [one.what for one in every if not one.bad],
    }


class LedgerPartitionsOperator(BaseOperator):
    """Keeps the ledger's own partitions ahead, and drops its oldest months."""

    def execute(self, context: Any) -> list[str]:
        """Return the names of what was made."""
        from pgops.partitions import create, plan
        from pgops.partitions.place import Place
        from pgops.partitions.retire import advance
        from pgops.partitions.unfinished import unfinished

        settings = load_fleet().checked_settings()
        _skip_dry_run(context)
        ledger = resources.ledger(settings)
        with ledger.session():
            pass  # the schema is brought up to date by the first session
        policies = PartitionPolicies(connection=settings.ledger.connection, tables=LEDGER_TABLES)  # type: ignore[call-arg]
        place = Place(
            database="ledger",
            source=ledger.dsn,
            scratch=ledger.dsn,
            bucket=resources.bucket(settings),
            ledger=ledger,
            policies=policies,
            by=run_name(context),
        )
        made: list[str] = []
        try:
            for one in plan(ledger.dsn, policies, datetime.now(UTC)).parents:
                made += [new.name for new in create(ledger.dsn, one, policies).partitions]
                for oid in [*(table.oid for table in unfinished(place)), *(old.oid for old in one.retire)]:
                    advance(place, oid, one.policy)
        except PgOpsError as error:
            if error.retry:
                raise
            raise FailedForGood(error) from error
        return made


class PartitionReportOperator(FleetReportOperator):
    """Says what was done and what is in danger, and fails when something was not done. Runs whatever failed before it.

    Args:
        databases: those that have policies.
    """

    def __init__(self, *, databases: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.databases = list(databases)

    def execute(self, context: Any) -> dict[str, Any]:
        """Return what the run came to."""
        from pgops.alerts.messages import run_command
        from pgops.alerts.partitions import PartitionNews, partitions_message, worth_telling

        settings = self.settings()
        lines = {name: list(_lines(context, name)) for name in self.databases}
        for name, found in lines.items():
            failed = any(line.errors for line in found)
            record_run(settings, context, name, "failed" if failed else "success", [to_xcom(one) for one in found])
        every = tuple(line for found in lines.values() for line in found)
        started_at = context["dag_run"].start_date or datetime.now(UTC)
        news = PartitionNews(
            lines=every,
            parents=sum(1 for line in every if line.parent),
            started_at=started_at,
            seconds=(datetime.now(UTC) - started_at).total_seconds(),
            log_url=context["ti"].log_url,
            command=run_command("partition_maintenance"),
        )
        if worth_telling(news):
            tell_slack(partitions_message(news, runbook_url=settings.runbook_url), settings, "partitions")
        broken = [f"{line.title}: {'; '.join(line.errors)}" for line in every if line.errors]
        if broken:
            raise AirflowFailException("; ".join(broken))
        return {
            "made": sum(len(line.created) for line in every),
            "retired": sum(len(line.retired) for line in every),
            "in_danger": [line.title for line in every if line.bad],
        }


def _lines(context: Any, name: str) -> Iterable[ParentLine]:
    """What became of a database's tables; a failed task leaves its problem."""
    from pgops.alerts.partitions import ParentLine

    def left(step: str, key: str = "return_value") -> list[Mapping[str, Any]]:
        return pulled(context, f"{name}.{step}", key)

    def done(step: str) -> list[Mapping[str, Any]]:
        return [*left(step), *left(step, "done")]  # what was done before a task failed counts too

    made = {one["parent"]: [new["name"] for new in one["partitions"]] for one in done("create")}
    retired: dict[str, list[tuple[str, str]]] = {}
    for one in done("retire"):
        retired.setdefault(one["parent"], []).append((one["name"], one["state"]))
    errors: dict[str, list[str]] = {}
    for step in ("plan_partitions", "create", "retire", "tidy", "check"):
        for problem in left(step, "problem"):
            errors.setdefault(problem.get("parent", ""), []).append(f"{step}: {problem['error']}")
    checked = {row["parent"]: row for row in left("check")}
    for parent in sorted({*made, *retired, *errors, *checked}):
        row = checked.get(parent, {})
        yield ParentLine(
            database=name,
            parent=parent,
            created=tuple(made.get(parent, ())),
            retired=tuple(retired.get(parent, ())),
            findings=tuple(row.get("findings", ())),
            bad=tuple(row.get("bad", ())),
            errors=tuple(errors.get(parent, ())),
        )


class RestorePartitionsOperator(PgOpsOperator):
    """Brings archived partitions back, beside their table or attached to it, compared with their manifests."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> list[dict[str, Any]]:
        """Return where they are now."""
        from pgops.partitions.restore import chosen_archives, restore_attached, restore_beside

        params = context["params"]
        if not (params["partition"] or params["from"] or params["to"]):
            raise Refused(
                "Nothing is named", where="the params", remedy="Name a partition, or from and to of a range of the key"
            )
        place = resources.partition_place(fleet.checked_settings(), database, context)
        chosen = chosen_archives(
            place,
            params["table"],
            name=params["partition"] or None,
            lower=params["from"] or None,
            upper=params["to"] or None,
        )
        until = datetime.now(UTC) + timedelta(days=params["days"])
        restore = restore_attached if params["attach"] else restore_beside
        restored = []
        for archive in chosen:
            one = restore(place, archive, until)
            log.info("%s.%s: %s rows as in its archive, until %s", one.schema, one.name, one.rows, one.until)
            restored.append(to_xcom(one))
        return restored
