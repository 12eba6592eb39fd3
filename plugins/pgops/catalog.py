"""The catalogue of backups: what the bucket says about itself.

    <prefix>/<database>/<backup_id>/dump.zst (.001, ...)  globals.sql.zst  manifest.json  drills/<time>.json

(dump.zst.age and globals.sql.zst.age where they are encrypted)

A backup exists when its manifest exists, and the manifest is written last. With Airflow and the ledger lost, the
manifests alone are enough to restore. Until a dump is verified its record lies beside it as draft.json.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from pgops.errors import PgOpsError, Refused
from pgops.fingerprint import LargeObjects, TableFingerprint
from pgops.storage import Bucket, HashingReader, NotThere, ObjectInfo, ReadAhead, Reader, StoredObject
from pgops.storage.compression import Algorithm, DecompressingReader
from pgops.storage.encryption import DecryptingReader, fingerprint, fingerprints_of, no_key_fits
from pgops.storage.streams import CHUNK, read_all

MANIFEST = "manifest.json"
DRAFT = "draft.json"
MANIFEST_VERSION = 1
_ID = re.compile(r"^(\d{8}T\d{6}Z)-[0-9a-f]{6}\Z")
# Every object this project ever writes into a backup's folder; nothing else is ever deleted.
_KNOWN = re.compile(
    r"^(manifest\.json|draft\.json|(dump|globals\.sql)(\.zst|\.gz)?(\.age)?(\.\d{3})?|drills/\d{8}T\d{6}Z\.json)\Z"
)


def new_backup_id(now: datetime | None = None) -> str:
    """UTC time that sorts, and six random characters: "20261123T020000Z-1f9a3c"."""
    return f"{(now or datetime.now(UTC)):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def is_backup_id(text: str) -> bool:
    """Whether `text` has the form of a backup id."""
    return _ID.match(text) is not None


def time_of(backup_id: str) -> datetime:
    """The instant at which a backup began."""
    match = _ID.match(backup_id)
    if match is None:
        raise Refused(
            f"{backup_id!r} is no backup id",
            where="backup id",
            remedy="Take one from the bucket: it looks like 20261123T020000Z-1f9a3c",
        )
    return datetime.strptime(match[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


class NotProven(PgOpsError):
    """What the bucket holds is not what the database contained."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(
            what,
            where=where,
            remedy="Do not rely on it: take the backup before or make another, and find out who or what changed it",
        )


@dataclass(frozen=True)
class Compression:
    """How the stream was compressed, outside of pg_dump."""

    algorithm: Algorithm
    level: int


@dataclass(frozen=True)
class Encryption:
    """How the compressed stream was encrypted. `recipients`: by name, the fingerprint of each key that opens it."""

    recipients: Mapping[str, str]
    method: Literal["age"] = "age"

    @classmethod
    def to(cls, public_keys: Mapping[str, str]) -> Encryption:
        """What a manifest says of a dump that is encrypted to these public keys, by name."""
        return cls({name: fingerprint(key) for name, key in public_keys.items()})

    def __str__(self) -> str:
        return ", ".join(f"{name} ({key})" for name, key in self.recipients.items())


@dataclass(frozen=True)
class CatalogObject:
    """A database object that the archive's table of contents must hold, by the oids that pg_restore --list prints."""

    class_oid: int
    oid: int
    kind: str
    name: str


@dataclass(frozen=True)
class Verification:
    """How far a backup was proven. Levels: docs/backups.md; a nightly backup reaches L3."""

    level: str
    at: datetime
    seconds: float
    checks: tuple[str, ...]


