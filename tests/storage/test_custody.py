"""What a store is asked for beside keeping bytes: keys that cannot delete, encryption, locks; and what it did."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pgops.storage import Bucket, Custody, Lock, Locked, StorageError
from pgops.storage.bucket import PART_BYTES
from tests.servers import s3_client
from tests.stores import allowing, ask_for_keys, running_moto, user_of

DOCUMENT = Path(__file__).parents[2] / "docs" / "custody.md"
KEY = "arn:aws:kms:us-east-1:123456789012:key/0f0f0f0f-1111-2222-3333-444455556666"


def policy_of_docs(name: str, bucket: str, prefix: str) -> dict[str, Any]:
    """A policy as docs/custody.md gives it."""
    found = re.search(rf"<!-- policy: {name} -->\n```json\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert found is not None
    policy: dict[str, Any] = json.loads(found[1].replace("BUCKET", bucket).replace("PREFIX", prefix))
    return policy


@pytest.fixture
def moto() -> Iterator[str]:
    with running_moto() as endpoint:
        yield endpoint


@pytest.fixture
def users(moto: str) -> dict[str, dict[str, str]]:
    """The two keys of docs/custody.md, and one that may do everything; from now on the store asks for keys."""
    s3_client(moto, "x", "x").create_bucket(Bucket="guarded")
    keys = {name: user_of(moto, name, policy_of_docs(name, "guarded", "pre/fix")) for name in ("writer", "pruner")}
    keys["careless"] = user_of(moto, "careless", allowing("s3:*"))
    ask_for_keys(moto)
    return keys


@pytest.fixture
def guarded(moto: str, users: dict[str, dict[str, str]]) -> Bucket:
    """A bucket with the two keys of docs/custody.md."""
    writer, pruner = s3_client(moto, **users["writer"]), s3_client(moto, **users["pruner"])
    return Bucket(writer, "guarded", "pre/fix", remover=lambda: pruner)


@pytest.fixture
def lockable(moto: str) -> Bucket:
    """A bucket with object lock, in which backups are locked for 30 days."""
    client = s3_client(moto, "x", "x")
    client.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    return Bucket(client, "locked", "pre/fix", custody=Custody(lock=Lock("COMPLIANCE", 30)))


def test_the_writers_key_of_the_docs_writes_and_reads_and_cannot_delete(guarded):
    guarded.upload(guarded.key("a"), io.BytesIO(b"x" * (PART_BYTES + 1)))
    assert guarded.open([guarded.key("a")]).read(1) == b"x"
    with pytest.raises(guarded.client.exceptions.ClientError, match="AccessDenied"):
        guarded.client.delete_object(Bucket=guarded.name, Key=guarded.key("a"))
    assert [info.key for info in guarded.objects("pre/fix/")] == ["pre/fix/a"]


def test_what_is_removed_is_removed_with_the_pruners_key_of_the_docs_which_cannot_write(guarded):
    guarded.put_json(guarded.key("a"), {})
    assert guarded.delete([guarded.key("a")]) == 1
    assert list(guarded.objects("pre/fix/")) == []
    pruner = Bucket(guarded._removing_client, guarded.name, guarded.prefix)
    with pytest.raises(StorageError, match="AccessDenied"):
        pruner.put_json(guarded.key("b"), {})


def test_neither_key_reaches_beyond_its_prefix(guarded):
    with pytest.raises(StorageError, match="AccessDenied"):
        guarded.put_json("other/a", {})
    with pytest.raises(StorageError, match="AccessDenied"):
        guarded.delete(["other/a"])


def test_a_failed_upload_of_a_writer_who_cannot_delete_leaves_no_parts(guarded):
    class Failing(io.BytesIO):
        def read(self, size=-1):
            data = super().read(size)
            if not data:
                raise ValueError("the program failed")
            return data

    with pytest.raises(ValueError, match="the program failed"):
        guarded.upload(guarded.key("a"), Failing(b"x" * (2 * PART_BYTES)))
    assert guarded.client.list_multipart_uploads(Bucket=guarded.name).get("Uploads", []) == []
    guarded.client.create_multipart_upload(Bucket=guarded.name, Key=guarded.key("dead"))
    assert guarded.abort_uploads("pre/fix/") == 1


def test_the_probe_passes_with_two_keys_and_tells_when_the_first_may_delete_too(guarded, moto, users):
    assert guarded.probe() == ()
    pruner = s3_client(moto, **users["pruner"])
    careless = Bucket(s3_client(moto, **users["careless"]), guarded.name, guarded.prefix, remover=lambda: pruner)
    (note,) = careless.probe()
    assert "may delete them too" in note
    assert list(guarded.objects("pre/fix/probe/")) == []


def test_the_pruners_key_is_not_fetched_before_something_is_removed(moto):
    client = s3_client(moto, "x", "x")
    client.create_bucket(Bucket="lazy")
    fetched = []

    def remover():
        fetched.append(1)
        return client

    bucket = Bucket(client, "lazy", remover=remover)
    bucket.put_json("a", {})
    bucket.upload("b", io.BytesIO(b"x"))
    assert fetched == []
    bucket.delete(["a", "b"])
    assert fetched == [1]


@pytest.mark.parametrize(
    "custody", [Custody(sse="AES256"), Custody(sse="aws:kms"), Custody(sse="aws:kms", kms_key_id=KEY)]
)
@pytest.mark.parametrize("count", [3, PART_BYTES + 1])
def test_encryption_by_the_store_is_asked_for_and_read_back(moto, custody, count):
    client = s3_client(moto, "x", "x")
    client.create_bucket(Bucket="sse")
    bucket = Bucket(client, "sse", custody=custody)
    bucket.upload("a", io.BytesIO(b"x" * count))
    bucket.put_json("b", {})
    for key in ("a", "b"):
        head = bucket.head(key)
        assert head["ServerSideEncryption"] == custody.sse
        assert head.get("SSEKMSKeyId", "") == custody.kms_key_id or not custody.kms_key_id
        assert bucket.ignored(key, datetime.now(UTC)) == ()


def test_a_store_that_ignores_what_was_asked_is_told_of_in_plain_words():
    asked = Custody(sse="aws:kms", kms_key_id=KEY, lock=Lock("GOVERNANCE", 30))
    now = datetime.now(UTC)
    assert asked.ignored({}, now, "STANDARD_IA", locked=True) == (
        "the store did not honour the storage class STANDARD_IA: it says STANDARD",
        "the store did not encrypt with aws:kms: it says nothing",
        "the store did not lock the backup: GOVERNANCE for 30 days was asked for",
    )
    other = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "arn:aws:kms:us-east-1:1:key/other"}
    short = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": now + timedelta(days=3)}
    notes = asked.ignored(other | short, now, locked=True)
    assert [note.split(":")[0] for note in notes[:1]] == ["the store encrypted with another key than arn"]
    assert "asked for were 30 days" in notes[1]
    kept = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KEY, **short}
    assert asked.ignored(kept | {"ObjectLockRetainUntilDate": now + timedelta(days=30)}, now, locked=True) == ()


def test_an_alias_of_a_key_is_not_taken_for_another_key():
    asked = Custody(sse="aws:kms", kms_key_id="alias/backups")
    assert asked.ignored({"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KEY}, datetime.now(UTC)) == ()


def test_a_locked_object_is_locked_for_the_days_of_the_policy_and_others_are_not(lockable):
    started = datetime.now(UTC)
    lockable.upload("a", io.BytesIO(b"xxx"), locked=True)
    lockable.put_json("m", {}, locked=True)
    lockable.put_json("free", {})
    for key in ("a", "m"):
        until = lockable.locked_until(key)
        assert until is not None and timedelta(days=29.9) < until - started < timedelta(days=30.1)
        assert lockable.ignored(key, started, locked=True) == ()
    assert lockable.locked_until("free") is None


def test_a_lock_that_a_store_with_locks_forgets_for_uploads_in_parts_is_found_by_reading_back(lockable):
    """As moto does: it takes the lock's headers and keeps them for objects of one part only."""
    lockable.upload("a", io.BytesIO(b"x" * (PART_BYTES + 1)), locked=True)
    (note,) = lockable.ignored("a", datetime.now(UTC), locked=True)
    assert note == "the store did not lock the backup: COMPLIANCE for 30 days was asked for"


