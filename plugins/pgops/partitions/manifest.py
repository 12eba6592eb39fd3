"""What the bucket says about archived partitions.

    <prefix>/<database>/partitions/<schema>.<parent>/<name>-<archive id>/exact.zst  readable.csv.gz
                                                                             manifest.json

An archive exists when its manifest exists: it is written last, when both formats were read back and compared. Until
then its record lies beside them as draft.json.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from pydantic import TypeAdapter

from pgops.catalog import DRAFT, MANIFEST, read_record
from pgops.fingerprint import Table
from pgops.storage import Bucket, NotThere, StoredObject
from pgops.storage.compression import Algorithm

FOLDER = "partitions"
MANIFEST_VERSION = 1
ExactFormat = Literal["binary", "text"]
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True)
class Column:
    """A column of an archived table.

    Attributes:
        type: as the table has it, such as public.mood or numeric(10,2).
        stored_as: a type of PostgreSQL's own that holds the same values on any server; text for the others.
        portable: whether its binary form can be read anywhere.
        generated: its expression; then it is not in the data.
    """

    name: str
    type: str
    stored_as: str
    portable: bool
    not_null: bool
    generated: str | None = None


@dataclass(frozen=True)
class Data:
    """One format of the rows. `objects` are relative to the archive's folder, `raw_bytes` is before compression."""

    format: Literal["binary", "text", "csv"]
    encoding: str
    compression: Algorithm
    raw_bytes: int
    objects: tuple[StoredObject, ...]


@dataclass(frozen=True)
class Proof:
    """That both formats were downloaded again, loaded and compared."""

    at: datetime
    seconds: float
    checks: tuple[str, ...]


@dataclass(frozen=True)
class Archive:
    """All there is to know about an archived partition.

    Attributes:
        range: the bound, as "FOR VALUES FROM (...) TO (...)", with DateStyle ISO and in UTC.
        ddl: what pg_dump makes of the table: constraints, indexes, comments, owner, privileges.
        table: how the fingerprint takes its columns.
        rows, hash: the fingerprint.
        by: which run made it.
        key: the column by which its parent is partitioned; None when there are several, or the parent is gone.
        comment: the table's own.
        proof: None only in a draft.
        replaces: the id of the archive that this one was rewritten from.
    """

    database: str
    archive_id: str
    schema: str
    name: str
    oid: int
    parent_schema: str
    parent_name: str
    range: str
    columns: tuple[Column, ...]
    ddl: str
    table: Table
    rows: int
    hash: str
    exact: Data
    readable: Data
    server_version: int
    encoding: str
    archived_at: datetime
    seconds: float
    by: str
    key: str | None = None
    comment: str | None = None
    proof: Proof | None = None
    replaces: str | None = None
    manifest_version: int = MANIFEST_VERSION

    @property
    def parent(self) -> str:
        """As messages name it."""
        return f"{self.parent_schema}.{self.parent_name}"

    @property
    def bytes(self) -> int:
        """Stored size of both formats."""
        return sum(stored.bytes for data in (self.exact, self.readable) for stored in data.objects)

    @property
    def data_columns(self) -> tuple[Column, ...]:
        """Those whose values are stored, in the order of the data."""
        return tuple(column for column in self.columns if column.generated is None)

    def folder(self, bucket: Bucket) -> str:
        """The full key of its folder."""
        return f"{parent_folder(bucket, self.database, self.parent_schema, self.parent_name)}/{self._own_folder}"

    @property
    def _own_folder(self) -> str:
        return f"{_safe(self.name)}-{self.archive_id}"


_ARCHIVE = TypeAdapter(Archive)


def parent_folder(bucket: Bucket, database: str, schema: str, parent: str) -> str:
    """The full key of the folder with the archives of a partitioned table."""
    return bucket.key(database, FOLDER, f"{_safe(schema)}.{_safe(parent)}")


def _safe(name: str) -> str:
    """A name as part of a key: any other character becomes the hexadecimal form of its bytes."""
    return _UNSAFE.sub(lambda match: "".join(f"~{byte:02x}" for byte in match[0].encode()), name)


def folders_of(bucket: Bucket, database: str, schema: str, parent: str, name: str) -> list[str]:
    """Full keys of the folders of a partition's archives, complete or not, oldest first."""
    folder = parent_folder(bucket, database, schema, parent)
    own = re.compile(re.escape(_safe(name)) + r"-\d{8}T\d{6}Z-[0-9a-f]{6}\Z")
    return [f"{folder}/{each}" for each in sorted(bucket.folders(f"{folder}/")) if own.match(each)]


