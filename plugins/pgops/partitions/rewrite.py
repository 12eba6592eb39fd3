"""Takes one value's rows out of an archive: a new one is written and proven, then the one before is removed."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from datetime import UTC, datetime

from psycopg2 import sql

from pgops.catalog import new_backup_id
from pgops.errors import Refused
from pgops.include import query
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
from pgops.partitions.transfer import APPLICATION
from pgops.postgres import Dsn, connect
from pgops.storage import Bucket

log = logging.getLogger(__name__)


def rewrite_archive(bucket: Bucket, archive: Archive, scratch: Dsn, column: str, value: str, by: str) -> Archive:
    """Write an archive anew without the rows where `column` has `value`, prove it, and remove the one before.

    Can be killed anywhere and called again with the same archive: it goes on, or finds that it is done.

    Args:
        bucket: where it lies.
        archive: from archives_of.
        scratch: as for verify.
        column: a column whose values are stored.
        value: in the text form of the column's type.
        by: the run that does it.

    Returns:
        The archive that holds the rest; the same one when it has no such row.

    Raises:
        Refused: it has no such column.
        NotProven: the archive before, or the new one, is not what it should be; the one before is kept.
    """
    found = next((one for one in archive.data_columns if one.name == column), None)
    if found is None:
        raise Refused(
            f"The archive of {archive.schema}.{archive.name} has no column {column!r}",
            where=bucket.where(archive.folder(bucket)),
            remedy=f"Take one of: {', '.join(one.name for one in archive.data_columns)}",
        )
    if archive.replaces is not None:  # its predecessor is hidden only as long as this one is there
        remove_folder(bucket, replace(archive, archive_id=archive.replaces).folder(bucket))
    successor = _successor(bucket, archive)
    if successor is not None:
        # An earlier rewrite got as far as its manifest; it may have been another value's.
        remove_folder(bucket, archive.folder(bucket))
        return rewrite_archive(bucket, successor, scratch, column, value, by)
    draft = _without(bucket, archive, scratch, found, value, by)
    if draft is None:
        return archive
    successor = verify(bucket, draft, scratch)
    remove_folder(bucket, archive.folder(bucket))
    return successor


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


def _without(bucket: Bucket, archive: Archive, scratch: Dsn, column: Column, value: str, by: str) -> Archive | None:
    started = time.monotonic()
    name = "exact"
    with (
        scratch_database(scratch, archive) as dsn,
        connect(dsn, APPLICATION, LIMITS, system_names=True) as connection,
    ):
        create_plain_table(connection, archive, name)
        load(bucket, archive, archive.exact, dsn, connection, SCRATCH_SCHEMA, name)
        compare(bucket, archive, dsn, SCRATCH_SCHEMA, name, archive.exact.format)
        with connection.cursor() as cursor:
            cursor.execute(
                query(
                    "partitions/archive/delete.sql",
                    table=sql.Identifier(SCRATCH_SCHEMA, name),
                    column=sql.Identifier(column.name),
                    type=sql.SQL(column.stored_as),
                ),
                {"value": value},
            )
            if cursor.rowcount == 0:
                return None
            log.info(
                "%s.%s: the archive is written anew without %d rows", archive.schema, archive.name, cursor.rowcount
            )
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
        table = replace(archive.table, schema=SCRATCH_SCHEMA, name=name, copy_schema=SCRATCH_SCHEMA, copy_name=name)
        subject = Subject(0, SCRATCH_SCHEMA, name, "", "", "")
        with snapshot_of(dsn, subject) as (holder, snapshot):
            draft = stored(bucket, draft, dsn, table, holder, snapshot)
    draft = replace(draft, seconds=time.monotonic() - started)
    write_draft(bucket, draft)
    return draft
