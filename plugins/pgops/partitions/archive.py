"""Copies a partition to the bucket in two formats, reads both back, and compares them with what was in the table.

Exact: PostgreSQL's binary COPY with zstd (its text form where a type's binary form is not portable). Readable: CSV with
a header line and gzip, which any program reads in ten years (PostgreSQL's text form where its own CSV could not be
loaded again). Both are of one snapshot, and so is the fingerprint.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from pgops import units
from pgops.catalog import NotProven, StoredReader, new_backup_id
from pgops.errors import PgOpsError, Refused
from pgops.fingerprint import Table, TableFingerprint, dumped_tables, fingerprint_tables
from pgops.include import query, sql_text
from pgops.partitions.manifest import (
    Archive,
    Column,
    Data,
    Proof,
    write_draft,
    write_manifest,
)
from pgops.partitions.transfer import APPLICATION, Copied, copy_in, copying_out, side_by_side
from pgops.postgres import Dsn, Limits, client_program, connect
from pgops.postgres.databases import create_database, drop_database
from pgops.processes import ProgramFailed, run
from pgops.progress import Progress
from pgops.storage import Bucket, ReadAhead, Reader, read_all
from pgops.storage.compression import SUFFIX, CompressingReader, DecompressingReader, NotDecodable

log = logging.getLogger(__name__)

LIMITS = Limits(statement=4 * 3600, lock=60, idle_in_transaction=0)
_ZSTD_LEVEL = 3
_GZIP_LEVEL = 1  # 6 takes three times as long for a sixth less
_END_MARK = re.compile(rb"[\r\n]\\\.[\r\n]")
_NO_CONNECTION = 2  # psql's exit code
SCRATCH_SCHEMA = "public"  # of the scratch database


@dataclass(frozen=True)
class Subject:
    """The table that is to be archived, and whose partition it is or was."""

    oid: int
    schema: str
    name: str
    parent_schema: str
    parent_name: str
    range: str
    comment: str | None = None


def archive(bucket: Bucket, database: str, source: Dsn, subject: Subject, by: str) -> Archive:
    """Write both formats and the draft of a table. Nothing of it counts before verify.

    Args:
        bucket: where it goes.
        database: its name in the fleet file.
        source: where the table is.
        subject: which one.
        by: the run that does it.

    Raises:
        PgOpsError: what failed. What it left is removed when the table is archived the next time.
    """
    started = time.monotonic()
    archived_at = datetime.now(UTC)
    with snapshot_of(source, subject) as (connection, snapshot):
        version, encoding = _server(connection)
        table = _table(connection, subject, source)
        columns = columns_of(connection, subject.oid)
        draft = Archive(
            database=database,
            archive_id=new_backup_id(archived_at),
            **_fields(subject),
            columns=columns,
            ddl="",
            table=table,
            rows=0,
            hash="0",
            exact=_no_data("binary" if all(c.portable for c in columns if c.generated is None) else "text", encoding),
            readable=_no_data("csv", encoding),
            server_version=version,
            encoding=encoding,
            archived_at=archived_at,
            seconds=0.0,
            by=by,
            key=_key(connection, subject),
        )
        draft = stored(bucket, draft, source, table, connection, snapshot)
        ddl = _ddl(source, subject, version)
    draft = replace(draft, ddl=ddl, seconds=time.monotonic() - started)
    write_draft(bucket, draft)
    log.info(
        "archived %s.%s: %d rows, %s in %s",
        *(subject.schema, subject.name, draft.rows, units.size(draft.bytes), units.duration(draft.seconds)),
    )
    return draft


def _fields(subject: Subject) -> dict[str, Any]:
    return {name: getattr(subject, name) for name in Subject.__dataclass_fields__}


def _no_data(form: Literal["binary", "text", "csv"], encoding: str) -> Data:
    """What will be written: the readable one in UTF-8 unless no encoding describes the bytes."""
    if form != "csv":
        return Data(form, encoding, "zstd", 0, ())
    return Data(form, encoding if encoding == "SQL_ASCII" else "UTF8", "gzip", 0, ())


@contextmanager
def snapshot_of(source: Dsn, subject: Subject) -> Iterator[tuple[Connection, str]]:
    """A snapshot of the table, which is locked before: TRUNCATE and rewrites do not wait for snapshots."""
    with (
        connect(source, f"{APPLICATION}.snapshot", LIMITS, system_names=True) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(sql_text("fingerprint/settings.sql"))
        cursor.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        table = sql.Identifier(subject.schema, subject.name)
        cursor.execute(query("partitions/archive/lock.sql", table=table))
        cursor.execute("SELECT pg_catalog.pg_export_snapshot()")
        (snapshot,) = cursor.fetchone() or ("",)
        yield connection, snapshot
        cursor.execute("COMMIT")


def _server(connection: Connection) -> tuple[int, str]:
    with connection.cursor() as cursor:
        cursor.execute(sql_text("partitions/archive/server.sql"))
        version, encoding = cursor.fetchone() or (0, "")
    return version, encoding


def _key(connection: Connection, subject: Subject) -> str | None:
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        names = {"schema": subject.parent_schema, "name": subject.parent_name}
        cursor.execute(sql_text("partitions/restore/parent.sql"), names)
        row = cursor.fetchone()
    return row["key"] if row else None


def _table(connection: Connection, subject: Subject, source: Dsn) -> Table:
    """How the fingerprint sees the table.

    Raises:
        Refused: its rows are not in it (a foreign table), or it belongs to an extension.
    """
    found = next((one for one in dumped_tables(connection) if one.oid == subject.oid), None)
    if found is None:
        raise Refused(
            f"{subject.schema}.{subject.name} has no rows of its own that could be archived",
            where=source.where,
            remedy="Retire foreign tables, sub-partitioned tables and tables of extensions by hand",
        )
    # By itself, whatever it was a partition of.
    return replace(found, copy_schema=found.schema, copy_name=found.name)


def columns_of(connection: Connection, oid: int) -> tuple[Column, ...]:
    """A table's columns, in order."""
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(sql_text("partitions/archive/columns.sql"), {"oid": oid})
        return tuple(Column(**row) for row in cursor.fetchall())


