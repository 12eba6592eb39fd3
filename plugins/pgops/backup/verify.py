"""Reads a dump back from the bucket and holds it against what the database contained.

pg_restore --list, the usual check, found none of 200 damaged dumps; the hash, the decoding and the row counts together
must find every one.
"""

from __future__ import annotations

import logging
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO

from pgops import units
from pgops.catalog import (
    Catalog,
    CatalogObject,
    Draft,
    Encryption,
    Manifest,
    NotProven,
    StoredReader,
    Verification,
)
from pgops.errors import LostOwnership
from pgops.ledger import Lease, held_lease
from pgops.postgres import client_program
from pgops.processes import Program, ProgramFailed
from pgops.progress import Progress
from pgops.storage import NotThere, ReadAhead, Reader, StoredObject, read_all
from pgops.storage.compression import NotDecodable
from pgops.storage.encryption import HEADER_BYTES, check_header
from pgops.storage.streams import CHUNK

log = logging.getLogger(__name__)

LEVEL = "L3"
CHECKS: tuple[str, ...] = ("sha256", "decoded", "table of contents", "rows of each table")
# All that can be proven of an encrypted dump without a secret key.
STORED_LEVEL = "L2"
STORED_CHECKS: tuple[str, ...] = ("sha256", "encrypted to its recipients")
_IDENTIFIER = rb'(?:"(?:[^"]|"")*"|[^\s".()]+)'
_COPY = re.compile(
    rb"COPY (" + _IDENTIFIER + rb")\.(" + _IDENTIFIER + rb')\s*(?:\((?:"(?:[^"]|"")*"|[^")])*\))?\s*FROM stdin;\n'
)
_SETVAL = re.compile(rb"SELECT pg_catalog\.setval\('(?:[^']|'')*', -?\d+, (?:true|false)\);\n")
_END_OF_BLOCK = b"\n\\.\n"
_TOC_LINE = re.compile(r"^\d+; (\d+) (\d+) ")


@dataclass(frozen=True)
class Verified:
    """A dump that was read back whole; small enough for XCom."""

    database: str
    backup_id: str
    verification: Verification
    notes: tuple[str, ...]


def verify(catalog: Catalog, backup_id: str, lease: Lease, *, decrypt: bool = True) -> Verified:
    """Prove a dump: hashes, full decoding, table of contents, and the rows of each table.

    Args:
        catalog: the database's backups.
        backup_id: the dump's.
        lease: this run's.
        decrypt: whether an encrypted dump is decrypted; else only what is stored is proven to be what was sent.

    Raises:
        NotProven: it is damaged or incomplete.
        LostOwnership: another run took over.
    """
    lease.keep()
    with held_lease(lease):
        draft = own_draft(catalog, backup_id)
        return verify_draft(catalog, draft, decrypt=decrypt)


def own_draft(catalog: Catalog, backup_id: str) -> Draft:
    """The draft of this run's dump.

    Raises:
        LostOwnership: it is gone: another run held the lease meanwhile and swept it up.
    """
    try:
        return catalog.draft(backup_id)
    except NotThere as error:
        raise LostOwnership(
            f"The dump {backup_id} was swept up by another run",
            where=catalog.bucket.where(catalog.key(backup_id)),
            remedy="Nothing to do if that run made a backup; else clear the dump task",
        ) from error


