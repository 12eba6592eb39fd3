"""The steps of restore_drill, one operator each."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import TriggerRule

from pgops.errors import PgOpsError
from pgops.fleet import Database, DrillPolicy, Fleet
from pgops.operators import resources
from pgops.operators.alerting import record_run
from pgops.operators.base import PgOpsOperator
from pgops.operators.results import from_xcom, to_xcom

if TYPE_CHECKING:
    from pgops.postgres import Dsn
    from pgops.recovery import Check, Scratch


class _DrillOperator(PgOpsOperator):
    """A step that works on a backup.

    Args:
        backup_id: which one, or "newest".
    """

    template_fields: Sequence[str] = ("database", "backup_id")

    def __init__(self, *, backup_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.backup_id = backup_id


class PrepareScratchOperator(_DrillOperator):
    """Chooses the backup, checks the server for drills, and makes an empty scratch database on it."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return a Scratch."""
        from pgops.recovery import prepare_scratch
        from pgops.recovery.scratch import chosen_backup

        settings = fleet.checked_settings()
        catalog = resources.catalog(settings, database.name)
        lease = resources.drill_lease(settings, database.name, context)
        server = resources.drill_server(database)
        return to_xcom(prepare_scratch(catalog, chosen_backup(catalog, self.backup_id), server, lease))


