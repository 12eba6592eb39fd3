"""All that is known about a person, as files that a person can read, from one snapshot.

<prefix>/<database>/subjects/<request id>/tables/001-public.users.json  .csv
                                         /archives/...
                                         /README.txt
                                         /manifest.json                 last: without it there is no export
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from pydantic import TypeAdapter

from pgops.errors import PgOpsError
from pgops.include import query
from pgops.postgres import Dsn, Limits
from pgops.privacy.model import Archives, MappedTable, SubjectMap
from pgops.privacy.rows import ROW, condition, identifier
from pgops.privacy.search import Subject, archived
from pgops.privacy.sessions import subject_session
from pgops.progress import Progress
from pgops.storage import Bucket, HashingReader, NotThere, StoredObject, read_all

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
# An idle limit would end the snapshot in the middle of an upload.
_LIMITS = Limits(statement=3600, lock=10, idle_in_transaction=0)
_FETCH = 2_000
_FOLDER = "subjects"
_UNFINISHED = timedelta(days=7)  # for as long a failed task may be cleared, and goes on


@dataclass(frozen=True)
class ExportedTable:
    """A table's rows, twice: as a JSON array with a row a line, and as CSV. No files where there are no rows."""

    table: str
    path: str
    rows: int
    json: tuple[StoredObject, ...] = ()
    csv: tuple[StoredObject, ...] = ()


@dataclass(frozen=True)
class Export:
    """An export's manifest; keys of objects are full ones. The files hold personal data, the manifest none."""

    request_id: str
    database: str
    subject_hash: str
    at: datetime
    expires_at: datetime
    folder: str
    tables: tuple[ExportedTable, ...]
    archives: tuple[StoredObject, ...] | None
    readme: StoredObject
    version: int = 1

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(one.rows for one in self.tables)


_EXPORT = TypeAdapter(Export)


def export(
    dsn: Dsn,
    bucket: Bucket,
    subject_map: SubjectMap,
    subject: Subject,
    *,
    request_id: str,
    subject_hash: str,
    days: int,
    archives: Archives | None = None,
) -> Export:
    """Write what is known about a person to the bucket, and read it back. An export that exists stays as it is.

    Args:
        dsn: of a role that may read all tables.
        request_id: names the folder.
        subject_hash: for the manifest.
        days: how long it stays.
    """
    known = find_export(bucket, subject_map.database, request_id)
    if known is not None:
        log.info("the export is there already: %s", bucket.where(known.folder))
        return known
    folder = bucket.key(subject_map.database, _FOLDER, request_id)
    at = datetime.now(UTC)
    with subject_session(dsn, subject.key, _LIMITS, readonly=True) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True, autocommit=False)
        progress = Progress(f"export {request_id}")
        tables = tuple(
            _export_table(connection, bucket, subject_map, table, f"{folder}/tables/{number:03d}-", progress)
            for number, table in enumerate(reversed(subject_map.tables), 1)
        )
        connection.rollback()
    retired = archives.export(archived(subject_map, subject), f"{folder}/archives") if archives else None
    expires_at = at + timedelta(days=days)
    text = _readme(subject_map.database, at, expires_at, tables, retired)
    readme = bucket.put(f"{folder}/README.txt", text.encode(), "text/plain; charset=utf-8")
    made = Export(request_id, subject_map.database, subject_hash, at, expires_at, folder, tables, retired, readme)
    for stored in (*(one for table in tables for one in (*table.json, *table.csv)), *(retired or ())):
        _read_back(bucket, stored)
    bucket.put_json(f"{folder}/{MANIFEST}", _EXPORT.dump_python(made, mode="json"))
    return made


def find_export(bucket: Bucket, database: str, request_id: str) -> Export | None:
    """An export that came to its end; None if there is none."""
    try:
        return _EXPORT.validate_python(bucket.get_json(bucket.key(database, _FOLDER, request_id, MANIFEST)))
    except NotThere:
        return None


def remove_expired_exports(bucket: Bucket, database: str, now: datetime) -> tuple[str, ...]:
    """Remove exports whose time is over, and those that nobody brought to an end.

    The manifest goes last, so that what was interrupted is found again.
    """
    prefix = bucket.key(database, _FOLDER) + "/"
    removed = []
    for request_id in bucket.folders(prefix):
        found = find_export(bucket, database, request_id)
        objects = list(bucket.objects(f"{prefix}{request_id}/"))
        expires_at = found.expires_at if found else max(info.modified for info in objects) + _UNFINISHED
        if expires_at <= now:
            manifest = f"{prefix}{request_id}/{MANIFEST}"
            bucket.delete(info.key for info in objects if info.key != manifest)
            bucket.delete([manifest])
            removed.append(request_id)
    return tuple(removed)


