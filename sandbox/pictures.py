"""`./dev pictures`: what people see, photographed in a real browser from the running sandbox, for README.md."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pgops.errors import PgOpsError
from sandbox.lifecycle import Sandbox
from sandbox.rest import quote

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZE = {"width": 1400, "height": 860}


def take(sandbox: Sandbox, folder: Path, say: Callable[[str], None]) -> list[Path]:
    """Photograph the newest nightly run, its trigger form, the newest drill, and the Slack inbox."""
    from playwright.sync_api import sync_playwright

    browser_path = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser_path is None:
        raise PgOpsError(
            "There is no browser", where="PATH", remedy="Install Chromium (Debian: apt-get install chromium)."
        )
    folder.mkdir(parents=True, exist_ok=True)
    api = sandbox.airflow.api()
    taken: list[Path] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)  # type: ignore[arg-type]

        def shot(name: str) -> None:
            page.screenshot(path=folder / f"{name}.png")
            taken.append(folder / f"{name}.png")
            say(f"{folder / name}.png")

        page.goto(sandbox.slack_url)
        page.wait_for_timeout(1500)
        shot("slack")
        _log_in(page, sandbox)
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
        browser.close()
    return taken


def _log_in(page: Any, sandbox: Sandbox) -> None:
    page.goto(sandbox.airflow.url)
    page.fill("input[name=username]", "admin")
    page.fill("input[name=password]", sandbox.airflow.logins()["admin"])
    page.click("button[type=submit]")
    page.wait_for_selector("text=Dags", timeout=60_000)
