"""One snapshot, read twice: by pg_dump into the bucket, and by the fingerprint.

The session that exports the snapshot stays open until both are done. Nothing touches the local disk (unless the
policy asks for a local copy): pg_dump's output is compressed, hashed and uploaded as it comes.
"""

from __future__ import annotations

import logging
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from psycopg2.extensions import connection as Connection

from pgops import units
from pgops.backup.local_copy import copying_to
from pgops.backup.source import APPLICATION, Source, unlogged_note
from pgops.backup.sweep import sweep_incomplete
from pgops.catalog import Catalog, CatalogObject, Compression, Draft, Encryption, Manifest, time_of
from pgops.errors import PgOpsError, Refused
from pgops.fingerprint import (
    LargeObjects,
    Table,
    TableFingerprint,
    dumped_tables,
    fingerprint_tables,
    large_objects,
    sequences_behind,
)
from pgops.fleet import BackupPolicy
from pgops.include import sql_text
from pgops.ledger import Lease, held_lease
from pgops.postgres import DatabaseError, Limits, cancel_all, client_program, connect
from pgops.processes import Program, ProgramFailed
from pgops.progress import Progress
from pgops.storage import Reader, StoredObject, encryption
from pgops.storage.compression import SUFFIX, CompressingReader

log = logging.getLogger(__name__)

# A client that has vanished is noticed by the server within two seconds, also in the middle of a COPY.
_SERVER_SETTINGS = {"client_connection_check_interval": "2000"}


@dataclass(frozen=True)
class Dump:
    """A dump that lies in the bucket, not verified and so not a backup yet. Sizes in bytes."""

    database: str
    backup_id: str
    bytes: int
    raw_bytes: int
    seconds: float
    tables: int
    rows: int
    taken_from: str


@dataclass(frozen=True)
class _Snapshot:
    id: str
    connection: Connection
    tables: list[Table]
    shapes: dict[int, tuple[int, list[str]]]
    contents: tuple[CatalogObject, ...]
    extensions: dict[str, str]
    notes: tuple[str, ...]
    sequences_behind: tuple[str, ...]


def dump(
    database: str,
    found: list[Source],
    notes: tuple[str, ...],
    policy: BackupPolicy,
    catalog: Catalog,
    lease: Lease,
    fingerprint: bool = True,
) -> Dump:
    """Dump a database into the bucket and write its draft.

    Args:
        found: servers to try in order. Only a conflict with recovery, which a standby may always have, leads to the
            next one.
        notes: why a preferred standby is not among them; they go into the manifest.
        lease: taken here and kept for verify and commit; given back when the dump fails.
        fingerprint: False only in benchmarks, to measure what fingerprints cost.

    Raises:
        PgOpsError: what failed. Nothing of this dump counts, and the next run sweeps up what is left of it.
    """
    with held_lease(lease):
        sweep_incomplete(catalog)
        for source in found[:-1]:
            try:
                return _dump_from(source, database, notes, policy, catalog, fingerprint)
            except (DatabaseError, ProgramFailed) as error:
                if not _is_recovery_conflict(error):
                    raise
                log.warning("the standby cancelled the dump to go on replaying; starting again on the primary")
                notes = (*notes, "the standby cancelled the dump (conflict with recovery): taken from the primary")
                sweep_incomplete(catalog)
        return _dump_from(found[-1], database, notes, policy, catalog, fingerprint)


def _is_recovery_conflict(error: PgOpsError) -> bool:
    """Whether a standby gave way to the primary's WAL; it may also end the session that held the snapshot."""
    words = ("conflict with recovery", "invalid snapshot identifier", 'snapshot "')
    return any(word in error.what for word in words)


