"""The steps of batched_backfill and of backfill_control, one operator each."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import TriggerRule
from airflow.sdk.exceptions import AirflowSkipException

from pgops import units
from pgops.errors import PgOpsError, Refused
from pgops.fleet import Database, Fleet, Settings
from pgops.operators import resources
from pgops.operators.backfill_news import LedgerCopy, tell, tell_stall
from pgops.operators.base import PgOpsOperator, requester, run_name
from pgops.operators.results import pulled, to_xcom

if TYPE_CHECKING:
    from pgops.backfill.check import CheckedSpec
    from pgops.backfill.job import State
    from pgops.backfill.plan import Plan
    from pgops.postgres import Dsn

log = logging.getLogger(__name__)

_FORM = ("table", "set", "where", "key")


def _target(database: Database) -> Dsn:
    return resources.dsn(resources.backfill_policy(database).connection)


def _checked(database: Database, params: Mapping[str, Any]) -> CheckedSpec:
    """The specification of the form's fields or of its YAML, checked on the server."""
    from pgops.backfill.check import check
    from pgops.backfill.spec import read, read_yaml

    fields = {name: params[name] for name in _FORM if params.get(name)}
    if not params.get("spec"):
        return check(_target(database), read({"database": database.name, **fields}, "the params"))
    if fields:
        raise Refused(
            f"The specification is given twice: as spec, and as {', '.join(fields)}",
            where="the params",
            remedy="Leave the one or the other empty",
        )
    return check(_target(database), read_yaml(params["spec"], "the params, spec", database.name))


def _plan(database: Database, params: Mapping[str, Any]) -> tuple[CheckedSpec, Plan]:
    from pgops.backfill.plan import plan

    checked = _checked(database, params)
    return checked, plan(_target(database), checked, workers=params["workers"])


class PlanBackfillOperator(PgOpsOperator):
    """Parses and checks the specification, and says what would be done."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return rows and ranges."""
        _, planned = _plan(database, context["params"])
        for line in planned.lines():
            log.info("%s", line)
        if planned.problem and resources.backfill_policy(database).on_error == "skip":
            log.warning("of the first batch some rows will be skipped: %s", planned.problem)
        elif planned.problem:
            raise PgOpsError(
                f"A first batch cannot be changed: {planned.problem}",
                where=planned.title,
                remedy="Correct the specification; nothing was changed",
            )
        return {"rows": planned.rows, "todo": planned.todo, "ranges": len(planned.ranges), "seconds": planned.seconds}


class BeginBackfillOperator(PgOpsOperator):
    """Begins the job, or finds the unfinished one of the same specification."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> list[int]:
        """Return the workers' numbers."""
        from pgops.backfill.job import Run, begin

        params = context["params"]
        if params["dry_run"]:
            raise AirflowSkipException("a dry run: see the log of plan; trigger it with dry_run off to begin")
        checked, planned = _plan(database, params)
        run = Run(created_by=requester(context), dag_run=run_name(context))
        job = begin(_target(database), checked, planned, run)
        log.info("job %s %s", job.id, "goes on" if job.resumed else "begins")
        context["ti"].xcom_push(key="job", value=job.id)
        tell(context, fleet.checked_settings(), database, "goes on" if job.resumed else "begins", job, None, "")
        return list(range(1, params["workers"] + 1))


