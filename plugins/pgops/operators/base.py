"""What every operator here does around its work: end with its supervisor, leave nothing running, name what failed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from pgops.errors import PgOpsError
from pgops.fleet import Database, Fleet, Server, load_fleet


def run_name(context: Mapping[str, Any]) -> str:
    """The DAG run, as leases, jobs and version ledgers name their owner."""
    return f"{context['dag'].dag_id}/{context['run_id']}"


def task_states(context: Mapping[str, Any]) -> Mapping[str, str]:
    """The states of this run's tasks. What a task has left in XCom stays until it runs again: when a task before it was
    cleared and failed, only its state tells that it is of another day."""
    states = context["ti"].get_task_states(dag_id=context["dag"].dag_id, run_ids=[context["run_id"]])
    found: Mapping[str, str] = states.get(context["run_id"], states)
    return found


def requester(context: Mapping[str, Any]) -> str:
    """Who triggered this run."""
    return context["dag_run"].triggering_user_name or "nobody that Airflow knows"


class FailedForGood(PgOpsError, AirflowFailException):
    """A PgOpsError that another try cannot mend: Airflow does not retry it."""

    def __init__(self, error: PgOpsError) -> None:
        PgOpsError.__init__(self, error.what, where=error.where, remedy=error.remedy)


class _SupervisedOperator(BaseOperator):
    """Runs `do` as part of one entry of the fleet file."""

    ui_color = "#e3ecf5"

    @abstractmethod
    def do(self, context: Mapping[str, Any], fleet: Fleet) -> Any:
        """Do it and return what XCom keeps."""

    @abstractmethod
    def entry(self) -> dict[str, str]:
        """Which entry that is."""

    def about(self) -> dict[str, Any]:
        """What the report must know of a failed task beside its entry."""
        return {}

    def execute(self, context: Any) -> Any:
        """Run the work; an error that a person must mend fails at once, others are tried again."""
        from pgops.processes import ending_with_the_parent

        try:
            with ending_with_the_parent():
                return self.do(context, load_fleet())
        except PgOpsError as error:
            # The report says in one line what failed; a failed task leaves no result.
            context["ti"].xcom_push(key="problem", value={**self.entry(), **self.about(), "error": str(error)})
            if error.retry:
                raise
            raise FailedForGood(error) from error

    def on_kill(self) -> None:
        """End what this task started: its queries and its programs."""
        from pgops.postgres import cancel_all
        from pgops.processes import stop_all

        cancel_all()
        stop_all()


class PgOpsOperator(_SupervisedOperator):
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
        """Work on the database, as the fleet file has it now."""
        return self.work(context, fleet, fleet.database(self.database))

    def entry(self) -> dict[str, str]:
        """The database."""
        return {"database": self.database}


class ServerOperator(_SupervisedOperator):
    """Runs `work` for one server.

    Args:
        server: its name in the fleet file; the label of a mapped task.
    """

    template_fields: Sequence[str] = ("server",)
    policy: ClassVar[str]  # of the server, by which it works

    def __init__(self, *, server: str, **kwargs: Any) -> None:
        kwargs.setdefault("map_index_template", "{{ task.server }}")
        super().__init__(**kwargs)
        self.server = server

    @abstractmethod
    def work(self, context: Mapping[str, Any], fleet: Fleet, server: Server) -> Any:
        """Do it and return what XCom keeps."""

    def do(self, context: Mapping[str, Any], fleet: Fleet) -> Any:
        """Work on the server, as the fleet file has it now."""
        return self.work(context, fleet, fleet.server(self.server, self.policy))

    def entry(self) -> dict[str, str]:
        """The server."""
        return {"server": self.server}
