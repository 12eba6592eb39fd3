"""What the bucket says about itself is read strictly, and only what this project wrote is its own."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pgops.catalog import Catalog, is_backup_id, new_backup_id, time_of
from pgops.errors import Refused
from pgops.storage import NotThere

GOOD = "20261123T020000Z-1f9a3c"


def put(bucket, key: str, body: bytes = b"x") -> None:
    bucket.client.put_object(Bucket=bucket.name, Key=key, Body=body)


def test_ids_sort_by_time_and_do_not_repeat():
    moments = [datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in (1, 9, 10, 23)]
    ids = [new_backup_id(moment) for moment in moments]
    assert sorted(ids) == ids
    assert [time_of(one) for one in ids] == moments
    assert len({new_backup_id(moments[0]) for _ in range(50)}) > 45


@pytest.mark.parametrize("text", ["", "latest", "../20261123T020000Z-1f9a3c", GOOD + "\n", GOOD.lower(), GOOD + "0"])
def test_what_is_no_id_is_refused(text):
    assert not is_backup_id(text)
    with pytest.raises(Refused, match="no backup id"):
        time_of(text)


def test_a_backup_exists_with_its_manifest_and_not_before(bucket):
    catalog = Catalog(bucket, "app")
    put(bucket, catalog.key(GOOD, "dump.zst"))
    put(bucket, catalog.key(GOOD, "draft.json"))
    assert (catalog.backups(), catalog.folders(), catalog.exists(GOOD), catalog.newest()) == ([], [GOOD], False, None)
    put(bucket, catalog.key(GOOD, "manifest.json"))
    assert (catalog.backups(), catalog.exists(GOOD)) == ([GOOD], True)


def test_manifests_that_are_no_backups_are_not_counted(bucket):
    catalog = Catalog(bucket, "app")
    for key in (
        "app/manifest.json",
        "app/old/manifest.json",
        f"app/x/{GOOD}/manifest.json",
        f"app2/{GOOD}/manifest.json",
    ):
        put(bucket, bucket.key(key))
    assert catalog.backups() == []


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b'{"database": "app"}', b"\xff", b'{"a":'])
def test_a_damaged_manifest_is_refused_with_its_place(bucket, body):
    catalog = Catalog(bucket, "app")
    put(bucket, catalog.key(GOOD, "manifest.json"), body)
    with pytest.raises(Refused) as caught:
        catalog.manifest(GOOD)
    assert catalog.key(GOOD, "manifest.json") in caught.value.where


def test_a_missing_manifest_is_named(bucket):
    with pytest.raises(NotThere):
        Catalog(bucket, "app").manifest(GOOD)


def test_only_what_this_project_writes_is_known(bucket):
    catalog = Catalog(bucket, "app")
    own = ["manifest.json", "draft.json", "dump", "dump.zst", "dump.gz.001", "globals.sql.zst"]
    own += ["drills/20261123T020000Z.json"]
    others = ["dump.zst.bak", "dump.zst.1", "manifest.json.old", "drills/x.json", "a/dump.zst", "Dump.zst"]
    for name in own + others:
        put(bucket, catalog.key(GOOD, name))
    known, strange = catalog.contents(GOOD)
    assert set(known) == {catalog.key(GOOD, name) for name in own}
    assert set(strange) == {catalog.key(GOOD, name) for name in others}
