"""What every operator here does around its work: end with its supervisor, leave nothing running, name what failed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from pgops.errors import PgOpsError
from pgops.fleet import Database, Fleet, Server, load_fleet


def run_name(context: Mapping[str, Any]) -> str:
    """The DAG run, as leases, jobs and version ledgers name their owner."""
    return f"{context['dag'].dag_id}/{context['run_id']}"


def requester(context: Mapping[str, Any]) -> str:
    """Who triggered this run."""
    return context["dag_run"].triggering_user_name or "nobody that Airflow knows"


class FailedForGood(PgOpsError, AirflowFailException):
    """A PgOpsError that another try cannot mend: Airflow does not retry it."""

    def __init__(self, error: PgOpsError) -> None:
        PgOpsError.__init__(self, error.what, where=error.where, remedy=error.remedy)


class _Guarded(BaseOperator):
    """What operators for databases and for servers have in common."""

    ui_color = "#e3ecf5"

    @abstractmethod
    def do(self, context: Mapping[str, Any], fleet: Fleet) -> Any:
        """Do it and return what XCom keeps."""

    @abstractmethod
    def of(self) -> dict[str, str]:
        """The database or server that it works on, as reports know it."""

    def about(self) -> dict[str, Any]:
        """What the report must know of a failed task beside that."""
        return {}

    def execute(self, context: Any) -> Any:
        """Run the work; an error that a person must mend fails at once, others are tried again."""
        from pgops.processes import ending_with_the_parent

        try:
            with ending_with_the_parent():
                return self.do(context, load_fleet())
        except PgOpsError as error:
            # The report says in one line what failed; a failed task leaves no result.
            problem = {**self.of(), **self.about(), "error": str(error)}
            context["ti"].xcom_push(key="problem", value=problem)
            if error.retry:
                raise
            raise FailedForGood(error) from error

    def on_kill(self) -> None:
        """End what this task started: its queries and its programs."""
        from pgops.postgres import cancel_all
        from pgops.processes import stop_all

        cancel_all()
        stop_all()


class PgOpsOperator(_Guarded):
    """Runs `work` for one database.

    Args:
        database: its name in the fleet file; the label of a mapped task.
    """

    template_fields: Sequence[str] = ("database",)

    def __init__(self, *, database: str, **kwargs: Any) -> None:
        kwargs.setdefault("map_index_template", "{{ task.database }}")
        super().__init__(**kwargs)
        self.database = database

    @abstractmethod
    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> Any:
        """Do it and return what XCom keeps."""

    def do(self, context: Mapping[str, Any], fleet: Fleet) -> Any:
        """Work on the database."""
        return self.work(context, fleet, fleet.database(self.database))

    def of(self) -> dict[str, str]:
        """As _Guarded.of."""
        return {"database": self.database}


class ServerOperator(_Guarded):
    """Runs `work` for one server.

    Args:
        server: its name in the fleet file; the label of a mapped task.
    """

    template_fields: Sequence[str] = ("server",)

    def __init__(self, *, server: str, **kwargs: Any) -> None:
        kwargs.setdefault("map_index_template", "{{ task.server }}")
        super().__init__(**kwargs)
        self.server = server

    @abstractmethod
    def work(self, context: Mapping[str, Any], fleet: Fleet, server: Server) -> Any:
        """Do it and return what XCom keeps."""

    def do(self, context: Mapping[str, Any], fleet: Fleet) -> Any:
        """Work on the server."""
        return self.work(context, fleet, fleet.server(self.server))

    def of(self) -> dict[str, str]:
        """As _Guarded.of."""
        return {"server": self.server}
