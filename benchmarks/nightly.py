"""`./dev bench nightly`: how much of a nightly run on the small sample fleet is Airflow's own time.

Uses the running sandbox (`./dev up`). Work is what dump and verify report of themselves; all else is counted as
Airflow's: scheduling, starting task processes, importing, and also the short steps preflight, commit, prune and report.
So the share is an upper bound, and on databases of a few megabytes a large one: it falls as databases grow.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from benchmarks.rig.command import command
from pgops.errors import PgOpsError
from sandbox.follow import Follower, Outcome
from sandbox.lifecycle import Sandbox
from sandbox.rest import Api, quote

DAG = "nightly_backup"
RUN_SECONDS = 1800


@command
def main() -> int:
    """Run the DAG a few times and print the table and the line of JSON."""
    parser = argparse.ArgumentParser(prog="./dev bench nightly", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="how often (default 3)")
    arguments = parser.parse_args()
    sandbox = Sandbox()
    sandbox.require_up()
    api = sandbox.airflow.api()
    measured = [_measure(api, Follower(api, DAG, _say).run({}, RUN_SECONDS)) for _ in range(arguments.runs)]
    print(f"\n{'':<34}{'median':>8}{'min':>8}{'max':>8}")
    medians = {}
    for name in measured[0]:
        values = [one[name] for one in measured]
        medians[name] = round(statistics.median(values), 3)
        print(f"{name:<34}{medians[name]:8.2f}{min(values):8.2f}{max(values):8.2f}")
    print(json.dumps({**medians, "runs": arguments.runs}))
    return 0


def _measure(api: Api, outcome: Outcome) -> dict[str, float]:
    if outcome.state != "success":
        raise PgOpsError(f"The run {outcome.run_id} {outcome.state}", where=DAG, remedy="Look at its tasks' logs")
    path = f"/dags/{DAG}/dagRuns/{quote(outcome.run_id)}"
    run = api.get(path)
    instances = api.get(f"{path}/taskInstances", limit=1000)["task_instances"]
    total = _seconds(run["queued_at"], run["end_date"])
    work = sum(_work(api, path, instance) for instance in instances)
    return {
        "run_seconds": total,
        "work_seconds": work,
        "no_task_seconds": total - _covered(instances),
        "airflow_share": 1 - work / total,
    }


def _work(api: Api, path: str, instance: dict[str, Any]) -> float:
    """What a dump or a verification says that it took."""
    task = str(instance["task_id"])
    step = task.rsplit(".", 1)[-1]
    if step not in ("dump", "verify"):
        return 0.0
    entry = f"{path}/taskInstances/{quote(task)}/xcomEntries/return_value"
    value = api.get(entry, map_index=instance["map_index"], deserialize="true")["value"]
    return float((value["verification"] if step == "verify" else value)["seconds"])


def _covered(instances: Iterable[dict[str, Any]]) -> float:
    """Seconds in which at least one task ran."""
    covered, end = 0.0, datetime.min
    for start, stop in sorted((_time(one["start_date"]), _time(one["end_date"])) for one in instances):
        covered += max((stop - max(start, end)).total_seconds(), 0.0)
        end = max(end, stop)
    return covered


def _seconds(start: str, end: str) -> float:
    return (_time(end) - _time(start)).total_seconds()


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=None)


def _say(line: object) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