class _OnScratch(PgOpsOperator):
    """A step on the scratch database, under the drill's lease.

    Args:
        scratch: the PrepareScratchOperator's result.
    """

    template_fields: Sequence[str] = ("database", "scratch")

    def __init__(self, *, scratch: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scratch = scratch

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Hold the lease while the step works."""
        from pgops.ledger import held_lease
        from pgops.recovery import Scratch

        scratch = from_xcom(Scratch, self.scratch)
        server = resources.drill_server(database)
        assert database.drill is not None  # drill_server refuses without
        lease = resources.drill_lease(fleet.checked_settings(), database.name, context)
        with held_lease(lease, release_on_failure=False):
            return self.step(context, fleet, scratch, server.on(scratch.dbname), database.drill)

    @abstractmethod
    def step(
        self, context: Mapping[str, Any], fleet: Fleet, scratch: Scratch, restored: Dsn, policy: DrillPolicy
    ) -> dict[str, Any]:
        """Do it and return what XCom keeps."""


class RestoreOperator(_OnScratch):
    """Restores the backup and measures how long that takes."""

    def step(
        self, context: Mapping[str, Any], fleet: Fleet, scratch: Scratch, restored: Dsn, policy: DrillPolicy
    ) -> dict[str, Any]:
        """Return a Restored."""
        from pgops.recovery import make_empty, restore

        server = resources.drill_server(fleet.database(scratch.database))
        make_empty(server, scratch.dbname, scratch.encoding)  # a try before this one may have failed half way
        catalog = resources.catalog(fleet.checked_settings(), scratch.database)
        return to_xcom(restore(catalog, scratch.backup_id, restored, policy.jobs))


class _CheckOperator(_OnScratch):
    """A check that leaves its outcome for the report, and fails when it found something."""

    @abstractmethod
    def check(self, fleet: Fleet, scratch: Scratch, restored: Dsn, policy: DrillPolicy) -> Check:
        """Look."""

    def step(
        self, context: Mapping[str, Any], fleet: Fleet, scratch: Scratch, restored: Dsn, policy: DrillPolicy
    ) -> dict[str, Any]:
        """Return a Check."""
        found = self.check(fleet, scratch, restored, policy)
        outcome = to_xcom(found)
        if found.problems:
            context["ti"].xcom_push(key="check", value=outcome)
            raise PgOpsError(
                f"{found.name}: {'; '.join(found.problems)}",
                where=f"{scratch.database}/{scratch.backup_id} restored as {restored.where}",
                remedy="This backup does not bring back what the source had: see the runbook before relying on it",
            )
        return outcome


class CompareOperator(_CheckOperator):
    """Compares all contents with the fingerprints of the source's snapshot."""

    def check(self, fleet: Fleet, scratch: Scratch, restored: Dsn, policy: DrillPolicy) -> Check:
        """Return the outcome."""
        from pgops.recovery import compare

        catalog = resources.catalog(fleet.checked_settings(), scratch.database)
        return compare(catalog, scratch.backup_id, restored, policy.jobs)


class AmcheckOperator(_CheckOperator):
    """Checks the structure of heaps and B-trees."""

    def check(self, fleet: Fleet, scratch: Scratch, restored: Dsn, policy: DrillPolicy) -> Check:
        """Return the outcome."""
        from pgops.recovery import Check, run_amcheck

        if not policy.amcheck:
            return Check("amcheck", False, 0.0, "not run", skipped="the drill policy says amcheck: false")
        return run_amcheck(restored, policy.jobs)


class CanariesOperator(_CheckOperator):
    """Asks the questions of the fleet file."""

    def check(self, fleet: Fleet, scratch: Scratch, restored: Dsn, policy: DrillPolicy) -> Check:
        """Return the outcome."""
        from pgops.recovery import run_canaries

        return run_canaries(restored, policy.canaries)


class DropScratchOperator(PgOpsOperator):
    """Drops the scratch database, whatever happened before."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> None:
        """Return nothing."""
        from pgops.recovery import drop_scratch

        lease = resources.drill_lease(fleet.checked_settings(), database.name, context)
        drop_scratch(database.name, resources.drill_server(database), lease)


class DrillReportOperator(PgOpsOperator):
    """Judges the drill, records it in the ledger and beside the manifest, tells Slack, and fails if the drill did.

    Runs whatever failed before it.

    Args:
        steps: task ids by name: "prepare", "restore", and the checks.
    """

    template_fields: Sequence[str] = ("database",)

    def __init__(self, *, steps: Mapping[str, str], **kwargs: Any) -> None:
        kwargs.setdefault("trigger_rule", TriggerRule.ALL_DONE)
        super().__init__(**kwargs)
        self.steps = dict(steps)

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return a DrillReport."""
        from pgops.operators.reports import send_drill_report
        from pgops.recovery import Check, Restored, Scratch, report

        results = {name: self._result(context, task_id) for name, task_id in self.steps.items()}
        if results["prepare"] is None:
            raise PgOpsError(
                "The drill could not begin: there is no scratch database",
                where=f"task {self.steps['prepare']}",
                remedy="Read that task's error",
            )
        settings = fleet.checked_settings()
        scratch = from_xcom(Scratch, results.pop("prepare"))
        restored = results.pop("restore")
        policy = database.drill
        assert policy is not None  # there was a scratch database
        unfinished = self._unfinished(context, {"restore": restored, **results})
        verdict = report(
            resources.catalog(settings, database.name),
            scratch.backup_id,
            context["dag_run"].start_date or datetime.now(UTC),
            policy.rto_minutes * 60,
            from_xcom(Restored, restored) if restored else None,
            [from_xcom(Check, value) for value in results.values() if value is not None],
            unfinished,
            resources.ledger(settings),
        )
        send_drill_report(verdict, scratch, policy.canaries, context, settings)
        plain = to_xcom(verdict)
        record_run(settings, context, database.name, "success" if verdict.passed else "failed", plain)
        if not verdict.passed:
            context["ti"].xcom_push(key="report", value=plain)
            raise PgOpsError(
                f"The drill failed: {'; '.join(verdict.failures)}",
                where=f"{database.name}/{scratch.backup_id}",
                remedy="See the runbook before relying on this backup",
            )
        return plain

    def _unfinished(self, context: Mapping[str, Any], results: Mapping[str, Any]) -> list[str]:
        """What kept steps from an outcome. Steps that only waited for a failed one say nothing new."""
        without = [name for name, value in results.items() if value is None]
        pulled = {name: context["ti"].xcom_pull(task_ids=self.steps[name], key="problem") for name in without}
        known = [f"{name}: {problem['error']}" for name, problem in pulled.items() if problem]
        return known or [f"{name} did not come to an end: see its log" for name in without[:1]]

    @staticmethod
    def _result(context: Mapping[str, Any], task_id: str) -> Any:
        ti = context["ti"]
        return ti.xcom_pull(task_ids=task_id) or ti.xcom_pull(task_ids=task_id, key="check")
