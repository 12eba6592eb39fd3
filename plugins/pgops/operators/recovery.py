"""The steps of point_in_time_recovery, one operator each."""

from __future__ import annotations

import json
import logging
import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import TriggerRule
from airflow.sdk.exceptions import AirflowSkipException

from pgops.errors import PgOpsError, Refused
from pgops.fleet import Database, Fleet, load_fleet
from pgops.operators import resources
from pgops.operators.alerting import record_run, tell_slack
from pgops.operators.approval import ApprovalRules, SecondPersonOperator
from pgops.operators.base import PgOpsOperator, task_states
from pgops.operators.recovery_desk import desk, recovery_id, recovery_policy
from pgops.operators.recovery_jobs import Beside, Job, Over, databases_on
from pgops.operators.results import from_xcom, to_xcom
from pgops.operators.tombstones import replay_tombstones

if TYPE_CHECKING:
    from pgops.physical.checks import Check
    from pgops.physical.plan import RecoveryPlan, Target
    from pgops.postgres import Dsn

log = logging.getLogger(__name__)

IN_PLACE, SIDE_BY_SIDE = "in_place", "side_by_side"
STEPS = ("plan_recovery", "approve_recovery", "restore_copy", "recover", "check_copy", "hand_over", "seed_standbys")


def target_of(params: Mapping[str, Any]) -> tuple[Target, datetime | None]:
    """What the form asks for; beside a restore point's name, a time says after when it was made.

    Raises:
        Refused: nothing, or two things, are asked for.
    """
    from pgops.physical.plan import parse_target

    text, at = str(params.get("target") or "").strip(), str(params.get("target_time") or "").strip()
    if not text and not at:
        raise Refused(
            "No target is given",
            where="params target_time and target",
            remedy="Give an instant with its zone, an LSN, a restore point or latest; nothing was touched",
        )
    by_time = parse_target(at) if at else None
    if by_time is not None and by_time.kind != "time":
        raise Refused(
            f"{at!r} is no instant", where="param target_time", remedy="Write it as 2026-11-23T10:00:00Z, or use target"
        )
    if not text:
        assert by_time is not None
        return by_time, None
    target = parse_target(text)
    if by_time is not None and target.kind != "name":
        raise Refused(
            "Two targets are given",
            where="params target_time and target",
            remedy="Give one of them; beside the name of a restore point the time says after when it was made",
        )
    return target, by_time.at if by_time else None


def job_of(context: Mapping[str, Any], fleet: Fleet, database: Database, plan: RecoveryPlan) -> Job:
    """The recovery of a run."""
    params, found = context["params"], desk(fleet, database)
    given = found, database, recovery_id(found.server.name, context), plan
    if params["mode"] == IN_PLACE:
        planned = context["ti"].xcom_pull(task_ids="plan_recovery") or {}
        started_at = context["dag_run"].run_after or datetime.now(UTC)
        return Over(*given, started_at=started_at, data=planned.get("data"))
    hours = float(params.get("keep_hours") or found.policy.keep_hours)
    return Beside(*given, keep=timedelta(hours=hours))


class PlanRecoveryOperator(PgOpsOperator):
    """Works out how the target is reached, and refuses what cannot be, before anything is touched."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return the plan, in words too, and the way back of a recovery in place."""
        from pgops.physical import in_place, recover, standbys
        from pgops.physical.needs import refuse_unfit
        from pgops.physical.planning import planned
        from pgops.physical.recoverability import rates

        params = context["params"]
        target, since = target_of(params)
        found = desk(fleet, database)
        place = found.place()
        plan = planned(
            found.server.name,
            target,
            found.engine,
            found.reader(place),
            found.source,
            timeline=params.get("timeline") or None,
            since=since,
            needs=found.needs([database]),
            rates=rates(found.ledger(), found.server.name),
        )
        job = job_of(context, fleet, database, plan)
        begun = job.progress()
        if begun is not None:  # this task was cleared: what was begun goes on, to where it was to go
            plan = begun.plan
        elif isinstance(job, Over):
            in_place.refuse_unfit_site(job.site, plan)
        else:
            recover.refuse_full(place, plan)
            if plan.needs is not None:
                refuse_unfit(place.host, place.bindir, plan.needs)
        lines, way_back = plan.lines(), []
        if isinstance(job, Over):
            told, back = standbys.planned(job.standbys(), plan, job.started_at, begun=begun is not None)
            lines, way_back = [*lines, *told], [*job.way_back(), *back]
        for line in (*lines, *(f"the way back: {one}" for one in way_back)):
            log.info("%s", line)
        data = str(job.site.data) if isinstance(job, Over) else None
        return {"id": job.id, "plan": to_xcom(plan), "lines": lines, "way_back": way_back, "data": data}


