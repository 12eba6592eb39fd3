"""Throw-away copies of a database: clones of a golden template, on a server that holds nothing but copies.

A golden template is filled once, from a backup or from staging, and cloned for every rehearsal. Names are one per
source database, so that every run finds and removes what a dead one left behind.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extras import RealDictCursor

from pgops import units
from pgops.errors import PgOpsError, Refused
from pgops.include import query, sql_text
from pgops.postgres import DatabaseError, Dsn, Limits, connect
from pgops.postgres.databases import create_database, drop_database

log = logging.getLogger(__name__)

APPLICATION = "pgops.migration.copy"
# Below this size a clone through the WAL is faster, since copying files needs two checkpoints. Measured on PostgreSQL
# 15, WAL against files: 10 MB 0.03 and 0.04 s, 100 MB 0.24 and 0.13 s, 250 MB 0.48 and 0.17 s, 1 GB 2.5 and 1.0 s.
FILE_COPY_BYTES = 64 << 20
CLONE_ATTEMPTS = 3

_LIMITS = Limits(statement=6 * 3600, lock=600, idle_in_transaction=0)
_IN_USE = "55006"
# Settings that are lists of names: a quoted list would be one name.
_LISTS = {"search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries"}


@dataclass(frozen=True)
class GoldenOrigin:
    """What a golden template was filled with: `made_from` is a place; `backup_id` an id, or "staging"."""

    made_from: str
    backup_id: str
    settings_hash: str = ""


@dataclass(frozen=True)
class GoldenState:
    """The golden template that is there now. `made_at` is UTC, ISO 8601; `bytes` its size on the server."""

    made_at: str
    made_from: str
    backup_id: str
    settings_hash: str
    bytes: int

    def age_hours(self, now: datetime) -> float:
        """How long ago it was made."""
        return (now - datetime.fromisoformat(self.made_at)).total_seconds() / 3600


@dataclass(frozen=True)
class Settings:
    """How sessions on the source understand SQL, to be had on its copies too.

    Attributes:
        database: for every session of the database: the server's, ALTER ROLE ALL, ALTER DATABASE; the later ones win.
        role: for the role that deploys: ALTER ROLE, ALTER ROLE IN DATABASE.
        identity: of the source's server.
        notes: what a copy cannot have.
    """

    database: Mapping[str, str] = field(default_factory=dict)
    role: Mapping[str, str] = field(default_factory=dict)
    identity: str = ""
    notes: tuple[str, ...] = ()

    @property
    def hash(self) -> str:
        """Changes when any setting does."""
        text = json.dumps([dict(self.database), dict(self.role)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Clone:
    """A throw-away copy: where, how long the copying took, how large it is and how it was made."""

    dbname: str
    seconds: float
    bytes: int
    strategy: str
    notes: tuple[str, ...] = ()


# --- names ---


def golden_name(database: str) -> str:
    """The template's name, within PostgreSQL's 63 bytes and another one for every database."""
    return _name("pgops_golden_", database)


def clone_name(database: str, use: str = "clone") -> str:
    """The clone's name: one per source database and use, so that the next run finds what a dead one left."""
    return _name(f"pgops_{use}_", database)


def _name(prefix: str, database: str) -> str:
    name = prefix + database
    if len(name.encode()) <= 63:
        return name
    digest = hashlib.sha256(database.encode()).hexdigest()[:8]
    return f"{name.encode()[:54].decode(errors='ignore')}_{digest}"


# --- the source's settings ---


def read_settings(source: Dsn, role: str | None = None) -> Settings:
    """The settings of sessions on the source.

    Args:
        source: production, as any role.
        role: the role that deploys there; its own settings go to the role that owns the copies.
    """
    with connect(source, APPLICATION, readonly=True) as connection, connection.cursor() as cursor:
        cursor.execute(sql_text("migration/copy/identity.sql"))
        (identity,) = cursor.fetchone() or ("",)
        cursor.execute(sql_text("migration/copy/server_settings.sql"))
        of_server = dict(cursor.fetchall())
        cursor.execute(sql_text("migration/copy/stored_settings.sql"))
        stored = cursor.fetchall()  # those of every database first: what is said of this one wins
    database = of_server | {name: value for _, whose, name, value in stored if whose is None}
    matters = {*of_server, "search_path", "TimeZone", "role"}
    others = sorted({whose for _, whose, name, _ in stored if whose not in (None, role) and name in matters})
    return Settings(
        database=database,
        role={name: value for _, whose, name, value in stored if whose is not None and whose == role},
        identity=identity,
        notes=tuple(f"The role {one} has settings of its own, which the copy has not" for one in others),
    )


