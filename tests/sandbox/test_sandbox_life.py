"""The whole sandbox as people use it: up, run, break, up again, down. It has a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sandbox.processes import wait_until
from tests.servers import eventually

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

TRIAL = '''"""A run that asks, maps and reports."""
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Param, get_current_context, task

with DAG("trial", schedule=None, params={"bad": Param("", type="string")}):

    @task(map_index_template="{{ database }}")
    def back_up(name):
        context = get_current_context()
        context["database"] = name
        if name == context["params"]["bad"]:
            raise ValueError("the disk of " + name + " is full")
        return name

    @task
    def report(names):
        return {"backed up": sorted(names)}

    databases = back_up.expand(name=["app", "crm"])
    ApprovalOperator(task_id="gate", subject="Go on?") >> databases
    report(databases)
'''


class Dev:
    """Calls ./dev's commands for a sandbox in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "sandbox"
        dags = folder / "dags"
        dags.mkdir()
        (dags / "trial.py").write_text(TRIAL)
        (dags / "broken.py").write_text("from airflow.sdk import DAG\nimport a_module_that_nobody_has\n")
        kept = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")}
        self.environment = {
            **kept,
            "PGOPS_SANDBOX_HOME": str(self.folder),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'plugins'}",
        }

    def __call__(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sandbox", *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def up(self) -> None:
        done = self("up", "--scale", "0.1")
        assert done.returncode == 0, done.stderr

    def pids(self) -> dict[str, int]:
        processes = json.loads((self.folder / "state.json").read_text())["processes"]
        return {name: record["pid"] for name, record in processes.items()}

    def living(self) -> list[psutil.Process]:
        """Every process that works in the sandbox's folder, tracked or not."""
        return [process for process in psutil.process_iter() if self._is_inside(process)]

    def _is_inside(self, process: psutil.Process) -> bool:
        try:
            inside = Path(process.cwd()).is_relative_to(self.folder)
            return process.status() != psutil.STATUS_ZOMBIE and (
                inside or any(str(self.folder) in word for word in process.cmdline())
            )
        except psutil.Error:
            return False


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    dev = Dev(tmp_path_factory.mktemp("life"))
    try:
        dev.up()
        yield dev
    finally:
        done = dev("down", "--purge")
    assert done.returncode == 0, done.stderr


def test_a_second_up_changes_nothing(dev: Dev) -> None:
    before = dev.pids()
    dev.up()
    assert dev.pids() == before
    status = dev("status")
    assert status.returncode == 0, status.stdout
    assert status.stdout.count(" up ") == 10


def test_a_run_is_followed_approved_and_reported(dev: Dev) -> None:
    done = dev("run", "trial", "--approve")
    assert done.returncode == 0, done.stdout + done.stderr
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert outcome | {"run_id": "", "seconds": 0} == {
        "dag_id": "trial",
        "run_id": "",
        "state": "success",
        "seconds": 0,
        "tasks": {"gate": "success", "back_up[app]": "success", "back_up[crm]": "success", "report": "success"},
        "result": {"backed up": ["app", "crm"]},
    }


def test_a_failed_run_shows_why_and_exits_with_1(dev: Dev) -> None:
    done = dev("run", "trial", "--approve", "--conf", '{"bad": "crm"}')
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.count("the disk of crm is full") == 1
    assert "ValueError: the disk of crm is full" in done.stdout and "Worker startup" not in done.stdout
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert outcome["state"] == "failed"
    assert outcome["result"] is None
    assert (outcome["tasks"]["back_up[app]"], outcome["tasks"]["back_up[crm]"]) == ("success", "failed")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("broken",), "cannot be imported"),
        (("trial", "--conf", '{"bad": 3}'), "3 is not of type 'string'"),
    ],
    ids=["a file that cannot be imported", "a param of the wrong type"],
)
def test_what_cannot_run_is_refused_in_one_line(dev: Dev, arguments: tuple[str, ...], said: str) -> None:
    done = dev("run", *arguments)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert said in line


def test_up_mends_what_died(dev: Dev) -> None:
    before = dev.pids()
    postmaster = int((dev.folder / "postgres" / "primary" / "data" / "postmaster.pid").read_text().split()[0])
    for pid in (before["airflow scheduler"], before["slack inbox"], postmaster):
        psutil.Process(pid).kill()
    wait_until(lambda: dev("status").returncode == 1, 10)
    dev.up()
    after = dev.pids()
    assert after["airflow api-server"] == before["airflow api-server"]
    assert after["airflow scheduler"] != before["airflow scheduler"]
    assert dev("status").returncode == 0
    assert dev("run", "trial", "--approve").returncode == 0


def test_logs_and_process_list_hold_no_password(dev: Dev) -> None:
    state = json.loads((dev.folder / "state.json").read_text())
    secrets = {*state["secrets"].values(), "local-only-secret", "local-only-slack", "local-only-backup"}
    shown = "\n".join(" ".join(process.cmdline()) for process in dev.living())
    shown += "\n".join(log.read_text(errors="replace") for log in dev.folder.rglob("*.log"))
    assert [secret for secret in secrets if secret in shown] == []


def test_down_leaves_no_process_and_up_finds_its_data(dev: Dev) -> None:
    os.kill(dev.pids()["airflow scheduler"], 9)  # its workers are orphans now
    assert dev.living()
    assert dev("down").returncode == 0
    assert dev.living() == []
    assert dev("down").returncode == 0
    refused = dev("run", "trial")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "./dev up" in refused.stderr
    dev.up()
    assert dev("run", "trial", "--approve").returncode == 0


def test_the_sources_let_the_connections_in_and_archive_their_wal(dev: Dev) -> None:
    from sandbox import settings

    book = json.loads((dev.folder / "airflow" / "addresses.json").read_text())
    connections = settings.resolve(settings.load(ROOT / "airflow_settings.yaml"), book).connections
    entered = []
    for connection in connections:
        if connection.type == "postgres":
            import psycopg2

            keywords = {"host": connection.host, "port": connection.port, "dbname": connection.schema}
            psycopg2.connect(user=connection.login, password=connection.password, **keywords).close()
            entered.append(connection.id)
    assert len(entered) >= 6
    archive = dev.folder / "s3" / "data" / "pgops-backups" / "postgres" / "_physical" / "barman" / "primary" / "wals"
    assert eventually(lambda: any(archive.glob("*/*.gz")), seconds=90)