def stored(bucket: Bucket, draft: Archive, source: Dsn, table: Table, connection: Connection, snapshot: str) -> Archive:
    """The draft with both formats uploaded and the fingerprint taken, all three at the same time."""
    stopped = threading.Event()

    def upload(data: Data, name: str, level: int) -> tuple[Data, bool]:
        columns = [column.name for column in draft.data_columns]
        copied = Copied(connection, table.schema, table.name, columns, data.format, data.encoding)
        progress = Progress(f"archive of {draft.name} ({name})", total=table.bytes)
        with copying_out(source, copied, snapshot, progress, stopped) as rows:
            scanned = _EndMarkScan(rows)
            compressed = CompressingReader(scanned, data.compression, level)
            folder = draft.folder(bucket)
            objects = bucket.upload(f"{folder}/{name}{SUFFIX[data.compression]}", compressed)
        relative = tuple(replace(one, key=one.key[len(folder) + 1 :]) for one in objects)
        return replace(data, raw_bytes=compressed.raw_bytes, objects=relative), scanned.found

    def upload_exact() -> Data:
        return upload(draft.exact, "exact", _ZSTD_LEVEL)[0]

    def upload_readable() -> Data:
        data, has_end_mark = upload(draft.readable, "readable.csv", _GZIP_LEVEL)
        if not has_end_mark:
            return data
        log.info("%s has a line that ends a COPY of CSV before PostgreSQL 18: its text form is kept", draft.name)
        bucket.delete([f"{draft.folder(bucket)}/{stored.key}" for stored in data.objects])
        return upload(replace(draft.readable, format="text"), "readable.txt", _GZIP_LEVEL)[0]

    def fingerprint() -> TableFingerprint:
        return _fingerprint(source, table, snapshot, stopped)

    exact, readable, found = side_by_side([upload_exact, upload_readable, fingerprint], stopped)
    assert isinstance(exact, Data) and isinstance(readable, Data) and isinstance(found, TableFingerprint)
    return replace(draft, exact=exact, readable=readable, rows=found.rows, hash=found.hash)


