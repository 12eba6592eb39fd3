"""The daily health check in the running sandbox: three faults named first, no change, resolved; seen in a browser."""

from __future__ import annotations

import shutil

import pytest

from sandbox.pictures import BROWSERS, PHONE_WIDTH, SIZE, browser_of_this_machine, log_in
from tests.servers import eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

FAULTS = """
create sequence planted maxvalue 100;
select setval('planted', 95);
create table planted_visits (at timestamptz not null) partition by range (at);
create table planted_visits_old partition of planted_visits for values from ('2023-01-01') to ('2023-02-01');
create table planted_orphans (a int);
create publication planted_changes for table planted_orphans;
"""
MENDS = """
drop publication if exists planted_changes;
drop table if exists planted_visits, planted_orphans;
drop sequence if exists planted;
"""
PLANTED = ["next_partitions", "replica_identity_missing", "sequences_used"]


@pytest.fixture(scope="module")
def app(house):
    """SQL in the primary's app database; a backup is there, so that its age is none of the findings."""
    code, outcome = house.run("nightly_backup")
    assert code == 0, outcome

    def app(statement: str):
        return house.parts.servers.primary.execute(statement, "app")

    app(MENDS)
    drills = "select count(distinct database) from pgops.drills"
    assert eventually(lambda: house.ledger(drills) == [(3,)], 240)  # what they find must not change between two looks
    print(house.ledger("select database, passed, report ->> 'failures' from pgops.drills"))
    code, outcome = house.run("daily_health_check")  # yesterday: what the sandbox always has
    assert code == 0, outcome
    yield app
    app(MENDS)


def critical(lines: list[str]) -> list[str]:
    return sorted(line.split()[3] for line in lines if line.startswith("crit "))


def test_three_faults_are_named_first_then_no_change_then_resolved(house, app, tmp_path):
    app(FAULTS)
    results = []
    for mends in ("", "", MENDS):
        app(mends or "select 1")
        code, outcome = house.run("daily_health_check")
        assert code == 0, outcome
        results.append(outcome["result"])
        print(f"{outcome['seconds']:.1f} s: {results[-1]}")
        if len(results) == 1:
            told = [message for message in house.messages() if "Sequences near their end" in str(message)]
            assert len(told) == 2, "an alert at once, and the message for the fleet"
            _photograph(house, tmp_path)
    planted, second, third = results
    assert critical(planted["changed"]) == critical(planted["changed"][:3]) == PLANTED
    assert second["changed"] == second["better"] == []
    assert critical(third["changed"]) == [] and critical(third["better"]) == PLANTED
    assert house.ledger(
        "select count(*) from pgops.health_findings where resolved_at is not null and status = 'crit'"
    ) == [(3,)]


def _photograph(house, folder):
    """The message, the dashboard and the report, as people see them; no policy of the browser's is broken."""
    if not any(map(shutil.which, BROWSERS)):
        return
    with browser_of_this_machine() as browser:
        page = browser.new_page(viewport=SIZE)
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(house.parts.slack_url)
        page.get_by_text("Sequences near their end").last.scroll_into_view_if_needed()
        page.screenshot(path=folder / "slack.png")
        log_in(page, house.parts)
        page.goto(f"{house.api.url}/fleet/database/app")
        page.locator("article, section").first.wait_for()
        assert "planted" in page.locator("main").inner_text()
        page.screenshot(path=folder / "dashboard.png")
        page.set_viewport_size({"width": PHONE_WIDTH, "height": 800})
        page.goto(f"{house.api.url}/fleet/database/app/health")
        page.get_by_text("Sequences near their end").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE_WIDTH
        border = page.locator("article.crit").first.evaluate("element => getComputedStyle(element).borderLeftWidth")
        assert border == "4px"  # its style sheet was let in
        page.screenshot(path=folder / "report.png")
        assert [line for line in said if "Content Security Policy" in line] == []
    for name in ("slack", "dashboard", "report"):
        assert (folder / f"{name}.png").stat().st_size > 10_000, name