def verify_draft(catalog: Catalog, draft: Draft, *, decrypt: bool = True) -> Verified:
    """As verify, for whoever holds the lease."""
    started = time.monotonic()
    manifest = draft.manifest
    where = catalog.bucket.where(catalog.key(manifest.backup_id))
    undecided: tuple[str, ...] = ()
    if manifest.encryption is not None and not decrypt:
        level, checks = STORED_LEVEL, STORED_CHECKS
        _read_stored(catalog, manifest, manifest.encryption, where)
        undecided = ("nothing was decrypted: what the dump contains, and that a key opens it, is for a drill to prove",)
    else:
        level, checks = LEVEL, CHECKS
        archive = _read_archive(catalog, manifest, where)
        _compare_toc(archive.toc, draft.contents, where)
        _compare_rows(archive.rows, manifest, where)
        _read_globals(catalog, manifest, where)
    seconds = time.monotonic() - started
    log.info("proved %s to level %s in %s", manifest.backup_id, level, units.duration(seconds))
    return Verified(
        database=manifest.database,
        backup_id=manifest.backup_id,
        verification=Verification(
            level=level,
            at=datetime.now(UTC),
            seconds=seconds,
            checks=checks,
        ),
        notes=_store_notes(catalog, manifest) + undecided,
    )


def _read_stored(catalog: Catalog, manifest: Manifest, encryption: Encryption, where: str) -> None:
    """Read the encrypted dump and globals back: their hashes, and the keys that their headers are made for."""
    for name, objects in (("dump", manifest.objects), ("dump of roles", manifest.globals)):
        header = _hash_stored(catalog, manifest, objects)
        if problem := check_header(header, len(encryption.recipients)):
            raise NotProven(f"The {name} is not encrypted as asked for: {problem}", where)


def _hash_stored(catalog: Catalog, manifest: Manifest, objects: tuple[StoredObject, ...]) -> bytes:
    """Read objects to their end and return their beginning."""
    header = b""
    progress = Progress(f"verification of {manifest.database}", total=sum(stored.bytes for stored in objects))
    with ReadAhead(StoredReader(catalog.bucket, catalog.key(manifest.backup_id), objects)) as hashed:
        for data in read_all(hashed):
            header = header or data[:HEADER_BYTES]
            progress.add(len(data))
    return header


@dataclass(frozen=True)
class _Archive:
    toc: set[tuple[int, int]]
    rows: Counter[tuple[str, str]]