def test_a_missing_right_to_delete_is_not_taken_for_a_lock(guarded):
    guarded.put_json(guarded.key("a"), {})
    writer_alone = Bucket(guarded.client, guarded.name, guarded.prefix)
    with pytest.raises(StorageError, match="AccessDenied") as caught:
        writer_alone.delete([guarded.key("a")])
    assert not isinstance(caught.value, Locked)


def test_the_store_refuses_to_remove_a_locked_version_and_the_error_says_that_it_is_locked(lockable):
    lockable.put_json("m", {}, locked=True)
    version = lockable.head("m")["VersionId"]
    final = Bucket(Deleting(lockable.client), lockable.name, custody=lockable.custody)
    with pytest.raises(Locked, match="object lock keeps it until"):
        final.delete(["m"])
    assert lockable.head("m")["VersionId"] == version


class Deleting:
    """A client whose deletes are final, as in a store without delete markers: it names the version."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def delete_object(self, Bucket: str, Key: str) -> Any:
        version = self._client.head_object(Bucket=Bucket, Key=Key)["VersionId"]
        return self._client.delete_object(Bucket=Bucket, Key=Key, VersionId=version)


def test_in_a_bucket_without_object_lock_nothing_fails_and_the_word_is_plain(bucket):
    """The sandbox's store echoes a lock in its answers and keeps none."""
    asked = Bucket(bucket.client, bucket.name, bucket.prefix, custody=Custody(lock=Lock("GOVERNANCE", 1)))
    started = datetime.now(UTC)
    asked.upload("a", io.BytesIO(b"x"), locked=True)
    assert not asked.locks
    assert asked.ignored("a", started, locked=True) == (
        "this bucket has no object lock: whoever may delete can delete this backup",
    )
    assert asked.locked_until("a") is None
    asked.delete(["a"])
