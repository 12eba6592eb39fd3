"""`./dev pictures`: what people see, photographed in a real browser from the running sandbox, for README.md."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pgops.errors import PgOpsError
from sandbox.follow import Follower
from sandbox.lifecycle import Sandbox
from sandbox.rest import Api, quote

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZE = {"width": 1400, "height": 860}
PHONE_WIDTH = 375
RUN_SECONDS = 900


def take(sandbox: Sandbox, folder: Path, say: Callable[[str], None]) -> list[Path]:
    """Photograph the newest nightly run, its trigger form, the newest drill, Slack, the dashboard, and a migration.

    The migration is the first one that app lacks: it is rehearsed and deployed for this.
    """
    folder.mkdir(parents=True, exist_ok=True)
    api = sandbox.airflow.api()
    taken: list[Path] = []
    with browser_of_this_machine() as browser:
        page = browser.new_page(viewport=SIZE)  # type: ignore[arg-type]

        def shot(name: str) -> None:
            page.screenshot(path=folder / f"{name}.png")
            taken.append(folder / f"{name}.png")
            say(f"{folder / name}.png")

        page.goto(sandbox.slack_url)
        page.wait_for_timeout(1500)
        shot("slack")
        log_in(page, sandbox)
        for dag_id, step in (("nightly_backup", "report"), ("restore_drill", "compare")):
            run = api.get(f"/dags/{dag_id}/dagRuns", limit=1, order_by="-run_after")["dag_runs"][0]
            page.goto(f"{sandbox.airflow.url}/dags/{dag_id}/runs/{quote(run['dag_run_id'])}")
            page.wait_for_selector(f"text={step}")
            page.wait_for_timeout(3000)  # the page polls for ever: there is no event to wait for
            shot(dag_id)
        page.goto(f"{sandbox.airflow.url}/dags/nightly_backup")
        page.wait_for_selector("button:has-text('Trigger')")
        page.click("button:has-text('Trigger')")
        page.wait_for_selector("text=Prune: dry run")
        page.wait_for_timeout(1500)
        shot("trigger_form")
        photograph_dashboard(sandbox, page, shot)
        _migration(sandbox, page, shot, say)
    return taken


@contextmanager
def browser_of_this_machine() -> Iterator[Any]:
    """A browser without a screen."""
    from playwright.sync_api import sync_playwright

    path = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if path is None:
        raise PgOpsError(
            "There is no browser", where="PATH", remedy="Install Chromium (Debian: apt-get install chromium)."
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def photograph_dashboard(sandbox: Sandbox, page: Any, shot: Callable[[str], None]) -> None:
    """The fleet in Airflow's frame, in the dark, and on a phone; then one database."""
    page.goto(f"{sandbox.airflow.url}/plugin/fleet")
    page.frame_locator("iframe").locator("table[role=table] tbody tr").first.wait_for()
    shot("fleet")
    page.emulate_media(color_scheme="dark")
    page.goto(f"{sandbox.airflow.url}/fleet/")
    shot("fleet_dark")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": PHONE_WIDTH, "height": 2 * PHONE_WIDTH})
    page.reload()
    shot("fleet_phone")
    page.set_viewport_size(SIZE)
    page.goto(f"{sandbox.airflow.url}/fleet/database/app")
    shot("fleet_database")


def _migration(sandbox: Sandbox, page: Any, shot: Callable[[str], None], say: Callable[[str], None]) -> None:
    """Rehearse and deploy what is pending, and photograph the report, the approval, and what Slack was told."""
    api = sandbox.airflow.api()
    rehearsed = Follower(api, "migration_validation", say).run({"database": "app", "version": "pending"}, RUN_SECONDS)
    passed = (rehearsed.result or {}).get("passed")
    if not passed:
        say("No migration of app is pending that passes: those pictures stay as they are")
        return
    reports = sandbox.servers.s3.data.glob(f"**/app/validations/{passed[0]}-*/report.html")
    page.goto(max(reports, key=lambda path: path.stat().st_mtime).as_uri())
    shot("migration_report")

    class Approver(Api):
        """Has the page photographed before it answers."""

        def patch(self, path: str, body: Any) -> Any:
            run = path.partition("/taskInstances")[0].replace("/dagRuns/", "/runs/")
            page.goto(f"{self.url}{run}/tasks/approve/required_actions")
            page.wait_for_selector("text=Checklist")
            page.wait_for_timeout(1500)
            shot("migration_approval")
            return super().patch(path, body)

    approver = Approver(sandbox.airflow.url, "op", sandbox.airflow.logins()["op"])
    Follower(api, "migration_deploy", say, approver).run({"database": "app", "version": passed[0]}, RUN_SECONDS)
    page.set_viewport_size({**SIZE, "height": 2 * SIZE["height"]})
    page.goto(sandbox.slack_url)
    page.wait_for_timeout(1500)
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    shot("migration_slack")


def log_in(page: Any, sandbox: Sandbox) -> None:
    """As the administrator."""
    page.goto(sandbox.airflow.url)
    page.fill("input[name=username]", "admin")
    page.fill("input[name=password]", sandbox.airflow.logins()["admin"])
    page.click("button[type=submit]")
    page.wait_for_selector("text=Dags", timeout=60_000)
