"""One alert for each task that failed for good, with the link to its log; none for a retry, none twice."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from pgops.alerts.callbacks import LateRunNotifier, alert_on_failure, database_of, failure_alert
from pgops.errors import LostOwnership, PgOpsError, Refused

WHERE = {"connection_id": "slack_test", "channel": "#pg-alerts"}
RECORDED: list[tuple[str, str, str]] = []


def record_for_test(kind: str, text: str, error: str) -> None:
    RECORDED.append((kind, text, error))


@pytest.fixture
def slack(inbox, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_SLACK_TEST", inbox.connection())
    return inbox


def failed(error=None, **changes):
    """The context that Airflow hands to a failure callback."""
    ti = {
        "dag_id": "nightly_backup", "task_id": "pg_main.dump", "run_id": "scheduled__1", "map_index": 1,
        "try_number": 2, "rendered_map_index": "billing", "log_url": "http://log",
        "start_date": datetime(2026, 11, 23, 2, 0, tzinfo=UTC),
    }  # fmt: skip
    context = {"ti": SimpleNamespace(**(ti | changes)), "params": {}, "dag_run": SimpleNamespace(conf={})}
    return context | ({"exception": error} if error else {})


def shown(message) -> str:
    return str(message["blocks"]) + str(message["attachments"])


@pytest.mark.airflow
def test_a_failing_mapped_task_alerts_once_for_the_failed_database_only(run_dag, slack):
    from airflow.sdk import DAG, task

    callback = alert_on_failure(**WHERE, rerun=lambda database: {"databases": [database]})
    with DAG("tiny_backup", schedule=None, default_args={"on_failure_callback": callback}) as dag:

        @task(map_index_template="{{ name }}")
        def dump(name: str) -> str:
            from airflow.sdk import get_current_context

            get_current_context()["name"] = name
            if name == "billing <!channel>":
                raise Refused("pg_dump is older than the server", where="primary:5432/billing", remedy="Install 15")
            return name

        @task
        def after(names: list[str]) -> None:
            """Not reached: upstream_failed alerts nobody."""

        after(dump.expand(name=["shop", "billing <!channel>"]))

    run_dag(dag)
    [message] = slack.messages()
    text = shown(message)
    assert "CRITICAL" in text and "pg_dump is older than the server" in text and "Install 15" in text
    assert "`billing &lt;!channel&gt;`" in text
    assert "`primary:5432/billing`" in text
    assert "backup-refused-by-preflight" in text
    assert "http://airflow.test:8080/dags/tiny_backup/runs/manual__" in text
    assert "/tasks/dump/mapped/1?try_number=1|Open the task log>" in text


@pytest.mark.airflow
def test_only_the_last_try_alerts(run_dag, slack):
    from airflow.sdk import DAG, task

    tries = []
    with DAG("tiny_retry", schedule=None, default_args={"on_failure_callback": alert_on_failure(**WHERE)}) as dag:

        @task(retries=1, retry_delay=timedelta(0))
        def dump() -> None:
            tries.append(len(slack.messages()))
            raise RuntimeError("connection lost: password=hunter2")

        dump()

    run_dag(dag)
    assert tries == [0, 0], "nothing was sent between the tries"
    [message] = slack.messages()
    assert "try 2" in shown(message) and "RuntimeError: connection lost" in shown(message)
    assert "hunter2" not in str(message)


@pytest.mark.airflow
def test_slack_being_down_changes_neither_the_state_nor_the_error_of_the_task(run_dag, start_inbox, monkeypatch):
    from airflow.sdk import DAG, task

    inbox = start_inbox("--fail", "503")
    monkeypatch.setenv("AIRFLOW_CONN_SLACK_TEST", inbox.connection())
    recorded = []
    callback = alert_on_failure(**WHERE, record=lambda *row: recorded.append(row))
    with DAG("tiny_down", schedule=None, default_args={"on_failure_callback": callback}) as dag:

        @task
        def dump() -> None:
            raise RuntimeError("the real news")

        @task(trigger_rule="all_done")
        def report() -> None:
            pass

        dump() >> report()

    run = run_dag(dag)
    assert {ti.task_id: str(ti.state) for ti in run.get_task_instances()} == {"dump": "failed", "report": "success"}
    [(kind, text, error)] = recorded
    assert kind == "task_failed" and "the real news" in text and "HTTP 503" in error


def test_the_same_try_alerts_once_and_a_cleared_task_again(slack):
    callback = alert_on_failure(**WHERE)
    for attempt in (2, 2, 3):
        callback(failed(try_number=attempt))
    callback(failed(try_number=3, map_index=2))
    assert len(slack.messages()) == 3


def test_processes_agree_through_the_claim_and_a_broken_claim_silences_nobody(slack):
    claimed: set[str] = set()

    def claim(key: str) -> bool:
        new = key not in claimed
        claimed.add(key)
        return new

    for _process in range(2):
        alert_on_failure(**WHERE, claim=claim)(failed())
    assert len(slack.messages()) == 1

    def broken(key: str) -> bool:
        raise RuntimeError("ledger gone")

    alert_on_failure(**WHERE, claim=broken)(failed())
    assert len(slack.messages()) == 2


def test_a_killed_task_without_exception_still_alerts(slack):
    """The DAG processor calls the callback with less than the task's process does."""
    ti = SimpleNamespace(
        dag_id="d",
        task_id="dump",
        run_id="r",
        map_index=-1,
        try_number=1,
        log_url="http://log",
        rendered_map_index=None,
    )
    alert_on_failure(**WHERE)({"ti": ti})
    assert "its process was killed" in shown(slack.messages()[0])