def _dump_from(
    source: Source,
    database: str,
    notes: tuple[str, ...],
    policy: BackupPolicy,
    catalog: Catalog,
    fingerprint: bool,
) -> Dump:
    backup_id = catalog.next_id()
    started_at, started = time_of(backup_id), time.monotonic()
    log.info("dumping %s from its %s %s as %s", database, source.role, source.dsn.where, backup_id)
    failed = threading.Event()
    with _snapshot(source) as snapshot, ThreadPoolExecutor(1, "fingerprint") as beside:
        jobs = policy.fingerprint_jobs if fingerprint else 0
        prints = beside.submit(_fingerprints, source, snapshot, jobs, failed)
        try:
            objects, raw_bytes, copy_notes = _stream_dump(source, snapshot, backup_id, policy, catalog, prints)
        except BaseException as error:
            # When the fingerprint failed first it took the snapshot with it, and pg_dump only misses the snapshot.
            wait([prints], timeout=1.0)
            cause = prints.exception() if prints.done() else None
            failed.set()  # else the failure would be known only when the last table was read
            cancel_all()
            if cause is not None:
                raise cause from error
            raise
        tables, lobs = prints.result()
    roles = _stream_globals(source, backup_id, policy, catalog)
    seconds = time.monotonic() - started
    pg_dump = client_program("pg_dump", source.facts.version)
    manifest = Manifest(
        database=database,
        backup_id=backup_id,
        started_at=started_at,
        finished_at=datetime.now(UTC),
        seconds=seconds,
        server_version=source.facts.version,
        tool_versions={"pg_dump": _version_of(pg_dump)},
        snapshot=snapshot.id,
        taken_from=source.role,
        compression=Compression(policy.compression, policy.level),
        storage_class=policy.storage_class,
        raw_bytes=raw_bytes,
        objects=_relative(objects, catalog.key(backup_id)),
        globals=_relative(roles, catalog.key(backup_id)),
        tables=tuple(tables),
        large_objects=lobs,
        extensions=snapshot.extensions,
        encoding=source.facts.encoding,
        sequences_behind=snapshot.sequences_behind,
        notes=(*notes, *snapshot.notes, *copy_notes),
        encryption=Encryption.to(policy.encryption.recipients) if policy.encryption else None,
    )
    catalog.write_draft(Draft(manifest, snapshot.contents))
    log.info(
        "dumped %s: %s tables, %s rows, %s (%s before compression) in %s",
        database,
        len(tables),
        manifest.rows,
        units.size(manifest.bytes),
        units.size(raw_bytes),
        units.duration(seconds),
    )
    return Dump(
        database=database,
        backup_id=backup_id,
        bytes=manifest.bytes,
        raw_bytes=raw_bytes,
        seconds=seconds,
        tables=len(tables),
        rows=manifest.rows,
        taken_from=source.role,
    )


@contextmanager
def _snapshot(source: Source) -> Iterator[_Snapshot]:
    """Hold an exported snapshot open. No idle limit: it would end the snapshot in the middle of the dump."""
    limits = Limits(statement=4 * 3600, lock=60, idle_in_transaction=0)
    name = f"{APPLICATION}.snapshot"
    with connect(source.dsn, name, limits, system_names=True) as connection, connection.cursor() as cursor:
        cursor.execute(sql_text("backup/take_advisory_lock.sql"))
        if cursor.fetchone() != (True,):
            raise Refused(
                "Another session is dumping this database",
                where=source.dsn.where,
                remedy="Wait for it; it shows in pg_stat_activity as pgops.backup.snapshot",
                retry=True,
            )
        cursor.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute("SELECT pg_export_snapshot()")
        (snapshot_id,) = cursor.fetchone() or ("",)
        shapes = _shapes(connection)
        tables = dumped_tables(connection)
        unlogged = [table for table in tables if table.unlogged] if source.role == "standby" else []
        tables = [table for table in tables if table not in unlogged]
        cursor.execute(sql_text("backup/contents.sql"))
        contents = tuple(CatalogObject(*row) for row in cursor.fetchall())
        cursor.execute(sql_text("backup/extensions.sql"))
        extensions: dict[str, str] = dict(cursor.fetchall())
        yield _Snapshot(
            id=snapshot_id,
            connection=connection,
            tables=tables,
            shapes=shapes,
            contents=contents,
            extensions=extensions,
            notes=unlogged_note(unlogged),
            sequences_behind=tuple(sequences_behind(connection)),
        )
        cursor.execute("COMMIT")


def _fingerprints(
    source: Source, snapshot: _Snapshot, jobs: int, failed: threading.Event
) -> tuple[list[TableFingerprint], LargeObjects]:
    if not jobs:
        return [], LargeObjects()
    tables = fingerprint_tables(
        source.dsn,
        snapshot.tables,
        application_name=f"{APPLICATION}.fingerprint",
        jobs=jobs,
        snapshot=snapshot.id,
        stopped=failed.is_set,
    )
    if failed.is_set():
        return tables, LargeObjects()
    # The snapshot's own session is free now, and sees what the others saw.
    return tables, large_objects(snapshot.connection)


def _shapes(connection: Connection) -> dict[int, tuple[int, list[str]]]:
    """The file and the columns of every table, by its oid."""
    with connection.cursor() as cursor:
        cursor.execute(sql_text("backup/table_shapes.sql"))
        return {oid: (file, columns) for oid, file, columns in cursor.fetchall()}


def _refuse_changed_tables(source: Source, snapshot: _Snapshot) -> None:
    """Refuse tables that were rewritten or altered after the snapshot: in it they look empty, or have other columns.

    Asked when pg_dump writes its first byte: then it holds its locks, and nothing can change any more.

    Raises:
        Refused: there are such tables; another try, with a new snapshot, will see them whole.
    """
    with connect(source.dsn, f"{APPLICATION}.shapes", system_names=True, readonly=True) as connection:
        now = _shapes(connection)
    changed = [
        f"{table.schema}.{table.name}"
        for table in snapshot.tables
        if now.get(table.oid) != snapshot.shapes.get(table.oid)
    ]
    if changed:
        raise Refused(
            f"{len(changed)} tables were emptied, rewritten or altered while the dump began: {', '.join(changed[:5])}",
            where=source.dsn.where,
            remedy="The task tries again with a new snapshot; keep migrations away from the backup's time",
            retry=True,
        )


