"""The dashboard's pages: who may see them, what they say, and what they say when there is nothing to say."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from benchmarks.rig.dashboard import fill
from pgops.dashboard.app import PER_PAGE
from tests.dashboard.facts import BACKUP, EVIL, HEALTH

ROOT = Path(__file__).parents[2]
PAGES = ("", "database/app", "database/app/health", "database/app/queries", "database/app/validations/1", "metrics")


class Elements(HTMLParser):
    """The tags of a page, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def text(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


# --- who may see it ---


@pytest.mark.parametrize("path", PAGES)
def test_nobody_sees_anything_without_a_login(stand, path):
    stand.record(HEALTH)
    answer = stand.visitor(None).get(f"/fleet/{path}")
    assert answer.status_code == 401
    assert "app" not in text(answer.text).split() and "runs out" not in answer.text
    answer = stand.visitor(None).get(f"/fleet/{path}", headers={"Authorization": "Bearer of-nobody"})
    assert answer.status_code in (401, 403)


def test_a_viewer_sees_it_by_cookie_or_by_token_and_can_change_nothing(stand):
    visitor = stand.visitor()
    assert visitor.get("/fleet/").status_code == 200
    token = visitor.cookies["_token"]
    answer = stand.visitor(None).get("/fleet/", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    for path in PAGES:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert visitor.request(method, f"/fleet/{path}").status_code == 405


def test_it_has_its_place_in_the_navigation(stand):
    answer = stand.visitor().get("/api/v2/plugins")
    if answer.status_code == 403:  # a viewer may see the pages, not the list of plugins
        answer = stand.visitor("admin").get("/api/v2/plugins")
    (plugin,) = [one for one in answer.json()["plugins"] if one["name"] == "fleet_dashboard"]
    (view,) = plugin["external_views"]
    assert (view["href"], view["destination"], view["url_route"]) == ("/fleet/", "nav", "fleet")


def test_every_task_loads_the_plugin_file_and_it_loads_nothing_of_the_pages():
    script = (
        "import sys, airflow.plugins_manager; before = set(sys.modules); import fleet_dashboard;"
        "print(sorted(name for name in set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT / "plugins")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "['fleet_dashboard']"


# --- what a browser is told ---


@pytest.mark.parametrize("path", ["", "database/app", "metrics", "nothing-here"])
def test_a_browser_is_told_to_run_nothing_that_is_not_ours(stand, path):
    stand.record("SELECT 1")
    answer = stand.visitor().get(f"/fleet/{path}")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'self'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    if "html" in answer.headers["content-type"]:
        elements = Elements(answer.text)
        assert [
            one for one in elements.named("script") if not (one.get("src") or "").startswith("/fleet/static/")
        ] == []
        assert elements.named("style") == []
        assert [
            found for found in elements.found if any(name == "style" or name.startswith("on") for name in found[1])
        ] == []


def test_script_in_any_name_does_nothing(stand):
    stand.fleet("app", EVIL)
    quoted = EVIL.replace("'", "''")
    stand.record(
        HEALTH,
        f"UPDATE pgops.health_findings SET title = '{quoted}', object = '{quoted}', says = '{quoted}',"
        f" mend = '{quoted}', risk = '{quoted}', unit = '{quoted}', check_name = '{quoted}', fingerprint = '{quoted}'",
        f"UPDATE pgops.health_runs SET run_id = '{quoted}', counts = jsonb_build_object('{quoted}', 1)",
        f"INSERT INTO pgops.health_figures (database, name, at, value, facts) SELECT 'app', '{quoted}', now() - n * "
        f"interval '1 day', n, jsonb_build_object('unit', '{quoted}') FROM generate_series(0, 2) AS n",
        f"INSERT INTO pgops.deployments (run_id, database, version, checksum, requested_by, state) "
        f"VALUES ('{quoted}', 'app', '{quoted}', 'c', '{quoted}', 'begun')",
        f"INSERT INTO pgops.validations (database, version, name, checksum, run_id, passed, reasons, folder) "
        f"VALUES ('app', '{quoted}', '{quoted}', 'c', '{quoted}', false, ARRAY['{quoted}'], 'f')",
        BACKUP.format(hours=1),
        f"UPDATE pgops.backups SET backup_id = '{quoted}', verification = '{quoted}', taken_from = '{quoted}'",
    )
    for path in ("", "database/app", f"?q={EVIL}", f"?level={EVIL}"):
        page = stand.page(path)
        elements = Elements(page)
        assert [one.get("src") for one in elements.named("script")] == ["/fleet/static/fleet.js"], path
        assert elements.named("img") == [], path
        assert not any(name.startswith("on") for _, attributes in elements.found for name in attributes), path
    assert "&lt;script&gt;" in stand.page("database/app")


def test_a_report_of_the_bucket_is_shown_without_trusting_it(stand):
    report = "<style>p { color: red }</style><p>All is well</p><script>alert(1)</script>"
    stand.record(HEALTH)
    stand.bucket.put("reports/app.html", report.encode(), "text/html")
    answer = stand.visitor().get("/fleet/database/app/health")
    assert "All is well" in answer.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox;") and "script-src" not in policy and "unsafe" not in policy
    assert "style-src 'sha256-" in policy
    stand.page("database/crm/health", status=404)


# --- what it says ---


def test_a_finding_is_told_with_its_age_its_mend_and_where_it_came_from(stand):
    stand.record(HEALTH)
    fleet = text(stand.page())
    assert "1 crit" in fleet and "A sequence runs out public.orders_id_seq for 72 h" in fleet
    page = stand.page("database/app")
    assert "95 %" in text(page) and "ALTER TABLE orders ALTER id TYPE bigint;" in page
    assert "/dags/daily_health_check/runs/manual__1%2F2%203" in page


def test_the_newest_query_review_names_what_got_worse_and_which_index_would_help(stand):
    found = {
        "blind": "",
        "regressions": [{"cause": "changed plan", "added": 75.0, "why": "index gone", "query": "SELECT <b> FROM t"}],
        "advice": [{"kind": "candidate", "object": "public.t (a)", "says": "2 queries would use it"}],
    }
    stand.record(
        "INSERT INTO pgops.query_reviews (run_id, database, at, facts, report) VALUES"
        f" ('old', 'app', now() - interval '2 days', '{{}}', 'reports/old.html'),"
        f" ('manual__7', 'app', now(), '{json.dumps(found)}', 'reports/queries.html')"
    )
    stand.bucket.put("reports/queries.html", b"<p>The whole review</p>", "text/html")
    page = stand.page("database/app")
    assert "75 s more a day" in text(page) and "public.t (a)" in text(page) and "SELECT &lt;b&gt; FROM t" in page
    assert "/dags/query_review/runs/manual__7" in page
    assert "The whole review" in stand.visitor().get("/fleet/database/app/queries").text


@pytest.mark.parametrize("muted", ["aaa", ""], ids=["the finding", "the database"])
def test_a_muted_finding_is_not_shown_among_the_open_ones_but_counted(stand, muted):
    stand.record(
        HEALTH,
        "INSERT INTO pgops.health_mutes (database, fingerprint, reason, muted_by, until) "
        f"VALUES ('app', '{muted}', 'mended on Sunday', 'anna', now() + interval '1 day')",
    )
    assert "A sequence runs out" not in stand.page() and "1 muted" in stand.page()
    assert "Muted by anna" in stand.page("database/app") and "mended on Sunday" in stand.page("database/app")
    stand.record("UPDATE pgops.health_mutes SET until = now() - interval '1 minute'")
    assert "A sequence runs out" in stand.page()


def test_a_backup_older_than_its_rpo_is_critical_whatever_the_checks_say(stand):
    good = HEALTH.split("INSERT INTO pgops.health_findings")[0].replace("'crit'", "'ok'")
    stand.record(good, BACKUP.format(hours=25))
    assert "older than its RPO" not in stand.page()
    assert "1 ok" in text(stand.page())
    stand.record("UPDATE pgops.backups SET started_at = now() - interval '27 hours'")
    assert "older than its RPO" in stand.page() and "1 crit" in text(stand.page())


def test_a_check_that_is_too_old_is_not_believed(stand):
    good = HEALTH.split("INSERT INTO pgops.health_findings")[0].replace("'crit'", "'ok'")
    stand.record(good.replace("2 hours", "30 hours"), BACKUP.format(hours=1))
    assert "too old" in stand.page()
    assert "2 unknown" in text(stand.page())


def test_a_drill_that_failed_is_critical_and_the_last_good_one_is_still_named(stand):
    drill = (
        "INSERT INTO pgops.drills (database, backup_id, started_at, finished_at, passed, rto_seconds, report) VALUES "
    )
    stand.record(
        BACKUP.format(hours=1),
        drill
        + "('app', '20261123T020000Z-1f9a3c', now() - interval '2 days', now() - interval '2 days', true, 61, '{}'),"
        "('app', '20261124T020000Z-1f9a3c', now(), now(), false, 5, '{}')",
    )
    page = text(stand.page())
    assert "drill failed" in page and "restored in 61 s" in page and "5.0 MiB" in page and "1 crit" in page


def test_running_backfills_show_their_progress(stand):
    stand.record(
        "INSERT INTO pgops.backfills (database, job, created_at, table_name, spec, status, desired, speed,"
        " rows_estimate, rows_done, percent, eta_p50, batches, retries, skipped, waiting, held_up, error,"
        " created_by, dag_run)"
        " VALUES ('app', 1, now(), 'public.orders', '{}', 'running', 'run', 1, 1000, 414, 41.4, 5400, 9, 0, 0, '{}',"
        " '{}', '', 'anna', 'batched_backfill/manual__9')",
    )
    page = stand.page()
    assert Elements(page).named("progress")[0]["value"] == "41.4"
    assert "41 %, running, 90 min left" in text(page) and "/dags/batched_backfill/runs/manual__9" in page
    assert "Backfills" in stand.page("database/app")
    stand.record("UPDATE pgops.backfills SET finished_at = now()")
    assert Elements(stand.page()).named("progress") == []


def test_what_a_ledger_does_not_record_yet_is_named_until_it_does(stand):
    stand.record("DROP TABLE pgops.backfills")
    assert "Backfills: not recorded yet" in text(stand.page()).replace(" :", ":").partition("Not shown")[2]
    stand.record("DROP SCHEMA pgops CASCADE")
    stand.record("SELECT 1")
    assert "Backfills" not in text(stand.page()).partition("Not shown")[2]


def test_retiring_partitions_and_requests_that_wait_are_shown(stand):
    stand.record(
        "INSERT INTO pgops.partition_states (database, oid, schema, name, parent, range, state) VALUES"
        " ('app', 1, 'public', 'h_1', 'public.h', 'x', 'grace'),"
        " ('app', 2, 'public', 'h_2', 'public.h', 'x', 'detached'),"
        " ('app', 3, 'public', 'h_3', 'public.h', 'x', 'dropped')",
        "INSERT INTO pgops.subject_requests (id, database, kind, subject_hash, key_id, state, requested_by)"
        " VALUES ('r1', 'app', 'erase', 'ab', 'k', 'found', 'op')",
    )
    page = text(stand.page())
    assert "2 retiring" in page and "1 data request" in page
    missing = page.partition("Not shown")[2].lower()
    assert "retired partitions" not in missing and "requests about personal data" not in missing
    assert "1 wait to be dropped, 1 under way" in text(stand.page("database/app"))


# --- when something is missing ---


def test_an_empty_ledger_is_told_as_such_and_left_alone(stand, ask):
    page = text(stand.page())
    assert "2 unknown" in page and "no check yet" in page and "none recorded" in page
    assert "not recorded yet" in page.partition("Not shown")[2]
    assert "Nothing was checked yet" in stand.page("database/app")
    assert ask("SELECT to_regnamespace('pgops')") is None


def test_a_ledger_that_is_down_is_an_honest_answer(stand):
    stand.ledger_at(replace(stand.dsn, port=1))
    for path in ("", "database/app"):
        page = text(stand.page(path, status=503))
        assert "Nothing can be shown" in page and "127.0.0.1:1" in page and "Check that the server runs" in page
    assert stand.dsn.password not in stand.page(status=503)
    assert "pgops_ledger_up 0.0" in stand.page("metrics")


def test_an_area_that_fails_takes_no_other_with_it(stand):
    stand.record(HEALTH, "ALTER TABLE pgops.backups RENAME COLUMN bytes TO octets", "DROP TABLE pgops.drills")
    page = text(stand.page())
    assert "A sequence runs out" in page
    missing = page.partition("Not shown")[2]
    assert "Backups" in missing and "Drills" in missing and "Grades" not in missing


def test_a_fleet_file_that_is_wrong_is_named_with_its_remedy(stand):
    stand.fleet("app", "crm", unheard_of=1)
    assert "unheard_of" in stand.page(status=500)
    (stand.folder / "fleet.yaml").write_text("databases: [")
    assert "not YAML" in stand.page(status=500)
    stand.fleet("app", databases=[{"name": "app", "server": "primary", "connection": "c", "bakcup": {}}])
    assert "Did you mean &#39;backup&#39;" in stand.page()


def test_an_unknown_database_is_not_found(stand):
    for path in ("database/nobody", "database/nobody/health", "database/app/validations/7", "elsewhere"):
        stand.page(path, status=404)
    stand.page("database/app/validations/x", status=422)


# --- for everybody ---


@pytest.mark.parametrize("path", ["", "database/app"])
def test_a_page_can_be_read_without_eyes_and_without_a_mouse(stand, path):
    stand.record(HEALTH, BACKUP.format(hours=1))
    stand.record(
        "INSERT INTO pgops.health_figures (database, name, at, value) SELECT 'app', 'database_size', now() - n"
        " * interval '1 day', 1e9 + n FROM generate_series(0, 9) AS n WHERE now() - n * interval '1 day' >="
        " date_trunc('month', now(), 'UTC')"
    )
    elements = Elements(stand.page(path))
    assert elements.named("html")[0]["lang"] == "en"
    assert len(elements.named("main")) == len(elements.named("h1")) == 1
    assert elements.named("a")[0]["href"] == "#main"
    assert all(one.get("scope") for one in elements.named("th"))
    assert all(one.get("aria-label") for one in elements.named("svg"))
    assert all(one.get("aria-label") for one in elements.named("progress"))
    assert all(one.get("aria-label") for one in elements.named("nav"))
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    labelled = [attributes["aria-labelledby"] for _, attributes in elements.found if "aria-labelledby" in attributes]
    assert set(labelled) <= set(ids)
    fields = {one.get("id") for one in elements.named("input") if one.get("type") != "hidden"}
    assert fields <= {one.get("for") for one in elements.named("label")}


def test_each_cell_that_shows_something_leads_to_where_it_is_from(stand):
    stand.record(
        HEALTH,
        BACKUP.format(hours=1),
        "INSERT INTO pgops.health_figures (database, name, at, value) VALUES ('app', 'database_size', now(), 1),"
        " ('app', 'connections_used', now(), 1)",
        "INSERT INTO pgops.subject_requests (id, database, kind, subject_hash, key_id, state, requested_by)"
        " VALUES ('r1', 'app', 'erase', 'ab', 'k', 'found', 'op')",
    )
    (row,) = re.findall(r'<tr role="row" class="crit">(.*?)</tr>', stand.page(), re.DOTALL)
    cells = re.findall(r'data-label="([^"]+)"[^>]*>(.*?)</td>', row, re.DOTALL)
    assert [name for name, cell in cells if "<a " not in cell] == ["Proven restore", "Partitions"], "never, no data"


def test_five_hundred_databases_are_paged_the_worst_first(stand):
    fill(stand.dsn, 500, 20)
    stand.fleet(*(f"db_{number:03d}" for number in range(500)))
    page = stand.page()
    names = re.findall(r'<a href="/fleet/database/(db_\d+)">', page)
    assert len(names) == PER_PAGE and len(Elements(page).named("progress")) == 0
    assert len(Elements(page).named("svg")) == 2 * PER_PAGE
    crit = {f"db_{number:03d}" for number in range(500) if number % 50 == 1 or number % 97 == 5}
    assert set(names[: len(crit)]) == crit
    seen = [
        name for number in range(1, 11) for name in re.findall(r'/database/(db_\d+)">', stand.page(f"?page={number}"))
    ]
    assert len(seen) == len(set(seen)) == 500
    assert "db_499" in stand.page("?q=499") and "1 of 500" in stand.page("?q=499")
    assert "db_000" not in stand.page("?level=crit")
    assert stand.page("?page=99999").count("data-label") > 0
