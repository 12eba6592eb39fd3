"""The dead-man's switch: a URL that expects to hear from us, and calls somebody when it does not."""

from __future__ import annotations

import urllib.request
from typing import Any

from airflow.sdk import BaseOperator, Variable
from airflow.sdk.exceptions import AirflowSkipException

from pgops.errors import PgOpsError


class DeadManPingOperator(BaseOperator):
    """Requests the URL in an Airflow Variable; skipped when there is none.

    Args:
        variable: the Variable's name. The URL is a secret: whoever knows it can keep the switch quiet.
    """

    def __init__(self, *, variable: str = "pgops_dead_man_url", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.variable = variable

    def execute(self, context: Any) -> None:
        """Ping, and fail when nobody answers."""
        url = Variable.get(self.variable, default=None)
        if not url:
            raise AirflowSkipException(f"there is no Variable {self.variable}")
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                self.log.info("the dead-man's switch answered %s", answer.status)
        except (OSError, ValueError) as error:
            raise PgOpsError(
                f"The dead-man's switch did not answer: {getattr(error, 'reason', type(error).__name__)}",
                where=f"the URL in the Airflow Variable {self.variable}",
                remedy="Check the URL and that the worker may reach it; the switch will call soon",
                retry=True,
            ) from None
