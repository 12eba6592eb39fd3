"""What an engine keeps in the bucket, read without its programs: an archive must be readable where nothing is left.

Engines list their backups, but none of them reads a base backup back. That is done here, object by object.
"""

from __future__ import annotations

import re
import struct
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, cast

from pgops.errors import PgOpsError
from pgops.physical.model import BaseBackup, WalArchive
from pgops.physical.store import FOLDER
from pgops.physical.wal import number_of, segment
from pgops.progress import Progress
from pgops.storage import Bucket, HashingReader, NotThere, ObjectInfo, ReadAhead, Reader, read_all
from pgops.storage.compression import Algorithm, DecompressingReader

SEGMENT_BYTES = 16 << 20
_WAL = re.compile(r"(?P<name>[0-9A-F]{24}|[0-9A-F]{8}\.history)(?:\.(?:gz|zst|lz4|br|lzma|bz2|xz|snappy))?")
_DECODED: dict[str, Algorithm] = {"gz": "gzip", "zst": "zstd"}
MUST_HOLD = ("PG_VERSION", "global/pg_control", "backup_label")
_OPENPGP = (b"\x84", b"\x85", b"\xc1")  # how a session key that is encrypted to a public key begins
_PLAIN = "it is not encrypted: its host's environment lacks the key"
_END_OF_TAR = 1024  # zeros
_PAGE_HEADER = struct.Struct("=HHIQI4xQII")  # XLogLongPageHeaderData


@dataclass(frozen=True)
class Shelf:
    """An engine's objects of one server.

    Args:
        base: full-key prefix of the base backups; each is a folder, or a few objects, named after it.
        wal: full-key prefix of the segments.
        sentinel: ending of an object beside the folder that belongs to the backup too.
        sealed: whether its engine encrypts (OpenPGP). What is inside cannot be read here then.
    """

    bucket: Bucket
    engine: str
    server: str
    base: str
    wal: str
    sentinel: str = ""
    sealed: bool = False

    def of_backup(self, backup_id: str) -> list[ObjectInfo]:
        """Every object of a base backup."""
        name = f"{self.base}{backup_id}"
        return [
            found
            for found in self.bucket.objects(name)
            if found.key.startswith(f"{name}/") or found.key == name + self.sentinel
        ]

    def segments(self) -> dict[str, ObjectInfo]:
        """Complete segments and history files by name; unfinished ones and what has a stranger's name are left out."""
        matched = ((_WAL.fullmatch(found.key.rpartition("/")[2]), found) for found in self.bucket.objects(self.wal))
        return {match["name"]: found for match, found in sorted(matched, key=lambda pair: pair[1].key) if match}

    def archive(self, segment_bytes: int = SEGMENT_BYTES, history: Callable[[str], str] | None = None) -> WalArchive:
        """What a recovery could fetch.

        Args:
            history: reads the history file with that key, where this shelf cannot.
        """
        found, history = self.segments(), history or self._history
        return WalArchive(
            {name: one.modified.astimezone(UTC) for name, one in found.items() if len(name) == 24},
            {int(name[:8], 16): history(one.key) for name, one in found.items() if len(name) != 24},
            segment_bytes,
        )

    def is_sealed(self, key: str) -> bool:
        """Whether an object is encrypted, by its first byte."""
        return self.bucket.open([key]).read(1) in _OPENPGP

    def verify(
        self, backup: BaseBackup, segment_bytes: int = SEGMENT_BYTES, must_hold: Sequence[str] | None = None
    ) -> tuple[str, ...]:
        """Read a base backup, and the WAL without which it cannot become consistent, back; say what is wrong.

        Every object is read to its end, decompressed, and where it is a tar walked to its last member. Its length and
        hash are compared with those of the first time that the backup was found sound: what rots later is found too.
        Of a sealed one only this, and that it is sealed: what is in it is for a recovery to prove.

        Args:
            must_hold: files without which it is none.
        """
        objects = self.of_backup(backup.backup_id)
        progress = Progress(f"read back {self.server} {backup.backup_id}", sum(one.bytes for one in objects))
        problems: list[str] = []
        members: set[str] = set()
        read: dict[str, list[int | str]] = {}
        for one in objects:
            try:
                read[one.key] = self._read_through(one, members, progress)
            except (PgOpsError, tarfile.TarError, EOFError) as error:
                if isinstance(error, PgOpsError) and error.retry:
                    raise
                problems.append(f"{self.bucket.where(one.key)}: {getattr(error, 'what', error)}")
        if not problems and not self.sealed:
            problems += [f"{name} is in none of its archives" for name in must_hold or MUST_HOLD if name not in members]
        problems += self._needed_wal(backup, segment_bytes)
        key = self.proof_key(backup.backup_id)
        known = self._known(key)
        if known is not None:
            problems += self._differing(known, read)
        elif not problems:
            at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
            self.bucket.put_json(key, {"backup_id": backup.backup_id, "verified_at": at, "objects": read})
        return tuple(dict.fromkeys(problems))

    def proven(self) -> set[str]:
        """Ids of the base backups that were read back and found sound."""
        folder = self.proof_key("").removesuffix(".json")
        names = (found.key.removeprefix(folder) for found in self.bucket.objects(folder))
        return {name.removesuffix(".json") for name in names if name.endswith(".json")}

    def proof_key(self, backup_id: str) -> str:
        """Where it says that a base backup was read back, with the hashes of its objects."""
        return self.bucket.key(FOLDER, "proofs", self.engine, self.server, f"{backup_id}.json")

    def forget(self, backup_ids: Iterable[str]) -> None:
        """Remove the proofs of backups that are no more."""
        self.bucket.delete(self.proof_key(backup_id) for backup_id in backup_ids)

    def _needed_wal(self, backup: BaseBackup, segment_bytes: int) -> list[str]:
        there = self.segments()
        problems = []
        for name in between(backup.first_wal, backup.last_wal, segment_bytes):
            if name not in there:
                problems.append(f"WAL segment {name}, without which it cannot be recovered, is not in the archive")
            elif why := self._unsound(there[name].key, name, backup.system_identifier, segment_bytes):
                problems.append(f"{self.bucket.where(there[name].key)}: {why}")
        return problems

    def _unsound(self, key: str, name: str, system_identifier: str, segment_bytes: int) -> str:
        """What is wrong with a segment; empty when nothing is."""
        if self.sealed:
            return "" if self.is_sealed(key) else _PLAIN
        if key.rpartition(".")[2] not in (*_DECODED, name):
            return ""  # compressed in a way that cannot be read here; that it is there must do
        try:
            content = b"".join(read_all(self._decoded(key)))
        except PgOpsError as error:
            if error.retry:
                raise
            return error.what
        if len(content) != segment_bytes:
            return f"it has {len(content)} bytes, and a segment has {segment_bytes}"
        _, _, timeline, address, _, system, size, _ = _PAGE_HEADER.unpack_from(content)
        if address != number_of(name, segment_bytes) * segment_bytes or size != segment_bytes:
            return "its content is not the WAL of its name"
        if timeline > int(name[:8], 16) or str(system) != system_identifier:
            return "it belongs to another server or timeline"
        return ""

    def _history(self, key: str) -> str:
        return b"".join(read_all(self._decoded(key))).decode(errors="replace")

    def _decoded(self, key: str) -> Reader:
        return DecompressingReader(self.bucket.open([key]), _DECODED.get(key.rpartition(".")[2], "none"))

    def _read_through(self, one: ObjectInfo, members: set[str], progress: Progress) -> list[int | str]:
        """Read an object to its end and return its length and hash; `members` gets the names of what is in it."""
        with ReadAhead(self.bucket.open([one.key])) as stream:
            hashing = HashingReader(_Counted(stream, progress))
            suffixes = one.key.rpartition("/")[2].split(".")
            algorithm = _DECODED.get(suffixes[-1], "none")
            if "tar" in suffixes and self.sealed:
                if hashing.read(1) not in _OPENPGP:
                    raise tarfile.ReadError(_PLAIN)
            elif "tar" in suffixes and (algorithm != "none" or suffixes[-1] == "tar"):
                _walk(DecompressingReader(hashing, algorithm), members)
            for _ in read_all(hashing):
                pass
        if hashing.bytes != one.bytes:
            raise EOFError(f"it gave {hashing.bytes} of its {one.bytes} bytes")
        return [hashing.bytes, hashing.sha256]

    def _known(self, key: str) -> Mapping[str, list[int | str]] | None:
        try:
            return cast("Mapping[str, list[int | str]]", self.bucket.get_json(key)["objects"])
        except NotThere:
            return None

    def _differing(self, known: Mapping[str, list[int | str]], read: Mapping[str, list[int | str]]) -> list[str]:
        gone = [f"{self.bucket.where(key)} is gone" for key in known if key not in read]
        other = [
            f"{self.bucket.where(key)} is not what it was when it was proven"
            for key, facts in read.items()
            if key in known and facts != known[key]
        ]
        return gone + other


