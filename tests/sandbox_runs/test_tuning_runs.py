"""configuration_review in the running sandbox: reviewed, approved, applied, verified, taken back."""

from __future__ import annotations

import json

import pytest

from tests.inbox import shown

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]
CHANGED = "select name from pg_settings where sourcefile ~ 'postgresql.auto.conf'"


@pytest.fixture
def primary(house):
    """SQL on the primary; its settings are as before afterwards."""
    server = house.parts.servers.primary
    yield server.execute
    server.execute("alter system reset all")
    server.execute("select pg_reload_conf()")


def run(house, **conf):
    done = house.dev("run", "configuration_review", "--approve", *(["--conf", json.dumps(conf)] if conf else []))
    assert done.stdout, done.stderr
    print(done.stdout)
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def test_a_review_is_applied_verified_and_taken_back(house, primary):
    settings = primary("select name, setting from pg_settings order by 1")
    code, outcome = run(house)
    assert code == 0, outcome
    result = outcome["result"]
    assert {"random_page_cost", "effective_cache_size", "log_connections"} <= set(result["applied"])
    assert {str(name) for (name,) in primary(CHANGED)} == set(result["applied"])
    assert result["servers"]["primary"]["restart"], "what needs a restart is a ticket"
    assert "approved" in str(house.messages()) and any(
        "verified in a new session" in shown(m) for m in house.messages()
    )

    code, again = run(house)
    assert code == 0 and again["result"]["applied"] == {}, "nothing is left to be applied"

    code, back = run(house, server="primary", mode="reverse", change=result["change"])
    assert code == 0, back
    assert set(back["result"]["applied"]) == set(result["applied"]) and primary(CHANGED) == []
    assert primary("select name, setting from pg_settings order by 1") == settings


def test_without_an_approval_nothing_changes(house, primary):
    fleet = json.loads(json.dumps(house.fleet))
    fleet["servers"][0]["tuning"]["approval_minutes"] = 0.05
    house.write_fleet(fleet)
    try:
        code, outcome = house.run("configuration_review")
    finally:
        house.write_fleet(house.fleet)
    assert code != 0 and outcome["tasks"]["apply_settings"] == "upstream_failed"
    assert primary(CHANGED) == []
