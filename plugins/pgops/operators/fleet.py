"""The first task of every fleet DAG: is the fleet file fit to work with?"""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperator

from pgops.errors import PgOpsError
from pgops.fleet import load_fleet
from pgops.operators.base import FailedForGood


class FleetFileOperator(BaseOperator):
    """Fails with the fleet file's error when the whole file is unfit; a bad entry fails with its own database."""

    def execute(self, context: Any) -> list[str]:
        """Return the names of the databases."""
        fleet = load_fleet()
        try:
            fleet.checked_settings()
        except PgOpsError as error:
            raise FailedForGood(error) from error
        for problem in fleet.problems:
            self.log.warning("%s", problem.refusal())
        return [name for name, _ in fleet.names]
