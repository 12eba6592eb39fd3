"""One sandbox for all of these tests, with the project's DAGs in it; its files lie in memory."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
import yaml

from pgops.catalog import Catalog
from pgops.storage import Bucket
from sandbox.lifecycle import INBOX, Sandbox
from sandbox.rest import Api, quote
from tests.servers import eventually, memory_folder, s3_client

ROOT = Path(__file__).parents[2]
FINAL = ("success", "failed")
# Ten backups that begin to exist in the same moment, without the work of taking them.
TEN_AT_ONCE = '''"""Announces backups that are already there."""
from airflow.sdk import DAG, Param, get_current_context, task
from pgops.operators.backup import PROVEN_BACKUP

with DAG("ten_at_once", schedule=None, params={"keys": Param([], type="array")}):

    @task
    def keys():
        return get_current_context()["params"]["keys"]

    @task(outlets=[PROVEN_BACKUP])
    def announce(key, outlet_events=None):
        outlet_events[PROVEN_BACKUP].add_partitions(key)

    announce.expand(key=keys())
'''
# A run that is late after five seconds, told as nightly_backup's is.
DAWDLER = '''"""Takes its time."""
import time
from datetime import timedelta
from airflow.sdk import DAG, task
from pgops.fleet import load_fleet
from pgops.operators.alerting import late_run_deadline

deadline = late_run_deadline(load_fleet())
deadline.interval = timedelta(seconds=5)

with DAG("dawdler", schedule=None, deadline=deadline):

    @task
    def dawdle():
        time.sleep(40)

    dawdle()
'''


class RunningSandbox:
    """The sandbox, as its commands and its API show it, and the ways to break it.

    Args:
        folder: for all of its files.
    """

    def __init__(self, folder: Path) -> None:
        self.home = folder / "sandbox"
        self.fleet_file = folder / "fleet.yaml"
        self.fleet = yaml.safe_load((ROOT / "include" / "fleet.yaml").read_text())
        self.write_fleet(self.fleet)
        self.include = Path(shutil.copytree(ROOT / "include", folder / "include"))  # tests put migrations into it
        dags = folder / "dags"
        dags.mkdir()
        for file in (ROOT / "dags").glob("*.py"):
            # As they are, but a failed try is followed by the next one at once.
            text = file.read_text()
            for pause in ("timedelta(minutes=1)", "timedelta(seconds=30)"):
                text = text.replace(pause, "timedelta(seconds=1)")
            (dags / file.name).write_text(text)
        (dags / "ten_at_once.py").write_text(TEN_AT_ONCE)
        (dags / "dawdler.py").write_text(DAWDLER)
        kept = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")}
        self.environment = {
            **kept,
            "PGOPS_SANDBOX_HOME": str(self.home),
            "PGOPS_FLEET": str(self.fleet_file),
            "PGOPS_INCLUDE": str(self.include),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'plugins'}",
        }

    # --- its commands ---

    def dev(self, *arguments: str, timeout: float = 400, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sandbox", *arguments],
            env={**self.environment, **variables},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def up(self) -> None:
        done = self.dev("up", "--scale", "0.1")
        assert done.returncode == 0, done.stderr
        self.parts = Sandbox()  # what the state file says now
        self.api = self.parts.airflow.api()
        dags = {file.stem for file in (ROOT / "dags").glob("*.py")}
        assert eventually(lambda: dags <= {dag["dag_id"] for dag in self.api.get("/dags", limit=100)["dags"]}, 120)

    def run(self, dag_id: str, **conf: Any) -> tuple[int, dict[str, Any]]:
        """`./dev run`: exit code and last line."""
        done = self.dev("run", dag_id, "--conf", json.dumps(conf))
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout.splitlines()[-1])

    def write_fleet(self, fleet: Mapping[str, Any]) -> Path:
        self.fleet_file.write_text(yaml.safe_dump(dict(fleet), sort_keys=False))
        return self.fleet_file

    # --- its API ---

    def as_user(self, name: str) -> Api:
        return Api(self.api.url, name, self.parts.airflow.logins()[name])

    def pause(self, dag_id: str, paused: bool = True) -> None:
        self.api.patch(f"/dags/{dag_id}", {"is_paused": paused})

    def trigger(self, dag_id: str, **conf: Any) -> str:
        self.pause(dag_id, False)
        return str(self.api.post(f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})["dag_run_id"])

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api.get(f"/dags/{dag_id}/dagRuns", limit=100)["dag_runs"]
        return found

    def state(self, dag_id: str, run_id: str) -> str:
        return str(self.api.get(f"/dags/{dag_id}/dagRuns/{quote(run_id)}")["state"])

    def wait(self, dag_id: str, run_id: str, seconds: float = 240) -> str:
        """The state in which a run has ended."""
        assert eventually(lambda: self.state(dag_id, run_id) in FINAL, seconds), self.tasks(dag_id, run_id)
        return self.state(dag_id, run_id)

    def tasks(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        """Task instances by task id, a mapped one's with its database."""
        path = f"/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances"
        return {
            one["task_id"]
            + (f"[{one['rendered_map_index'] or one['map_index']}]" if one["map_index"] >= 0 else ""): one
            for one in self.api.get(path, limit=100)["task_instances"]
        }

    # --- what it left ---

    def catalog(self, database: str) -> Catalog:
        s3, storage = self.parts.servers.s3, self.fleet["storage"]
        client = s3_client(s3.endpoint, s3.access_key, s3.secret_key)
        return Catalog(Bucket(client, storage["bucket"], storage["prefix"]), database)

    def ledger(self, statement: str) -> list[tuple[Any, ...]]:
        return self.parts.servers.operations.execute(statement, "ledger")

    def messages(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.parts.slack_url}/messages.json", timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["messages"]
        return sorted(found, key=lambda message: float(message["ts"]))

    # --- the ways to break it ---

    def stop_inbox(self) -> None:
        self.parts.processes.stop([INBOX])

    def stop_scheduler(self) -> None:
        self.parts.processes.stop(["airflow scheduler"])

    def kill(self, dag_id: str, run_id: str, task_id: str) -> None:
        """SIGKILL for the process of a task that is running."""
        psutil.Process(self.tasks(dag_id, run_id)[task_id]["pid"]).kill()

    def pg_dump(self) -> psutil.Process | None:
        """The pg_dump that a task is running now."""
        scheduler = self.parts.processes.pid("airflow scheduler")
        assert scheduler is not None
        for process in psutil.Process(scheduler).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if process.name() == "pg_dump":
                    return process
        return None

    def sessions(self, database: str) -> dict[tuple[str, int], str]:
        """Sessions of the backup's role in that database, by server and pid, with their queries."""
        return {
            (server.name, pid): str(query)
            for server in (self.parts.servers.primary, self.parts.servers.standby)
            for pid, query in server.execute(
                f"select pid, query from pg_stat_activity where usename = 'pgops_backup' and datname = '{database}'"
            )
        }

    @contextmanager
    def stuck_dump(self, database: str) -> Iterator[Callable[[], None]]:
        """Hold a lock on a sequence, which pg_dump reads late: it waits amid its work. Gives the release."""
        with closing(psycopg2.connect(self.parts.servers.primary.dsn(database))) as holder:
            with holder.cursor() as cursor:
                cursor.execute("create sequence if not exists in_the_way")
                holder.commit()
                cursor.execute("alter sequence in_the_way rename to in_the_way_still")
            yield holder.rollback


@pytest.fixture(scope="session")
def house() -> Iterator[RunningSandbox]:
    """The sandbox; it stays what a test leaves, so each test puts back what it broke."""
    with memory_folder("runs") as folder, pytest.MonkeyPatch.context() as monkeypatch:
        house = RunningSandbox(folder)
        monkeypatch.setenv("PGOPS_SANDBOX_HOME", str(house.home))
        begun = time.monotonic()
        try:
            house.up()
            print(f"the sandbox was up after {time.monotonic() - begun:.0f} s")
            yield house
        finally:
            kept = os.environ.get("PGOPS_KEEP_LOGS")
            if kept:
                shutil.copytree(house.home / "airflow" / "logs", kept, dirs_exist_ok=True)
            done = house.dev("down", "--purge")
        assert done.returncode == 0, done.stderr