class BackfillWorkOperator(PgOpsOperator):
    """Works on the job until it is done, under the throttle of the policy.

    Args:
        worker: its number; workers share the ranges among themselves.
    """

    template_fields: Sequence[str] = ("database", "worker")

    def __init__(self, *, worker: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.worker = worker
        self._stopping = threading.Event()

    def on_kill(self) -> None:
        """Let the worker end after its last checkpoint, then as every task."""
        self._stopping.set()
        super().on_kill()

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return what this worker did, and what held it up."""
        number = context["ti"].xcom_pull(task_ids="begin", key="job")
        return work_on(context, fleet.checked_settings(), database, number, self.worker, self._stopping)


def work_on(
    context: Mapping[str, Any],
    settings: Settings,
    database: Database,
    number: int,
    worker: int,
    stopping: threading.Event,
) -> dict[str, Any]:
    """Work on a job under the throttle of the database's policy; a Worked, and what held it up.

    Meanwhile the ledger hears how far it is, and Slack when it stands still for long.

    Args:
        context: of the task.
        number: of the job.
        worker: of those that share its ranges.
        stopping: set by whoever wants it to end after its last checkpoint.

    Raises:
        PgOpsError: it failed, or a critical limit of the throttle stopped it.
    """
    from pgops.backfill import Options, state, work
    from pgops.backfill.throttle import Throttle

    policy, target = resources.backfill_policy(database), _target(database)
    job = state(target, number).job
    options = Options(
        target_ms=policy.batch_ms,
        on_error=policy.on_error,
        vacuum_dead_share=policy.vacuum_dead_share,
        vacuum_cost_limit=policy.vacuum_cost_limit,
        stall_after=60 * policy.stall_alert_minutes,
    )
    name = f"pgops.backfill.{number}"
    stop = stopping.is_set
    ledger = LedgerCopy(settings, database.name)
    held_up: dict[str, float] = {}

    def on_progress(now: State) -> None:
        log.info("%s", now.line())
        ledger.record(now, {str(worker): pace.reasons()})

    try:
        with Throttle(target, job.table_oid, policy, settings.timezone, workers=name, stop=stop) as pace:
            worked = work(
                target,
                number,
                None,
                pace,
                options=options,
                stop=stop,
                on_progress=on_progress,
                on_stall=lambda stall: tell_stall(context, settings, database.name, stall),
                application_name=f"{name}.{worker}",
            )
            held_up = pace.reasons()
    finally:
        with contextlib.suppress(PgOpsError):  # the database may be what failed
            ledger.record(state(target, number), {str(worker): held_up} if held_up else {})
    log.info("%s after %s rows in %s", worked.outcome, worked.rows, units.duration(worked.seconds))
    if worked.outcome == "throttled":
        raise PgOpsError(
            f"The backfill was stopped by a critical limit: {worked.reason}",
            where=job.table,
            remedy="Look at that first; then clear this task: it goes on where it stopped",
        )
    return {**to_xcom(worked), "held_up": held_up}


class FinishBackfillOperator(PgOpsOperator):
    """Looks whether the job is done, and refreshes the table's statistics."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return how it ended."""
        from pgops.backfill import job as jobs

        target, number = _target(database), context["ti"].xcom_pull(task_ids="begin", key="job")
        state = jobs.state(target, number)
        if state.job.status != "done":
            raise PgOpsError(
                f"Backfill {number} is {state.job.status}: {state.line()}", where=state.job.table, remedy=_next(state)
            )
        for row in jobs.skipped(target, number):
            log.warning("skipped: %s", row)
        jobs.analyze(target, state.job)
        return {"rows": state.rows_done, "batches": state.batches, "retries": state.retries, "skipped": state.skipped}


class BackfillReportOperator(PgOpsOperator):
    """Says what became of the backfill. Runs whatever failed before it."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("trigger_rule", TriggerRule.ALL_DONE)
        super().__init__(**kwargs)

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return the outcome."""
        from pgops.backfill import job as jobs
        from pgops.operators.alerting import record_run

        settings, ti = fleet.checked_settings(), context["ti"]
        number = ti.xcom_pull(task_ids="begin", key="job")
        if number is None:
            problem = ti.xcom_pull(task_ids="plan", key="problem") or ti.xcom_pull(task_ids="begin", key="problem")
            if problem:
                raise PgOpsError(
                    f"The backfill did not begin: {problem['error']}", where=database.name, remedy="See plan"
                )
            return {"database": database.name, "dry_run": True, "plan": ti.xcom_pull(task_ids="plan")}
        state = jobs.state(_target(database), number)
        done = ti.xcom_pull(task_ids="finish") is not None
        result = {"database": database.name, "job": number, "status": state.job.status, "rows": state.rows_done}
        record_run(settings, context, database.name, "success" if done else "failed", result)
        problems = [*pulled(context, "work", "problem"), *pulled(context, "finish", "problem")]
        error = "" if done else problems[0]["error"] if problems else "a task did not come to its end: see its log"
        tell(context, settings, database, "is done" if done else f"is {state.job.status}", state.job, state, error)
        if not done:
            ti.xcom_push(key="report", value=result)
            raise PgOpsError(
                f"The backfill is {state.job.status}: {state.line()}",
                where=state.job.table,
                remedy=_next(state),
            )
        return result


def _next(state: State) -> str:
    if state.job.status == "cancelled":
        return "Nothing, if that was meant; the same params begin another, for what is left"
    return "Clear `work`, or trigger it again with the same params: it goes on where it stopped"


class ControlBackfillOperator(PgOpsOperator):
    """Tells a running job to pause, to go on, to end, or to go faster or slower."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return how far the job is."""
        from pgops.backfill import job as jobs

        target, params = _target(database), context["params"]
        known = jobs.jobs(target)
        number = params["job"] or (known[0].id if known else 0)
        if not known:
            raise Refused("There is no backfill", where=target.where, remedy="Begin one with batched_backfill")
        if params["action"] != "look":
            jobs.control(target, number, desired=params["action"], speed=params["speed"])
        state = jobs.state(target, number)
        if params["action"] != "look":
            LedgerCopy(fleet.checked_settings(), database.name).record(state)
        log.info(
            "job %s, %s, wished: %s, speed %s: %s",
            number,
            state.job.status,
            state.job.desired,
            state.job.speed,
            state.line(),
        )
        return {"job": number, "status": state.job.status, "percent": state.percent, "rows": state.rows_done}