# --- the golden template ---


def golden_state(server: Dsn, database: str) -> GoldenState | None:
    """What the template on the server for copies is; None when there is none."""
    with _maintenance(server) as cursor:
        return _golden_state(cursor, database)


def make_golden(
    server: Dsn,
    database: str,
    fill: Callable[[Dsn], GoldenOrigin],
    *,
    encoding: str = "UTF8",
    source_identity: str = "",
) -> GoldenState:
    """Make the template of a database anew; the old one stays whole until the new one takes its name.

    Killed at any moment, either the old or the new one is there; the next call removes what is left.

    Args:
        server: the maintenance database of the server for copies.
        database: the source's name in the fleet.
        fill: fills an empty database and says from what.
        encoding: of the source.
        source_identity: Settings.identity, so that the source itself is refused.

    Raises:
        Refused: this is a standby or the source itself, the role may not create databases, or another run is at it.
    """
    building, retired = _name("pgops_build_", database), _name("pgops_old_", database)
    started = time.monotonic()
    with _maintenance(server) as cursor:
        _refuse_unfit(cursor, server, source_identity)
        _claim(cursor, server, database)
        _drop(cursor, server, retired)
        _drop(cursor, server, building)
        _create_empty(cursor, building, encoding)
        try:
            made_at = datetime.now(UTC).isoformat(timespec="seconds")
            origin = fill(server.on(building))
            _vacuum_analyze(server.on(building))
            _end_sessions(cursor, building)
            _swap(cursor, database, building, retired, {"made_at": made_at, **asdict(origin)})
        except BaseException:
            with suppress(psycopg2.Error, PgOpsError):
                _drop(cursor, server, building)
            raise
        _drop(cursor, server, retired)
        state = _golden_state(cursor, database)
    assert state is not None
    log.info(
        "%s is made of %s in %s", golden_name(database), state.backup_id, units.duration(time.monotonic() - started)
    )
    return state


def _golden_state(cursor: RealDictCursor, database: str) -> GoldenState | None:
    row = _database(cursor, golden_name(database))
    if row is None or not row["is_template"] or row["allows_connections"]:
        return None
    try:
        note = json.loads(row["note"] or "")
        return GoldenState(note["made_at"], note["made_from"], note["backup_id"], note["settings_hash"], row["bytes"])
    except (ValueError, KeyError, TypeError):
        return None  # somebody wrote over it: what it is made of is unknown, so it is no golden template


def _claim(cursor: RealDictCursor, server: Dsn, database: str) -> None:
    cursor.execute(query("migration/copy/claim.sql", wanted=sql.Literal(golden_name(database))))
    if not next(iter((cursor.fetchone() or {}).values()), False):
        raise Refused(
            f"Another run is making {golden_name(database)}",
            where=server.where,
            remedy="Wait for it; if it is dead, its session ends by itself within seconds",
            retry=True,
        )


def _create_empty(cursor: RealDictCursor, dbname: str, encoding: str) -> None:
    create_database(cursor, dbname, encoding)
    cursor.execute(query("migration/copy/close_to_others.sql", database=sql.Identifier(dbname)))


def _vacuum_analyze(dsn: Dsn) -> None:
    """Statistics for the planner, and pages that the first reader of a clone need not touch up."""
    with connect(dsn, APPLICATION, _LIMITS, system_names=True) as connection, connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")


def _end_sessions(cursor: RealDictCursor, dbname: str) -> None:
    """Let nobody in any more, and end what a killed fill left: a database in use cannot be renamed."""
    cursor.execute(_mark(dbname, template=False, connections=False))
    cursor.execute(query("migration/copy/end_sessions.sql", wanted=sql.Literal(dbname)))


def _swap(cursor: RealDictCursor, database: str, building: str, retired: str, note: Mapping[str, str]) -> None:
    """The new template takes the name, in one transaction."""
    golden = golden_name(database)
    text = json.dumps(dict(note), sort_keys=True)
    cursor.execute("BEGIN")
    if _database(cursor, golden) is not None:
        cursor.execute(_mark(golden, template=False, connections=False))  # so that it can be dropped
        cursor.execute(_rename(golden, retired))
    cursor.execute(_rename(building, golden))
    cursor.execute(query("migration/copy/note.sql", database=sql.Identifier(golden), note=sql.Literal(text)))
    cursor.execute(_mark(golden, template=True, connections=False))
    cursor.execute("COMMIT")


