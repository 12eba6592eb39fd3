"""All that can be known to be wrong before a dump is begun, each with its remedy."""

from __future__ import annotations

from dataclasses import dataclass

from pgops.backup.source import APPLICATION, Source, unlogged_note
from pgops.errors import Refused
from pgops.fingerprint import dumped_tables
from pgops.fleet.base import Tls
from pgops.include import sql_text
from pgops.ledger import Lease
from pgops.postgres import Limits, check_tls, client_program, connect
from pgops.storage import Bucket


@dataclass(frozen=True)
class Preflight:
    """What will be dumped, and from where."""

    database: str
    taken_from: str
    server_version: int
    bytes: int
    tables: int
    pg_dump: str
    notes: tuple[str, ...]


def preflight(
    database: str, found: list[Source], notes: list[str], bucket: Bucket, lease: Lease, tls: Tls = "warn"
) -> Preflight:
    """Check the server, the role, the tools, the bucket, and that nobody else is at it; touch nothing but a probe.

    Args:
        database: its name.
        found: servers to dump from, in order.
        notes: why a preferred one is not among them.
        bucket: where the dump will lie.
        lease: this run's.
        tls: what the policy asks of the way to the servers.

    Raises:
        PgOpsError: the first thing that is wrong.
    """
    source = found[0]
    program = client_program("pg_dump", source.facts.version)
    _refuse_pooler(source)
    _refuse_blind_role(source)
    limits = Limits(statement=60)
    with connect(source.dsn, APPLICATION, limits, readonly=True, system_names=True) as connection:
        tables = dumped_tables(connection)
        with connection.cursor() as cursor:
            cursor.execute(sql_text("backup/unreadable_tables.sql"))
            unreadable = [name for (name,) in cursor.fetchall()]
    if unreadable:
        raise Refused(
            f"This role may not read {', '.join(unreadable)}",
            where=source.dsn.where,
            remedy=f"GRANT pg_read_all_data TO {source.dsn.user} (include/sql/roles/backup.sql)",
        )
    if len(tables) * 1.2 > source.facts.lock_entries:
        raise Refused(
            f"pg_dump locks {len(tables)} tables; the lock table has {source.facts.lock_entries} places",
            where=source.dsn.where,
            remedy="Raise max_locks_per_transaction and restart the server",
        )
    tls_notes = [note for one in found for note in check_tls(one.dsn, tls, APPLICATION)]
    store_notes = bucket.probe()
    lease.refuse_if_taken()
    unlogged = [table for table in tables if table.unlogged] if source.role == "standby" else []
    return Preflight(
        database=database,
        taken_from=source.role,
        server_version=source.facts.version,
        bytes=source.facts.bytes,
        tables=len(tables),
        pg_dump=str(program),
        notes=(*notes, *tls_notes, *store_notes, *unlogged_note(unlogged)),
    )


def _refuse_pooler(source: Source) -> None:
    if source.facts.session_mark != "2s":
        raise Refused(
            "A transaction pooler stands between: a session's settings do not reach the server",
            where=source.dsn.where,
            remedy="Connect directly to PostgreSQL: a snapshot lives in one session",
        )


def _refuse_blind_role(source: Source) -> None:
    facts = source.facts
    if facts.row_security_tables and not facts.sees_all_rows:
        raise Refused(
            f"Row security would hide rows of {facts.row_security_tables} tables from {source.dsn.user}",
            where=source.dsn.where,
            remedy=f"ALTER ROLE {source.dsn.user} BYPASSRLS (include/sql/roles/backup.sql)",
        )
    if facts.has_large_objects and not facts.reads_large_objects:
        raise Refused(
            f"{source.dsn.user} may not read every large object",
            where=source.dsn.where,
            remedy=f"As a superuser: ALTER ROLE {source.dsn.user} SET lo_compat_privileges = on",
        )