@dataclass(frozen=True)
class Manifest:
    """All there is to know about a backup. Object keys are relative to its folder.

    Sizes are in bytes, `seconds` is the dump's duration; `verification` is None only in a draft.
    """

    database: str
    backup_id: str
    started_at: datetime
    finished_at: datetime
    seconds: float
    server_version: int
    tool_versions: Mapping[str, str]
    snapshot: str
    taken_from: str
    compression: Compression
    storage_class: str
    raw_bytes: int
    objects: tuple[StoredObject, ...]
    globals: tuple[StoredObject, ...]
    tables: tuple[TableFingerprint, ...]
    large_objects: LargeObjects = field(default_factory=LargeObjects)
    extensions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    encoding: str = "UTF8"
    sequences_behind: tuple[str, ...] = ()
    format: str = "pg_dump custom"
    verification: Verification | None = None
    encryption: Encryption | None = None
    manifest_version: int = MANIFEST_VERSION

    @property
    def bytes(self) -> int:
        """Stored size of the dump."""
        return sum(stored.bytes for stored in self.objects)

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables)

    def with_verification(self, verification: Verification, notes: tuple[str, ...]) -> Manifest:
        """The manifest of a draft that was verified."""
        return replace(self, verification=verification, notes=self.notes + notes)


@dataclass(frozen=True)
class Draft:
    """A dump that has not been verified: its manifest to be, and what its archive must contain."""

    manifest: Manifest
    contents: tuple[CatalogObject, ...]


@dataclass(frozen=True)
class DrillVerdict:
    """The part of a drill's report that decides whether its backup can be relied on."""

    backup_id: str
    passed: bool
    failures: tuple[str, ...]


_MANIFEST = TypeAdapter(Manifest)
_VERDICT = TypeAdapter(DrillVerdict)
_DRAFT = TypeAdapter(Draft)
_Kind = TypeVar("_Kind")


def read_record(bucket: Bucket, key: str, adapter: TypeAdapter[_Kind], kind: str) -> _Kind:
    """A JSON object of the bucket as what `adapter` makes of it; `kind` is its name in a refusal.

    Raises:
        NotThere: there is none.
        Refused: it is damaged, or something else.
    """
    try:
        return adapter.validate_python(bucket.get_json(key))
    except ValidationError as error:
        first = error.errors()[0]
        raise Refused(
            f"This is no {kind}: {first['msg']} at {'.'.join(map(str, first['loc']))}",
            where=bucket.where(key),
            remedy="It was damaged, or written by a newer release: look at it before touching it",
        ) from error


def _no_identities() -> Sequence[str]:
    return ()