# --- clones ---


def make_clone(server: Dsn, database: str, settings: Settings = Settings(), use: str = "clone") -> Clone:
    """Make the throw-away copy, after removing the one that a dead run left.

    Args:
        server: the maintenance database of the server for copies, as the role that made the golden template.
        database: the source's name in the fleet.
        settings: from read_settings; what cannot be had is in the clone's notes.
        use: what it is for; copies for different uses do not stand in each other's way.

    Raises:
        Refused: no golden template, a standby, the source itself, or too little disk.
        PgOpsError: somebody is connected to the template; a later try may succeed.
    """
    golden, clone = golden_name(database), clone_name(database, use)
    with _maintenance(server) as cursor:
        facts = _refuse_unfit(cursor, server, settings.identity)
        state = _golden_state(cursor, database)
        if state is None:
            raise Refused(
                f"There is no golden template {golden}",
                where=server.where,
                remedy="Make it first: from a proven backup, or from staging",
            )
        _drop(cursor, server, clone)
        _refuse_full_disk(facts, server, state.bytes)
        strategy = _strategy(facts, state.bytes)
        started = time.monotonic()
        _copy_golden(cursor, server, golden, clone, strategy)
        seconds = time.monotonic() - started
        try:
            cursor.execute(query("migration/copy/close_to_others.sql", database=sql.Identifier(clone)))
            notes = (*settings.notes, *_apply(cursor, clone, settings))
        except BaseException:
            with suppress(psycopg2.Error, PgOpsError):
                _drop(cursor, server, clone)
            raise
    log.info("cloned %s (%s, %s) in %s", golden, units.size(state.bytes), strategy, units.duration(seconds))
    return Clone(clone, seconds, state.bytes, strategy, notes)


def drop_clone(server: Dsn, database: str, use: str = "clone") -> None:
    """Drop the copy with whoever is on it; harmless when it is gone."""
    with _maintenance(server) as cursor:
        _drop(cursor, server, clone_name(database, use))


def _strategy(facts: Mapping[str, Any], size: int) -> str:
    """The faster way for this size; files that share their blocks cost nothing at any size (PostgreSQL 18)."""
    by_file = size >= FILE_COPY_BYTES or facts["file_copy_method"] == "clone"
    return "FILE_COPY" if by_file else "WAL_LOG"


def _copy_golden(cursor: RealDictCursor, server: Dsn, golden: str, clone: str, strategy: str) -> None:
    command = query(
        "migration/copy/clone.sql",
        clone=sql.Identifier(clone),
        golden=sql.Identifier(golden),
        strategy=sql.Literal(strategy),
    )
    for attempt in range(1, CLONE_ATTEMPTS + 1):
        try:
            cursor.execute(command)
            return
        except psycopg2.Error as error:
            if error.pgcode != _IN_USE:
                raise
            who = ", ".join(_connected(cursor, golden)) or "somebody who has left by now"
            log.warning("%s is in use by %s (attempt %s of %s)", golden, who, attempt, CLONE_ATTEMPTS)
    raise PgOpsError(
        f"The golden template {golden} is in use by {who}",
        where=server.where,
        remedy=f"End that: SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{golden}'",
        retry=True,
    )


def _apply(cursor: RealDictCursor, clone: str, settings: Settings) -> Iterator[str]:
    """Set what can be set; yields what cannot."""
    for scope, values in (("database", settings.database), ("role", settings.role)):
        for name, value in values.items():
            try:
                _set(cursor, f"migration/copy/set_{scope}.sql", clone, name, value)
            except psycopg2.Error as error:
                cursor.execute("ROLLBACK")
                reason = (error.diag.message_primary or "").strip()
                yield f"The copy has not the source's {scope} setting {name} = {value!r}: {reason}"


def _set(cursor: RealDictCursor, command: str, clone: str, name: str, value: str) -> None:
    database, identifier = sql.Identifier(clone), sql.Identifier(*name.split("."))
    cursor.execute("BEGIN")
    if name in _LISTS:
        cursor.execute(query("migration/copy/set_current.sql", setting=sql.Literal(name), value=sql.Literal(value)))
        given: sql.Composable = sql.SQL("FROM CURRENT")
    else:
        given = sql.SQL("TO {}").format(sql.Literal(value))
    cursor.execute(query(command, database=database, setting=identifier, value=given))
    cursor.execute("COMMIT")


# --- the server for copies ---


