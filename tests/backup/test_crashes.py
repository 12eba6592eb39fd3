"""Killed at any step: the next run finishes the job, and nothing half-made stays anywhere."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from pgops.errors import PgOpsError, Refused
from pgops.fleet import BackupPolicy, Retention
from pgops.storage import Bucket
from tests.nights import Night, execute
from tests.proxies import bad_network
from tests.servers import eventually, fresh_database, running_postgres, s3_client

ROOT = Path(__file__).parents[2]
LEASE_SECONDS = 2.0

# Each patches one step so that the process is killed there.
POINTS = {
    "in the middle of the dump": """
        read = streams.HashingReader.read
        def killed_read(self, size=-1):
            data = read(self, size)
            if self.bytes > 9 << 20:
                die()
            return data
        streams.HashingReader.read = killed_read
    """,
    "after the upload": "after(Catalog, 'write_draft', before=True)",
    "after the draft": "after(Catalog, 'write_draft')",
    "in the middle of the verification": "after(verify_module, '_feed')",
    "before the manifest": "after(Catalog, 'write_manifest', before=True)",
    "between manifest and ledger": "after(Catalog, 'write_manifest')",
    "before the lease is given back": "after(Ledger, 'record_backup')",
    "in prune, after the manifest is gone": "after(Bucket, 'delete')",
}

DRIVER = """
import json, os, signal, sys
settings = json.loads(os.environ["NIGHT"])
from pgops.catalog import Catalog
from pgops.fleet import BackupPolicy, Retention
from pgops.ledger import Ledger
from pgops.postgres import Dsn
from pgops.storage import Bucket, streams
import pgops.backup
verify_module = sys.modules["pgops.backup.verify"]
from tests.nights import Night
from tests.servers import s3_client

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def after(owner, name, before=False):
    real = getattr(owner, name)
    def killed(*arguments, **named):
        if not before:
            real(*arguments, **named)
        die()
    setattr(owner, name, killed)

night = Night(
    Dsn(**settings["dsn"]), Bucket(s3_client(settings["endpoint"]), settings["bucket"], "pre/fix"),
    Ledger(Dsn(**settings["ledger"])), policy=BackupPolicy(compression="none"), owner="killed",
    lease_seconds=settings["lease_seconds"],
)
if settings["prune"]:
    committed = night.backup()
{patch}
if settings["prune"]:
    night.prune(committed.backup_id, Retention(keep_last=1, keep_days=0, keep_weekly=0, keep_monthly=0))
else:
    night.backup()
