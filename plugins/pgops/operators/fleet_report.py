"""What the reports of a whole fleet have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from airflow.sdk import BaseOperator, TriggerRule

from pgops.errors import PgOpsError
from pgops.fleet import Settings, load_fleet
from pgops.operators.base import FailedForGood
from pgops.operators.results import from_xcom, pulled

_Result = TypeVar("_Result")


class FleetReportOperator(BaseOperator):
    """A report that runs whatever failed before it; each failure has already been told."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("trigger_rule", TriggerRule.ALL_DONE)
        kwargs.setdefault("on_failure_callback", None)
        super().__init__(**kwargs)

    @staticmethod
    def settings() -> Settings:
        """Return the fleet's settings; without them nothing can be told."""
        try:
            return load_fleet().checked_settings()
        except PgOpsError as error:
            raise FailedForGood(error) from error


def left_by(
    context: Any, step: str, kind: type[_Result], names: Sequence[str], about: str = "database"
) -> tuple[dict[str, _Result], dict[str, str]]:
    """What the instances of a mapped step left, by what they were about; and why the others left nothing."""
    done = {one[about]: from_xcom(kind, one) for one in pulled(context, step)}
    problems = {one[about]: str(one["error"]) for one in pulled(context, step, "problem")}
    unknown = "the task did not come to its end: see its log"
    return done, {name: problems.get(name, unknown) for name in names if name not in done}
