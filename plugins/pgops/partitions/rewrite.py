"""One person's rows in an archive: counted, written out, and taken out.

An archive is never changed: a new one is written and proven, then the one before is removed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from pgops.catalog import new_backup_id
from pgops.errors import Refused
from pgops.include import query, sql_text
from pgops.partitions.archive import (
    LIMITS,
    SCRATCH_SCHEMA,
    Subject,
    compare,
    create_plain_table,
    load,
    scratch_database,
    snapshot_of,
    stored,
    verify,
)
from pgops.partitions.manifest import (
    Archive,
    Column,
    folders_of,
    read_archive,
    read_draft,
    remove_folder,
    write_draft,
)
from pgops.partitions.transfer import APPLICATION, Copied, copying_out
from pgops.postgres import Dsn, connect
from pgops.progress import Progress
from pgops.storage import Bucket, StoredObject

log = logging.getLogger(__name__)

_NAME = "exact"
_TABLE = sql.Identifier(SCRATCH_SCHEMA, _NAME)


@dataclass(frozen=True)
class RowsOf:
    """Rows that hold a value, and what becomes of them.

    Attributes:
        columns: any of them holds it; those that an archive does not have are left aside.
        value: in the text form of the columns' types.
        set: column to SQL value; without any, rows go.
    """

    columns: tuple[str, ...]
    value: str = field(repr=False)
    set: Mapping[str, str] = field(default_factory=dict)

    def within(self, archive: Archive) -> tuple[Column, ...]:
        """The columns that the archive has."""
        return tuple(one for one in archive.data_columns if one.name in self.columns)


@dataclass(frozen=True)
class Counted:
    """Rows that hold the value, and how many of them a rewrite would take out or change."""

    rows: int
    left: int


@dataclass(frozen=True)
class Rewritten:
    """The archive that exists now, and how many rows were taken out or changed by this call."""

    archive: Archive
    rows: int


def count_rows(bucket: Bucket, archive: Archive, scratch: Dsn, wanted: RowsOf) -> Counted:
    """Count the rows that hold a value.

    Args:
        bucket: where the archive lies.
        archive: from archives_of.
        scratch: as for verify.
        wanted: which rows.

    Raises:
        Refused: it has none of the columns.
        NotProven: the archive is not what it should be.
    """
    with _loaded(bucket, archive, scratch, wanted) as (_, connection, holds):
        todo = _todo(archive, wanted, holds)
        rows = _count(connection, holds)
        return Counted(rows, rows if todo is holds else _count(connection, todo))


def export_rows(bucket: Bucket, archive: Archive, scratch: Dsn, wanted: RowsOf, key: str) -> tuple[StoredObject, ...]:
    """Write the rows that hold a value as CSV with a header line; nothing when there are none.

    Args:
        key: the full key of what is written.

    Raises:
        As count_rows.
    """
    with _loaded(bucket, archive, scratch, wanted) as (dsn, connection, holds):
        if not _count(connection, holds):
            return ()
        _execute(connection, "delete", rows=holds, wanted=sql.SQL("NOT TRUE"))
        with snapshot_of(dsn, _SCRATCH_TABLE) as (holder, snapshot):
            columns = [column.name for column in archive.data_columns]
            encoding = "SQL_ASCII" if archive.encoding == "SQL_ASCII" else "UTF8"
            copied = Copied(holder, SCRATCH_SCHEMA, _NAME, columns, "csv", encoding)
            progress = Progress(f"rows of {archive.name}")
            with copying_out(dsn, copied, snapshot, progress, threading.Event()) as lines:
                return bucket.upload(key, lines)


def rewrite_archive(bucket: Bucket, archive: Archive, scratch: Dsn, wanted: RowsOf, by: str) -> Rewritten:
    """Write an archive anew with the rows that hold a value taken out or changed, prove it, and remove the one before.

    Can be killed anywhere and called again with the same archive: it goes on, or finds that it is done. Nobody else may
    rewrite it meanwhile.

    Args:
        by: the run that does it.

    Returns:
        The archive that holds the rest; the same one when there is nothing to do.

    Raises:
        Refused: it has none of the columns.
        NotProven: the archive before, or the new one, is not what it should be; the one before is kept.
    """
    if archive.replaces is not None:  # its predecessor is hidden only as long as this one is there
        remove_folder(bucket, replace(archive, archive_id=archive.replaces).folder(bucket))
    successor = _successor(bucket, archive)
    if successor is not None:
        # An earlier rewrite got as far as its manifest; it may have been another value's.
        remove_folder(bucket, archive.folder(bucket))
        return rewrite_archive(bucket, successor, scratch, wanted, by)
    draft, rows = _changed(bucket, archive, scratch, wanted, by)
    if draft is None:
        return Rewritten(archive, 0)
    successor = verify(bucket, draft, scratch)
    remove_folder(bucket, archive.folder(bucket))
    return Rewritten(successor, rows)


def _successor(bucket: Bucket, archive: Archive) -> Archive | None:
    """The proven archive that a rewrite made of this one; what else rewrites left is removed."""
    names = (archive.parent_schema, archive.parent_name, archive.name)
    for folder in folders_of(bucket, archive.database, *names):
        found = read_archive(bucket, folder)
        if found is not None and found.replaces == archive.archive_id:
            return found
        draft = read_draft(bucket, folder) if found is None else None
        if draft is not None and draft.replaces is not None:
            remove_folder(bucket, folder)
    return None


def _changed(bucket: Bucket, archive: Archive, scratch: Dsn, wanted: RowsOf, by: str) -> tuple[Archive | None, int]:
    """The draft of an archive without the rows, or with them changed, and how many; None when there are none."""
    started = time.monotonic()
    with _loaded(bucket, archive, scratch, wanted) as (dsn, connection, holds):
        todo = _todo(archive, wanted, holds)
        if not _count(connection, todo):
            return None, 0
        if wanted.set:
            rows = _execute(connection, "anonymise", rows=todo, assignments=_assignments(archive, wanted))
        else:
            rows = _execute(connection, "delete", rows=todo, wanted=sql.SQL("TRUE"))
        how = "with changes in" if wanted.set else "without"
        log.info("%s.%s: the archive is written anew %s %d rows", archive.schema, archive.name, how, rows)
        now = datetime.now(UTC)
        draft = replace(
            archive,
            archive_id=new_backup_id(now),
            replaces=archive.archive_id,
            proof=None,
            by=by,
            archived_at=now,
            exact=replace(archive.exact, objects=(), raw_bytes=0),
            readable=replace(archive.readable, objects=(), raw_bytes=0),
        )
        table = replace(archive.table, schema=SCRATCH_SCHEMA, name=_NAME, copy_schema=SCRATCH_SCHEMA, copy_name=_NAME)
        with snapshot_of(dsn, _SCRATCH_TABLE) as (holder, snapshot):
            draft = stored(bucket, draft, dsn, table, holder, snapshot)
    draft = replace(draft, seconds=time.monotonic() - started)
    write_draft(bucket, draft)
    return draft, rows


# --- an archive on the scratch database ---

_SCRATCH_TABLE = Subject(0, SCRATCH_SCHEMA, _NAME, "", "", "")


@contextmanager
def _loaded(
    bucket: Bucket, archive: Archive, scratch: Dsn, wanted: RowsOf
) -> Iterator[tuple[Dsn, Connection, sql.Composable]]:
    """The archive's rows as a table, held against its fingerprint, and the condition for those that are wanted."""
    columns = wanted.within(archive)
    if not columns:
        raise Refused(
            f"The archive of {archive.schema}.{archive.name} has no column {' or '.join(map(repr, wanted.columns))}",
            where=bucket.where(archive.folder(bucket)),
            remedy=f"Take one of: {', '.join(one.name for one in archive.data_columns)}",
        )
    with (
        scratch_database(scratch, archive) as dsn,
        connect(dsn, APPLICATION, LIMITS, system_names=True) as connection,
    ):
        create_plain_table(connection, archive, _NAME)
        load(bucket, archive, archive.exact, dsn, connection, SCRATCH_SCHEMA, _NAME)
        compare(bucket, archive, dsn, SCRATCH_SCHEMA, _NAME, archive.exact.format)
        yield dsn, connection, _holds(connection, columns, wanted.value)


