"""The steps of recovery_drill, and what backup_watch asks every hour of the archives and of copies."""

from __future__ import annotations

import json
import logging
from abc import abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import TriggerRule
from airflow.sdk.exceptions import AirflowSkipException

from pgops.errors import PgOpsError
from pgops.fleet import Fleet, Server
from pgops.operators.alerting import record_run, tell_slack
from pgops.operators.base import ServerOperator, task_states
from pgops.operators.recovery import first_problem
from pgops.operators.recovery_desk import Desk, recovery_id, server_desk
from pgops.operators.recovery_jobs import Beside
from pgops.operators.results import from_xcom, to_xcom

if TYPE_CHECKING:
    from pgops.physical.drill import Marker
    from pgops.physical.plan import RecoveryPlan

log = logging.getLogger(__name__)

STEPS = ("mark", "wait_until_archived", "plan_drill", "restore_drill_copy", "recover_drill_copy", "find_marker")


class DrillStep(ServerOperator):
    """A step of one server's drill. Skipped for servers that were not asked for."""

    policy = "physical"

    def work(self, context: Mapping[str, Any], fleet: Fleet, server: Server) -> Any:
        """Do it at the server's desk."""
        wanted = context["params"].get("servers") or []
        if wanted and server.name not in wanted:
            raise AirflowSkipException(f"{server.name} was not asked for")
        return self.at(context, server_desk(fleet, server.name))

    @abstractmethod
    def at(self, context: Mapping[str, Any], desk: Desk) -> Any:
        """Do it and return what XCom keeps."""

    def pulled(self, context: Mapping[str, Any], step: str, key: str = "return_value") -> Any:
        """What another step of the same server left."""
        return context["ti"].xcom_pull(task_ids=self.named(step), key=key)

    def named(self, step: str) -> str:
        """The task id of a step of the same server."""
        group = self.task_id.rpartition(".")[0]
        return f"{group}.{step}" if group else step

    def marker(self, context: Mapping[str, Any]) -> Marker:
        """The newest that is known of the marker."""
        from pgops.physical.drill import Marker

        return from_xcom(Marker, self.pulled(context, "wait_until_archived") or self.pulled(context, "mark"))

    def job(self, context: Mapping[str, Any], desk: Desk) -> Beside:
        """The drill's recovery."""
        from pgops.physical.plan import RecoveryPlan

        plan: RecoveryPlan = from_xcom(RecoveryPlan, self.pulled(context, "plan_drill"))
        given = desk, None, recovery_id(f"drill-{desk.server.name}", context), plan
        return Beside(*given, keep=timedelta())


class MarkOperator(DrillStep):
    """Commits a row before an instant and one after it."""

    def at(self, context: Mapping[str, Any], desk: Desk) -> dict[str, Any]:
        """Return the Marker."""
        from pgops.physical.drill import leave_marker

        return to_xcom(leave_marker(desk.source))


class WaitUntilArchivedOperator(DrillStep):
    """Waits until the marker's WAL is in the archive, as it gets there by itself: that is the RPO."""

    def at(self, context: Mapping[str, Any], desk: Desk) -> dict[str, Any]:
        """Return the Marker with the time."""
        from pgops.physical.drill import wait_until_archived

        found = wait_until_archived(desk.source, desk.engine, self.marker(context), desk.policy.rpo_minutes * 60)
        return to_xcom(found)


class PlanDrillOperator(DrillStep):
    """Plans the recovery to the instant between both rows; refuses when no base backup is usable."""

    def at(self, context: Mapping[str, Any], desk: Desk) -> dict[str, Any]:
        """Return the RecoveryPlan."""
        from pgops.physical.plan import parse_target, plan
        from pgops.physical.recoverability import rates, record, survey

        place = desk.place()
        surveyed = survey(desk.engine, desk.reader(place))
        needs, name = desk.needs(), desk.server.name
        record(desk.ledger(), name, surveyed, needs)
        target = parse_target(self.marker(context).target.isoformat())
        made = plan(
            name,
            target,
            surveyed.backups,
            surveyed.archive,
            surveyed.possible,
            needs=needs,
            rates=rates(desk.ledger(), name),
        )
        for line in made.lines():
            log.info("%s", line)
        return to_xcom(made)


