"""A bucket and the prefix in it that belongs to this project.

No store is trusted: what must be right is read back, and hashes are this project's own. A stream of unknown length is
uploaded in parts of one constant size, so the memory a worker needs does not grow with the database.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from boto3.s3.transfer import TransferConfig, create_transfer_manager
from botocore.exceptions import ClientError
from urllib3.exceptions import ProtocolError

from pgops.errors import Refused
from pgops.storage.custody import Custody
from pgops.storage.errors import CUT_CONNECTION, Locked, NotThere, StorageError, explained
from pgops.storage.streams import HashingReader, Peekable, Reader

log = logging.getLogger(__name__)

PART_BYTES = 8 << 20
# S3 allows 10,000 parts; a longer stream becomes several objects.
OBJECT_BYTES = 9_000 * PART_BYTES
_PARTS_IN_FLIGHT = 4
_READ_ATTEMPTS = 5
_NOTHING_ASKED = Custody()


@dataclass(frozen=True)
class StoredObject:
    """An object as it was written: its full key, its length, and the hash of what was sent."""

    key: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ObjectInfo:
    """An object as the store lists it."""

    key: str
    bytes: int
    modified: datetime


class Bucket:
    """Objects below `prefix` in one bucket.

    Args:
        client: a boto3 S3 client.
        name: the bucket.
        prefix: without slashes around it; may be empty.
        object_bytes: a stream longer than this becomes several objects.
        custody: how the store is asked to keep what is written.
        remover: makes the client that deletes, when there is first something to delete; `client` does where there is
            none. Then the key that writes needs no right to delete.
    """

    def __init__(
        self,
        client: Any,
        name: str,
        prefix: str = "",
        *,
        object_bytes: int = OBJECT_BYTES,
        custody: Custody = _NOTHING_ASKED,
        remover: Callable[[], Any] | None = None,
    ) -> None:
        self.client = client
        self.name = name
        self.prefix = prefix
        self._object_bytes = object_bytes
        self.custody = custody
        self._remover = remover

    @cached_property
    def _removing_client(self) -> Any:
        return self._remover() if self._remover else self.client

    @cached_property
    def locks(self) -> bool:
        """Whether this bucket has object lock: a store may accept a lock, echo it, and keep none.

        Whoever may not ask believes what the store says of each object.
        """
        with explained("asking for the bucket's object lock", self.where()):
            try:
                answer = self.client.get_object_lock_configuration(Bucket=self.name)
            except ClientError as error:
                if _code(error) in ("SlowDown", "ServiceUnavailable", "InternalError"):
                    raise
                return _code(error) in ("AccessDenied", "403")
        return (answer.get("ObjectLockConfiguration") or {}).get("ObjectLockEnabled") == "Enabled"

    def _arguments(self, storage_class: str = "", *, locked: bool = False) -> dict[str, Any]:
        lock = locked and self.custody.lock is not None and self.locks
        return self.custody.arguments(datetime.now(UTC), storage_class, locked=lock)

    def ignored(
        self, key: str, written_at: datetime, storage_class: str = "", *, locked: bool = False
    ) -> tuple[str, ...]:
        """What the store did not do of what it was asked for an object, in plain words; by reading back."""
        lock = self.custody.lock
        if locked and lock is not None and not self.locks:
            notes = self.custody.ignored(self.head(key), written_at, storage_class)
            return (*notes, "this bucket has no object lock: whoever may delete can delete this backup")
        return self.custody.ignored(self.head(key), written_at, storage_class, locked=locked)

    def locked_until(self, key: str) -> datetime | None:
        """Until when the store lets nobody remove an object; None when it is not locked."""
        head = self.head(key)
        until: datetime | None = head.get("ObjectLockRetainUntilDate")
        if head.get("ObjectLockMode") is None or until is None or until <= datetime.now(UTC) or not self.locks:
            return None
        return until

    def where(self, key: str = "") -> str:
        """s3://bucket/key, as errors name it."""
        return f"s3://{self.name}/{key or self.prefix}"

    def key(self, *parts: str) -> str:
        """A full key from its parts below the prefix."""
        return "/".join(part for part in (self.prefix, *parts) if part)

    def probe(self) -> tuple[str, ...]:
        """Write, read and delete a small object, so that a wrong key, a missing right and a missing bucket show now.

        Returns:
            What the store does otherwise than it was asked to, in plain words.

        Raises:
            StorageError: which of them it is, and what to do.
        """
        with explained("reaching the bucket", self.where()):
            try:
                self.client.list_objects_v2(Bucket=self.name, Prefix=self.key("probe/"), MaxKeys=1)
            except ClientError as error:
                # A writer's key may lack the right to list; every other answer is final.
                if _code(error) != "AccessDenied":
                    raise
        key = self.key("probe", secrets.token_hex(8))
        body = secrets.token_bytes(64)
        with explained("writing a probe object", self.where(key)):
            self.client.put_object(Bucket=self.name, Key=key, Body=body, **self._arguments())
        with explained("reading the probe object back", self.where(key)):
            back = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        notes = self._whether_the_writer_may_delete(key) if self._remover else ()
        with explained("deleting the probe object", self.where(key)):
            self._removing_client.delete_object(Bucket=self.name, Key=key)
        if back != body:
            raise Refused(
                "The store returned other bytes than were written",
                where=self.where(key),
                remedy="Do not use this store for backups; look for a proxy or cache in front of it",
            )
        return notes

    def _whether_the_writer_may_delete(self, key: str) -> tuple[str, ...]:
        """A second key for pruning protects nothing as long as the first one may delete too."""
        with explained("trying whether the writer's key may delete", self.where(key)):
            try:
                self.client.delete_object(Bucket=self.name, Key=key)
            except ClientError as error:
                if _code(error) in ("AccessDenied", "403"):
                    return ()
                raise
        return ("the key that writes backups may delete them too: prune_connection protects nothing",)

    def upload(
        self, key: str, source: Reader, storage_class: str = "", *, locked: bool = False
    ) -> tuple[StoredObject, ...]:
        """Stream `source` to `key` (and `key`.001, .002, ... where one object cannot hold it).

        If reading fails the upload is aborted and nothing is visible of that object.

        Args:
            key: a full key.
            source: the stream.
            storage_class: the bucket's default when it is empty.
            locked: whether the policy's object lock holds for it.
        """
        extra = self._arguments(storage_class, locked=locked)
        config = TransferConfig(
            multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=_PARTS_IN_FLIGHT
        )
        config.max_in_memory_upload_chunks = _PARTS_IN_FLIGHT
        stream = Peekable(source)
        stored: list[StoredObject] = []
        while not stored or not stream.at_end():
            part_key = f"{key}.{len(stored):03d}" if stored else key
            reader = HashingReader(stream, self._object_bytes)
            with explained("uploading", self.where(part_key)), create_transfer_manager(self.client, config) as manager:
                body = _UntilFailed(reader)
                body.transfer = manager.upload(body, self.name, part_key, extra_args=extra)  # type: ignore[arg-type]
                body.transfer.result()
            stored.append(StoredObject(part_key, reader.bytes, reader.sha256))
        return tuple(stored)

    def open(self, keys: Sequence[str]) -> ObjectReader:
        """The bytes of one or several objects in order, surviving a cut connection."""
        return ObjectReader(self, keys)

    def put_json(self, key: str, value: Any, *, locked: bool = False) -> StoredObject:
        """Write a JSON object and read it back."""
        body = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
        return self.put(key, body, "application/json", locked=locked)

    def put(self, key: str, body: bytes, content_type: str, *, locked: bool = False) -> StoredObject:
        """Write a small object and read it back."""
        with explained("writing", self.where(key)):
            self.client.put_object(
                Bucket=self.name, Key=key, Body=body, ContentType=content_type, **self._arguments(locked=locked)
            )
        if self._get(key) != body:
            raise Refused(
                "The store returned another object than was written",
                where=self.where(key),
                remedy="Look for another writer of this key, or a cache in front of the store",
            )
        return StoredObject(key, len(body), hashlib.sha256(body).hexdigest())

    def get_json(self, key: str) -> Any:
        """Read a JSON object.

        Raises:
            NotThere: there is none.
            Refused: it is not JSON.
        """
        body = self._get(key)
        try:
            return json.loads(body)
        except ValueError as error:
            raise Refused(
                f"This object is not JSON: {error}",
                where=self.where(key),
                remedy="It is damaged or was written by something else: look at it before removing it",
            ) from error

    def _get(self, key: str) -> bytes:
        return self.open([key]).read()

    def head(self, key: str) -> dict[str, Any]:
        """What the store says about an object."""
        with explained("looking at", self.where(key)):
            answer: dict[str, Any] = self.client.head_object(Bucket=self.name, Key=key)
        return answer

    def objects(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object below a full-key prefix."""
        with explained("listing", self.where(prefix)):
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
                for entry in page.get("Contents", ()):
                    yield ObjectInfo(entry["Key"], entry["Size"], entry["LastModified"])

    def folders(self, prefix: str) -> list[str]:
        """Names of the "folders" directly below a full-key prefix that ends with a slash."""
        found: list[str] = []
        with explained("listing", self.where(prefix)):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.name, Prefix=prefix, Delimiter="/"
            )
            for page in pages:
                found += [entry["Prefix"][len(prefix) :].rstrip("/") for entry in page.get("CommonPrefixes", ())]
        return found

    def delete(self, keys: Iterable[str]) -> int:
        """Delete objects one by one (every store can do that) and return how many.

        Raises:
            Locked: object lock keeps one; those before it are gone.
        """
        count = 0
        for key in keys:
            try:
                with explained("deleting", self.where(key)):
                    self._removing_client.delete_object(Bucket=self.name, Key=key)
            except StorageError as error:
                if (locked := self._locked(key, error)) is not None:
                    raise locked from error
                raise
            count += 1
        return count

    def _locked(self, key: str, error: StorageError) -> Locked | None:
        """The same refusal, if it is the lock's: stores answer as they do to whoever lacks the right."""
        if error.code not in ("AccessDenied", "403", "ObjectLocked"):
            return None
        try:
            until = self.locked_until(key)
        except StorageError:  # who may not even look at it has the first refusal
            return None
        return Locked(error.code, until, where=self.where(key)) if until else None

    def abort_uploads(self, prefix: str, spare: Sequence[str] = (), spare_for: timedelta = timedelta(days=2)) -> int:
        """Abort unfinished multipart uploads below a full-key prefix and return how many there were.

        Args:
            prefix: a full-key prefix.
            spare: prefixes below it whose uploads are somebody else's, who may still be at it.
            spare_for: how long these may take; older ones belong to somebody who died.
        """
        with explained("listing unfinished uploads", self.where(prefix)):
            try:
                pages = list(
                    self._removing_client.get_paginator("list_multipart_uploads").paginate(
                        Bucket=self.name, Prefix=prefix
                    )
                )
            except ClientError as error:
                # Some stores answer so when they have never seen a multipart upload, or do not list them at all.
                if _code(error) in ("NoSuchUpload", "NotImplemented"):
                    return 0
                raise
        found = [entry for page in pages for entry in page.get("Uploads", ()) if entry["Key"].startswith(prefix)]
        dead = datetime.now(UTC) - spare_for
        uploads = [entry for entry in found if not entry["Key"].startswith(tuple(spare)) or entry["Initiated"] < dead]
        for entry in uploads:
            with explained("aborting an unfinished upload", self.where(entry["Key"])):
                self._removing_client.abort_multipart_upload(
                    Bucket=self.name, Key=entry["Key"], UploadId=entry["UploadId"]
                )
        return len(uploads)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


class _UntilFailed:
    """Ends the reading of a stream whose upload has failed: the transfer itself would read it to its end."""

    def __init__(self, source: Reader) -> None:
        self._source = source
        self.transfer: Any = None

    def read(self, size: int = -1, /) -> bytes:
        """As Reader.read."""
        if self.transfer is not None and self.transfer.done():
            raise EOFError("the upload has failed")  # seen by nobody: the failure came first
        return self._source.read(size)


class ObjectReader:
    """Reads objects one after the other; after a cut connection it goes on from the byte where it was."""

    def __init__(self, bucket: Bucket, keys: Sequence[str]) -> None:
        self._bucket = bucket
        self._keys = list(keys)
        self._body: Any = None
        self._offset = 0

    def read(self, size: int = -1, /) -> bytes:
        """As Reader.read."""
        collected: list[bytes] = []
        wanted = size
        while self._keys and wanted != 0:
            data = self._read_some(wanted)
            if not data:
                self._keys.pop(0)
                self._body, self._offset = None, 0
                continue
            collected.append(data)
            if size >= 0:
                wanted -= len(data)
        return b"".join(collected)

    def _read_some(self, size: int) -> bytes:
        for attempt in range(1, _READ_ATTEMPTS + 1):
            try:
                if self._body is None:
                    self._body = self._open()
                if self._body is None:
                    return b""
                data: bytes = self._body.read(size if size >= 0 else None)
            except CUT_CONNECTION as error:
                self._body = None
                if attempt == _READ_ATTEMPTS:
                    with explained("reading", self._bucket.where(self._keys[0])):
                        raise
                log.warning("reading %s was cut at byte %s: %s", self._keys[0], self._offset, error)
                time.sleep(0.2 * 2**attempt)
            else:
                self._offset += len(data)
                return data
        return b""

    def _open(self) -> Any:
        key = self._keys[0]
        ranged = {"Range": f"bytes={self._offset}-"} if self._offset else {}
        with explained("reading", self._bucket.where(key)):
            try:
                answer = self._bucket.client.get_object(Bucket=self._bucket.name, Key=key, **ranged)
            except ClientError as error:
                if _code(error) in ("InvalidRange", "416"):
                    return None  # the cut came after the last byte
                raise
        if "ContentLength" not in answer:
            # It would look like an empty object.
            raise ProtocolError("the answer was cut in its headers")
        return answer["Body"]


__all__ = ["Bucket", "NotThere", "ObjectInfo", "ObjectReader", "StoredObject"]