class ApproveRecoveryOperator(SecondPersonOperator):
    """Asks a second person, who sees the plan and the way back. Skipped unless a server is recovered in place."""

    def __init__(self, *, database: str, **kwargs: Any) -> None:
        super().__init__(database=database, subject=f"Recover the server of {database} in place?", **kwargs)

    def execute(self, context: Any) -> Any:
        """Ask, if it is in place."""
        if context["params"]["mode"] != IN_PLACE or context["params"]["dry_run"]:
            raise AirflowSkipException("nothing is recovered in place")
        return super().execute(context)

    def rules(self) -> ApprovalRules:
        """As the recovery policy has them now."""
        fleet = load_fleet()
        name = fleet.database(self.database).server
        policy = recovery_policy(next((one for one in fleet.servers if one.name == name), None))
        if policy is None or policy.in_place is None:
            raise Refused(
                f"{name} is not recovered in place",
                where=f"include/fleet.yaml, servers, {name}, physical.recovery",
                remedy="Recover it side by side; or add in_place: with approvers",
            )
        return ApprovalRules(policy.in_place.approvers, policy.in_place.approval_minutes, "recovery.in_place.approvers")

    def about(self) -> str:
        """The recovery."""
        return f"{self.database}, a recovery in place"

    def record(self, context: Mapping[str, Any], approver: str) -> None:
        """The task's result tells who it was; the report keeps it in the ledger."""

    def question(self, context: Mapping[str, Any], until: str) -> str:
        """What is lost, what is done, and how to undo it."""
        planned = context["ti"].xcom_pull(task_ids="plan_recovery")
        fleet = load_fleet()
        server = fleet.database(self.database).server
        names = ", ".join(f"`{one.name}`" for one in databases_on(fleet, server))
        lines = "\n".join(f"- {line}" for line in planned["lines"])
        back = "\n".join(planned["way_back"])
        return "\n\n".join(
            [
                until,
                f"The server `{server}` stops, and **all of its databases** ({names}) go back to this state. What was "
                "written since is then only in the old data directory, which stays.",
                lines,
                f"The way back, on the server's host:\n\n```\n{back}\n```",
            ]
        )


class RecoveryStep(PgOpsOperator):
    """A step of a recovery, under the lease of its place. Skipped when only a plan was asked for."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> Any:
        """Hold the lease while the step works."""
        from pgops.ledger import held_lease
        from pgops.physical.plan import RecoveryPlan

        if context["params"]["dry_run"]:
            raise AirflowSkipException("only a plan was asked for")
        planned = context["ti"].xcom_pull(task_ids="plan_recovery")
        job = job_of(context, fleet, database, from_xcom(RecoveryPlan, planned["plan"]))
        if isinstance(job, Over):
            _refuse_unapproved(context, database)
        with held_lease(job.lease(context), release_on_failure=False):
            return self.step(context, fleet, database, job)

    @abstractmethod
    def step(self, context: Mapping[str, Any], fleet: Fleet, database: Database, job: Job) -> Any:
        """Do it and return what XCom keeps."""


def _refuse_unapproved(context: Mapping[str, Any], database: Database) -> None:
    approved = context["ti"].xcom_pull(task_ids="approve_recovery") or {}
    if not approved.get("approved_by"):
        raise Refused(
            "Nobody has approved this recovery in place",
            where=f"{database.name}, task approve_recovery",
            remedy="Trigger it again and have it approved under Required Actions; marking the task does not count",
        )


class RestoreCopyOperator(RecoveryStep):
    """Fetches the base backup; in place the server is stopped and its files are kept first."""

    def step(self, context: Mapping[str, Any], fleet: Fleet, database: Database, job: Job) -> str:
        """Return the recovery's id."""
        job.restore()
        return job.id


class RecoverOperator(RecoveryStep):
    """Replays the WAL up to the target and promotes."""

    def step(self, context: Mapping[str, Any], fleet: Fleet, database: Database, job: Job) -> str:
        """Return where it stopped, in the server's words."""
        job.recover()
        progress = job.progress()
        assert progress is not None and progress.reached is not None
        return progress.reached.words


