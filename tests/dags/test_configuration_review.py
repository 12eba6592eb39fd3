"""configuration_review, in process, on a real server whose settings it changes and takes back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pgops.operators.tuning import ApproveConfigurationOperator
from sandbox.postgres import free_port
from tests.dags.conftest import Run, Site
from tests.inbox import shown
from tests.servers import eventually

pytestmark = pytest.mark.airflow

DAG = "configuration_review"
ONLY = ["jit", "random_page_cost"]


@pytest.fixture
def server(site: Site) -> Iterator[Site]:
    """A site whose server has its settings back afterwards: other tests use it too."""
    site.document["servers"][0]["tuning"]["effect_hours"] = 0
    site.fleet()
    yield site
    postgres = site.stand.postgres
    for statement in ("ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()"):
        postgres.execute(statement)
    changed = "SELECT count(*) FROM pg_settings WHERE sourcefile ~ 'auto.conf'"
    assert eventually(lambda: postgres.execute(changed) == [(0,)])


def auto_conf(site: Site) -> list[str]:
    text = Path(site.stand.postgres.data / "postgresql.auto.conf").read_text()
    return [line for line in text.splitlines() if not line.startswith("#")]


def review(site: Site, approver: str | None = "op", asked: list[str] | None = None, **conf: Any) -> Run:
    """Run it; the approval is answered at once. Without an approver somebody marks it as success."""

    def answered(task: Any, context: Any) -> Any:
        if asked is not None:
            asked.append(task.question(context, "until then"))
        if approver is None:
            return {}
        event = {
            "chosen_options": ["Approve" if approver != "nobody" else "Reject"],
            "params_input": {},
            "responded_by_user": {"id": approver, "name": approver},
            "responded_at": datetime.now(UTC),
            "timedout": False,
        }
        return task.execute_complete(context, event)

    with site.monkeypatch.context() as patched:
        # What Airflow does after our own execute: it waits for an answer.
        patched.setattr("pgops.operators.approval.SecondPersonOperator.execute", answered)
        return site.run(DAG, **conf)


def test_a_change_is_approved_applied_measured_and_taken_back(server: Site) -> None:
    asked: list[str] = []
    run = review(server, asked=asked, settings=ONLY)
    assert run.state == "success", run.states
    result = run.xcom("report")
    assert result["applied"] == {"random_page_cost": "1.1", "jit": "off"}
    assert "ALTER SYSTEM SET jit = 'off'" in asked[0] and "ALTER SYSTEM RESET jit" in asked[0]
    assert server.stand.postgres.execute("SHOW random_page_cost") == [("1.1",)]
    (told,) = map(shown, server.messages())
    assert "2 changed" in told and result["change"] in told and "verified in a new session" in told
    assert "reverse" in told, "the command that takes it back"
    assert server.ledger("select requested_by, approved_by from pgops.config_plans")[0][1] == "op"
    assert server.ledger("select count(*) from pgops.runs where dag_id = 'configuration_review'") == [(3,)]

    look = review(server, apply=False)
    assert look.state == "success" and look.states["apply_settings"] == "skipped"
    (effects,) = look.xcom("report")["servers"]["primary"]["effects"]
    assert any(figure.startswith("WAL an hour") for figure in effects)

    back = review(server, mode="reverse", change=result["change"])
    assert back.state == "success", back.states
    assert auto_conf(server) == [] and server.stand.postgres.execute("SHOW jit") == [("on",)]
    states = server.ledger("select state from pgops.config_changes c join pgops.config_plans p on p.id = c.plan_id"
                           " where p.undoes = ''")  # fmt: skip
    assert states == [("reversed",), ("reversed",)]


def test_the_clock_looks_at_all_servers_and_asks_for_nothing(server: Site) -> None:
    server.monkeypatch.setattr("pgops.operators.tuning.is_scheduled", lambda context: True)
    run = review(server)
    assert run.state == "success", run.states
    assert (run.states["approve_settings"], run.states["apply_settings"]) == ("skipped", "skipped")
    assert run.xcom("report")["servers"]["primary"]["advice"] and auto_conf(server) == []
    assert any(b"<h1>Configuration of primary" in body for body in server.objects().values())


def test_the_daily_look_speaks_only_when_something_changed_since_the_last(server: Site) -> None:
    server.monkeypatch.setattr("pgops.operators.tuning.is_scheduled", lambda context: True)

    def told() -> list[str]:
        run = review(server)
        assert run.state == "success", run.states
        assert run.xcom("report")["servers"]["primary"]["advice"], "the result has all of it, told or not"
        return [shown(one) for one in server.messages()]

    (first,) = told()
    assert "the first review" in first
    assert told() == []
    changed = ["ALTER SYSTEM SET jit = off", "ALTER SYSTEM SET random_page_cost = 3.5", "SELECT pg_reload_conf()"]
    for statement in changed:
        server.stand.postgres.execute(statement)
    assert eventually(lambda: server.stand.postgres.execute("SHOW jit") == [("off",)])
    (news,) = told()
    assert "jit: advice (on) → well" in news and "random_page_cost: advice (4) → advice (3.5)" in news
    assert told() == []


def test_a_daily_look_that_found_no_news_still_tells_the_effect_of_a_change(server: Site) -> None:
    assert review(server, settings=ONLY).state == "success"
    review(server, apply=False)  # tells the news, and the effect too, for effect_hours is 0 here
    server.ledger("update pgops.config_effects set measured_at = null")
    server.monkeypatch.setattr("pgops.operators.tuning.is_scheduled", lambda context: True)
    server.messages()
    run = review(server)
    assert run.xcom("report")["servers"]["primary"]["news"] == []
    (told,) = map(shown, server.messages())
    assert "WAL an hour" in told


@pytest.mark.parametrize("approver", ["nobody", "mallory"])
def test_without_a_yes_of_somebody_who_may_nothing_is_touched(server: Site, approver: str) -> None:
    run = review(server, approver=approver, settings=ONLY)
    assert run.state == "failed" and run.states["apply_settings"] == "upstream_failed"
    assert auto_conf(server) == []
    *_, told = map(shown, server.messages())
    assert "change refused or failed" in told


def test_marking_the_approval_as_success_is_no_approval(server: Site) -> None:
    run = review(server, approver=None, settings=ONLY)
    assert run.states["apply_settings"] == "failed" and auto_conf(server) == []
    assert "Nobody has approved this change" in run.xcom("report")["error"]


def test_a_setting_that_changed_while_the_approver_thought_is_refused_and_fails_the_run(server: Site) -> None:
    record = ApproveConfigurationOperator.record

    def meanwhile(task: Any, context: Any, approver: str) -> None:
        record(task, context, approver)
        server.stand.postgres.execute("ALTER SYSTEM SET random_page_cost = 2")

    server.monkeypatch.setattr(ApproveConfigurationOperator, "record", meanwhile)
    run = review(server, settings=ONLY)
    assert run.state == "failed" and run.states["apply_settings"] == "success"
    result = run.xcom("report")
    assert result["applied"] == {"jit": "off"} and "changed since" in result["not_applied"]["random_page_cost"]
    (told,) = map(shown, server.messages())
    assert "1 NOT" in told and "settings-not-changed" in told


def test_a_server_that_is_down_fails_the_run_and_says_so(server: Site) -> None:
    server.connect("pg_tuner", port=free_port())
    run = review(server)
    assert run.state == "failed" and "primary" in run.xcom("report")["failed"]
    *_, told = map(shown, server.messages())
    assert "1 NOT REVIEWED" in told and "settings-not-changed" in told


def test_a_mistake_in_the_policy_fails_the_review_and_no_backup(server: Site) -> None:
    server.fleet(lambda fleet: fleet["servers"][0]["tuning"].update(memry="4GiB"))
    run = review(server)
    assert run.state == "failed"
    error = run.xcom("review_settings", "problem", map_index=0)["error"]
    assert "memry" in error and "memory" in error
    assert server.run("backup_watch").states["fleet_file"] == "success"


def test_a_managed_server_gets_a_list(server: Site) -> None:
    server.fleet(lambda fleet: fleet["servers"][0]["tuning"].update(managed="rds"))
    run = review(server)
    assert run.state == "success" and run.states["apply_settings"] == "skipped"
    (told,) = map(shown, server.messages())
    assert "Parameters for" in told and "pending-reboot" in told and "random_page_cost = 1.1" in told


@pytest.mark.parametrize(
    ("conf", "said"),
    [
        ({"settings": ["max_locks_per_transaction"]}, "it needs a restart"),
        ({"settings": ["no_such"]}, "no rule speaks of it"),
        ({"mode": "reverse", "change": "20260101T000000Z-abcdef"}, "No change"),
        ({"mode": "reverse"}, "No change ''"),
    ],
)
def test_a_wrong_request_is_one_clear_refusal(server: Site, conf: dict[str, Any], said: str) -> None:
    run = review(server, **conf)
    assert run.state == "failed"
    assert said in run.xcom("review_settings", "problem", map_index=0)["error"]
    assert auto_conf(server) == []