def _holds(connection: Connection, columns: tuple[Column, ...], value: str) -> sql.Composable:
    """Whether a row holds the value. A column whose type does not know it cannot hold it."""
    ways: list[sql.Composable] = [sql.SQL("false")]
    with connection.cursor() as cursor:
        cursor.execute(sql_text("partitions/archive/set_value.sql"), {"value": value})
        for column in columns:
            type_name = sql.SQL(column.stored_as)
            try:
                cursor.execute(query("partitions/archive/is_value.sql", type=type_name))
            except psycopg2.DataError:
                continue
            equal = "{name} = {value}"
            if column.type.rpartition(".")[2] == "citext":  # of an extension: stored as text
                equal = "pg_catalog.lower({name}) = pg_catalog.lower({value})"
            value_of = sql.SQL("(SELECT CAST(pg_catalog.current_setting('pgops.value') AS {}))").format(type_name)
            ways.append(sql.SQL(equal).format(name=sql.Identifier(column.name), value=value_of))
    return sql.SQL("({})").format(sql.SQL(" OR ").join(ways))


def _todo(archive: Archive, wanted: RowsOf, holds: sql.Composable) -> sql.Composable:
    """Whether a row is still to be taken out, or to be changed: it differs from what it shall become."""
    if not wanted.set:
        return holds
    differs = [
        sql.SQL("{}::text IS DISTINCT FROM ({})::text").format(name, value) for name, value in _values(archive, wanted)
    ]
    return sql.SQL("{} AND ({})").format(holds, sql.SQL(" OR ").join([sql.SQL("false"), *differs]))


def _assignments(archive: Archive, wanted: RowsOf) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL("{} = {}").format(name, value) for name, value in _values(archive, wanted))


def _values(archive: Archive, wanted: RowsOf) -> list[tuple[sql.Identifier, sql.Composed]]:
    """What columns become. One that the archive has not holds nothing that could be changed."""
    return [
        (
            sql.Identifier(column.name),
            sql.SQL("CAST(({}) AS {})").format(sql.SQL(wanted.set[column.name] or "NULL"), sql.SQL(column.stored_as)),
        )
        for column in archive.data_columns
        if column.name in wanted.set
    ]


def _count(connection: Connection, rows: sql.Composable) -> int:
    with connection.cursor() as cursor:
        cursor.execute(query("partitions/archive/count.sql", table=_TABLE, rows=rows))
        ((count,),) = cursor.fetchall()
    return int(count)


def _execute(connection: Connection, name: str, **parts: sql.Composable) -> int:
    with connection.cursor() as cursor:
        cursor.execute(query(f"partitions/archive/{name}.sql", table=_TABLE, **parts))
        return int(cursor.rowcount)