class _Counted:
    """Tells `progress` what is read through it."""

    def __init__(self, source: Reader, progress: Progress) -> None:
        self._source = source
        self._progress = progress

    def read(self, size: int = -1, /) -> bytes:
        """As Reader.read."""
        data = self._source.read(size)
        self._progress.add(len(data))
        return data


class _Tail:
    """Keeps the last bytes that were read: a tar that was cut between two members looks whole but for its end."""

    def __init__(self, source: Reader) -> None:
        self._source = source
        self.last = b""

    def read(self, size: int = -1, /) -> bytes:
        """As Reader.read."""
        data = self._source.read(size)
        self.last = (self.last + data)[-_END_OF_TAR:]
        return data


def _walk(source: Reader, members: set[str]) -> None:
    """Read a tar to its end and note the names in it."""
    tail = _Tail(source)
    with tarfile.open(fileobj=cast("IO[bytes]", tail), mode="r|") as tar:
        for member in tar:
            members.add(member.name.lstrip("./"))
    for _ in read_all(tail):
        pass
    if tail.last.strip(b"\0") or len(tail.last) < _END_OF_TAR:
        raise tarfile.ReadError("the tar ends before its end")


def between(first: str, last: str, segment_bytes: int = SEGMENT_BYTES) -> list[str]:
    """The segments from one to another of the same timeline, both included."""
    numbers = range(number_of(first, segment_bytes), number_of(last, segment_bytes) + 1)
    return [segment(int(first[:8], 16), number, segment_bytes) for number in numbers]