def _export_table(
    connection: Connection,
    bucket: Bucket,
    subject_map: SubjectMap,
    table: MappedTable,
    prefix: str,
    progress: Progress,
) -> ExportedTable:
    """Two passes over the rows, in one snapshot: each goes straight to the bucket, so memory and disk stay flat."""
    name = prefix + re.sub(r"[^A-Za-z0-9_.-]", "_", table.title)
    as_json = _Lines(_json_lines(_selected(connection, "privacy/export_json.sql", subject_map, table)), progress)
    if not as_json.any():
        return ExportedTable(table.title, table.path, 0)
    json_objects = bucket.upload(f"{name}.json", as_json)
    header = ",".join(_quoted(column.name) for column in table.columns)
    lines = _selected(connection, "privacy/export_csv.sql", subject_map, table, line=_csv_line(table))
    as_csv = _Lines(_csv_lines(header, lines), progress)
    csv_objects = bucket.upload(f"{name}.csv", as_csv)
    rows = as_json.lines - 2  # without the brackets of the array
    if as_csv.lines - 1 != rows:
        raise PgOpsError(
            f"{table.title} had {rows} rows as JSON and {as_csv.lines - 1} as CSV",
            where=bucket.where(name),
            remedy="Trigger the request again; if it happens twice, report it with the server's version",
        )
    log.info("%s: %s rows", table.title, rows)
    return ExportedTable(table.title, table.path, rows, json_objects, csv_objects)


def _selected(
    connection: Connection, name: str, subject_map: SubjectMap, table: MappedTable, **parts: sql.Composable
) -> Iterator[str]:
    for relation in table.relations:
        with connection.cursor(name="export") as cursor:
            cursor.itersize = _FETCH
            cursor.execute(query(name, table=identifier(relation), condition=condition(subject_map, table), **parts))
            for (line,) in cursor:
                yield line


def _csv_line(table: MappedTable) -> sql.Composed:
    value = "coalesce('\"' || pg_catalog.replace({}.{}::text, '\"', '\"\"') || '\"', '')"
    values = [sql.SQL(value).format(ROW, sql.Identifier(column.name)) for column in table.columns]
    return sql.SQL(" || ',' || ").join(values or [sql.SQL("''")])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _json_lines(rows: Iterator[str]) -> Iterator[str]:
    """A JSON array with a row a line; nothing where there are no rows."""
    before = next(rows, None)
    if before is None:
        return
    yield "["
    for row in rows:
        yield before + ","
        before = row
    yield before
    yield "]"


def _csv_lines(header: str, rows: Iterator[str]) -> Iterator[str]:
    yield header
    yield from rows


class _Lines:
    """Lines as a stream of bytes, counted."""

    def __init__(self, source: Iterator[str], progress: Progress) -> None:
        self._source, self._progress = source, progress
        self._ahead = bytearray()
        self.lines = 0

    def any(self) -> bool:
        """Whether there is a line at all."""
        return bool(self._ahead) or self._take()

    def read(self, size: int = -1, /) -> bytes:
        """As Reader.read."""
        while (size < 0 or len(self._ahead) < size) and self._take():
            pass
        end = len(self._ahead) if size < 0 else size
        data = bytes(self._ahead[:end])
        del self._ahead[:end]
        self._progress.add(len(data))
        return data

    def _take(self) -> bool:
        line = next(self._source, None)
        if line is None:
            return False
        self._ahead += line.encode() + b"\n"
        self.lines += 1
        return True


def _read_back(bucket: Bucket, stored: StoredObject) -> None:
    reader = HashingReader(bucket.open([stored.key]))
    for _ in read_all(reader):
        pass
    if (reader.bytes, reader.sha256) != (stored.bytes, stored.sha256):
        raise PgOpsError(
            "An object of the export came back other than it was written",
            where=bucket.where(stored.key),
            remedy="Do not hand it out; trigger the request again and find out who or what changes objects there",
            retry=True,
        )


def _readme(database: str, at: datetime, expires_at: datetime, tables: tuple[ExportedTable, ...], retired: Any) -> str:
    lines = [
        "Your data",
        "=========",
        "",
        f"This folder holds what the database {database} knew about you at {at:%Y-%m-%d %H:%M} UTC.",
        "Each table comes twice: .json is for programs, .csv opens in a spreadsheet. Both hold the same rows.",
        "In .csv every value is in quotes; a value without quotes is missing in the database, too.",
        f"The folder is removed after {expires_at:%Y-%m-%d}.",
        "",
        *(f"{table.rows:>9}  {table.table}" for table in tables if table.rows),
        "",
        f"Tables without anything about you: {', '.join(one.table for one in tables if not one.rows) or 'none'}.",
    ]
    if retired:
        lines += ["", f"Older rows, from archives, lie below archives/ ({len(retired)} files)."]
    lines += ["", "manifest.json lists every file with its length and its SHA-256.", ""]
    return "\n".join(lines)
