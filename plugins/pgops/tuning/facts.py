"""Asks a server for its settings and what they depend on: four queries, and one for each standby."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg2
from psycopg2.errors import InsufficientPrivilege
from psycopg2.extras import RealDictCursor

from pgops.errors import Refused
from pgops.include import sql_text
from pgops.postgres import DatabaseError, Dsn, Limits, connect
from pgops.tuning import values
from pgops.tuning.model import OF_THE_SESSION, Facts, FileEntry, Follower, Machine, Override, Server, Setting

APPLICATION = "pgops.tuning"
_LIMITS = Limits(statement=30, lock=2, idle_in_transaction=60)
OLDEST, NEWEST = 15, 18


@contextmanager
def session(dsn: Dsn) -> Iterator[Any]:
    """A session that reads what people write into settings, and is fooled by no function of theirs."""
    with connect(dsn, APPLICATION, _LIMITS, system_names=True) as connection:
        yield connection


def read_facts(dsn: Dsn, machine: Machine, standbys: Mapping[str, Dsn]) -> Facts:
    """All that a review needs.

    Raises:
        DatabaseError: the server does not answer.
        Refused: it is a standby, or of a version that nobody has tried.
    """
    with session(dsn) as connection:
        server = _server(connection)
        _refuse_others(server, dsn)
        files = _files(connection)
        settings = {row["name"]: _setting(row, files) for row in rows(connection, "settings")}
        overrides = tuple(Override(**row) for row in rows(connection, "overrides"))
    server = replace(server, loaded=_loaded(settings, server, dsn))
    followers = tuple(_follower(name, standby) for name, standby in standbys.items())
    return Facts(machine, server, settings, files, overrides, followers)


def read_setting(connection: Any, name: str) -> Setting:
    """One setting as this session's server has it now, with the files as they are."""
    found = [row for row in rows(connection, "settings") if row["name"] == name]
    return _setting(found[0], read_files(connection))


def read_files(connection: Any) -> tuple[FileEntry, ...]:
    """The configuration files.

    Raises:
        psycopg2.errors.InsufficientPrivilege: they may not be read.
    """
    return tuple(
        FileEntry(
            row["name"], row["setting"], row["sourcefile"], row["sourceline"], row["auto"], row["error"], row["waits"]
        )
        for row in rows(connection, "files")
    )


def rows(connection: Any, name: str, **parameters: Any) -> list[dict[str, Any]]:
    """Run include/sql/tuning/<name>.sql."""
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(sql_text(f"tuning/{name}.sql"), parameters or None)
        return [dict(row) for row in cursor.fetchall()]


def _server(connection: Any) -> Server:
    (row,) = rows(connection, "server")
    return Server(
        **{**row, "extensions": tuple(row["extensions"] or ()), "databases_bytes": row["databases_bytes"] or 0}
    )


def _refuse_others(server: Server, dsn: Dsn) -> None:
    if server.in_recovery:
        raise Refused(
            "This server is a standby",
            where=dsn.where,
            remedy="Point tuning.connection at the primary; standbys are looked at beside it",
        )
    if not OLDEST <= server.major <= NEWEST:
        raise Refused(
            f"The rules are for PostgreSQL {OLDEST} to {NEWEST}, this is {server.major}",
            where=dsn.where,
            remedy="Upgrade the server, or take tuning out of its entry in the fleet file",
        )


def _loaded(settings: Mapping[str, Setting], server: Server, dsn: Dsn) -> tuple[str, ...]:
    """The libraries that the server has loaded; only who may see all settings sees those."""
    if "shared_preload_libraries" not in settings:
        raise Refused(
            f"{server.role} does not see all settings, so what it finds would be wrong",
            where=dsn.where,
            remedy=f"Run include/sql/roles/tuner.sql there, or GRANT pg_monitor TO {server.role}",
        )
    return tuple(values.elements(settings["shared_preload_libraries"].value))


def _files(connection: Any) -> tuple[FileEntry, ...] | None:
    try:
        return read_files(connection)
    except InsufficientPrivilege:
        return None


def _setting(row: Mapping[str, Any], files: tuple[FileEntry, ...] | None) -> Setting:
    setting = Setting(
        name=row["name"],
        value=row["setting"] if row["setting"] is not None else "",
        unit=row["unit"],
        vartype=row["vartype"],
        context=row["context"],
        min_val=row["min_val"],
        max_val=row["max_val"],
        enumvals=tuple(row["enumvals"]),
        boot_val=row["boot_val"],
        source=row["source"],
        sourcefile=row["sourcefile"],
        sourceline=row["sourceline"],
        pending_restart=row["pending_restart"],
        may_alter=row["may_alter"],
    )
    if files is None or setting.source not in OF_THE_SESSION:
        return setting
    return _as_the_server_has_it(setting, files)


def _as_the_server_has_it(setting: Setting, files: tuple[FileEntry, ...]) -> Setting:
    """Behind what this session, its role or its database says: the file's last line, else the built-in value."""
    lines = [one for one in files if one.name == setting.name and not one.error]
    if not lines:
        return replace(setting, value=setting.boot_val, source="default", sourcefile=None, sourceline=None)
    last = lines[-1]
    return replace(
        setting,
        value=values.base_units(last.value, setting.unit, setting.vartype),
        source="configuration file",
        sourcefile=last.file,
        sourceline=last.line,
    )


def _follower(name: str, dsn: Dsn) -> Follower:
    try:
        with session(dsn) as connection:
            found = {row["name"]: row["setting"] for row in rows(connection, "standby")}
    except (DatabaseError, psycopg2.Error) as error:
        return Follower(name, {}, str(error))
    return Follower(name, found, "" if found else "it is not in recovery, so it is no standby")