class Catalog:
    """The backups of one database in a bucket.

    Args:
        bucket: where they lie.
        database: its name.
        identities: gives the secret keys when an encrypted backup is to be opened, and not before.
    """

    def __init__(self, bucket: Bucket, database: str, identities: Callable[[], Sequence[str]] = _no_identities) -> None:
        self.bucket = bucket
        self.database = database
        self._identities = identities

    def key(self, backup_id: str, *parts: str) -> str:
        """The full key of something in a backup's folder."""
        return self.bucket.key(self.database, backup_id, *parts)

    def keys(self, backup_id: str, objects: tuple[StoredObject, ...]) -> list[str]:
        """Full keys of a manifest's objects."""
        return [self.key(backup_id, stored.key) for stored in objects]

    def folders(self) -> list[str]:
        """Backup ids that have a folder, committed or not, oldest first."""
        return sorted(name for name in self.bucket.folders(self.bucket.key(self.database) + "/") if is_backup_id(name))

    def backups(self) -> list[str]:
        """Ids of the backups that exist, oldest first."""
        suffix = "/" + MANIFEST
        prefix = self.bucket.key(self.database) + "/"
        names = (
            info.key[len(prefix) : -len(suffix)] for info in self.bucket.objects(prefix) if info.key.endswith(suffix)
        )
        return sorted(name for name in names if is_backup_id(name))

    def next_id(self) -> str:
        """A new id that sorts after every backup there is: two within one second would sort by chance.

        Raises:
            Refused: this machine's clock is behind the newest backup.
        """
        newest = next(reversed(self.backups()), None)
        while newest and datetime.now(UTC) < time_of(newest) + timedelta(seconds=1):
            ahead = time_of(newest) - datetime.now(UTC)
            if ahead > timedelta(minutes=1):
                raise Refused(
                    f"The newest backup {newest} lies {ahead} in the future of this worker's clock",
                    where=self.bucket.where(self.key(newest)),
                    remedy="Set the clocks of all workers by NTP: ids, retention and freshness go by time",
                )
            time.sleep(0.05)
        return new_backup_id()

    def contents(self, backup_id: str) -> tuple[list[str], list[str]]:
        """Full keys in a backup's folder: those this project may have written, and those it cannot name."""
        prefix = self.key(backup_id) + "/"
        known: list[str] = []
        strange: list[str] = []
        for info in self.bucket.objects(prefix):
            (known if _KNOWN.match(info.key[len(prefix) :]) else strange).append(info.key)
        return known, strange

    def listing(self, backup_id: str) -> list[ObjectInfo]:
        """Everything in a backup's folder, as the store lists it."""
        return list(self.bucket.objects(self.key(backup_id) + "/"))

    def exists(self, backup_id: str) -> bool:
        """Whether the backup has a manifest."""
        try:
            self.bucket.head(self.key(backup_id, MANIFEST))
        except NotThere:
            return False
        return True

    def manifest(self, backup_id: str) -> Manifest:
        """Read a manifest.

        Raises:
            NotThere: no such backup.
            Refused: the manifest is damaged, or is another backup's.
        """
        time_of(backup_id)
        manifest = read_record(self.bucket, self.key(backup_id, MANIFEST), _MANIFEST, "manifest")
        if (manifest.database, manifest.backup_id) != (self.database, backup_id) or manifest.verification is None:
            raise Refused(
                f"This manifest is of {manifest.database}/{manifest.backup_id}, or was never verified",
                where=self.bucket.where(self.key(backup_id, MANIFEST)),
                remedy="Somebody moved or wrote it by hand: do not rely on it",
            )
        return manifest

    def missing(self, manifest: Manifest) -> list[str]:
        """Keys of a manifest's objects that are not there, or not as long as they were written; reads none."""
        gone = []
        for stored in (*manifest.objects, *manifest.globals):
            key = self.key(manifest.backup_id, stored.key)
            try:
                if self.bucket.head(key)["ContentLength"] != stored.bytes:
                    gone.append(key)
            except NotThere:
                gone.append(key)
        return gone

    @contextmanager
    def opened(self, manifest: Manifest, objects: tuple[StoredObject, ...]) -> Iterator[Reader]:
        """Stored objects of a backup as the program wrote them: hashed, decrypted and decompressed on the way.

        Whoever reads to the end has had all hashes compared.

        Raises:
            NotProven: the hash is another one.
            NotDecodable: decryption or decompression failed.
            Refused: no identity here opens it.
        """
        folder = self.key(manifest.backup_id)
        with ExitStack() as stack:
            stored = stack.enter_context(ReadAhead(StoredReader(self.bucket, folder, objects)))
            layers: list[Reader] = [stored]
            if manifest.encryption is not None:
                identities = self.identities_for(manifest.encryption, self.bucket.where(folder))
                layers.append(stack.enter_context(DecryptingReader(stored, identities, self.bucket.where(folder))))
            yield _ToTheEnd(DecompressingReader(layers[-1], manifest.compression.algorithm), layers)

    def identities_for(self, encryption: Encryption, where: str) -> Sequence[str]:
        """The secret keys, when one of them opens what is encrypted so.

        Raises:
            Refused: none does; it names the keys that would.
        """
        identities = self._identities()
        if not set(fingerprints_of(identities)) & set(encryption.recipients.values()):
            raise no_key_fits(identities, where, str(encryption))
        return identities

    def newest(self) -> Manifest | None:
        """The newest backup that exists; None if there is none."""
        backups = self.backups()
        return self.manifest(backups[-1]) if backups else None

    def newest_usable(self) -> tuple[Manifest | None, DrillVerdict | None, tuple[str, ...]]:
        """The newest backup that no drill refuted, its last drill if any, and the newer ones that were refuted."""
        refuted: list[str] = []
        for backup_id in reversed(self.backups()):
            verdict = self.last_drill(backup_id)
            if verdict is None or verdict.passed:
                return self.manifest(backup_id), verdict, tuple(refuted)
            refuted.append(backup_id)
        return None, None, tuple(refuted)

    def write_draft(self, draft: Draft) -> None:
        """Store a dump's record until it is verified."""
        self.bucket.put_json(self.key(draft.manifest.backup_id, DRAFT), _DRAFT.dump_python(draft, mode="json"))

    def draft(self, backup_id: str) -> Draft:
        """Read the record of a dump that is not verified yet."""
        return read_record(self.bucket, self.key(backup_id, DRAFT), _DRAFT, "draft")

    def write_manifest(self, manifest: Manifest) -> None:
        """Make the backup exist; then its draft has served."""
        key = self.key(manifest.backup_id, MANIFEST)
        self.bucket.put_json(key, _MANIFEST.dump_python(manifest, mode="json"), locked=True)
        self.bucket.delete([self.key(manifest.backup_id, DRAFT)])

    def last_drill(self, backup_id: str) -> DrillVerdict | None:
        """What the newest drill of a backup came to; None if it was never drilled."""
        keys = sorted(info.key for info in self.bucket.objects(self.key(backup_id, "drills") + "/"))
        return read_record(self.bucket, keys[-1], _VERDICT, "drill report") if keys else None

    def write_drill(self, backup_id: str, at: datetime, report: Any) -> str:
        """Store a drill's report beside the manifest and return its key."""
        key = self.key(backup_id, "drills", f"{at:%Y%m%dT%H%M%SZ}.json")
        self.bucket.put_json(key, asdict(report))
        return key