class CheckCopyOperator(RecoveryStep):
    """Looks at rows and structure, and erases again who was erased since. Until then nobody is let in."""

    def step(self, context: Mapping[str, Any], fleet: Fleet, database: Database, job: Job) -> dict[str, Any]:
        """Return the checks and the counts."""
        from pgops.physical.checks import Check, amcheck, ask_canaries, count_rows

        progress = job.progress()
        if isinstance(job, Over) and progress is not None and progress.address:
            served = Check("rows", False, 0.0, "not asked", skipped="the server serves again already")
            return {"checks": [to_xcom(served)], "counts": []}
        cluster, policy = job.cluster(), job.desk.policy
        dbname = resources.dsn(database.connection).dbname
        canaries = database.drill.canaries if database.drill else ()
        checks = [ask_canaries(cluster, dbname, canaries)]
        counts = count_rows(cluster, dbname)
        _erase_again(fleet, job)
        if policy.amcheck:
            jobs = database.drill.jobs if database.drill else 2
            checks.append(amcheck(cluster, dbname, jobs, install=isinstance(job, Beside)))
        else:
            checks.append(Check("amcheck", False, 0.0, "not run", skipped="the recovery policy says amcheck: false"))
        found = {"checks": [to_xcom(one) for one in checks], "counts": [asdict(one) for one in counts]}
        problems = [f"{one.name}: {'; '.join(one.problems)}" for one in checks if one.problems]
        if problems:
            context["ti"].xcom_push(key="checked", value=found)
            raise PgOpsError(
                f"The recovered server did not pass: {'; '.join(problems)}",
                where=cluster.where,
                remedy="Nobody was let in. Look at it on its host, or recover to another instant",
            )
        return found


def _erase_again(fleet: Fleet, job: Job) -> None:
    """Replay the tombstones of every database that came back with this server."""
    from pgops.privacy import tombstones

    settings, plan = fleet.checked_settings(), job.plan
    progress = job.progress()
    assert progress is not None and progress.reached is not None
    as_of = plan.target.at or progress.reached.last_commit_at or plan.backup.started_at
    for database in databases_on(fleet, job.desk.server.name):
        if tombstones(resources.bucket(settings), database.name, as_of):
            replay_tombstones(settings, database, _copy_of(database, job), as_of)


def _copy_of(database: Database, job: Job) -> Dsn:
    """A database of the recovered server, as the role that may erase: by its socket, or from here with its password."""
    from pgops.postgres import Dsn

    connection = database.privacy.connection if database.privacy else database.connection
    live, cluster, policy = resources.dsn(connection), job.cluster(), job.desk.policy
    if policy.host == "local" and os.access(cluster.sockets, os.X_OK):
        return Dsn(str(cluster.sockets), cluster.port, live.dbname, cluster.superuser)
    if policy.host != "local" and not policy.listen:
        raise Refused(
            f"People were erased from {database.name}, and they cannot be erased again in a copy that is out of reach",
            where=cluster.where,
            remedy="Give physical.recovery listen and networks, so that the Airflow worker reaches copies on that host",
        )
    job.admit([live.user])
    return Dsn(policy.listen or "127.0.0.1", cluster.port, live.dbname, live.user, live.password)


class HandOverOperator(RecoveryStep):
    """Lets people in. In place: the server serves again, its slots are made and a new base backup is taken."""

    def step(self, context: Mapping[str, Any], fleet: Fleet, database: Database, job: Job) -> dict[str, Any]:
        """Return where it is and what to do there."""
        job.hand_over()
        progress = job.progress()
        assert progress is not None
        for line in progress.commands:
            log.info("%s", line)
        return {"address": progress.address, "commands": list(progress.commands)}


class SeedStandbysOperator(RecoveryStep):
    """Makes the standbys that the fleet file names copies of the recovered server. Skipped where there are none."""

    def step(self, context: Mapping[str, Any], fleet: Fleet, database: Database, job: Job) -> list[str]:
        """Return what became of each."""
        if not isinstance(job, Over) or not job.standbys():
            raise AirflowSkipException("no standby is seeded anew")
        job.seed()
        progress = job.progress()
        assert progress is not None
        return list(progress.standbys)


