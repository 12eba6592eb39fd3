"""restore_drill from its first task to its verdict, in process, on real servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.dags.conftest import Site, Stand, fresh_site
from tests.inbox import shown

pytestmark = pytest.mark.airflow


@pytest.fixture(scope="module")
def with_backup(stand: Stand, airflow_db: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with one proven backup of the database app."""
    with fresh_site(stand, tmp_path_factory.mktemp("drill")) as site:
        site.back_up("app")
        yield site


def drills(site: Site, backup_id: str) -> list[dict[str, Any]]:
    """The verdicts that lie beside the manifest, oldest first."""
    prefix = site.catalog("app").key(backup_id, "drills")
    return [json.loads(data) for key, data in sorted(site.objects().items()) if key.startswith(prefix)]


def scratch_databases(site: Site) -> list[tuple]:
    return site.stand.postgres.execute("select datname from pg_database where datname like 'pgops%drill%'")


def test_a_drill_restores_compares_and_records_its_verdict(with_backup):
    site = with_backup
    [backup_id] = site.catalog("app").backups()
    before = len(drills(site, backup_id))
    run = site.run("restore_drill", database="app", backup_id="newest")
    assert run.state == "success" and set(run.states.values()) == {"success"}
    verdict = drills(site, backup_id)[-1]
    assert len(drills(site, backup_id)) == before + 1
    assert verdict["passed"] and verdict["failures"] == [] and verdict["rto_seconds"] > 0
    assert [(check["name"], check["passed"]) for check in verdict["checks"]] == [
        ("contents", True),
        ("amcheck", True),
        ("canaries", True),
    ]
    assert site.ledger("select database, backup_id, passed from pgops.drills order by started_at")[-1] == (
        "app",
        backup_id,
        True,
    )
    [message] = site.messages()
    assert backup_id in shown(message) and "app" in shown(message)
    assert scratch_databases(site) == []
    assert site.ledger("select count(*) from pgops.leases where expires_at > now()") == [(0,)]


def test_a_backup_that_differs_from_its_source_fails_the_drill(with_backup):
    """One hash of the manifest is changed, which is what a changed row in the archive would look like."""
    site, catalog = with_backup, with_backup.catalog("app")
    [backup_id] = catalog.backups()
    good = catalog.manifest(backup_id)
    first, *others = (table for table in good.tables if table.rows)
    rest = [table for table in good.tables if not table.rows]
    catalog.write_manifest(replace(good, tables=(replace(first, hash=str(int(first.hash) + 1)), *others, *rest)))
    try:
        run = site.run("restore_drill", database="app", backup_id=backup_id)
    finally:
        catalog.write_manifest(good)
    assert run.state == "failed"
    assert (run.states["compare"], run.states["canaries"], run.states["report"]) == ("failed", "success", "failed")
    assert run.states["drop_scratch"] == "success" and scratch_databases(site) == []
    verdict = drills(site, backup_id)[-1]
    assert not verdict["passed"]
    [failure] = verdict["failures"]
    assert failure.startswith("contents: ") and f"{first.schema}.{first.name}" in failure
    assert site.ledger("select passed from pgops.drills order by started_at")[-1] == (False,)
    alert, report = site.messages()
    assert "compare failed" in shown(alert) and "other contents" in shown(alert)
    assert f"{first.schema}.{first.name}" in shown(report)


def test_a_wrong_canary_fails_the_drill(with_backup):
    site = with_backup
    canaries = site.document["databases"][0]["drill"]["canaries"]
    site.fleet(lambda fleet: canaries.append({"name": "nobody", "sql": "SELECT count(*) FROM users", "expect": -1}))
    try:
        run = site.run("restore_drill", database="app")
    finally:
        site.fleet(lambda fleet: canaries.pop())
    assert (run.state, run.states["canaries"], run.states["compare"]) == ("failed", "failed", "success")
    assert "nobody: the answer is" in shown(site.messages()[-1])
    assert scratch_databases(site) == []


def test_a_drill_of_a_backup_that_is_not_there_is_refused_and_alerts(with_backup):
    site = with_backup
    run = site.run("restore_drill", database="crm")
    assert run.state == "failed"
    assert run.states["prepare"] == run.states["report"] == "failed"
    [alert] = site.messages()
    assert "crm has no backup" in shown(alert) and "Run nightly_backup first" in shown(alert)
    assert scratch_databases(site) == []
