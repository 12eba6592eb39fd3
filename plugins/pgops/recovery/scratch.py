"""The scratch database of a drill: one name per source database, so the next drill finds what a dead one left."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass

from psycopg2.extras import RealDictCursor

from pgops.catalog import Catalog
from pgops.errors import Refused
from pgops.include import sql_text
from pgops.ledger import Lease
from pgops.postgres import DatabaseError, Dsn, Limits, connect
from pgops.postgres.databases import create_database, drop_database

log = logging.getLogger(__name__)

APPLICATION = "pgops.drill"
# A drill's tasks may wait for a slot between each other: long enough for that, short enough to follow a dead run.
LEASE_SECONDS = 900.0
_PREFIX = "pgops_drill_"


@dataclass(frozen=True)
class Scratch:
    """Where a backup is restored: `dbname` on the server of the drill policy's connection."""

    database: str
    backup_id: str
    dbname: str
    raw_bytes: int
    tables: int
    encoding: str = "UTF8"
    notes: tuple[str, ...] = ()


def scratch_name(database: str) -> str:
    """The scratch database's name, within PostgreSQL's 63 bytes and another one for every database."""
    name = _PREFIX + database
    return name if len(name) <= 63 else f"{name[:54]}_{hashlib.sha256(database.encode()).hexdigest()[:8]}"


def chosen_backup(catalog: Catalog, wanted: str) -> str:
    """The id itself, or the newest backup's for "newest".

    Raises:
        Refused: there is no such backup.
    """
    backups = catalog.backups()
    found = backups[-1] if backups and wanted == "newest" else wanted
    if found not in backups:
        raise Refused(
            f"There is no backup {found!r} of {catalog.database}" if backups else f"{catalog.database} has no backup",
            where=catalog.bucket.where(catalog.bucket.key(catalog.database)),
            remedy=f"Take one of: {', '.join(backups[-5:])}" if backups else "Run nightly_backup first",
        )
    return found


def prepare_scratch(catalog: Catalog, backup_id: str, server: Dsn, lease: Lease) -> Scratch:
    """Check that this server can take the backup, and make an empty scratch database.

    Args:
        catalog: the source database's backups.
        backup_id: which one.
        server: the maintenance database of the server for drills.
        lease: taken here; every later step renews it and drop_scratch gives it back.

    Raises:
        Refused: the server is older than the source, lacks an extension, or the role may not create databases.
    """
    manifest = catalog.manifest(backup_id)
    dbname = scratch_name(catalog.database)
    with connect(server, APPLICATION, Limits(statement=600, lock=60), system_names=True) as connection:
        with connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(sql_text("recovery/server.sql"))
            facts = cursor.fetchone()
            assert facts is not None
        if facts["in_recovery"] or not facts["may_create"]:
            raise Refused(
                f"{server.user} cannot create a database here",
                where=server.where,
                remedy="Name a primary under drill.connection and apply include/sql/roles/drill.sql there",
            )
        if facts["version"] // 10000 < manifest.server_version // 10000:
            raise Refused(
                f"This server has version {facts['version'] // 10000}, the backup {manifest.server_version // 10000}",
                where=server.where,
                remedy="Name a server that is at least as new under drill.connection in the fleet file",
            )
        missing = sorted(set(manifest.extensions) - set(facts["extensions"]))
        if missing:
            raise Refused(
                f"This server lacks the extensions {', '.join(missing)}",
                where=server.where,
                remedy="Install their packages on the server for drills",
            )
    lease.take()
    make_empty(server, dbname, manifest.encoding)
    log.info("restoring %s into %s on %s", backup_id, dbname, server.where)
    return Scratch(
        database=catalog.database,
        backup_id=backup_id,
        dbname=dbname,
        raw_bytes=manifest.raw_bytes,
        tables=len(manifest.tables),
        encoding=manifest.encoding,
        notes=manifest.notes,
    )


def make_empty(server: Dsn, dbname: str, encoding: str = "UTF8") -> None:
    """Drop a scratch database and make it anew: also before another try of a restore that was cut off.

    amcheck is installed at once where the role may: later the event triggers of the source would see it.
    """
    limits = Limits(statement=600, lock=60)
    with connect(server, APPLICATION, limits, system_names=True) as connection, connection.cursor() as cursor:
        drop_database(cursor, dbname)
        create_database(cursor, dbname, encoding)
    try:
        with connect(server.on(dbname), APPLICATION) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS amcheck")
    except DatabaseError as error:
        log.warning("there will be no pg_amcheck: %s", error)


def drop_scratch(database: str, server: Dsn, lease: Lease) -> None:
    """Drop the scratch database unless another drill has taken it over; harmless when it is gone."""
    lease.refuse_if_taken()
    with connect(server, APPLICATION, Limits(statement=600, lock=60)) as connection, connection.cursor() as cursor:
        drop_database(cursor, scratch_name(database))
    lease.release()
