"""What ./dev tells people: the remedy where it cannot work, and of a run only what helps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pgops.errors import PgOpsError
from sandbox import follow
from sandbox.follow import Follower
from sandbox.report import report_lines
from sandbox.rest import ApiError

ROOT = Path(__file__).parents[2]


def dev(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    environment = {
        **kept,
        "PGOPS_SANDBOX_HOME": str(home),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'plugins'}",
        **variables,
    }
    command = [sys.executable, "-m", "sandbox", *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_freshness_does_not_answer_for_the_sandbox_when_another_store_is_named(tmp_path: Path, variable: str) -> None:
    done = dev(tmp_path, "freshness", **{variable: "production"})
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert variable in line and "PYTHONPATH=plugins" in line and "-m pgops.backup.freshness" in line


def test_freshness_of_a_sandbox_that_is_down_says_how_to_start_it(tmp_path: Path) -> None:
    done = dev(tmp_path, "freshness")
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert "./dev up" in line


def test_the_status_of_a_sandbox_that_is_down_shows_no_address_and_no_password(tmp_path: Path) -> None:
    done = dev(tmp_path, "status")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "Start it: ./dev up"
    assert "127.0.0.1" not in done.stdout and "admin /" not in done.stdout


def test_lock_compiles_every_lock_file_each_after_the_one_it_is_bound_to(monkeypatch: pytest.MonkeyPatch) -> None:
    from sandbox import __main__ as commands

    compiled: list[str] = []
    monkeypatch.setattr(commands, "_tool", lambda *words: compiled.append(words[-1]) or 0)
    monkeypatch.setenv("UV_SYSTEM_CERTS", "true")
    assert commands.main(["lock"]) == 0
    assert sorted(compiled) == sorted(path.name for path in ROOT.glob("requirements*.lock"))
    assert compiled.index("requirements.lock") < compiled.index("requirements-celery.lock")


class ScriptedApi:
    """Airflow's API as it answers a trigger: first refusals, then a run."""

    url = "http://airflow.test"

    def __init__(self, *refusals: ApiError) -> None:
        self.refusals = list(refusals)

    def patch(self, path: str, body: Any) -> None:
        pass

    def post(self, path: str, body: Any) -> Any:
        if self.refusals:
            raise self.refusals.pop(0)
        return {"dag_run_id": "manual__1"}


def not_one_of(value: str) -> ApiError:
    return ApiError(400, f"Invalid input for param databases: '{value}' is not one of ['app']")


@pytest.fixture
def follower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fleet = (ROOT / "include" / "fleet.yaml").read_text()
    (tmp_path / "fleet.yaml").write_text(f"{fleet}\n  - {{name: shop, server: primary, connection: pg_shop}}\n")
    monkeypatch.setenv("PGOPS_FLEET", str(tmp_path / "fleet.yaml"))
    monkeypatch.setattr(follow, "POLL_SECONDS", 0)

    def make(*refusals: ApiError, dag_id: str = "nightly_backup") -> Follower:
        return Follower(ScriptedApi(*refusals), dag_id, lambda line: None)  # type: ignore[arg-type]

    return make


def test_a_database_that_was_just_added_is_waited_for(follower) -> None:
    patient = follower(not_one_of("shop"), not_one_of("shop"))
    patient.trigger({"databases": ["shop"]})
    assert patient.run_id == "manual__1"


@pytest.mark.parametrize("refusal", [not_one_of("shopp"), ApiError(400, "5 is not of type 'boolean'")])
def test_what_is_wrong_in_itself_is_refused_at_once(follower, refusal: ApiError) -> None:
    impatient = follower(refusal)
    with pytest.raises(PgOpsError, match="refuses to start nightly_backup"):
        impatient.trigger({"databases": ["shopp"]})


def test_a_mapped_task_is_named_before_airflow_names_it(follower) -> None:
    def label(dag_id: str, task_id: str, index: int, rendered: str | None = None) -> str:
        instance = {"task_id": task_id, "map_index": index, "rendered_map_index": rendered}
        return follower(dag_id=dag_id)._label(instance)

    assert label("nightly_backup", "primary.dump", 3) == "primary.dump[shop]"
    assert label("nightly_backup", "primary.dump", 3, "3") == "primary.dump[shop]", "as Airflow calls it until then"
    assert label("nightly_backup", "primary.dump", 3, "other") == "primary.dump[other]"
    assert label("nightly_backup", "primary.dump", 9) == "primary.dump[9]"
    assert label("nightly_backup", "report", -1) == "report"
    assert label("backup_watch", "backup_watch", 1) == "backup_watch[billing]"
    assert label("another", "primary.dump", 1) == "primary.dump[1]"


def test_the_end_of_a_log_holds_the_tasks_own_words_and_its_error_once() -> None:
    errors = [
        {"exc_type": "FailedForGood", "exc_value": "No room (disk). Free some"},
        {"exc_type": "Refused", "exc_value": "No room (disk). Free some"},
        {"exc_type": "OSError", "exc_value": "ENOSPC"},
    ]
    content = [
        {"event": "::group::Pre task execution logs"},
        {"event": "DAG bundles loaded: dags-folder"},
        {"event": "Worker startup parse complete"},
        {"event": "looking for room"},
        {"event": "Task failed with exception", "error_detail": errors},
        "::endgroup::",
    ]
    assert follow._tail(content) == ["looking for room", "Task failed with exception", "No room (disk). Free some"]
    foreign = [{"event": "x", "error_detail": [{"exc_type": "ValueError", "exc_value": "y"}]}]
    assert follow._tail(foreign) == ["x", "ValueError: y"]


def test_a_report_is_two_lines_for_each_database() -> None:
    backup = {
        "backup_id": "20261123T020000Z-1f9a3c", "level": "L3", "bytes": 2**20, "rows": 7, "tables": 2,
        "raw_bytes": 2**24, "seconds": 4.0, "taken_from": "standby",
    }  # fmt: skip
    night = {
        "databases": {
            "app": {"ok": True, "backup": backup, "error": ""},
            "crm": {"ok": False, "backup": None, "error": "dump: it broke"},
        },
        "failed": ["crm"],
    }
    assert report_lines(night) == [
        "app: 20261123T020000Z-1f9a3c, read back and proven to L3",
        "    1.0 MiB, 7 rows in 2 tables, 4.0 MiB/s from the standby",
        "crm: FAILED",
        "    dump: it broke",
    ]
    check = {"name": "amcheck", "skipped": "", "summary": "sound"}
    drill = {
        "database": "app", "backup_id": "x", "passed": True, "failures": [], "checks": [check],
        "rto_seconds": 3.2, "rto_limit_seconds": 1800,
    }  # fmt: skip
    assert report_lines(drill) == ["app: x restored in 3.2 s (allowed 30 min)", "    amcheck ok: sound"]
    assert report_lines(drill | {"passed": False, "failures": ["RTO missed"]}) == [
        "app: x NOT proven",
        "    RTO missed",
    ]
    health = {"grades": {"app": "crit"}, "changed": ["crit new app x"], "better": [], "notes": ["no bucket"]}
    assert report_lines(health) == ["app crit", "    crit new app x", "    no bucket"]
    assert report_lines(health | {"changed": [], "notes": []}) == ["app crit", "    no change"]
    assert report_lines("as it is") == ["as it is"]