@contextmanager
def _maintenance(server: Dsn) -> Iterator[RealDictCursor]:
    with (
        connect(server, APPLICATION, _LIMITS, system_names=True) as connection,
        connection.cursor(cursor_factory=RealDictCursor) as cursor,
    ):
        cursor.execute("SET idle_session_timeout = 0")  # it holds the claim while a template is being filled
        yield cursor


def _refuse_unfit(cursor: RealDictCursor, server: Dsn, source_identity: str) -> Mapping[str, Any]:
    cursor.execute(sql_text("migration/copy/server.sql"))
    facts = cursor.fetchone()
    assert facts is not None
    if facts["in_recovery"]:
        problem = "This server is a standby: nothing can be migrated on it"
    elif source_identity and facts["identity"] == source_identity:
        problem = "This server is the source itself: copies on it would load production"
    elif not facts["may_create"]:
        problem = f"{server.user} may not create databases here"
    else:
        return facts
    raise Refused(
        problem,
        where=server.where,
        remedy="Name a primary that holds nothing but copies under migrations.connection and apply"
        " include/sql/roles/drill.sql there",
    )


def _refuse_full_disk(facts: Mapping[str, Any], server: Dsn, size: int) -> None:
    free = _free_bytes(facts, server)
    if free is None or facts["file_copy_method"] == "clone" or free >= size * 1.1:
        return
    raise Refused(
        f"A copy needs {units.size(size * 1.1)}, free are {units.size(free)}",
        where=f"{facts['data_directory']} on {server.where}",
        remedy="Free space on the server for copies; pgops_clone_* databases of dead runs may be dropped",
    )


def _free_bytes(facts: Mapping[str, Any], server: Dsn) -> int | None:
    """Free space beside the server's files, if they are on this machine: its own pid file tells that they are."""
    folder = facts["data_directory"]
    if folder is None:
        return None
    with suppress(OSError, ValueError, IndexError):
        lines = (Path(folder) / "postmaster.pid").read_text().splitlines()
        if int(lines[3]) == facts["port"] and server.host in ("localhost", "127.0.0.1", "::1", lines[4]):
            status = os.statvfs(folder)
            return status.f_bavail * status.f_frsize
    return None


def _database(cursor: RealDictCursor, name: str) -> Mapping[str, Any] | None:
    cursor.execute(query("migration/copy/database.sql", wanted=sql.Literal(name)))
    row: Mapping[str, Any] | None = cursor.fetchone()
    return row


def _connected(cursor: RealDictCursor, dbname: str) -> list[str]:
    cursor.execute(query("migration/copy/connected.sql", wanted=sql.Literal(dbname)))
    return [row["who"] for row in cursor.fetchall()]


def _drop(cursor: RealDictCursor, server: Dsn, dbname: str) -> None:
    """Drop one of our databases, whatever keeps it: being a template, sessions, prepared transactions."""
    row = _database(cursor, dbname)
    if row is None:
        return
    if row["is_template"]:
        cursor.execute(_mark(dbname, template=False, connections=False))
    try:
        drop_database(cursor, dbname)
    except psycopg2.Error as error:
        if error.pgcode not in (_IN_USE, "42501"):
            raise
        _roll_back_prepared(cursor, server, dbname)
        try:
            drop_database(cursor, dbname)
        except psycopg2.Error as again:
            who = ", ".join(_connected(cursor, dbname)) or "nobody that can be seen"
            raise PgOpsError(
                f"{dbname} cannot be dropped: {(again.diag.message_primary or '').strip()}; on it: {who}",
                where=server.where,
                remedy="End what is on it as superuser; the next run drops it",
                retry=True,
            ) from again


def _roll_back_prepared(cursor: RealDictCursor, server: Dsn, dbname: str) -> None:
    cursor.execute(query("migration/copy/prepared.sql", wanted=sql.Literal(dbname)))
    names = [row["gid"] for row in cursor.fetchall()]
    if not names:
        return
    with suppress(DatabaseError), connect(server.on(dbname), APPLICATION) as connection, connection.cursor() as inside:
        for gid in names:
            inside.execute(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(gid)))


def _mark(dbname: str, *, template: bool, connections: bool) -> sql.Composed:
    return query(
        "migration/copy/mark.sql",
        database=sql.Identifier(dbname),
        template=sql.Literal(template),
        connections=sql.Literal(connections),
    )


def _rename(dbname: str, name: str) -> sql.Composed:
    return query("migration/copy/rename.sql", database=sql.Identifier(dbname), new_name=sql.Identifier(name))