def read_archive(bucket: Bucket, folder: str) -> Archive | None:
    """The manifest in a folder; None when there is none.

    Raises:
        Refused: it is damaged.
    """
    try:
        return read_record(bucket, f"{folder}/{MANIFEST}", _ARCHIVE, "manifest of an archived partition")
    except NotThere:
        return None


def read_draft(bucket: Bucket, folder: str) -> Archive | None:
    """The record of an archive that is not proven yet; None when there is none."""
    try:
        return read_record(bucket, f"{folder}/{DRAFT}", _ARCHIVE, "draft of an archived partition")
    except NotThere:
        return None


def write_draft(bucket: Bucket, archive: Archive) -> None:
    """Record what was uploaded."""
    bucket.put_json(f"{archive.folder(bucket)}/{DRAFT}", _ARCHIVE.dump_python(archive, mode="json"))


def write_manifest(bucket: Bucket, draft: Archive, proof: Proof) -> Archive:
    """Make the archive exist; then its draft has served."""
    archive = replace(draft, proof=proof)
    bucket.put_json(f"{archive.folder(bucket)}/{MANIFEST}", _ARCHIVE.dump_python(archive, mode="json"))
    bucket.delete([f"{archive.folder(bucket)}/{DRAFT}"])
    return archive


def remove_folder(bucket: Bucket, folder: str) -> None:
    """Remove an archive, its manifest first: from then on it is only what is left of one."""
    bucket.abort_uploads(f"{folder}/")
    bucket.delete([f"{folder}/{MANIFEST}", f"{folder}/{DRAFT}"])
    bucket.delete([info.key for info in bucket.objects(f"{folder}/")])


def archives_of(
    bucket: Bucket, database: str, parent: str | None = None, name: str | None = None
) -> tuple[Archive, ...]:
    """The archives that exist, by parent, name and age; those that were rewritten are left out.

    Args:
        bucket: where they lie.
        database: whose.
        parent: "schema.table"; None: of all.
        name: of the partition; None: of all.
    """
    found = [
        archive
        for archive in _manifests(bucket, database)
        if parent in (None, archive.parent) and name in (None, archive.name)
    ]
    rewritten = {archive.replaces for archive in found}
    kept = (archive for archive in found if archive.archive_id not in rewritten)
    return tuple(sorted(kept, key=lambda one: (one.parent, one.name, one.archive_id)))


def finish_rewrites(bucket: Bucket, database: str) -> int:
    """Remove what a dead rewrite left of the archives before it; how many objects that were."""
    removed = 0
    for archive in _manifests(bucket, database):
        if archive.replaces is None:
            continue
        before = replace(archive, archive_id=archive.replaces).folder(bucket)
        left = [info.key for info in bucket.objects(f"{before}/")]
        if left:
            remove_folder(bucket, before)
            removed += len(left)
    return removed


def discard_unproven(bucket: Bucket, database: str) -> int:
    """Remove what was uploaded and never proven, and how many folders that were; the tables are still there.

    For an erasure: what is not proven is made anew, from tables without the person.
    """
    below = bucket.key(database, FOLDER) + "/"
    keys = [info.key for info in bucket.objects(below)]
    folders = {key.rsplit("/", 1)[0] for key in keys}
    unproven = sorted(folder for folder in folders if f"{folder}/{MANIFEST}" not in keys)
    for folder in unproven:
        remove_folder(bucket, folder)
    return len(unproven)


def _manifests(bucket: Bucket, database: str) -> Iterator[Archive]:
    below = bucket.key(database, FOLDER) + "/"
    for info in list(bucket.objects(below)):
        if info.key.endswith(f"/{MANIFEST}"):
            archive = read_archive(bucket, info.key[: -len(MANIFEST) - 1])
            if archive is not None:
                yield archive


def missing_objects(bucket: Bucket, archive: Archive) -> list[str]:
    """Keys of an archive's objects that are gone or have another length."""
    folder = archive.folder(bucket)
    there = {info.key: info.bytes for info in bucket.objects(f"{folder}/")}
    return [
        f"{folder}/{stored.key}"
        for data in (archive.exact, archive.readable)
        for stored in data.objects
        if there.get(f"{folder}/{stored.key}") != stored.bytes
    ]
