"""Backups that nobody may remove yet: they stay, the report says until when, and no night fails over it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from pgops.catalog import MANIFEST
from pgops.fleet import Retention
from pgops.storage import Bucket, Custody, Lock
from tests.nights import Night, execute
from tests.servers import s3_client
from tests.storage.test_custody import Deleting
from tests.stores import running_moto

KEEP_ONE = Retention(keep_last=1, keep_days=0, keep_weekly=0, keep_monthly=0)


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with running_moto() as endpoint:
        yield endpoint


@pytest.fixture
def locked(database, ledger, moto, request) -> Night:
    client = s3_client(moto, "x", "x")
    name = f"locked-{request.node.name.replace('_', '-')[:40]}"
    client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    execute(database, "CREATE TABLE t AS SELECT 1 AS x")
    custody = Custody(lock=Lock("GOVERNANCE", 7))
    return Night(database, Bucket(client, name, "pre/fix", custody=custody), ledger)


def test_the_dump_the_roles_and_the_manifest_are_locked(locked):
    backup_id = locked.backup().backup_id
    manifest = locked.catalog.manifest(backup_id)
    for key in (*(one.key for one in (*manifest.objects, *manifest.globals)), MANIFEST):
        assert locked.bucket.locked_until(locked.catalog.key(backup_id, key)) is not None
    assert manifest.notes == ()


def test_a_locked_backup_is_not_pruned_and_the_word_is_plain(locked):
    first, second = locked.backup().backup_id, locked.backup().backup_id
    pruned = locked.prune(second, KEEP_ONE)
    assert (pruned.removed, pruned.kept) == ((), 2)
    (sentence,) = pruned.locked
    assert sentence.startswith(f"{first} is locked until ")
    assert locked.catalog.backups() == [first, second]


def test_what_is_no_longer_locked_is_pruned(locked):
    first, second = locked.backup().backup_id, locked.backup().backup_id
    release(locked.bucket)
    assert locked.prune(second, KEEP_ONE).removed == (first,)
    assert locked.catalog.backups() == [second]


def test_a_lock_that_only_the_removal_meets_is_said_and_not_failed_over(locked):
    """The manifest's lock is lifted, the dump's is not, and this store's deletes are final."""
    first, second = locked.backup().backup_id, locked.backup().backup_id
    locked.bucket = Bucket(Deleting(locked.bucket.client), locked.bucket.name, "pre/fix", custody=locked.bucket.custody)
    release(locked.bucket, only=MANIFEST)
    pruned = locked.prune(second, KEEP_ONE)
    assert pruned.removed == (first,), "without its manifest it is no backup any more"
    assert pruned.locked[0].startswith(f"{first} is locked until ")
    third = replace(locked, owner="another-run").backup().backup_id  # and the next night sweeps around what is left
    assert locked.catalog.backups()[-1] == third


def release(bucket: Any, only: str = "") -> None:
    """As whoever has s3:BypassGovernanceRetention lifts a lock."""
    for info in bucket.objects(""):
        if info.key.endswith(only) and bucket.locked_until(info.key):
            bucket.client.put_object_retention(
                Bucket=bucket.name,
                Key=info.key,
                Retention={"Mode": "GOVERNANCE", "RetainUntilDate": info.modified},
                BypassGovernanceRetention=True,
            )