class _DrillWork(DrillStep):
    """A step on the copy, under its lease."""

    def at(self, context: Mapping[str, Any], desk: Desk) -> Any:
        """Hold the lease while it works."""
        from pgops.ledger import held_lease

        job = self.job(context, desk)
        with held_lease(job.lease(context), release_on_failure=False):
            return self.step(context, job)

    @abstractmethod
    def step(self, context: Mapping[str, Any], job: Beside) -> Any:
        """Do it and return what XCom keeps."""


class RestoreDrillCopyOperator(_DrillWork):
    """Fetches the base backup."""

    def step(self, context: Mapping[str, Any], job: Beside) -> str:
        """Return the recovery's id."""
        job.restore()
        return job.id


class RecoverDrillCopyOperator(_DrillWork):
    """Replays the WAL."""

    def step(self, context: Mapping[str, Any], job: Beside) -> dict[str, Any]:
        """Return what was measured."""
        job.recover()
        progress = job.progress()
        assert progress is not None and progress.reached is not None
        return {
            "fetch_seconds": progress.fetch_seconds,
            "replay_seconds": progress.replay_seconds,
            "replayed_bytes": progress.reached.replayed_bytes,
            "stopped": progress.reached.words,
        }


class FindMarkerOperator(_DrillWork):
    """The row before is there, the row after is not, and the copy is sound."""

    def step(self, context: Mapping[str, Any], job: Beside) -> list[dict[str, Any]]:
        """Return the checks."""
        from pgops.physical.checks import amcheck
        from pgops.physical.drill import check_marker

        cluster, marker = job.cluster(), self.marker(context)
        checks = [check_marker(cluster, marker)]
        if job.desk.policy.amcheck:
            checks.append(amcheck(cluster, marker.dbname, 2, install=True))
        problems = [f"{one.name}: {'; '.join(one.problems)}" for one in checks if one.problems]
        if problems:
            raise PgOpsError(
                "; ".join(problems),
                where=cluster.where,
                remedy="Recovery does not bring back what it should: see the runbook before relying on it",
            )
        return [to_xcom(one) for one in checks]


