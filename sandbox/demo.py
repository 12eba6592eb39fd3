"""`./dev demo`: the main job on real parts. Backs up the sample fleet through Airflow and proves it by restoring."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.follow import Follower
from sandbox.lifecycle import Sandbox
from sandbox.report import drill_lines, report_lines
from sandbox.rest import Api, quote

FINISHED = ("success", "failed")
POLL_SECONDS = 2.0


def demo(sandbox: Sandbox, seconds: float, say: Callable[[str], None]) -> bool:
    """Back up every database, wait for each backup's restore drill, and tell; whether all is proven.

    Args:
        sandbox: up and healthy.
        seconds: for the backups, and again for the drills.
        say: prints a line.
    """
    api = sandbox.airflow.api()
    drills = Follower(api, "restore_drill", say)
    drills.wait_until_known()
    api.patch("/dags/restore_drill", {"is_paused": False})  # each backup that exists then starts one
    outcome = Follower(api, "nightly_backup", say).run({}, seconds)
    result: Mapping[str, Any] = outcome.result or {}
    databases: Mapping[str, Any] = result.get("databases", {})
    backups = [one["backup"] for one in databases.values() if one["backup"]]
    say("--- what was backed up")
    for line in report_lines({"databases": databases, "servers": result.get("servers", {})}):
        say(line)
    say("--- restored and compared")
    proven = [_drill(api, f"{backup['database']}/{backup['backup_id']}", seconds, say) for backup in backups]
    say("---")
    for line in sandbox.where_to_look():
        say(line)
    say(f"The run      {sandbox.airflow.url}/dags/nightly_backup/runs/{quote(outcome.run_id)}")
    say(f"The drills   {sandbox.airflow.url}/dags/restore_drill")
    say("Stop it      ./dev down")
    return outcome.state == "success" and all(proven)


def _drill(api: Api, key: str, seconds: float, say: Callable[[str], None]) -> bool:
    """Wait for the drill of one backup and say what it found."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        runs = api.get("/dags/restore_drill/dagRuns", limit=100, order_by="-run_after")["dag_runs"]
        run = next((run for run in runs if run.get("partition_key") == key), None)
        if run and run["state"] in FINISHED:
            path = f"/dags/restore_drill/dagRuns/{quote(run['dag_run_id'])}/taskInstances/report/xcomEntries"
            xcom = "return_value" if run["state"] == "success" else "report"
            report = api.get(f"{path}/{xcom}")["value"]
            for line in drill_lines(report):
                say(line)
            return bool(report["passed"])
        time.sleep(POLL_SECONDS)
    say(f"{key}: no drill has ended within {seconds:.0f} s")
    return False
