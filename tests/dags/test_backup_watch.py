"""backup_watch notices old and missing backups whatever ran or did not, and keeps a dead-man's switch quiet."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from sandbox.state import free_port
from tests.inbox import shown

pytestmark = pytest.mark.airflow
SECRET_PATH = "/ping/5f0c-only-we-know"


@pytest.fixture
def switch() -> Iterator[list[str]]:
    """A dead-man's switch: its address, then the paths that were requested."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        asked.append(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield asked
        server.shutdown()


def test_stale_and_missing_backups_fail_and_alert_once_a_day(site):
    site.back_up("app")
    site.age(site.back_up("billing"), hours=100)
    first = site.run("backup_watch")
    assert first.state == "failed"
    assert [first.states[f"backup_watch[{index}]"] for index in range(3)] == ["success", "failed", "failed"]
    assert first.states["ping"] == "skipped"
    stale, missing = sorted(site.messages(), key=lambda message: "`crm`" in shown(message))  # side by side
    assert "`billing`" in shown(stale) and "100.0 h old, allowed are 26 h" in shown(stale)
    assert "`crm`" in shown(missing) and "no proven backup at all" in shown(missing)
    assert "backup-too-old" in shown(stale)
    again = site.run("backup_watch")
    assert again.state == "failed" and again.states["backup_watch[1]"] == "failed"
    assert site.messages() == [], "the same state is told once a day"


def test_fresh_backups_pass_and_the_switch_is_told(site, switch):
    for database in ("app", "billing", "crm"):
        site.back_up(database)
    site.monkeypatch.setenv("AIRFLOW_VAR_PGOPS_DEAD_MAN_URL", f"{switch[0]}{SECRET_PATH}")
    run = site.run("backup_watch")
    assert run.state == "success" and run.states["ping"] == "success"
    assert switch[1:] == [SECRET_PATH]
    assert site.messages() == []


def test_a_switch_that_does_not_answer_alerts_without_its_address(site):
    site.fleet(lambda fleet: fleet.update(databases=fleet["databases"][2:]))
    site.back_up("crm")
    address = f"http://127.0.0.1:{free_port()}{SECRET_PATH}"
    site.monkeypatch.setenv("AIRFLOW_VAR_PGOPS_DEAD_MAN_URL", address)
    run = site.run("backup_watch")
    assert (run.state, run.states["backup_watch[0]"], run.states["ping"]) == ("failed", "success", "failed")
    [alert] = site.messages()
    assert "did not answer" in shown(alert) and SECRET_PATH not in shown(alert)
