"""nightly_backup from its first task to its report, in process, on real servers."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import pytest

from pgops.catalog import Manifest
from tests.dags.conftest import DATABASES, Run, Site, Stand, fresh_site
from tests.inbox import shown

pytestmark = pytest.mark.airflow
WRONG = "not-the-password-4711"
KEEP_ONE = {"keep_last": 1, "keep_days": 0, "keep_weekly": 0, "keep_monthly": 0, "keep_yearly": 0}
STEPS = ("preflight", "dump", "verify", "commit", "prune")


def of(run, index: int) -> dict[str, str]:
    """The states of one database's steps."""
    return {step: run.states[f"primary.{step}[{index}]"] for step in STEPS}


def proven(site: Site, database: str) -> list[Manifest]:
    catalog = site.catalog(database)
    return [catalog.manifest(backup_id) for backup_id in catalog.backups()]


@dataclass
class Night:
    """A night on which billing's password was wrong."""

    site: Site
    run: Run
    messages: list[dict[str, Any]]
    log: str


@pytest.fixture(scope="module")
def night(stand: Stand, airflow_db: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    log = io.StringIO()
    with fresh_site(stand, tmp_path_factory.mktemp("night")) as site, redirect_stdout(log), redirect_stderr(log):
        site.connect("pg_billing", password=WRONG)
        run = site.run("nightly_backup")
        yield Night(site, run, site.messages(), log.getvalue())


def test_one_database_failing_stops_no_other_and_fails_the_run(night):
    assert night.run.state == "failed"
    assert set(of(night.run, 0).values()) == set(of(night.run, 2).values()) == {"success"}
    assert of(night.run, 1) == {"preflight": "failed"} | dict.fromkeys(STEPS[1:], "upstream_failed")
    assert [len(proven(night.site, database)) for database in DATABASES] == [1, 0, 1]


def test_the_report_names_the_failed_database_and_the_proven_ones(night):
    result = night.run.xcom("report")
    assert result["failed"] == ["billing"]
    outcomes = result["databases"]
    assert [outcomes[database]["ok"] for database in DATABASES] == [True, False, True]
    assert "preflight: " in outcomes["billing"]["error"] and "password" in outcomes["billing"]["error"]
    assert outcomes["app"]["backup"]["rows"] == proven(night.site, "app")[0].rows > 0
    assert night.site.ledger("select database, state from pgops.runs order by 1") == [
        ("app", "success"),
        ("billing", "failed"),
        ("crm", "success"),
    ]


def test_the_failure_is_told_once_and_the_night_once(night):
    alert, report = night.messages
    assert "preflight failed" in shown(alert) and "`billing`" in shown(alert)
    assert json.dumps({"databases": ["billing"]}) in shown(alert)
    assert all(database in shown(report) for database in DATABASES)


def test_nothing_that_a_night_leaves_shows_a_secret(night):
    ledger = [night.site.ledger(f"select * from pgops.{table}") for table in ("runs", "backups", "alerts")]
    left = {
        "log": night.log,
        "xcom": repr(night.run.xcoms()),
        "slack": repr(night.messages),
        "bucket": repr({key: data for key, data in night.site.objects().items() if key.endswith(".json")}),
        "ledger": repr(ledger),
    }
    assert [place for place, text in left.items() if "billing" not in text and "crm" not in text] == []
    secrets = night.site.stand.secrets() | {WRONG}
    assert [(place, secret) for place, text in left.items() for secret in secrets if secret in text] == []


def test_only_what_was_asked_for_is_backed_up_and_a_dry_run_removes_nothing(site):
    site.fleet(lambda fleet: fleet["defaults"]["backup"].update(retention=KEEP_ONE))
    first = site.back_up("crm")
    run = site.run("nightly_backup", databases=["crm"], prune_dry_run=True)
    assert run.state == "success"
    assert of(run, 0)["preflight"] == of(run, 1)["preflight"] == "skipped"
    assert [len(proven(site, database)) for database in DATABASES] == [0, 0, 2], "a second one of the same night"
    outcomes = run.xcom("report")["databases"]
    assert list(outcomes) == ["crm"]
    assert (outcomes["crm"]["pruned"], outcomes["crm"]["prune_dry_run"]) == ([first.backup_id], True)
    [report] = site.messages()
    assert "crm" in shown(report) and "billing" not in shown(report)

    run = site.run("nightly_backup", databases=["crm"])
    assert len(run.xcom("report")["databases"]["crm"]["pruned"]) == 2
    [newest] = proven(site, "crm")
    assert newest.backup_id == run.xcom("report")["databases"]["crm"]["backup"]["backup_id"]


def test_nothing_is_pruned_on_a_night_that_failed(site):
    site.fleet(lambda fleet: fleet["defaults"]["backup"].update(retention=KEEP_ONE))
    kept = site.age(site.back_up("crm"), hours=48), site.age(site.back_up("crm"), hours=24)
    site.connect("pg_crm", password=WRONG)
    assert site.run("nightly_backup", databases=["crm"]).state == "failed"
    assert [one.backup_id for one in proven(site, "crm")] == [one.backup_id for one in kept]