class _EndMarkScan:
    """Looks for a line of backslash and dot: within a quoted value it is one of CSV's rows to no server before 18."""

    def __init__(self, source: Reader) -> None:
        self._source = source
        self._tail = b""
        self.found = False

    def read(self, size: int = -1, /) -> bytes:
        """As Reader.read."""
        data = self._source.read(size)
        if not self.found:
            self.found = _has_end_mark(self._tail + data[:3]) or _has_end_mark(data)
            self._tail = (self._tail + data)[-3:]
        return data


def _has_end_mark(data: bytes) -> bool:
    # The expression alone takes longer than the compression.
    return b"\\" in data and b"\\." in data and _END_MARK.search(data) is not None


def _fingerprint(dsn: Dsn, table: Table, snapshot: str | None, stopped: threading.Event) -> TableFingerprint:
    (found,) = fingerprint_tables(
        dsn,
        [table],
        application_name=f"{APPLICATION}.fingerprint",
        jobs=1,
        snapshot=snapshot,
        stopped=stopped.is_set,
    )
    return found


def fingerprint_like(dsn: Dsn, archive: Archive, schema: str, name: str, jobs: int = 1) -> tuple[int, str]:
    """Rows and hash of another table that has an archive's columns."""
    table = replace(archive.table, schema=schema, name=name, copy_schema=schema, copy_name=name)
    (found,) = fingerprint_tables(dsn, [table], application_name=f"{APPLICATION}.fingerprint", jobs=jobs)
    return found.rows, found.hash


def _ddl(source: Dsn, subject: Subject, version: int) -> str:
    """What pg_dump makes of the table alone."""
    pattern = ".".join('"' + part.replace('"', '""') + '"' for part in (subject.schema, subject.name))
    argv = [
        str(client_program("pg_dump", version)),
        *("--schema-only", "--no-password", "--strict-names", "--lock-wait-timeout=60s", f"--table={pattern}"),
        f"--dbname={source.conninfo()}",
    ]
    return run(
        argv, where=source.where, env=source.environment(f"{APPLICATION}.pg_dump") | {"PGCLIENTENCODING": "UTF8"}
    )


# --- reading back ---


def verify(bucket: Bucket, draft: Archive, scratch: Dsn) -> Archive:
    """Download both formats, load them on the scratch server, compare; only then write the manifest.

    Args:
        bucket: where the archive lies.
        draft: of the archive.
        scratch: maintenance database of a server where this role may create databases; at least as new as the source.

    Raises:
        NotProven: a format is damaged, incomplete or holds other rows.
    """
    started = time.monotonic()
    with scratch_database(scratch, draft) as dsn:
        stopped = threading.Event()
        side_by_side(
            [
                lambda: _prove(bucket, draft, draft.exact, "exact", dsn, stopped),
                lambda: _prove(bucket, draft, draft.readable, "readable", dsn, stopped),
            ],
            stopped,
        )
    seconds = time.monotonic() - started
    checks = ("sha256", "decoded", "loaded", "rows and hash, of both formats")
    proven = write_manifest(bucket, draft, Proof(datetime.now(UTC), seconds, checks))
    log.info("proved the archive of %s.%s in %s", draft.schema, draft.name, units.duration(seconds))
    return proven


def _prove(bucket: Bucket, draft: Archive, data: Data, name: str, dsn: Dsn, stopped: threading.Event) -> None:
    with connect(dsn, APPLICATION, LIMITS, system_names=True) as connection:
        create_plain_table(connection, draft, name)
        load(bucket, draft, data, dsn, connection, SCRATCH_SCHEMA, name, stopped)
    compare(bucket, draft, dsn, SCRATCH_SCHEMA, name, name)


def compare(bucket: Bucket, archive: Archive, dsn: Dsn, schema: str, name: str, what: str) -> None:
    """Hold a loaded table against the fingerprint of the archive.

    Raises:
        NotProven: it has other rows.
    """
    rows, hash_sum = fingerprint_like(dsn, archive, schema, name)
    if (rows, hash_sum) != (archive.rows, archive.hash):
        raise NotProven(
            f"The {what} archive of {archive.schema}.{archive.name} holds {rows} rows with hash {hash_sum}, "
            f"in the table were {archive.rows} with {archive.hash}",
            bucket.where(archive.folder(bucket)),
        )


