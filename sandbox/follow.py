"""`./dev run`: trigger a DAG, follow that run only, and say in the end what came of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pgops.errors import PgOpsError
from pgops.fleet import Fleet, load_fleet
from sandbox.rest import Api, ApiError, quote

POLL_SECONDS = 1.0
KNOWN_SECONDS = 60  # a new DAG file is read within ten seconds, the first ones after a start take longer
OUTAGE_SECONDS = 60  # the api-server may restart under us
# Airflow 3.3.2 fails a gate that is answered within 0.3 s of asking: it still counts as queued.
APPROVAL_DELAY_SECONDS = 2.5
LOG_LINES = 15
LOG_PREAMBLE = "Worker startup parse complete"  # Airflow's last word before the task's first
PARSED_SECONDS = 45  # an edited fleet file reaches Airflow when the DAG file is parsed again
FINAL = ("success", "failed")
BAD = ("failed", "upstream_failed")


@dataclass(frozen=True)
class Outcome:
    """What `./dev run` prints as its last line."""

    dag_id: str
    run_id: str
    state: str
    seconds: float
    tasks: dict[str, str] = field(default_factory=dict)
    result: Any = None

    def line(self) -> str:
        """One JSON object."""
        return json.dumps(self.__dict__, default=str)


class Follower:
    """One run of a DAG.

    Args:
        api: logged in as somebody who may trigger runs.
        dag_id: which DAG.
        say: prints a line for people.
        approver: logged in as somebody else, who approves what the run asks for; None: nobody does.
    """

    def __init__(self, api: Api, dag_id: str, say: Callable[[str], None], approver: Api | None = None) -> None:
        self.api = api
        self.dag_id = dag_id
        self.say = say
        self.approver = approver
        self.run_id = ""
        self._fleet = load_fleet()
        self._mapped = _mapped_databases(dag_id, self._fleet)
        self._states: dict[str, str] = {}
        self._asked: dict[str, float] = {}

    def run(self, conf: dict[str, Any], seconds: float) -> Outcome:
        """Trigger the DAG and follow the run to its end."""
        self.wait_until_known()
        begun = time.monotonic()
        self.trigger(conf)
        instances = self._follow(begun + seconds)
        run = self._patiently(lambda: self.api.get(self._run_path))
        for instance in instances:
            if instance["state"] == "failed":
                self._show_log(instance)
        return Outcome(
            dag_id=self.dag_id,
            run_id=self.run_id,
            state=run["state"],
            seconds=round(time.monotonic() - begun, 1),
            tasks={self._label(instance): str(instance["state"]) for instance in instances},
            result=self._result(instances),
        )

    def wait_until_known(self) -> None:
        """Wait until the DAG's file was read; a file that cannot be imported is shown instead."""
        deadline = time.monotonic() + KNOWN_SECONDS
        while True:
            dag = self._dag()
            if dag and not dag["has_import_errors"]:
                return
            self._raise_import_error(any_file=time.monotonic() > deadline)
            if time.monotonic() > deadline:
                known = ", ".join(sorted(dag["dag_id"] for dag in self.api.get("/dags", limit=100)["dags"])) or "none"
                raise PgOpsError(
                    f"Airflow knows no DAG {self.dag_id!r}", where=f"it knows: {known}", remedy="Check the name."
                )
            time.sleep(POLL_SECONDS)

    def trigger(self, conf: dict[str, Any]) -> None:
        """Unpause the DAG and start a run."""
        self.api.patch(f"/dags/{quote(self.dag_id)}", {"is_paused": False})
        deadline = time.monotonic() + PARSED_SECONDS
        while True:
            try:
                run = self.api.post(f"/dags/{quote(self.dag_id)}/dagRuns", {"logical_date": None, "conf": conf})
                break
            except ApiError as error:
                if not self._is_news(error) or time.monotonic() > deadline:
                    raise PgOpsError(
                        f"Airflow refuses to start {self.dag_id}: {error.detail.strip().splitlines()[0]}",
                        where=f"HTTP {error.status}",
                        remedy="Correct what --conf says.",
                    ) from error
            time.sleep(POLL_SECONDS)
        self.run_id = run["dag_run_id"]
        self.say(f"{self.dag_id}: run {self.run_id}")

    def _is_news(self, error: ApiError) -> bool:
        """Whether a database of the fleet file was refused: the DAG was parsed before the file was edited."""
        names = (name for name, _ in self._fleet.names)
        return error.status == 400 and any(f"{name!r} is not one of" in error.detail for name in names)

    @property
    def _run_path(self) -> str:
        return f"/dags/{quote(self.dag_id)}/dagRuns/{quote(self.run_id)}"

    def _follow(self, deadline: float) -> list[dict[str, Any]]:
        """Print what changes until the run has ended; return its task instances."""
        while True:
            # The run's state is asked first: what the tasks say after it has ended is their last word.
            state = self._patiently(lambda: self.api.get(self._run_path))["state"]
            instances = self._patiently(self._instances)
            for instance in instances:
                self._notice(instance)
            if state in FINAL:
                return instances
            if time.monotonic() > deadline:
                raise PgOpsError(
                    f"The run of {self.dag_id} has not ended in time; it goes on",
                    where=f"{self.api.url}/dags/{self.dag_id}/runs/{self.run_id}",
                    remedy="Look at ./dev status, or give it longer: --timeout.",
                )
            time.sleep(POLL_SECONDS)

    def _notice(self, instance: dict[str, Any]) -> None:
        label, state = self._label(instance), str(instance["state"] or "")
        if instance["try_number"] > 1:
            state += f" (try {instance['try_number']})"
        # A mapped task is renamed when it knows its map index template; the index stays.
        key = f"{instance['task_id']} {instance['map_index']}"
        if state and state != self._states.get(key):
            self._states[key] = state
            self.say(f"{datetime.now():%H:%M:%S}  {label:<44} {state}")
        if instance["state"] == "awaiting_input":
            self._answer(instance, key)

    def _answer(self, instance: dict[str, Any], key: str) -> None:
        first = key not in self._asked
        asked = self._asked.setdefault(key, time.monotonic())
        if self.approver is None:
            if first:
                self.say(f"          waits for an answer: {self.api.url}/required_actions (or run with --approve)")
            return
        if time.monotonic() - asked < APPROVAL_DELAY_SECONDS:
            return
        path = f"{self._run_path}/taskInstances/{quote(instance['task_id'])}/{instance['map_index']}/hitlDetails"
        options = self.api.get(path)["options"]
        chosen = "Approve" if "Approve" in options else options[0]
        try:
            self.approver.patch(path, {"chosen_options": [chosen], "params_input": {}})
        except ApiError as error:
            if error.status != 409:  # somebody else has answered
                raise
        self._asked[key] = time.monotonic()
        self.say(f"          answered: {chosen}")

    def _instances(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = self.api.get(f"{self._run_path}/taskInstances", limit=100, offset=len(found))
            found += page["task_instances"]
            if not page["task_instances"] or len(found) >= (page["total_entries"] or 0):
                return sorted(found, key=lambda one: (one["start_date"] or "9", one["task_id"], one["map_index"]))

    def _result(self, instances: list[dict[str, Any]]) -> Any:
        """Return what the task named `report` returned, if there is one."""
        if not any(instance["task_id"] == "report" for instance in instances):
            return None
        for key in ("return_value", "report"):  # a drill that failed leaves its report under another key
            path = f"{self._run_path}/taskInstances/report/xcomEntries/{key}"
            try:
                return self.api.get(path, deserialize="true")["value"]
            except ApiError:
                continue
        return None  # it failed before it could return anything

    def _show_log(self, instance: dict[str, Any]) -> None:
        self.say(f"--- {self._label(instance)}: the end of its log")
        path = f"{self._run_path}/taskInstances/{quote(instance['task_id'])}/logs/{instance['try_number']}"
        try:
            content = self.api.get(path, map_index=instance["map_index"], full_content="true")["content"]
        except (ApiError, OSError) as error:
            self.say(f"its log cannot be read: {error}")
            return
        for line in _tail(content):
            self.say(f"    {line}")

    def _label(self, instance: dict[str, Any]) -> str:
        task_id, index = str(instance["task_id"]), int(instance["map_index"])
        if index < 0:
            return task_id
        databases = self._mapped.get(task_id.partition(".")[0], ())
        label = instance["rendered_map_index"] or str(index)
        if label == str(index) and index < len(databases):  # Airflow knows the label only when the instance has begun
            label = databases[index]
        return f"{task_id}[{label}]"

    def _dag(self) -> Any:
        try:
            return self._patiently(lambda: self.api.get(f"/dags/{quote(self.dag_id)}/details"))
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    def _raise_import_error(self, any_file: bool) -> None:
        for problem in self._patiently(lambda: self.api.get("/importErrors", limit=100))["import_errors"]:
            own = str(problem["filename"]).endswith(f"{self.dag_id}.py")
            if own or any_file:
                self.say(str(problem["stack_trace"]).rstrip())
                raise PgOpsError(
                    "The DAG file cannot be imported", where=str(problem["filename"]), remedy="Mend what stands above."
                )

    def _patiently(self, call: Callable[[], Any]) -> Any:
        """Call the API; bear that it is away for a while."""
        deadline = time.monotonic() + OUTAGE_SECONDS
        while True:
            try:
                return call()
            except ApiError as error:
                if error.status < 500 or time.monotonic() > deadline:
                    raise
            except OSError as error:
                if time.monotonic() > deadline:
                    raise PgOpsError(
                        f"Airflow's API does not answer: {error}", where=self.api.url, remedy="Look at ./dev status."
                    ) from error
            time.sleep(POLL_SECONDS)


def _mapped_databases(dag_id: str, fleet: Fleet) -> Mapping[str, Sequence[str]]:
    """By task group or task, the databases over which this DAG maps it, in the order of its map indexes."""
    if dag_id == "nightly_backup":
        return {server: fleet.on_server(server) for server in fleet.server_names()}
    if dag_id == "configuration_review":
        return {"review_settings": fleet.tuned_servers()}
    return {"backup_watch": [name for name, _ in fleet.names]} if dag_id == "backup_watch" else {}


def _tail(content: Sequence[Any]) -> list[str]:
    """The end of a task's log, without what Airflow says before the task begins."""
    lines = [line for message in content for line in _log_lines(message) if not line.startswith("::")]
    begins = max((number for number, line in enumerate(lines, 1) if LOG_PREAMBLE in line), default=0)
    return lines[begins:][-LOG_LINES:]


def _log_lines(message: Any) -> list[str]:
    """One log message as lines: its text, and the exception that came with it."""
    if isinstance(message, str):
        return message.splitlines()
    lines = str(message["event"]).splitlines()
    # The first is the error that was raised, the others are what it came from: their words are in its own.
    for error in (message.get("error_detail") or [])[:1]:
        kind = "" if error.get("exc_type") == "FailedForGood" else f"{error.get('exc_type')}: "
        lines.append(f"{kind}{error.get('exc_value')}")
    return lines
