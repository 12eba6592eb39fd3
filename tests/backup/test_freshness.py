"""Whether every database has a young proven backup is seen from outside, with Airflow dead."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from pgops.backup.freshness import freshness, freshness_of
from pgops.catalog import Catalog, Compression, DrillVerdict, Manifest, Verification, new_backup_id
from pgops.fleet import Retention, load_fleet
from pgops.storage import Bucket
from tests.servers import ACCESS_KEY, SECRET_KEY

ROOT = Path(__file__).parents[2]
NOW = datetime.now(UTC)


def fleet_of(bucket: Bucket, tmp_path: Path, *databases: dict) -> Path:
    file = tmp_path / "fleet.yaml"
    document = {
        "storage": {"connection": "s3", "bucket": bucket.name, "prefix": bucket.prefix},
        "ledger": {"connection": "ledger"},
        "servers": [{"name": "primary"}],
        "databases": [{"server": "primary", "connection": "c"} | database for database in databases],
    }
    file.write_text(yaml.safe_dump(document))
    return file


def backup(bucket: Bucket, database: str, hours_ago: float) -> str:
    started = NOW - timedelta(hours=hours_ago)
    manifest = Manifest(
        database=database,
        backup_id=new_backup_id(started),
        started_at=started,
        finished_at=started,
        seconds=1,
        server_version=150018,
        tool_versions={},
        snapshot="s",
        taken_from="primary",
        compression=Compression("zstd", 3),
        storage_class="",
        raw_bytes=1,
        objects=(),
        globals=(),
        tables=(),
    )
    Catalog(bucket, database).write_manifest(replace(manifest, verification=Verification("L3", started, 1, ())))
    return manifest.backup_id


@pytest.fixture
def fleet(bucket, tmp_path) -> Path:
    backup(bucket, "fresh", 30)
    backup(bucket, "fresh", 2)
    backup(bucket, "stale", 27)
    backup(bucket, "tight", 2)
    backup(bucket, "damaged", 30)
    key = Catalog(bucket, "damaged").key(new_backup_id(NOW), "manifest.json")
    bucket.client.put_object(Bucket=bucket.name, Key=key, Body=b'{"database":')
    # A dump of this minute that nobody proved does not count.
    key = Catalog(bucket, "never").key(new_backup_id(NOW), "dump.zst")
    bucket.client.put_object(Bucket=bucket.name, Key=key, Body=b"x")
    return fleet_of(
        bucket,
        tmp_path,
        {"name": "fresh"},
        {"name": "stale"},
        {"name": "tight", "backup": {"rpo_hours": 1}},
        {"name": "damaged"},
        {"name": "never"},
        {"name": "bad", "bakup": {}},
    )


def test_each_database_is_judged_by_its_newest_proven_backup(bucket, fleet):
    found = {one.database: one for one in freshness(load_fleet(fleet), bucket, NOW)}
    assert {name: one.fresh for name, one in found.items()} == {
        "fresh": True,
        "stale": False,
        "tight": False,
        "damaged": False,
        "never": False,
        "bad": False,
    }
    assert found["fresh"].age_hours == pytest.approx(2, abs=0.1)
    assert "27.0 h old, allowed are 26 h" in found["stale"].why
    assert "not JSON" in found["damaged"].why
    assert "no proven backup at all" in found["never"].why
    assert "Did you mean 'backup'" in found["bad"].why


def test_an_age_is_compared_as_it_is_not_rounded(bucket, tmp_path):
    backup(bucket, "tight", 0.004)
    fleet = fleet_of(bucket, tmp_path, {"name": "tight", "backup": {"rpo_hours": 0.001}})
    assert not freshness_of("tight", load_fleet(fleet), bucket, NOW).fresh


def command(s3, fleet: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "plugins"),
        "PGOPS_FLEET": str(fleet),
        "AWS_ENDPOINT_URL_S3": s3.endpoint,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_MAX_ATTEMPTS": "1",
    }
    return subprocess.run(
        [sys.executable, "-m", "pgops.backup.freshness"], env=environ | variables, capture_output=True, text=True
    )


def test_the_command_ends_with_a_json_line_and_its_exit_code_tells(bucket, s3, fleet, tmp_path):
    done = command(s3, fleet)
    answer = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, answer["fresh"], len(answer["databases"])) == (1, False, 6)
    only = fleet_of(bucket, tmp_path, {"name": "fresh"})
    done = command(s3, only)
    assert (done.returncode, json.loads(done.stdout.splitlines()[-1])["fresh"]) == (0, True)


def test_the_command_says_when_the_file_or_the_store_is_the_trouble(bucket, s3, fleet, tmp_path):
    done = command(s3, tmp_path / "nowhere.yaml")
    assert done.returncode == 2
    assert "cannot be read" in done.stderr
    done = command(s3, fleet, AWS_SECRET_ACCESS_KEY="wrong-secret-x")
    assert (done.returncode, json.loads(done.stdout.splitlines()[-1])["fresh"]) == (2, None)
    assert "UNKNOWN" in done.stdout and "SignatureDoesNotMatch" in done.stdout
    assert "Traceback" not in done.stderr
    assert "wrong-secret-x" not in done.stdout + done.stderr


def test_the_command_needs_no_airflow():
    script = "import sys; sys.modules['airflow'] = None; import pgops.backup.freshness, pgops.recovery; print('ran')"
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": str(ROOT / "plugins")}, capture_output=True
    )
    assert done.stdout == b"ran\n", done.stderr


def test_a_backup_that_its_drill_refuted_is_not_the_newest(night, tmp_path):
    older = night.backup()
    newer = night.backup()
    fleet = load_fleet(fleet_of(night.bucket, tmp_path, {"name": night.name}))
    drilled(night, newer.backup_id, passed=False)
    found = freshness_of(night.name, fleet, night.bucket, datetime.now(UTC))
    assert (found.fresh, found.backup_id, found.refuted) == (True, older.backup_id, (newer.backup_id,))
    drilled(night, older.backup_id, passed=False)
    found = freshness_of(night.name, fleet, night.bucket, datetime.now(UTC))
    assert (found.fresh, found.why) == (False, "no backup is left that no drill refuted")
    drilled(night, newer.backup_id, passed=True, later=timedelta(hours=1))
    assert freshness_of(night.name, fleet, night.bucket, datetime.now(UTC)).backup_id == newer.backup_id


def test_the_newest_backup_that_a_drill_restored_is_never_pruned(night):
    restored = night.backup()
    drilled(night, restored.backup_id, passed=True)
    night.backup()
    newest = night.backup()
    nothing_else = Retention(keep_last=1, keep_days=0, keep_weekly=0, keep_monthly=0)
    assert night.prune(newest.backup_id, nothing_else).kept == 2
    assert night.catalog.backups() == [restored.backup_id, newest.backup_id]


def drilled(night, backup_id: str, passed: bool, later: timedelta = timedelta(0)) -> None:
    verdict = DrillVerdict(backup_id, passed, () if passed else ("contents: a row differs",))
    night.catalog.write_drill(backup_id, datetime.now(UTC) + later, verdict)
