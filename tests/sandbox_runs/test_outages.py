"""What is noticed when a part is stopped: the backup's DAG, the scheduler, Slack; and that no secret shows anywhere."""

from __future__ import annotations

import copy
import json

import pytest

from sandbox.sample import DATABASES
from tests.inbox import shown
from tests.servers import eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


@pytest.fixture(scope="module", autouse=True)
def backed_up(house) -> None:
    """There is a backup of every database."""
    house.pause("restore_drill")
    missing = [database for database in DATABASES if not house.catalog(database).backups()]
    if missing:
        assert house.run("nightly_backup", databases=missing)[0] == 0


@pytest.fixture
def impatient(house) -> dict:
    """A fleet in which no backup of crm is ever young enough."""
    fleet = copy.deepcopy(house.fleet)
    fleet["databases"][2]["backup"] = {"rpo_hours": 1e-9}
    return fleet


def test_a_paused_backup_is_noticed_by_the_watch(house, impatient):
    house.pause("nightly_backup")
    assert house.run("backup_watch")[0] == 0
    told = len(house.messages())
    house.write_fleet(impatient)
    try:
        code, outcome = house.run("backup_watch")
    finally:
        house.write_fleet(house.fleet)
        house.pause("backup_watch")
    assert code == 1 and outcome["state"] == "failed"
    watched = {database: outcome["tasks"][f"backup_watch[{database}]"] for database in DATABASES}
    assert watched == {"app": "success", "billing": "success", "crm": "failed"}
    [alert] = house.messages()[told:]
    assert "`crm`" in shown(alert) and "backup-too-old" in shown(alert) and "h old, allowed are" in shown(alert)


def test_a_late_run_is_told_while_it_runs(house):
    run_id = house.trigger("dawdler")
    assert eventually(lambda: any("dawdler is late" in shown(message) for message in house.messages()), 60)
    assert house.state("dawdler", run_id) == "running"
    assert house.wait("dawdler", run_id) == "success"


def test_slack_being_down_fails_no_backup_and_is_recorded(house):
    house.stop_inbox()
    try:
        code, outcome = house.run("nightly_backup", databases=["crm"])
        rows = house.ledger("select message, error from pgops.alerts where kind = 'nightly_report'")
    finally:
        house.up()
    assert code == 0, outcome
    assert len(rows) == 1
    assert "not reachable" in rows[0][1]
    house.messages()  # and it answers again


def test_freshness_is_known_without_a_scheduler(house, impatient, tmp_path):
    house.stop_scheduler()
    try:
        fresh = house.dev("freshness")
        (tmp_path / "fleet.yaml").write_text(json.dumps(impatient))
        stale = house.dev("freshness", PGOPS_FLEET=str(tmp_path / "fleet.yaml"))
    finally:
        house.up()
    assert fresh.returncode == 0, fresh.stdout + fresh.stderr
    assert json.loads(fresh.stdout.splitlines()[-1])["fresh"] is True
    assert stale.returncode == 1, stale.stdout + stale.stderr
    verdict = json.loads(stale.stdout.splitlines()[-1])
    assert [one["database"] for one in verdict["databases"] if not one["fresh"]] == ["crm"]
    assert "STALE  crm" in stale.stdout


def test_no_secret_shows_in_logs_xcoms_messages_or_manifests(house):
    parts = house.parts
    secrets = {str(one.password) for one in parts.connections.connections if one.password}
    secrets |= set(parts.state.section("secrets").values())
    metadata = parts.servers.operations
    left = {
        "task logs": _text(house.home / "airflow" / "logs"),
        "process logs": _text(house.home / "logs"),
        "xcom": str(metadata.execute("select value::text from xcom", "airflow")),
        "rendered fields": str(
            metadata.execute("select rendered_fields::text from rendered_task_instance_fields", "airflow")
        ),
        "messages": str(house.messages()),
        "manifests": "".join(path.read_text() for path in (parts.servers.s3.data).rglob("*.json")),
        "ledger": str([house.ledger(f"select * from pgops.{table}") for table in ("runs", "backups", "alerts")]),
    }
    assert [place for place, text in left.items() if len(text) < 100] == [], "nothing was read there"
    assert [(place, secret) for place, text in left.items() for secret in secrets if secret in text] == []


def _text(folder) -> str:
    return "".join(path.read_text(errors="replace") for path in folder.rglob("*.log"))
