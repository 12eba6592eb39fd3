"""The steps of zero_downtime_column, one operator each."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from pgops import units
from pgops.errors import PgOpsError
from pgops.fleet import Database, Fleet, Settings
from pgops.operators import resources
from pgops.operators.backfill import work_on
from pgops.operators.base import PgOpsOperator, requester, run_name
from pgops.operators.results import pulled

if TYPE_CHECKING:
    from pgops.column import ColumnSpec, Fill, Step
    from pgops.postgres import Dsn

log = logging.getLogger(__name__)


def _spec(database: Database, params: Mapping[str, Any]) -> ColumnSpec:
    """What the form asks for."""
    from pgops.column import column_spec

    return column_spec(
        database.name,
        params["table"],
        params["column"],
        params["type"],
        default=params["default"] or None,
        backfill=params["backfill"] or None,
        not_null=params["not_null"],
        index=params["index"],
    )


def _target(database: Database) -> Dsn:
    return resources.dsn(resources.backfill_policy(database).connection)


def _left(context: Mapping[str, Any], database: Database, spec: ColumnSpec, done: Iterable[str] = ()) -> list[Step]:
    """The steps that are left in this run, of which `done` are those of this task."""
    from pgops.column import next_steps, state

    before = (name for phase in pulled(context, "backfill") for name in phase)
    return next_steps(state(_target(database), spec), spec, {*before, *done})


class PlanColumnOperator(PgOpsOperator):
    """Reads the state of the column and says which steps are left; ends the run there unless they are to be done."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> list[str]:
        """Return the steps' names."""
        from pgops.column import next_steps, state
        from pgops.postgres import connect

        target, spec = _target(database), _spec(database, context["params"])
        steps = next_steps(state(target, spec), spec)
        with connect(target, "pgops.column.plan", readonly=True) as connection:
            for number, step in enumerate(steps, 1):
                texts = "; ".join(step.texts(connection)) if step.fill is None else f"rows where {step.fill.where}"
                log.info("%s. %s: %s [%s]", number, step.name, texts, step.locks)
        if not any(step.fill for step in steps):
            log.info("no backfill is needed")
        return [step.name for step in steps]


class ColumnStepsOperator(PgOpsOperator):
    """Does the steps of a phase that are next, reading the state anew before each: so any half-done state will do.

    Args:
        steps: the names of the steps that belong to this phase.
    """

    def __init__(self, *, steps: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.steps = tuple(steps)
        self._stopping = threading.Event()

    def on_kill(self) -> None:
        """Let a backfill end after its last checkpoint, then as every task."""
        self._stopping.set()
        super().on_kill()

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, float]:
        """Return the seconds of each step."""
        if context["params"]["action"] != "apply":
            raise AirflowSkipException("only asked for: trigger it with action apply")
        spec = _spec(database, context["params"])
        done: dict[str, float] = {}
        while (steps := _left(context, database, spec, done)) and steps[0].name in self.steps:
            step = steps[0]
            log.info("%s (%s)", step.name, step.locks)
            seconds = self._do(context, fleet.checked_settings(), database, spec, step)
            done[step.name] = done.get(step.name, 0.0) + seconds
            log.info("%s: done in %s", step.name, units.moment(seconds))
        return done

    def _do(
        self, context: Mapping[str, Any], settings: Settings, database: Database, spec: ColumnSpec, step: Step
    ) -> float:
        from pgops.column import perform, waited_for

        target = _target(database)
        if step.fill is not None:
            return self._fill(context, settings, database, spec, step.fill)
        if step.alone:
            for line in waited_for(target):
                log.warning("it will wait for %s", line)
        return perform(target, spec, step)

    def _fill(
        self, context: Mapping[str, Any], settings: Settings, database: Database, spec: ColumnSpec, fill: Fill
    ) -> float:
        from pgops import backfill
        from pgops.backfill.spec import expression

        target = _target(database)
        # What the default or the trigger calls for each new row may be called for those that are there.
        meant = expression(fill.expression, "the params").functions
        content = {
            "database": spec.database,
            "table": spec.relation,
            "set": {fill.column: fill.expression},
            "where": fill.where,
            "allow_functions": sorted({name[-1] for name in meant}),
        }
        checked = backfill.check(target, backfill.read(content, "the params"))
        run = backfill.Run(created_by=requester(context), dag_run=run_name(context))
        job = backfill.begin(target, checked, backfill.plan(target, checked), run)
        worked = work_on(context, settings, database, job.id, 1, self._stopping)
        if worked["outcome"] != "done":
            raise PgOpsError(
                f"The backfill of {spec.label} is not done: {worked['outcome']} {worked['reason']}",
                where=target.where,
                remedy="Trigger it again with the same params: it goes on where it stopped",
            )
        return float(worked["seconds"])


class UndoColumnOperator(PgOpsOperator):
    """Takes back what was begun, up to the point of NOT NULL."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> list[str]:
        """Return the steps' names."""
        from pgops.column import perform, state, undo_steps

        if context["params"]["action"] != "undo":
            raise AirflowSkipException("not asked for")
        target, spec = _target(database), _spec(database, context["params"])
        steps = undo_steps(state(target, spec), spec)
        for step in steps:
            log.info("%s: done in %s", step.name, units.moment(perform(target, spec, step)))
        return [step.name for step in steps]


class ColumnReportOperator(PgOpsOperator):
    """Reads back whether the column is as it was asked for, and fails while it is not."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return what is there."""
        action = context["params"]["action"]
        spec = _spec(database, context["params"])
        left = [step.name for step in _left(context, database, spec)]
        if action == "apply" and left:
            raise PgOpsError(
                f"{spec.label} is not finished; left are: {', '.join(left)}",
                where=_target(database).where,
                remedy="Read the log of the first failed task, then trigger it again: it goes on from there",
            )
        return {"database": database.name, "column": spec.label, "action": action, "left": left}
