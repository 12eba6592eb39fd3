"""What every DAG file promises, and that no fleet file, however wrong, makes a DAG vanish."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tests.dags.conftest import DATABASES, ROOT, read_dags

pytestmark = pytest.mark.airflow
FILES = sorted((ROOT / "dags").glob("*.py"))
HEAVY = ("boto3", "botocore", "slack_sdk", "alembic", "pgops.backup", "pgops.recovery", "pgops.storage", "pgops.ledger")


@pytest.fixture
def dags(site) -> dict:
    """All DAGs, read with the sample fleet."""
    bag = read_dags()
    assert bag.import_errors == {}
    return bag.dags


def test_one_dag_per_file_under_its_name_on_a_screen_or_two(dags):
    assert sorted(dags) == [file.stem for file in FILES]
    assert [file.name for file in FILES if len(file.read_text().splitlines()) > 150] == []


def test_every_dag_says_what_it_does_and_starts_nothing_by_itself(dags):
    from airflow.sdk import DAG

    for dag_id, dag in dags.items():
        assert isinstance(dag, DAG)
        assert dag.doc_md.strip().startswith(f"# {dag_id}\n") and "**When it fails.**" in dag.doc_md, dag_id
        assert dag.tags, dag_id
        assert dag.start_date is None and not dag.catchup, dag_id
        # One that waits for somebody's approval must not keep another database's waiting.
        assert dag.max_active_runs == 1 or "approval" in dag.tags, dag_id
        # A night that is over cannot be dumped; what was counted on a day can be reviewed later.
        dated = "backfill" in [one.value for one in dag.allowed_run_types]
        assert dated == (dag_id == "query_review"), dag_id


def test_every_task_has_an_owner_a_limit_and_says_whether_it_is_tried_again(dags):
    from airflow.providers.standard.operators.hitl import ApprovalOperator

    for task in (task for dag in dags.values() for task in dag.tasks):
        settings = task.partial_kwargs if task.is_mapped else vars(task)
        name = f"{task.dag.dag_id}.{task.task_id}"
        assert task.owner == "database-operations", name
        limit = settings["execution_timeout"]
        assert (limit and limit <= timedelta(hours=12)) or isinstance(task, ApprovalOperator), name
        assert 0 <= settings["retries"] <= 2, name
        assert task.start_date is None, name


def test_only_the_dump_takes_a_place_in_the_servers_pool(dags):
    """Otherwise all dumps would come before the first commit, and a finished dump would wait for a place."""
    pools = {task.task_id: task.pool for task in dags["nightly_backup"].tasks}
    assert {task_id for task_id, pool in pools.items() if pool != "default_pool"} == {"primary.dump"}
    assert pools["primary.dump"] == "pg_primary"


def test_the_forms_offer_the_fleets_databases(dags):
    backup = dags["nightly_backup"].params.get_param("databases").schema
    drill = dags["restore_drill"].params.get_param("database").schema
    assert backup["items"]["enum"] == drill["enum"] == list(DATABASES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_reading_a_dag_file_loads_nothing_heavy(site, file: Path):
    """Every task reads its file anew, so what stands at the top of it is paid for by each of them."""
    script = (
        "import json, sys, time; import airflow, airflow.sdk; from airflow.dag_processing.dagbag import DagBag;"
        "DagBag('/dev/null'); before = set(sys.modules); begun = time.process_time(); bag = DagBag(sys.argv[1]);"
        "print(json.dumps({'seconds': time.process_time() - begun, 'errors': bag.import_errors,"
        "'dags': list(bag.dags), 'new': sorted(set(sys.modules) - before)}))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(file)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout.splitlines()[-1])
    print(f"{file.name}: read in {read['seconds']:.2f} s of CPU, {len(read['new'])} modules")
    assert (read["errors"], read["dags"]) == ({}, [file.stem])
    assert [name for name in read["new"] if name.startswith(HEAVY)] == []


# --- the fleet file is wrong ---


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        ("databases: [", "is not YAML"),
        ("- app\n- crm\n", "is not a mapping"),
        ("", "is not a mapping"),
        (b"\xff\xfe\x00", "is not YAML"),
    ],
    ids=["missing", "broken YAML", "a list", "empty", "no text"],
)
def test_an_unreadable_fleet_file_fails_the_run_and_hides_no_dag(site, content, said):
    site.fleet_file.unlink()
    if content is not None:
        site.fleet_file.write_bytes(content if isinstance(content, bytes) else content.encode())
    bag = read_dags()
    assert (bag.import_errors, len(bag.dags)) == ({}, len(FILES))
    run = site.run("nightly_backup")
    assert run.state == "failed"
    assert run.states["fleet_file"] == "failed"
    assert said in site.error_of("nightly_backup", "fleet_file")


def test_a_mistake_at_the_top_of_the_fleet_file_fails_every_run_with_its_key(site):
    site.fleet(lambda fleet: fleet.update(late_after_minuts=5))
    for dag_id in ("nightly_backup", "backup_watch"):
        run = site.run(dag_id)
        assert run.state == "failed" and run.states["fleet_file"] == "failed"
        assert "late_after_minuts" in site.error_of(dag_id, "fleet_file")
        assert "Did you mean 'late_after_minutes'?" in site.error_of(dag_id, "fleet_file")
    assert site.run("restore_drill", database="app").state == "failed"


def test_a_bad_entry_fails_its_own_database_only(site):
    def misspell(fleet):
        fleet["databases"][1]["backup"] = {"retention": {"keep_lst": 3}}

    site.fleet(misspell)
    run = site.run("nightly_backup")
    assert run.state == "failed"
    assert [run.states[f"primary.commit[{index}]"] for index in range(3)] == ["success", "upstream_failed", "success"]
    error = run.xcom("report")["databases"]["billing"]["error"]
    assert "keep_lst" in error and "keep_last" in error and str(site.fleet_file) in error
    assert len(site.messages()) == 2
