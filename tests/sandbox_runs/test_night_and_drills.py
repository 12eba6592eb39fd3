"""A night in the running sandbox, and the drills that its backups start."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from pgops.catalog import new_backup_id
from sandbox.rest import ApiError
from sandbox.sample import DATABASES
from tests.inbox import shown
from tests.servers import eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


def partition_keys(house) -> Counter:
    return Counter(run["partition_key"] for run in house.runs("restore_drill"))


@pytest.fixture(scope="module")
def night(house):
    """One night, with restore_drill waiting for its backups."""
    house.pause("restore_drill", False)
    code, outcome = house.run("nightly_backup")
    assert code == 0, outcome
    return outcome


def test_a_night_ends_with_its_outcome_as_one_line(house, night):
    assert night["state"] == "success" and set(night["tasks"].values()) == {"success"}
    assert night["result"]["failed"] == []
    for database in DATABASES:
        backup = night["result"]["databases"][database]["backup"]
        assert house.catalog(database).backups()[-1] == backup["backup_id"]
        assert backup["level"] == "L3"
        assert night["tasks"][f"primary.dump[{database}]"] == "success"
    assert any(all(database in shown(message) for database in DATABASES) for message in house.messages())


def test_each_backup_is_drilled_once(house, night):
    expected = {f"{database}/{house.catalog(database).backups()[-1]}" for database in DATABASES}
    assert eventually(lambda: expected <= set(partition_keys(house)), 60), partition_keys(house)
    assert eventually(lambda: _ended_well(house, expected) == len(expected), 240), house.runs("restore_drill")
    assert {partition_keys(house)[key] for key in expected} == {1}
    drilled = house.ledger("select database || '/' || backup_id, passed from pgops.drills")
    assert {(key, True) for key in expected} <= set(drilled) and len(drilled) == len(set(drilled))


def test_clearing_the_report_repeats_no_work(house, night):
    run_id = night["run_id"]
    before = house.tasks("nightly_backup", run_id)
    backups = {database: house.catalog(database).backups() for database in DATABASES}
    told = len(house.messages())
    cleared = {"dry_run": False, "dag_run_id": run_id, "task_ids": ["report"], "only_failed": False}
    house.api.post("/dags/nightly_backup/clearTaskInstances", cleared)
    eventually(lambda: house.tasks("nightly_backup", run_id)["report"]["try_number"] == 2, 30)
    assert house.wait("nightly_backup", run_id, 60) == "success"
    after = house.tasks("nightly_backup", run_id)
    assert {label for label in after if after[label]["try_number"] != before[label]["try_number"]} == {"report"}
    assert {database: house.catalog(database).backups() for database in DATABASES} == backups
    assert len(house.messages()) == told + 1


def test_ten_backups_at_once_are_ten_drills(house, night):
    """Plain asset events were seen to be lost in a burst; ones with a partition key must not be."""
    catalog = house.catalog("crm")
    manifest = catalog.newest()
    ids = [new_backup_id(manifest.started_at - timedelta(hours=hours)) for hours in range(1, 11)]
    for backup_id in ids:
        for key in catalog.keys(manifest.backup_id, manifest.objects + manifest.globals):
            source = {"Bucket": catalog.bucket.name, "Key": key}
            target = key.replace(manifest.backup_id, backup_id)
            catalog.bucket.client.copy_object(Bucket=catalog.bucket.name, Key=target, CopySource=source)
        catalog.write_manifest(replace(manifest, backup_id=backup_id))
    before = partition_keys(house)
    run_id = house.trigger("ten_at_once", keys=[f"crm/{backup_id}" for backup_id in ids])
    assert house.wait("ten_at_once", run_id) == "success"
    expected = Counter(f"crm/{backup_id}" for backup_id in ids)
    assert eventually(lambda: partition_keys(house) - before == expected, 60), partition_keys(house)
    try:
        assert eventually(lambda: _ended_well(house, expected) >= 1, 120), "and they are worked off"
        assert partition_keys(house) - before == expected
    finally:
        house.pause("restore_drill")  # the others would take minutes
        for run in house.runs("restore_drill"):
            if run["state"] not in ("success", "failed"):
                house.api.patch(f"/dags/restore_drill/dagRuns/{run['dag_run_id']}", {"state": "failed"})


def _ended_well(house, keys) -> int:
    return sum(run["state"] == "success" for run in house.runs("restore_drill") if run["partition_key"] in keys)


@pytest.mark.parametrize("user", ["viewer", "op"])
def test_a_viewer_may_not_trigger_an_operator_may(house, user):
    api = house.as_user(user)
    body = {"logical_date": None, "conf": {"keys": []}}
    if user == "viewer":
        with pytest.raises(ApiError) as refused:
            api.post("/dags/ten_at_once/dagRuns", body)
        assert refused.value.status == 403
    else:
        assert api.post("/dags/ten_at_once/dagRuns", body)["dag_run_id"]
