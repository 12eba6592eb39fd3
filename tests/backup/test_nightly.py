"""The whole way from dump to prune, and that a backup exists only when it is proven."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from pgops.backup import commit, verify
from pgops.backup.sweep import sweep_incomplete
from pgops.catalog import Catalog, new_backup_id
from pgops.errors import LostOwnership, PgOpsError, Refused
from pgops.fleet import BackupPolicy, LocalCopy, Retention
from pgops.ledger import Lease
from pgops.postgres import connect
from pgops.storage import Bucket
from tests.nights import SAMPLE, Night, execute

NEWEST_ONLY = Retention(keep_last=1, keep_days=0, keep_weekly=0, keep_monthly=0)


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
def test_a_night_ends_with_one_proven_backup(each_night, compression):
    night = dataclasses.replace(each_night, policy=BackupPolicy(compression=compression))
    execute(night.dsn, *SAMPLE)
    first = night.backup()
    second = night.backup()
    assert night.catalog.backups() == [first.backup_id, second.backup_id]
    pruned = night.prune(second.backup_id, NEWEST_ONLY)
    assert pruned.removed == (first.backup_id,)
    suffix = {"zstd": ".zst", "gzip": ".gz", "none": ""}[compression]
    folder = f"pre/fix/app/{second.backup_id}"
    assert night.stored() == [f"{folder}/dump{suffix}", f"{folder}/globals.sql{suffix}", f"{folder}/manifest.json"]
    manifest = night.catalog.manifest(second.backup_id)
    rows = {(table.schema, table.name): table.rows for table in manifest.tables}
    assert rows[("public", "orders")] == 3000
    assert rows[('Odd "Schema" ü', "line\nbreak. (x)")] == 2
    assert (rows[("public", "no_columns")], rows[("public", "no_rows")]) == (1, 0)
    assert (rows[("public", "parent")], rows[("public", "child")]) == (1, 2)  # FROM ONLY
    assert rows[("public", "secured")] == 2
    assert manifest.large_objects.count == 3
    assert "pg_trgm" in manifest.extensions
    assert manifest.verification.level == "L3"
    assert second.change == pytest.approx(0, abs=2)
    assert night.sessions() == []


def test_an_empty_database_is_backed_up_too(each_night):
    assert each_night.backup().tables == 0


def test_a_dump_that_takes_several_objects_is_proven(night):
    execute(night.dsn, *SAMPLE)
    night.bucket = Bucket(night.bucket.client, night.bucket.name, "pre/fix", object_bytes=20_000)
    committed = night.backup()
    assert len(night.catalog.manifest(committed.backup_id).objects) > 3


def test_rows_that_are_inserted_meanwhile_are_in_neither_dump_nor_fingerprint(night, monkeypatch):
    """The pairing is real: with two snapshots the counts would differ, and verify would refuse."""
    execute(night.dsn, "CREATE TABLE t AS SELECT g FROM generate_series(1, 1000) g")
    dump_module = sys.modules["pgops.backup.dump"]
    fingerprints = dump_module._fingerprints

    def late(*arguments):
        execute(night.dsn, "INSERT INTO t SELECT generate_series(1, 500)", "DELETE FROM t WHERE g = 7")
        return fingerprints(*arguments)

    monkeypatch.setattr(dump_module, "_fingerprints", late)
    committed = night.backup()
    assert committed.rows == 1000
    assert execute(night.dsn, "SELECT count(*) FROM t")[0][0] > 1000


def test_nothing_exists_before_it_is_verified(night):
    execute(night.dsn, "CREATE TABLE t AS SELECT 1 AS x")
    dumped = night.dump()
    assert night.catalog.backups() == []
    assert not night.catalog.exists(dumped.backup_id)
    verified = night.verify(dumped.backup_id)
    assert night.catalog.backups() == []
    night.commit(verified)
    assert night.catalog.backups() == [dumped.backup_id]


def test_committing_twice_changes_nothing(night):
    dumped = night.dump()
    verified = night.verify(dumped.backup_id)
    first = night.commit(verified)
    keys = night.stored()
    assert night.commit(verified) == first
    assert night.stored() == keys
    assert execute(night.ledger.dsn, f"SELECT count(*) FROM pgops.backups WHERE backup_id = '{first.backup_id}'") == [
        (1,)
    ]


def test_a_run_whose_lease_was_taken_commits_nothing(night):
    night.lease_seconds = 0.5
    verified = night.verify(night.dump().backup_id)
    time.sleep(0.6)
    Lease(night.ledger, night.lease.name, "the next run").take()
    with pytest.raises(LostOwnership):
        night.commit(verified)
    assert night.catalog.backups() == []


def test_two_runs_at_once_make_one_backup(night):
    execute(night.dsn, *SAMPLE)
    outcomes, barrier = [], threading.Barrier(2)

    def run(one: Night) -> None:
        barrier.wait()
        try:
            outcomes.append(one.backup().backup_id)
        except Refused as error:
            outcomes.append(error)

    threads = [threading.Thread(target=run, args=(dataclasses.replace(night, owner=owner),)) for owner in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert night.catalog.backups() == sorted(made)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    assert all(error.retry and "at work" in error.what for error in refused)
    assert made


def test_a_second_airflow_with_another_ledger_is_refused_by_the_advisory_lock(night):
    with pytest.raises(Refused, match="Another session is dumping"):
        _dump_while(night, "SELECT pg_advisory_lock(hashtextextended('pgops.backup.' || current_database(), 0))")
    assert night.catalog.folders() == []
    night.backup()  # the lease was given back


def _dump_while(night: Night, statement: str) -> None:
    with connect(night.dsn, "other") as other:
        other.cursor().execute(statement)
        night.dump()


@pytest.mark.slow
def test_a_table_that_somebody_locks_ends_the_dump_in_time(night):
    execute(night.dsn, "CREATE TABLE t ()")
    night.policy = BackupPolicy(lock_wait_seconds=1)
    started = time.monotonic()
    with pytest.raises(PgOpsError, match="lock timeout"):
        _dump_while(night, "BEGIN; LOCK TABLE t")
    assert time.monotonic() - started < 30


def test_strange_objects_are_never_deleted(night):
    old = new_backup_id(datetime.now(UTC) - timedelta(days=3))
    strange = [
        night.catalog.key(old, "notes.txt"),
        night.catalog.key(old, "dump.zst.bak"),
        night.catalog.key("not-an-id", "dump.zst"),
        night.bucket.key("app", "readme"),
        night.bucket.key("app2", old, "dump.zst"),
    ]
    for key in [*strange, night.catalog.key(old, "dump.zst"), night.catalog.key(old, "drills/20260101T000000Z.json")]:
        night.bucket.client.put_object(Bucket=night.bucket.name, Key=key, Body=b"x")
    first = night.backup()  # sweeps
    assert set(strange) <= set(night.stored())
    assert night.catalog.key(old, "dump.zst") not in night.stored()
    night.bucket.client.put_object(
        Bucket=night.bucket.name, Key=night.catalog.key(first.backup_id, "mine.txt"), Body=b"x"
    )
    pruned = night.prune(night.backup().backup_id, NEWEST_ONLY)
    assert pruned.strange == (night.catalog.key(first.backup_id, "mine.txt"),)
    assert {*strange, *pruned.strange} <= set(night.stored())


# --- prune ---


def test_a_dry_run_removes_nothing_and_says_what_it_would(night):
    first, second = night.backup(), night.backup()
    keys = night.stored()
    pruned = night.prune(second.backup_id, NEWEST_ONLY, dry_run=True)
    assert (pruned.removed, pruned.kept) == ((first.backup_id,), 1)
    assert night.stored() == keys


def test_nothing_is_pruned_unless_tonights_backup_is_the_newest(night):
    first, second = night.backup(), night.backup()
    for tonight in (first.backup_id, new_backup_id()):
        with pytest.raises(Refused, match="not the newest"):
            night.prune(tonight, NEWEST_ONLY)
    assert night.catalog.backups() == [first.backup_id, second.backup_id]


def test_nothing_is_pruned_when_tonights_manifest_is_damaged(night):
    _, second = night.backup(), night.backup()
    key = night.catalog.key(second.backup_id, "manifest.json")
    night.bucket.client.put_object(Bucket=night.bucket.name, Key=key, Body=b"{}")
    with pytest.raises(Refused, match="no manifest"):
        night.prune(second.backup_id, NEWEST_ONLY)
    assert len(night.catalog.backups()) == 2


def test_what_was_pruned_stands_in_the_ledger(night):
    first, second = night.backup(), night.backup()
    night.prune(second.backup_id, NEWEST_ONLY)
    rows = execute(
        night.ledger.dsn,
        "SELECT backup_id, pruned_at IS NOT NULL FROM pgops.backups"
        f" WHERE backup_id IN ('{first.backup_id}', '{second.backup_id}') ORDER BY backup_id",
    )
    assert rows == sorted([(first.backup_id, True), (second.backup_id, False)])


def test_a_failed_dump_ends_its_fingerprints_too(night, failing_pg_dump):
    """Else the failure of a dump is known hours later, when the last table was read."""
    execute(
        night.dsn,
        "CREATE TABLE slow AS SELECT 1 AS x",
        "CREATE EXTENSION pg_trgm",
        "ALTER EXTENSION pg_trgm ADD TABLE slow",
        "UPDATE pg_extension SET extconfig = ARRAY['slow'::regclass::oid],"
        " extcondition = ARRAY['WHERE pg_sleep(60) IS NOT NULL'] WHERE extname = 'pg_trgm'",
    )
    started = time.monotonic()
    with failing_pg_dump("sleep 1; echo 'disk on fire' >&2; exit 3"), pytest.raises(PgOpsError, match="disk on fire"):
        night.dump()
    assert time.monotonic() - started < 20
    assert night.sessions() == []


# --- the local copy ---


def test_the_local_copy_is_the_stored_dump_and_old_ones_go_after_success(night, tmp_path, failing_pg_dump):
    night.policy = BackupPolicy(local_copy=LocalCopy(directory=str(tmp_path), keep_days=7))
    folder = tmp_path / "app"
    folder.mkdir()
    old, young = (folder / f"{new_backup_id(datetime.now(UTC) - timedelta(days=d))}.dump.zst" for d in (9, 3))
    dead = folder / f"{new_backup_id()}.dump.zst.partial"
    strange = folder / "keep-me.dump"
    for path, days in ((old, 9), (young, 3), (dead, 9), (strange, 99)):
        path.write_bytes(b"x")
        os.utime(path, (time.time() - days * 86400,) * 2)
    with failing_pg_dump("echo 'disk on fire' >&2; exit 3"), pytest.raises(PgOpsError, match="disk on fire"):
        night.dump()
    assert old.exists()  # a night that fails removes nothing
    dumped = night.dump()
    copy = folder / f"{dumped.backup_id}.dump.zst"
    assert sorted(folder.iterdir()) == sorted([copy, young, strange])
    assert copy.read_bytes() == night.bucket.open([night.catalog.key(dumped.backup_id, "dump.zst")]).read()
    assert copy.stat().st_mode & 0o077 == 0


def test_a_full_disk_costs_the_local_copy_and_not_the_backup(night, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small]).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        execute(night.dsn, *SAMPLE)
        night.policy = BackupPolicy(local_copy=LocalCopy(directory=str(small)), compression="none")
        committed = night.backup()
        assert any("no local copy could be kept: No space left" in note for note in committed.notes)
        assert list((small / "app").iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True)


def test_an_unwritable_folder_costs_the_local_copy_and_not_the_backup(night, tmp_path):
    (tmp_path / "file").write_text("")
    night.policy = BackupPolicy(local_copy=LocalCopy(directory=str(tmp_path / "file")))
    assert any("no local copy" in note for note in night.backup().notes)


# --- the manifest ---


def test_the_manifest_alone_says_what_is_stored(night):
    execute(night.dsn, *SAMPLE)
    committed = night.backup()
    manifest = json.loads(night.bucket.open([night.catalog.key(committed.backup_id, "manifest.json")]).read())
    for stored in [*manifest["objects"], *manifest["globals"]]:
        data = night.bucket.open([night.catalog.key(committed.backup_id, stored["key"])]).read()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (stored["bytes"], stored["sha256"])
    assert night.catalog.newest().backup_id == committed.backup_id


def test_another_databases_manifest_is_refused(night):
    committed = night.backup()
    body = night.bucket.open([night.catalog.key(committed.backup_id, "manifest.json")]).read()
    other = Catalog(night.bucket, "crm")
    night.bucket.client.put_object(
        Bucket=night.bucket.name, Key=other.key(committed.backup_id, "manifest.json"), Body=body
    )
    with pytest.raises(Refused, match="This manifest is of app"):
        other.manifest(committed.backup_id)


def test_a_lease_that_another_run_took_ends_verify(night):
    dumped = night.dump()
    night.lease.release()
    Lease(night.ledger, night.lease.name, "another run").take()
    with pytest.raises(LostOwnership):
        verify(night.catalog, dumped.backup_id, night.lease)


def test_a_lease_that_nobody_took_meanwhile_is_taken_again(night):
    dumped = night.dump()
    night.lease.release()
    assert verify(night.catalog, dumped.backup_id, night.lease).backup_id == dumped.backup_id


def test_a_dump_that_another_run_swept_up_cannot_be_committed(night):
    dumped = night.dump()
    verified = verify(night.catalog, dumped.backup_id, night.lease)
    night.lease.release()
    other = Lease(night.ledger, night.lease.name, "another run")
    other.take()
    sweep_incomplete(night.catalog)
    other.release()
    with pytest.raises(LostOwnership, match="swept up by another run"):
        commit(night.catalog, verified, night.ledger, night.lease)
    assert night.catalog.backups() == []


def test_a_fingerprint_that_fails_first_is_named_and_not_the_snapshot_it_took_along(
    night, failing_pg_dump, monkeypatch
):
    def fails(connection):
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")

    monkeypatch.setattr(sys.modules["pgops.backup.dump"], "large_objects", fails)
    with failing_pg_dump('sleep 1; exec $REAL "$@"'), pytest.raises(PgOpsError, match="division by zero"):
        night.dump()
    assert night.sessions() == []