class _Output:
    """A program's output that ends only when the program ended well: a failure must abort the upload."""

    def __init__(
        self, program: Program, beside: Future[Any] | None = None, on_first_byte: Callable[[], None] | None = None
    ) -> None:
        self._program = program
        self._beside = beside
        self._on_first_byte = on_first_byte

    def read(self, size: int = -1, /) -> bytes:
        """As Reader.read."""
        if self._beside is not None and self._beside.done() and self._beside.exception() is not None:
            self._program.stop()
            self._beside.result()
        data = self._program.stdout.read(size)
        if not data:
            self._program.wait()
        if self._on_first_byte is not None:
            check, self._on_first_byte = self._on_first_byte, None
            check()
        return data


def _stream_dump(
    source: Source,
    snapshot: _Snapshot,
    backup_id: str,
    policy: BackupPolicy,
    catalog: Catalog,
    prints: Future[tuple[list[TableFingerprint], LargeObjects]],
) -> tuple[tuple[StoredObject, ...], int, tuple[str, ...]]:
    argv = [
        str(client_program("pg_dump", source.facts.version)),
        "--format=custom",
        "--compress=0",
        "--no-password",
        f"--snapshot={snapshot.id}",
        f"--lock-wait-timeout={policy.lock_wait_seconds}s",
        f"--dbname={source.dsn.conninfo()}",
    ]
    if source.facts.encoding != "SQL_ASCII":  # whose bytes no encoding describes
        argv.append("--encoding=UTF8")
    if source.role == "standby":
        argv.append("--no-unlogged-table-data")  # a standby has no rows of theirs
    environment = source.dsn.environment(f"{APPLICATION}.pg_dump", **_SERVER_SETTINGS)
    suffix = _suffix(policy)
    progress = Progress(f"dump of {catalog.database}", total=sum(table.bytes for table in snapshot.tables))
    with Program(argv, where=source.dsn.where, env=environment, stdout=subprocess.PIPE) as program:
        output = _Output(program, prints, lambda: _refuse_changed_tables(source, snapshot))
        plain = _Counted(output, progress)
        compressed = CompressingReader(plain, policy.compression, policy.level)
        with (
            _encrypted(compressed, policy) as sealed,
            copying_to(policy.local_copy, catalog.database, f"{backup_id}.dump{suffix}", sealed) as copy,
        ):
            objects = catalog.bucket.upload(
                catalog.key(backup_id, f"dump{suffix}"), copy, policy.storage_class, locked=True
            )
    return objects, compressed.raw_bytes, copy.notes


class _Counted:
    def __init__(self, source: Reader, progress: Progress) -> None:
        self._source, self._progress = source, progress

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        self._progress.add(len(data))
        return data


def _stream_globals(source: Source, backup_id: str, policy: BackupPolicy, catalog: Catalog) -> tuple[StoredObject, ...]:
    """Roles and tablespaces, which pg_dump leaves out; without passwords, which only a superuser could read."""
    argv = [
        str(client_program("pg_dumpall", source.facts.version)),
        "--globals-only",
        "--no-role-passwords",
        "--no-password",
        f"--database={source.dsn.dbname}",
        f"--dbname={source.dsn.conninfo()}",
    ]
    environment = source.dsn.environment(f"{APPLICATION}.pg_dumpall", **_SERVER_SETTINGS)
    with Program(argv, where=source.dsn.where, env=environment, stdout=subprocess.PIPE) as program:
        compressed = CompressingReader(_Output(program), policy.compression, policy.level)
        with _encrypted(compressed, policy) as sealed:
            key = catalog.key(backup_id, f"globals.sql{_suffix(policy)}")
            return catalog.bucket.upload(key, sealed, policy.storage_class, locked=True)


@contextmanager
def _encrypted(source: Reader, policy: BackupPolicy) -> Iterator[Reader]:
    """The stream encrypted, where the policy says so: already the local copy and the upload see nothing else."""
    if policy.encryption is None:
        yield source
        return
    with encryption.EncryptingReader(source, tuple(policy.encryption.recipients.values())) as sealed:
        yield sealed


def _suffix(policy: BackupPolicy) -> str:
    return SUFFIX[policy.compression] + (encryption.SUFFIX if policy.encryption else "")


def _relative(objects: tuple[StoredObject, ...], folder: str) -> tuple[StoredObject, ...]:
    return tuple(replace(stored, key=stored.key[len(folder) + 1 :]) for stored in objects)


def _version_of(program: Path) -> str:
    said = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"\(PostgreSQL\) (\S+)", said)
    return match[1] if match else said.strip()
