"""What Airflow calls: an alert for each task that failed for good, and one when a run is late.

DAG(..., default_args={"on_failure_callback": alert_on_failure(connection_id="slack", channel="#pg-alerts")})
DeadlineAlert(..., callback=AsyncCallback(LateRunNotifier, kwargs={"connection_id": ..., "channel": ...}))
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import import_module
from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseNotifier

from pgops.alerts.messages import Alert, Severity, alert_message, run_command
from pgops.alerts.runbook import section_for
from pgops.alerts.send import Record, notify, notify_from_triggerer
from pgops.errors import PgOpsError

log = logging.getLogger(__name__)

Claim = Callable[[str], bool]
"""Called with the key of a failed try; answers whether nobody has alerted about it yet."""


def alert_on_failure(
    *,
    connection_id: str,
    channel: str,
    severity: Severity = "crit",
    runbook: str | None = None,
    rerun: Callable[[str], Mapping[str, Any]] | None = None,
    record: Record | None = None,
    claim: Claim | None = None,
    runbook_url: str | None = None,
) -> Callable[[Mapping[str, Any]], None]:
    """A callback for `on_failure_callback`: one alert for a try that was the last one.

    Airflow calls it in the task's process and, when that process died, in the DAG processor; it may do both.

    Args:
        connection_id: an Airflow connection of type slack.
        channel: where the alert goes.
        severity: how bad a failure of these tasks is.
        runbook: the runbook's section; by the step and the error when absent.
        rerun: from the database's name, the conf with which the DAG repeats its work.
        record: is told of an alert that could not be sent.
        claim: decides, for all processes, who alerts (the ledger); without it each process decides for itself.
        runbook_url: where the runbook can be read.
    """
    first = _OncePerProcess()

    def on_failure(context: Mapping[str, Any]) -> None:
        try:
            key = try_key(context["ti"])
            if not first(key) or not _claimed(claim, key):
                return
            alert = failure_alert(context, severity=severity, runbook=runbook, rerun=rerun)
            message = alert_message(alert, runbook_url=runbook_url)
        except Exception:  # whatever the context lacks, the task's own failure must stay the news
            log.exception("The alert about a failed task could not be written")
            return
        notify(message, connection_id=connection_id, channel=channel, record=record, kind="task_failed")

    return on_failure


def failure_alert(
    context: Mapping[str, Any],
    *,
    severity: Severity = "crit",
    runbook: str | None = None,
    rerun: Callable[[str], Mapping[str, Any]] | None = None,
) -> Alert:
    """The alert for a failed task, from what Airflow hands to its callback."""
    ti, error = context["ti"], context.get("exception")
    known = error if isinstance(error, PgOpsError) else None
    task = f"{ti.dag_id}.{ti.task_id}"
    database = database_of(context)
    mapped = (f"map index {ti.map_index}",) if ti.map_index is not None and ti.map_index >= 0 and not database else ()
    return Alert(
        title=f"{ti.dag_id}: {_step(ti.task_id)} failed",
        severity=severity,
        database=database,
        what=known.what if known else _described(error),
        where=known.where if known else task,
        since=getattr(ti, "start_date", None),
        remedy=known.remedy if known else "Read the task's log, mend the cause, then run it again",
        log_url=ti.log_url,
        runbook=runbook or section_for(ti.task_id, error if isinstance(error, BaseException) else None),
        command=_rerun_command(context, rerun, database),
        details=(task, f"run {ti.run_id}", *mapped, f"try {ti.try_number}"),
    )


def try_key(ti: Any) -> str:
    """Names one try of one task instance; clearing it begins a new try, hence a new key."""
    return "/".join(str(part) for part in (ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.try_number))


def database_of(context: Mapping[str, Any]) -> str:
    """The database (or server) that a task was about: the operator's own, the run's param, or the mapped one's label.

    The label comes last: where the run has a database, its mapped instances are something else, such as workers.
    """
    task = context.get("task")
    own = getattr(task, "database", None) or getattr(task, "server", None)
    if isinstance(own, str) and "{{" not in own:
        return own
    try:
        return str(context["params"]["database"] or "")
    except Exception:  # absent, or a param that does not validate
        label = getattr(context["ti"], "rendered_map_index", None)
        return str(label) if label and not str(label).isdigit() else ""


class LateRunNotifier(BaseNotifier):
    """The callback of a DeadlineAlert: says that a run has not finished in time. It runs in the triggerer.

    Args:
        connection_id: an Airflow connection of type slack.
        channel: where the alert goes.
        remedy: what to do, in a sentence.
        record: dotted path of the callable that records an unsent alert (a callback's arguments must be serializable).
        runbook_url: where the runbook can be read.
        context: given by Airflow: `dag_run` and `deadline`.
    """

    template_fields = ("remedy",)

    def __init__(
        self,
        *,
        connection_id: str,
        channel: str,
        remedy: str = "See which task is running or waiting, and why: a lock, a full pool, a slow server",
        record: str | None = None,
        runbook_url: str | None = None,
        context: Any = None,
    ) -> None:
        super().__init__(context)
        self.connection_id = connection_id
        self.channel = channel
        self.remedy = remedy
        self.record = record
        self.runbook_url = runbook_url

    def notify(self, context: Any) -> None:
        """Send from a synchronous process."""
        message = alert_message(self._alert(context), runbook_url=self.runbook_url)
        where = {"connection_id": self.connection_id, "channel": self.channel}
        notify(message, **where, record=_imported(self.record), kind="run_late")

    async def async_notify(self, context: Any) -> None:
        """Send from the triggerer."""
        message = alert_message(self._alert(context), runbook_url=self.runbook_url)
        where = {"connection_id": self.connection_id, "channel": self.channel}
        await notify_from_triggerer(message, **where, record=_imported(self.record), kind="run_late")

    def _alert(self, context: Any) -> Alert:
        # The scheduler sends the run as the REST API shows it: its id is `dag_run_id`, its instants are strings.
        run = context.get("dag_run") or {}
        deadline = _instant((context.get("deadline") or {}).get("deadline_time"))
        dag_id, run_id = str(run.get("dag_id", "a DAG")), str(run.get("dag_run_id", ""))
        until = f" by {deadline.astimezone(UTC):%H:%M} UTC" if deadline else " in time"
        return Alert(
            title=f"{dag_id} is late",
            severity="warn",
            database="",
            what=f"The run has not finished{until}; its state is {run.get('state', 'unknown')}",
            where=f"{dag_id} {run_id}".strip(),
            since=_instant(run.get("start_date")) or _instant(run.get("queued_at")) or deadline,
            remedy=self.remedy,
            log_url=_run_url(dag_id, run_id),
            runbook="run-is-late",
            log_label="Open the run",
        )


class _OncePerProcess:
    """Answers whether a key is new to this process."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, key: str) -> bool:
        with self._lock:
            new = key not in self._seen
            self._seen.add(key)
            return new


def _claimed(claim: Claim | None, key: str) -> bool:
    if claim is None:
        return True
    try:
        return claim(key)
    except Exception as error:  # without the ledger: rather the same alert twice than none
        log.warning("Could not ask whether this alert was sent before: %s", type(error).__name__)
        return True


def _described(error: Any) -> str:
    if error is None:
        return "The task failed and left no exception: its process was killed, or Airflow lost sight of it"
    if isinstance(error, str):
        return error
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _rerun_command(context: Mapping[str, Any], rerun: Callable[[str], Mapping[str, Any]] | None, database: str) -> str:
    dag_id = context["ti"].dag_id
    if rerun is not None and database:
        return run_command(dag_id, rerun(database))
    return run_command(dag_id, getattr(context.get("dag_run"), "conf", None) or {})


def _step(task_id: str) -> str:
    return task_id.rsplit(".", 1)[-1]


def _instant(value: Any) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    return value if isinstance(value, datetime) else None


def _run_url(dag_id: str, run_id: str) -> str:
    from airflow.sdk.configuration import conf

    base = conf.get("api", "base_url", fallback="http://localhost:8080/").rstrip("/")
    return f"{base}/dags/{quote(dag_id)}/runs/{quote(run_id)}" if run_id else f"{base}/dags/{quote(dag_id)}"


def _imported(path: str | None) -> Record | None:
    if not path:
        return None
    module, _, name = path.rpartition(".")
    try:
        found: Record = getattr(import_module(module), name)
    except Exception:
        log.exception("Unsent alerts will not be recorded: %s cannot be imported", path)
        return None
    return found