def _read_archive(catalog: Catalog, manifest: Manifest, where: str) -> _Archive:
    """One pass over the stored dump: hash it, decompress it, and let pg_restore decode its list and all its data."""
    program = str(client_program("pg_restore", manifest.server_version))
    progress = Progress(f"verification of {manifest.database}", total=manifest.raw_bytes)
    with (
        catalog.opened(manifest, manifest.objects) as plain,
        ThreadPoolExecutor(2, "verify") as beside,
        Program([program, "--list"], where=where, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as lister,
        Program(
            [program, "--section=data", "--file=-"], where=where, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as decoder,
    ):
        toc = beside.submit(_parse_toc, lister.stdout)
        rows = beside.submit(_count_rows, decoder.stdout)
        try:
            fed = _feed(plain, [lister, decoder], progress)
            lister.wait()
            decoder.wait()
        except ProgramFailed as error:
            raise NotProven(f"pg_restore cannot decode the dump: {error.stderr.strip()[-300:]}", where) from error
        except NotDecodable as error:
            raise NotProven(error.what, where) from error
        if fed != manifest.raw_bytes:
            raise NotProven(f"The dump decodes to {fed} bytes, {manifest.raw_bytes} were dumped", where)
        return _Archive(toc.result(), rows.result())


def _feed(plain: Reader, programs: list[Program], progress: Progress) -> int:
    """Write the stream into every program that still listens (pg_restore --list stops after the list)."""
    fed = 0
    listening = list(programs)
    while data := plain.read(CHUNK):
        fed += len(data)
        progress.add(len(data))
        for program in list(listening):
            try:
                program.stdin.write(data)
            except BrokenPipeError:
                listening.remove(program)
    for program in programs:
        try:
            program.stdin.close()
        except BrokenPipeError:
            continue
    return fed


def _parse_toc(output: IO[bytes]) -> set[tuple[int, int]]:
    """The pairs of oids (catalog, object) in the output of pg_restore --list."""
    matches = (_TOC_LINE.match(line.decode(errors="replace")) for line in output)
    return {(int(match[1]), int(match[2])) for match in matches if match}


def _count_rows(output: IO[bytes]) -> Counter[tuple[str, str]]:
    """Rows of each table in pg_restore's script of the data section.

    In text format a row is a line, newlines in values are escaped, and a block ends with a line of backslash and dot.
    Only the data section is scripted, so a function's body cannot look like a block.
    """
    rows: Counter[tuple[str, str]] = Counter()
    buffer = b""
    table: tuple[str, str] | None = None
    while chunk := output.read(CHUNK):
        buffer += chunk
        position = 0
        while True:
            if table is None:
                table, position = _find_block(buffer, position)
                if table is None:
                    break
                rows[table] += 0
            # `position` is at the newline before the first row that is not counted yet.
            end = buffer.find(_END_OF_BLOCK, position)
            if end < 0:
                kept = max(len(buffer) - len(_END_OF_BLOCK) + 1, position)  # the end may be cut in two
                rows[table] += buffer.count(b"\n", position + 1, kept + 1)
                position = kept
                break
            rows[table] += buffer.count(b"\n", position + 1, end + 1)
            position = end + len(_END_OF_BLOCK)
            table = None
        buffer = buffer[position:]
    return rows


def _find_block(buffer: bytes, position: int) -> tuple[tuple[str, str] | None, int]:
    """The next table's block from a line start on: its name and the newline that ends its header."""
    while (end := buffer.find(b"\n", position)) >= 0:
        if buffer.startswith(b"COPY ", position):
            match = _COPY.match(buffer, position)
            if match is None:  # a name with a newline, cut in two: wait for more
                return None, position
            return (_unquoted(match[1]), _unquoted(match[2])), match.end() - 1
        if buffer.startswith(b"SELECT pg_catalog.setval(", position):  # a sequence's name may hold newlines
            statement = _SETVAL.match(buffer, position)
            if statement is None:
                return None, position
            end = statement.end() - 1
        position = end + 1
    return None, position


def _unquoted(identifier: bytes) -> str:
    text = identifier.decode(errors="replace")  # a damaged name must end as a table that was not there
    return text[1:-1].replace('""', '"') if text.startswith('"') else text


def _compare_toc(toc: set[tuple[int, int]], expected: Iterable[CatalogObject], where: str) -> None:
    missing = [entry for entry in expected if (entry.class_oid, entry.oid) not in toc]
    if missing:
        names = ", ".join(f"{entry.kind} {entry.name}" for entry in missing[:5])
        raise NotProven(f"{len(missing)} objects of the database are not in the dump: {names}", where)


def _compare_rows(found: Counter[tuple[str, str]], manifest: Manifest, where: str) -> None:
    expected = {(table.schema, table.name): table.rows for table in manifest.tables}
    wrong = [
        f"{schema}.{name} has {'no data' if (schema, name) not in found else f'{found[schema, name]} rows'}, not {rows}"
        for (schema, name), rows in expected.items()
        if found.get((schema, name)) != rows
    ]
    wrong += [f"{schema}.{name} was not there" for schema, name in found.keys() - expected.keys()]
    if wrong:
        raise NotProven(f"{len(wrong)} tables differ from the snapshot: {'; '.join(wrong[:5])}", where)


def _read_globals(catalog: Catalog, manifest: Manifest, where: str) -> None:
    script = bytearray()
    try:
        with catalog.opened(manifest, manifest.globals) as plain:
            for data in read_all(plain):
                script += data
    except NotDecodable as error:
        raise NotProven(error.what, where) from error
    if b"database cluster dump complete" not in script[-4096:]:
        raise NotProven("The dump of roles and tablespaces is cut off", where)


def _store_notes(catalog: Catalog, manifest: Manifest) -> tuple[str, ...]:
    """Stores accept a storage class, encryption and a lock, and ignore them: say so."""
    if not manifest.objects:
        return ()
    key = catalog.key(manifest.backup_id, manifest.objects[0].key)
    return catalog.bucket.ignored(key, manifest.started_at, manifest.storage_class, locked=True)