class _ToTheEnd:
    """Reads `plain`; at its end also what the layers below still hold: what follows a stream belongs to its hash."""

    def __init__(self, plain: Reader, layers: Sequence[Reader]) -> None:
        self._plain, self._layers = plain, layers

    def read(self, size: int = -1, /) -> bytes:
        """As Reader.read, but may return less than `size` before the end."""
        data = self._plain.read(size)
        if not data and size != 0:
            for layer in reversed(self._layers):
                for _ in read_all(layer):
                    pass
        return data


class StoredReader:
    """Reads stored objects one after the other and refuses one whose length or hash differs from what was sent.

    Args:
        bucket: where they lie.
        folder: full key of the folder that their keys are relative to.
        objects: in their order.
    """

    def __init__(self, bucket: Bucket, folder: str, objects: tuple[StoredObject, ...]) -> None:
        self._bucket, self._folder = bucket, folder
        self._left = list(objects)
        self._reader: HashingReader | None = None

    def read(self, size: int = -1, /) -> bytes:
        """As Reader.read, but may return less than `size` before the end."""
        while self._left:
            if self._reader is None:
                self._reader = HashingReader(self._bucket.open([f"{self._folder}/{self._left[0].key}"]))
            data = self._reader.read(CHUNK if size < 0 else size)
            if data:
                return data
            self._check(self._left.pop(0), self._reader)
            self._reader = None
        return b""

    def _check(self, stored: StoredObject, reader: HashingReader) -> None:
        if (reader.bytes, reader.sha256) != (stored.bytes, stored.sha256):
            raise NotProven(
                f"{stored.key} came back as {reader.bytes} bytes with sha256 {reader.sha256[:12]}..., "
                f"sent were {stored.bytes} bytes with {stored.sha256[:12]}...",
                self._bucket.where(f"{self._folder}/{stored.key}"),
            )
