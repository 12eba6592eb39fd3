"""A manifest alone does not make a backup, nor a fresh one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pgops.backup.freshness import freshness_of
from pgops.backup.sweep import sweep_incomplete
from pgops.catalog import Catalog
from pgops.errors import LostOwnership
from pgops.fleet import load_fleet


def test_a_dump_that_is_swept_up_while_its_manifest_is_written_is_no_backup(night, monkeypatch):
    """The store is slow, the lease runs out, another run takes over: the check of the lease was a moment too early."""
    verified = night.verify(night.dump().backup_id)
    write = Catalog.write_manifest

    def slow(catalog, manifest):
        sweep_incomplete(catalog)
        write(catalog, manifest)

    monkeypatch.setattr(Catalog, "write_manifest", slow)
    with pytest.raises(LostOwnership):
        night.commit(verified)
    assert night.catalog.backups() == []


def test_a_damaged_manifest_of_last_night_does_not_hold_up_tonights_backup(night):
    first = night.backup()
    key = night.catalog.key(first.backup_id, "manifest.json")
    night.bucket.client.put_object(Bucket=night.bucket.name, Key=key, Body=b"{}")
    assert night.backup().change is None


def test_a_backup_whose_dump_was_removed_is_not_fresh(night):
    """A lifecycle rule removes objects by age or size, and leaves what it does not match."""
    committed = night.backup()
    fleet = load_fleet()
    assert freshness_of("app", fleet, night.bucket, datetime.now(UTC)).fresh
    night.bucket.client.delete_object(Bucket=night.bucket.name, Key=night.catalog.key(committed.backup_id, "dump.zst"))
    found = freshness_of("app", fleet, night.bucket, datetime.now(UTC))
    assert not found.fresh
    assert "dump.zst is missing" in found.why


def test_a_backup_from_the_future_is_not_fresh(night):
    """Else a clock that was wrong once keeps the watch quiet for as long as it was wrong."""
    night.backup()
    found = freshness_of("app", load_fleet(), night.bucket, datetime.now(UTC) - timedelta(days=365))
    assert not found.fresh
    assert "in the future" in found.why