def create_plain_table(connection: Connection, archive: Archive, name: str) -> None:
    """A table on the scratch database for an archive's values: it needs no type and no extension of the source."""
    check_types(connection, archive, [column.stored_as for column in archive.data_columns])
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.stored_as))
        for column in archive.data_columns
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            query(
                "partitions/archive/create_table.sql",
                table=sql.Identifier(SCRATCH_SCHEMA, name),
                columns=sql.SQL(", ").join(columns),
            )
        )


def check_types(connection: Connection, archive: Archive, types: Sequence[str]) -> None:
    """Refuse what is no type here, and what is no type at all."""
    with connection.cursor() as cursor:
        cursor.execute(sql_text("partitions/archive/is_type.sql"), {"types": sorted(set(types))})
        unknown = [name for (name,) in cursor.fetchall()]
    if unknown:
        raise Refused(
            f"{archive.schema}.{archive.name} has columns of types that are not here: {', '.join(unknown)}",
            where=f"{connection.info.host}:{connection.info.port}/{connection.info.dbname}",
            remedy="Create these types (or their extension) first; the readable format holds their text",
        )


def load(
    bucket: Bucket,
    archive: Archive,
    data: Data,
    dsn: Dsn,
    connection: Connection,
    schema: str,
    name: str,
    stopped: threading.Event | None = None,
) -> None:
    """Load one format into a table that has the archive's columns.

    Raises:
        NotProven: what came back is not what was sent, or cannot be loaded.
    """
    where = bucket.where(archive.folder(bucket))
    columns = [column.name for column in archive.data_columns]
    copied = Copied(connection, schema, name, columns, data.format, data.encoding)
    progress = Progress(f"reading {archive.name} ({data.format}) back", total=data.raw_bytes)
    with ReadAhead(StoredReader(bucket, archive.folder(bucket), data.objects)) as stored:
        try:
            plain = DecompressingReader(stored, data.compression)
            fed = copy_in(dsn, copied, plain, progress, stopped or threading.Event())
        except (ProgramFailed, NotDecodable) as error:
            if isinstance(error, ProgramFailed) and (error.code == _NO_CONNECTION or error.code < 0):
                raise
            _drain(stored)  # a wrong hash says more than what it led to
            what = error.stderr.strip()[-300:] if isinstance(error, ProgramFailed) else error.what
            raise NotProven(f"The {data.format} archive cannot be loaded: {what}", where) from error
        _drain(stored)  # what follows the compressed stream belongs to the hash
    if fed != data.raw_bytes:
        raise NotProven(f"The {data.format} archive decodes to {fed} bytes, {data.raw_bytes} were sent", where)


def _drain(stored: ReadAhead) -> None:
    for _ in read_all(stored):
        pass


@contextmanager
def scratch_database(scratch: Dsn, archive: Archive) -> Iterator[Dsn]:
    """An empty database for one partition, dropped at the end; what a dead run left of it is dropped before.

    Raises:
        Refused: the server is older than the archive's.
    """
    digest = hashlib.sha256(f"{archive.database}/{archive.parent}/{archive.oid}".encode()).hexdigest()[:12]
    name = f"pgops_partition_{digest}"
    with connect(scratch, APPLICATION, Limits(statement=600, lock=60), system_names=True) as connection:
        if connection.server_version // 10000 < archive.server_version // 10000:
            raise Refused(
                f"This server has version {connection.server_version // 10000}, "
                f"the archive is of {archive.server_version // 10000}",
                where=scratch.where,
                remedy="Name a server that is at least as new under partitions.scratch_connection in the fleet file",
            )
        with connection.cursor() as cursor:
            drop_database(cursor, name)
            create_database(cursor, name, archive.encoding)
    try:
        yield scratch.on(name)
    finally:
        with (
            suppress(PgOpsError),  # the next run drops it, and it must not hide what happened
            connect(scratch, APPLICATION, Limits(statement=600, lock=60), system_names=True) as connection,
            connection.cursor() as cursor,
        ):
            drop_database(cursor, name)