class RecoveryReportOperator(PgOpsOperator):
    """Says what became of the recovery, and fails unless it is done. Runs whatever failed before it."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("trigger_rule", TriggerRule.ALL_DONE)
        super().__init__(**kwargs)

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return the outcome."""
        from pgops.physical.plan import RecoveryPlan

        ti, params, settings = context["ti"], context["params"], fleet.checked_settings()
        planned = ti.xcom_pull(task_ids="plan_recovery")
        states = task_states(context)
        done = {step: ti.xcom_pull(task_ids=step) if states.get(step) == "success" else None for step in STEPS}
        plan = from_xcom(RecoveryPlan, planned["plan"]) if planned else None
        job = job_of(context, fleet, database, plan) if plan else None
        progress = job.progress() if job else None
        checked = done["check_copy"] or ti.xcom_pull(task_ids="check_copy", key="checked") or {}
        follow = states.get("seed_standbys") in ("success", "skipped")
        state = _state(params, done, touched=progress is not None, follow=follow)
        result = {
            "database": database.name,
            "server": database.server,
            "target": plan.target.text if plan else str(params.get("target_time") or params.get("target")),
            "mode": params["mode"],
            "state": state,
            "error": "" if state in ("recovered", "planned") else first_problem(context, STEPS),
            "address": progress.address if progress else "",
            "until": progress.until.isoformat() if progress and progress.until else None,
            "backup_id": plan.backup.backup_id if plan else "",
            "stopped": progress.reached.words if progress and progress.reached else "",
            "fetch_seconds": progress.fetch_seconds if progress else 0.0,
            "replay_seconds": progress.replay_seconds if progress else 0.0,
            "approved_by": (done["approve_recovery"] or {}).get("approved_by"),
            "plan": planned["lines"] if planned else [],
            "commands": list(progress.commands) if progress else [],
            "standbys": list(progress.standbys) if progress else [],
            **checked,
        }
        if job is not None and progress is not None:
            _record(context, job, result, progress.reached.replayed_bytes if progress.reached else 0)
            if state == "recovered":
                job.lease(context).release()
        _tell(context, fleet, result)
        record_run(settings, context, database.name, "success" if not result["error"] else "failed", result)
        if result["error"]:
            ti.xcom_push(key="report", value=result)
            raise PgOpsError(
                f"The recovery is {state}: {result['error']}",
                where=database.name,
                remedy="Nothing was touched"
                if state == "refused"
                else "Mend it, then clear the failed task: it goes on",
            )
        return result


def _state(params: Mapping[str, Any], done: Mapping[str, Any], *, touched: bool, follow: bool) -> str:
    if done["hand_over"]:
        return "recovered" if follow else "degraded"
    if params["dry_run"] and done["plan_recovery"]:
        return "planned"
    return "failed" if touched else "refused"


def first_problem(context: Mapping[str, Any], steps: Sequence[str]) -> str:
    """The first step's error; of a step that died without a word, its name."""
    for step in steps:
        problem = context["ti"].xcom_pull(task_ids=step, key="problem")
        if problem:
            return f"{step}: {problem['error']}"
    return "a step did not come to an end: see its log"


def _record(context: Mapping[str, Any], job: Job, result: Mapping[str, Any], replayed_bytes: int) -> None:
    """Keep it in the ledger; a ledger that is down must not hide where the copy is."""
    try:
        job.desk.ledger().rows(
            "record_recovery",
            id=job.id,
            server=result["server"],
            database=result["database"],
            kind=result["mode"],
            target=result["target"],
            passed=result["state"] in ("recovered", "degraded"),
            place=result["address"],
            until=result["until"],
            started_at=context["dag_run"].start_date or datetime.now(UTC),
            fetched_bytes=job.plan.backup.directory_bytes if result["fetch_seconds"] else 0,
            fetch_seconds=result["fetch_seconds"],
            replayed_bytes=replayed_bytes,
            replay_seconds=result["replay_seconds"],
            rpo_seconds=None,
            rto_seconds=result["fetch_seconds"] + result["replay_seconds"] or None,
            report=json.dumps(dict(result)),
        )
    except PgOpsError as error:
        log.error("the ledger did not take the recovery: %s", error)


def _tell(context: Mapping[str, Any], fleet: Fleet, result: Mapping[str, Any]) -> None:
    from pgops.alerts.messages import run_command
    from pgops.alerts.recoveries import RecoveryNews, recovery_message
    from pgops.physical.checks import Check, Count

    settings = fleet.checked_settings()
    started = context["dag_run"].start_date or datetime.now(UTC)
    counts = [from_xcom(Count, one) for one in result.get("counts", ())]
    news = RecoveryNews(
        database=result["database"],
        target=result["target"],
        mode=result["mode"].replace("_", " "),
        state=result["state"],
        error=result["error"],
        address=result["address"],
        until=datetime.fromisoformat(result["until"]) if result["until"] and result["address"] else None,
        backup_id=result["backup_id"],
        stopped=result["stopped"],
        checks=tuple(_sentence(from_xcom(Check, one)) for one in result.get("checks", ())),
        counts=tuple(f"{one.table}: {'about ' if one.estimated else ''}{one.rows}" for one in counts[:20]),
        plan=tuple(result["plan"]),
        commands=tuple(result["commands"]),
        standbys=tuple(result["standbys"]),
        seconds=(datetime.now(UTC) - started).total_seconds(),
        started_at=started,
        log_url=context["ti"].log_url,
        command=run_command("point_in_time_recovery", {"database": result["database"], "target": result["target"]}),
    )
    tell_slack(recovery_message(news, runbook_url=settings.runbook_url), settings, f"recovery_{result['state']}")


def _sentence(check: Check) -> str:
    if check.skipped:
        return f"{check.name}: not done, {check.skipped}"
    return f"{check.name}: {'good, ' + check.summary if check.passed else '; '.join(check.problems)}"