def test_a_context_that_makes_no_sense_raises_nothing(slack, caplog):
    alert_on_failure(**WHERE)({})
    assert slack.messages() == []
    assert "could not be written" in caplog.text


@pytest.mark.parametrize(
    ("error", "task_id", "section"),
    [
        (LostOwnership("x", where="y", remedy="z"), "pg_main.commit", "backup-lost-its-lock"),
        (PgOpsError("x", where="y", remedy="z"), "pg_main.verify__2", "backup-verification-failed"),
        (Refused("x", where="y", remedy="z"), "prepare", "drill-could-not-restore"),
        (RuntimeError("x"), "something_else", "a-task-failed"),
    ],
)
def test_the_runbook_section_follows_the_step_and_the_error(error, task_id, section):
    assert failure_alert(failed(error, task_id=task_id)).runbook == section


def test_the_database_is_the_label_of_the_instance_or_the_runs_param():
    assert database_of(failed()) == "billing"
    by_hand = failed(rendered_map_index=None)
    assert database_of(by_hand) == ""
    by_hand["params"] = {"database": "shop"}
    assert database_of(by_hand) == "shop"


def late_context():
    """As the scheduler sends it: the run as JSON, in which its id is called dag_run_id."""
    run = {
        "dag_id": "nightly_backup", "dag_run_id": "scheduled__2026-11-23T02:00:00+00:00", "state": "running",
        "start_date": "2026-11-23T02:00:01Z", "queued_at": None,
    }  # fmt: skip
    return {"dag_run": run, "deadline": {"id": "1", "deadline_time": datetime(2026, 11, 23, 5, 0, tzinfo=UTC)}}


def run_as_the_triggerer_does(**kwargs) -> list:
    """Through Airflow's own trigger, by the path and the serialized arguments that the DAG file leaves behind."""
    from airflow.sdk import AsyncCallback
    from airflow.triggers.callback import CallbackTrigger

    callback = AsyncCallback(LateRunNotifier, kwargs=WHERE | kwargs)
    assert callback.path == "pgops.alerts.callbacks.LateRunNotifier"
    trigger = CallbackTrigger(callback.path, {**callback.serialize()["kwargs"], "context": late_context()})

    async def events() -> list:
        return [event.payload async for event in trigger.run()]

    return asyncio.run(events())


@pytest.mark.airflow
def test_a_late_run_alerts_through_airflows_own_callback_trigger(slack):
    events = run_as_the_triggerer_does(remedy="Look at {{ dag_run.dag_id }}")
    assert [str(event["state"]) for event in events] == ["running", "success"]
    [message] = slack.messages()
    text = shown(message)
    assert "WARNING" in text and "nightly_backup is late" in text and "has not finished by 05:00 UTC" in text
    assert "Look at nightly_backup" in text and "run-is-late" in text
    assert "/dags/nightly_backup/runs/scheduled__2026-11-23T02%3A00%3A00%2B00%3A00|Open the run>" in text
    assert "./dev" not in text, "production has no sandbox"


@pytest.mark.airflow
def test_a_late_run_is_recorded_when_slack_is_down(slack):
    slack.stop()
    RECORDED.clear()
    events = run_as_the_triggerer_does(record=f"{__name__}.record_for_test")
    assert str(events[-1]["state"]) == "success", "an unsent alert is no failure of the callback"
    [(kind, text, error)] = RECORDED
    assert kind == "run_late" and "is late" in text and "not reachable" in error
