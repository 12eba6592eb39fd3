"""The dashboard in a real browser, within the running Airflow."""

from __future__ import annotations

import shutil
from urllib.parse import unquote

import pytest

from sandbox.pictures import BROWSERS, PHONE_WIDTH, SIZE, browser_of_this_machine, log_in, photograph_dashboard
from tests.servers import eventually

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.slow,
    pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="there is no browser"),
]
NAME = "<b>orders</b>_id_seq"
FACTS = f"""
INSERT INTO pgops.health_runs (run_id, database, grade, counts, seconds) VALUES
    ('manual__pictured', 'app', 'crit', '{{"crit": 1, "ok": 50}}', 1),
    ('manual__pictured', 'crm', 'ok', '{{"ok": 51}}', 1);
INSERT INTO pgops.health_findings (database, fingerprint, check_name, object, status, title, value, unit, says, mend,
                                   risk, first_seen, last_seen)
VALUES ('app', 'pictured', 'sequences_used', 'public.{NAME}', 'crit', 'A sequence runs out', 95.2, 'percent',
        '2,044,404,432 of 2,147,483,647 used', 'ALTER TABLE public.orders ALTER COLUMN id TYPE bigint;',
        'Rewrites the table under ACCESS EXCLUSIVE: see zero_downtime_column', now() - interval '3 days', now());
INSERT INTO pgops.health_figures (database, name, at, value)
SELECT database, name, at, n
  FROM unnest(ARRAY['app', 'billing', 'crm']) AS database,
       (SELECT at, row_number() OVER (ORDER BY at) AS day
          FROM generate_series(date_trunc('month', now(), 'UTC'), now(), '1 day') AS at) AS days,
       LATERAL (VALUES ('database_size', 3e9 + day * 7e7), ('connections_used', 40 + day * 5 % 17)) AS f (name, n);
"""
FORGET = """
DELETE FROM pgops.health_runs WHERE run_id = 'manual__pictured';
DELETE FROM pgops.health_findings WHERE fingerprint = 'pictured';
TRUNCATE pgops.health_figures;
"""


@pytest.fixture(scope="module")
def fleet(house):
    """Something to see: a night, and what a health check would have found."""
    code, outcome = house.run("nightly_backup")
    assert code == 0, outcome
    house.ledger(FACTS)
    yield house
    house.ledger(FORGET)


@pytest.fixture
def page(fleet):
    """A browser that is logged in, and keeps what its console said."""
    with browser_of_this_machine() as browser:
        page = browser.new_page(viewport=SIZE)
        page.said = []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        log_in(page, fleet.parts)
        yield page


def inside(page):
    """The dashboard in Airflow's frame."""
    return page.frame_locator("iframe")


def test_it_is_found_in_the_navigation_and_its_cells_lead_out_of_the_frame(fleet, page):
    page.goto(f"{fleet.api.url}/plugin/fleet")
    rows = inside(page).locator("table[role=table] tbody tr")
    rows.first.wait_for()
    assert rows.count() == 3 and "app" in rows.first.inner_text()
    backup = rows.first.locator("td[data-label='Last backup'] a")
    backup.click()
    assert eventually(lambda: "/dags/nightly_backup/runs/" in page.url, 30), page.url
    run_id = unquote(page.url).partition("/runs/")[2].partition("/")[0]
    assert run_id in {run["dag_run_id"] for run in fleet.runs("nightly_backup")}
    assert page.locator("iframe").count() == 0


def test_the_findings_are_reached_by_keyboard_and_names_are_only_text(fleet, page):
    page.goto(f"{fleet.api.url}/fleet/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("td.findings a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/fleet/database/app#f-pictured")
    assert NAME in page.locator("#f-pictured").inner_text()
    assert page.locator("#f-pictured h3 b").count() == 0
    page.locator("#f-pictured button[data-copy]").click()
    assert eventually(lambda: page.locator("#f-pictured button[data-copy]").inner_text() != "Copy", 10)
    assert [line for line in page.said if "Content Security Policy" in line] == []


def test_it_fits_a_phone_and_follows_the_dark(fleet, page):
    for path in ("/fleet/", "/fleet/database/app"):
        page.set_viewport_size({"width": PHONE_WIDTH, "height": 800})
        page.goto(f"{fleet.api.url}{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE_WIDTH, path
        shades = {}
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            shades[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert shades == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 24, 29)"}


def test_within_airflow_it_has_airflows_theme(fleet, page):
    page.emulate_media(color_scheme="light")
    page.goto(f"{fleet.api.url}/plugin/fleet")
    inside(page).locator("table[role=table]").wait_for()
    shade = "getComputedStyle(document.body).backgroundColor"
    (frame,) = [frame for frame in page.frames if frame.parent_frame]
    page.evaluate("document.documentElement.className = 'dark'")
    assert eventually(lambda: frame.evaluate(shade) == "rgb(22, 24, 29)", 10)


def test_pictures_are_taken_of_it(fleet, page, tmp_path):
    taken = []

    def shot(name: str) -> None:
        taken.append(name)
        page.screenshot(path=tmp_path / f"{name}.png")

    photograph_dashboard(fleet.parts, page, shot)
    assert taken == ["fleet", "fleet_dark", "fleet_phone", "fleet_database"]
    pictures = [(tmp_path / f"{name}.png").read_bytes() for name in taken]
    assert len(set(pictures)) == 4 and all(len(picture) > 20_000 for picture in pictures)