"""


def dsn_of(dsn) -> dict[str, object]:
    return {name: getattr(dsn, name) for name in ("host", "port", "dbname", "user", "password")}


def killed_run(night: Night, endpoint: str, point: str) -> None:
    settings = {
        "dsn": dsn_of(night.dsn),
        "ledger": dsn_of(night.ledger.dsn),
        "endpoint": endpoint,
        "bucket": night.bucket.name,
        "lease_seconds": LEASE_SECONDS,
        "prune": "prune" in point,
    }
    done = subprocess.run(
        [sys.executable, "-c", DRIVER.replace("{patch}", textwrap.dedent(POINTS[point]))],
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", "NIGHT": json.dumps(settings)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.fixture
def large_night(night) -> Night:
    """A database whose dump takes several parts."""
    execute(night.dsn, "CREATE TABLE t AS SELECT g, repeat(md5(g::text), 20) AS x FROM generate_series(1, 16000) g")
    return night


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_the_next_run_finishes_what_a_killed_one_left(large_night, s3, point):
    night = large_night
    night.policy = BackupPolicy(compression="none")
    earlier = night.backup()
    kept = {key: night.bucket.head(key)["ContentLength"] for key in night.stored()}
    killed_run(night, s3.endpoint, point)
    died = time.monotonic()
    # Nothing runs on in the database, and its lock is free.
    assert eventually(lambda: night.sessions() == [], 10), night.sessions()
    half_made = [folder for folder in night.catalog.folders() if folder not in night.catalog.backups()]
    assert all(not night.catalog.exists(folder) for folder in half_made)
    # The next run waits for the dead one's lease, no longer.
    following = dataclasses.replace(night, owner="the next run")
    assert eventually(lambda: lease_is_free(following), LEASE_SECONDS + 1)
    assert time.monotonic() - died < 15
    committed = following.backup()
    assert night.catalog.backups()[-1] == committed.backup_id
    assert night.incomplete() == []
    assert unfinished_uploads(night.bucket) == 0
    if "prune" not in point:
        assert {key: night.bucket.head(key)["ContentLength"] for key in kept} == kept
        assert earlier.backup_id in night.catalog.backups()
    assert set(night.catalog.backups()) >= {committed.backup_id}


def lease_is_free(night: Night) -> bool:
    try:
        night.lease.refuse_if_taken()
    except Refused:
        return False
    return True


def unfinished_uploads(bucket: Bucket) -> int:
    try:
        return len(bucket.client.list_multipart_uploads(Bucket=bucket.name).get("Uploads", ()))
    except bucket.client.exceptions.NoSuchUpload:
        return 0


def test_a_retried_commit_finishes_what_a_killed_one_left(large_night, monkeypatch):
    night = large_night
    verified = night.verify(night.dump().backup_id)

    class Killed(BaseException):
        pass

    def killed(*arguments):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(night.ledger, "record_backup", killed)
        with pytest.raises(Killed):
            night.commit(verified)
    assert night.catalog.backups() == [verified.backup_id]
    assert night.commit(verified).backup_id == verified.backup_id
    assert execute(
        night.ledger.dsn, f"SELECT count(*) FROM pgops.backups WHERE backup_id = '{verified.backup_id}'"
    ) == [(1,)]
    assert lease_is_free(dataclasses.replace(night, owner="another"))


# --- what the dump depends on breaks while it runs ---


def test_a_store_that_dies_in_the_middle_of_a_dump(large_night, s3, monkeypatch):
    night = large_night
    good = night.backup()
    with bad_network(s3.port) as network:
        through = dataclasses.replace(
            night,
            bucket=Bucket(s3_client(network.endpoint), night.bucket.name, "pre/fix"),
            policy=BackupPolicy(compression="none"),
        )
        during_the_dump(monkeypatch, network.go_down)
        with pytest.raises(PgOpsError) as caught:
            through.backup()
    assert caught.value.retry
    assert night.catalog.backups() == [good.backup_id]
    assert eventually(lambda: night.sessions() == [], 5)
    monkeypatch.undo()
    night.backup()
    assert night.incomplete() == []
    assert unfinished_uploads(night.bucket) == 0


@pytest.mark.parametrize("mode", ["immediate", "fast"])
def test_a_server_that_restarts_in_the_middle_of_a_dump(bucket, ledger, monkeypatch, mode):
    with running_postgres(15) as server, fresh_database(server) as dsn:
        execute(dsn, "CREATE TABLE t AS SELECT g, repeat(md5(g::text), 20) AS x FROM generate_series(1, 20000) g")
        night = Night(dsn, bucket, ledger, BackupPolicy(compression="none"))
        during_the_dump(monkeypatch, lambda: server.restart(mode))
        with pytest.raises(PgOpsError) as caught:
            night.backup()
        assert caught.value.retry, caught.value
        assert night.catalog.backups() == []
        monkeypatch.undo()
        committed = night.backup()
        assert night.incomplete() == []
        assert night.catalog.backups() == [committed.backup_id]


def during_the_dump(monkeypatch, event) -> None:
    """Make something happen once, after pg_dump gave its first megabytes."""
    module = sys.modules["pgops.backup.dump"]
    real, given, happened = module._Output.read, [0], []

    def read(self, size=-1):
        data = real(self, size)
        given[0] += len(data)
        if given[0] > 2 << 20 and not happened:
            happened.append(True)
            event()
        return data

    monkeypatch.setattr(module._Output, "read", read)


def test_a_fingerprint_that_fails_fails_the_dump_soon(large_night, monkeypatch):
    night = large_night
    module = sys.modules["pgops.backup.dump"]

    def fails(*arguments):
        raise Refused("no fingerprint", where="here", remedy="none")

    monkeypatch.setattr(module, "_fingerprints", fails)
    with pytest.raises(Refused, match="no fingerprint"):
        night.dump()
    monkeypatch.undo()
    assert night.catalog.backups() == []
    night.prune(night.backup().backup_id, Retention())
    assert night.incomplete() == []