class RecoveryDrillReportOperator(DrillStep):
    """Holds what was measured against the policy, in the ledger and in Slack; fails when the drill did."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("trigger_rule", TriggerRule.ALL_DONE)
        super().__init__(**kwargs)

    def at(self, context: Mapping[str, Any], desk: Desk) -> dict[str, Any]:
        """Return what the drill came to."""
        from pgops.physical.drill import Marker
        from pgops.physical.plan import RecoveryPlan

        states = task_states(context)
        done = [step for step in STEPS if states.get(self.named(step)) == "success"]
        left = {step: self.pulled(context, step) if step in done else None for step in STEPS}
        marker = from_xcom(Marker, left["wait_until_archived"] or left["mark"]) if left["mark"] else None
        plan = from_xcom(RecoveryPlan, left["plan_drill"]) if left["plan_drill"] else None
        measured = left["recover_drill_copy"] or {}
        rto = measured["fetch_seconds"] + measured["replay_seconds"] if measured else None
        failures = [] if left["find_marker"] else [first_problem(context, [self.named(step) for step in STEPS])]
        failures += _missed(marker, rto, desk)
        result = {
            "server": desk.server.name,
            "passed": not failures,
            "failures": failures,
            "target": marker.target.isoformat() if marker else None,
            "rpo_seconds": marker.rpo_seconds if marker else None,
            "rpo_limit_seconds": desk.policy.rpo_minutes * 60,
            "rto_seconds": rto,
            "rto_limit_seconds": desk.policy.rto_minutes * 60,
            "backup_id": plan.backup.backup_id if plan else "",
            "checks": left["find_marker"] or [],
            **measured,
        }
        _keep(context, desk, marker, result, plan)
        _tell(context, desk, result)
        state = "success" if result["passed"] else "failed"
        record_run(desk.settings, context, desk.server.name, state, result)
        if failures:
            context["ti"].xcom_push(key="report", value=result)
            raise PgOpsError(
                f"The recovery drill failed: {'; '.join(failures)}",
                where=desk.server.name,
                remedy="Until it passes nobody knows whether this server can be recovered: see the runbook",
            )
        return result


def _missed(marker: Marker | None, rto: float | None, desk: Desk) -> list[str]:
    limit = desk.policy.rto_minutes * 60
    missed = list(marker.notes) if marker else []
    if rto is not None and rto > limit:
        missed.append(f"RTO missed: {rto:.0f} s, allowed are {limit:.0f} s")
    return missed


def _keep(
    context: Mapping[str, Any],
    desk: Desk,
    marker: Marker | None,
    result: Mapping[str, Any],
    plan: RecoveryPlan | None,
) -> None:
    try:
        desk.ledger().rows(
            "record_recovery",
            id=recovery_id(f"drill-{desk.server.name}", context),
            server=desk.server.name,
            database=marker.dbname if marker else "",
            kind="drill",
            target=result["target"] or "",
            passed=result["passed"],
            place="",
            until=None,
            started_at=context["dag_run"].start_date or datetime.now(UTC),
            fetched_bytes=plan.backup.directory_bytes if plan and result["rto_seconds"] else 0,
            fetch_seconds=result.get("fetch_seconds", 0.0),
            replayed_bytes=result.get("replayed_bytes", 0),
            replay_seconds=result.get("replay_seconds", 0.0),
            rpo_seconds=result["rpo_seconds"],
            rto_seconds=result["rto_seconds"],
            report=json.dumps(dict(result)),
        )
    except PgOpsError as error:
        log.error("the ledger did not take the drill: %s", error)


def _tell(context: Mapping[str, Any], desk: Desk, result: Mapping[str, Any]) -> None:
    from pgops.alerts.messages import run_command
    from pgops.alerts.recoveries import RecoveryDrillNews, recovery_drill_message

    news = RecoveryDrillNews(
        server=result["server"],
        passed=result["passed"],
        failures=tuple(result["failures"]),
        target=datetime.fromisoformat(result["target"]) if result["target"] else None,
        rpo_seconds=result["rpo_seconds"],
        rpo_limit_seconds=result["rpo_limit_seconds"],
        rto_seconds=result["rto_seconds"],
        rto_limit_seconds=result["rto_limit_seconds"],
        backup_id=result["backup_id"],
        started_at=context["dag_run"].start_date or datetime.now(UTC),
        log_url=context["ti"].log_url,
        command=run_command("recovery_drill", {"servers": [result["server"]]}),
    )
    message = recovery_drill_message(news, runbook_url=desk.settings.runbook_url)
    tell_slack(message, desk.settings, "recovery_drill")


class CleanUpDrillOperator(DrillStep):
    """Removes the copy and the marker, whatever happened before."""

    def at(self, context: Mapping[str, Any], desk: Desk) -> None:
        """Return nothing."""
        from pgops.physical import state
        from pgops.physical.drill import forget_marker

        name = recovery_id(f"drill-{desk.server.name}", context)
        place = desk.place()
        state.remove(place, name)
        desk.lease(place.where(name), context).release()
        marked = self.pulled(context, "mark")
        if marked:
            forget_marker(desk.source, marked["id"])


class RecoverabilityOperator(DrillStep):
    """Says which instants of a server can be restored now; fails when that is not what its policy asks for."""

    def at(self, context: Mapping[str, Any], desk: Desk) -> dict[str, Any]:
        """Return the intervals, in words."""
        from pgops.physical.drill import unarchived_since
        from pgops.physical.recoverability import problems, record, survey

        surveyed = survey(desk.engine, desk.reader(desk.place()))
        record(desk.ledger(), desk.server.name, surveyed, desk.needs())
        waits = unarchived_since(desk.source)
        found = problems(surveyed, desk.policy.rpo_minutes * 60, waits)
        log.info("%s: %s", desk.server.name, surveyed.possible.words)
        if found:
            raise PgOpsError(
                f"{desk.server.name}: {'; '.join(found)}",
                where=f"the archive of {desk.server.name}",
                remedy=f"Take a base backup, or mend archiving: see the runbook. Restorable: {surveyed.possible.words}",
            )
        return {"server": desk.server.name, "restorable": surveyed.possible.words}


class ExpiredRecoveriesOperator(DrillStep):
    """Stops and removes copies whose time is over."""

    def at(self, context: Mapping[str, Any], desk: Desk) -> list[str]:
        """Return their ids."""
        from pgops.physical import state

        return list(state.sweep(desk.place(), datetime.now(UTC)))
