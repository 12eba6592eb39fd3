"""What the last look before a deployment says, and that what it advises helps."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pgops.errors import Refused
from pgops.fleet import load_fleet
from pgops.migration.proof.compare import take
from pgops.migration.scripts.sources import chosen, migrations_in
from pgops.migration.verdict.records import Verdict
from pgops.operators import resources
from pgops.operators.deployment.checklist import CheckAgainOperator
from pgops.operators.results import to_xcom
from tests.dags.conftest import Site
from tests.migration.deployments import run

pytestmark = pytest.mark.airflow
ROOT = Path(__file__).parents[2]
HISTORY = migrations_in(ROOT / "include" / "migrations" / "app")


@pytest.fixture
def look(site: Site):
    """Looks before a version is deployed; production is as it was rehearsed, but for what `changes` do."""
    production = site.dsn("pg_app_owner")
    fleet = load_fleet()
    settings = fleet.checked_settings()
    bucket, ledger = resources.bucket(settings), resources.ledger(settings)
    before = json.loads(take(production, (), dump=False).to_json())

    def look(version: str, *changes: str) -> dict[str, Any]:
        verdict = Verdict(version, chosen(HISTORY, version).checksum, True, (), bucket.key("app", "v"), None)
        for when in ("before", "after"):
            bucket.put_json(f"{verdict.folder}/{when}.json", before)
        facts = {"database": "app", "version": version, "checksum": "c", "requested_by": "ann", "forecast": "null"}
        ledger.rows("begin_deployment", run_id=version, **facts)
        ledger.rows("approve_deployment", run_id=version, approved_by="op")
        for change in changes:
            site.stand.postgres.execute(change, "app")
        left = SimpleNamespace(xcom_pull=lambda task_ids: to_xcom(verdict))
        task = CheckAgainOperator(task_id="check_again", database="app", version=version)
        found = {"run_id": version, "ti": left, "dag": SimpleNamespace(dag_id="migration_deploy")}
        found["dag_run"] = SimpleNamespace(triggering_user_name="ann")
        try:
            return task.work(found, fleet, fleet.database("app"))
        finally:
            resources.deploy_lease(settings, fleet.database("app"), found).release()

    yield look
    site.stand.postgres.execute("drop table if exists drifted", "app")
    if site.stand.postgres.execute("select to_regclass('user_preferences')", "app") != [(None,)]:
        run(production, chosen(HISTORY, "001"), "rollback")


def test_production_as_rehearsed_passes(look):
    assert look("001")["passed"]


def test_drift_is_told_with_how_to_get_rid_of_it(look):
    with pytest.raises(Refused, match="drifted") as caught:
        look("001", "create table drifted (id int)")
    assert "refresh" in caught.value.remedy


def test_where_an_earlier_version_is_missing_that_one_is_to_be_deployed_first(look):
    with pytest.raises(Refused, match="drifted") as caught:
        look("002", "create table drifted (id int)")
    assert "on top of 001" in caught.value.remedy and "deploy that first" in caught.value.remedy


def test_what_is_there_already_is_said_to_be_there(look, site):
    run(site.dsn("pg_app_owner"), chosen(HISTORY, "001"))
    with pytest.raises(Refused, match="001 is deployed already"):
        look("001")
