"""Loads airflow_settings.yaml, the Astro CLI's file of connections, pools and variables, into Airflow's metadata.

The Astro CLI skips what it does not understand; here a mistake is refused, with its place and its remedy.
    python -m sandbox.settings --file airflow_settings.yaml [--addresses addresses.json]
The address book maps "host:port" of the file to "host:port" of this machine. A login or password of the file gives way
to the environment variables PGOPS_CONN_LOGIN_<ID> and PGOPS_CONN_PASSWORD_<ID> (<ID>: connection id in upper case).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import yaml

from pgops.errors import PgOpsError, Refused

SECTIONS = ("connections", "pools", "variables")
CONNECTION_FIELDS = {
    "conn_id": "id",
    "conn_type": "type",
    "conn_host": "host",
    "conn_port": "port",
    "conn_schema": "schema",
    "conn_login": "login",
    "conn_password": "password",
    "conn_extra": "extra",
}
POOL_FIELDS = {"pool_name": "name", "pool_slot": "slots", "pool_description": "description"}
VARIABLE_FIELDS = {"variable_name": "name", "variable_value": "value"}
LOGIN_OVERRIDE = "PGOPS_CONN_LOGIN_"
PASSWORD_OVERRIDE = "PGOPS_CONN_PASSWORD_"
# What Airflow itself accepts: longer or stranger ids would be refused by the UI or stripped silently.
VALID_ID = re.compile(r"[A-Za-z0-9_.\-]{1,200}")


Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Connection:
    """One connection of the file."""

    id: str
    type: str
    host: str | None = None
    port: int | None = None
    schema: str | None = None
    login: str | None = None
    password: str | None = field(default=None, repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pool:
    """One pool: at most this many slots of work at the same time."""

    name: str
    slots: int
    description: str = ""


@dataclass(frozen=True)
class Variable:
    """One Airflow variable; its value is text."""

    name: str
    value: str = field(repr=False)


@dataclass(frozen=True)
class Settings:
    """Everything that the file says."""

    connections: tuple[Connection, ...] = ()
    pools: tuple[Pool, ...] = ()
    variables: tuple[Variable, ...] = ()


def load(path: Path | str) -> Settings:
    """Read and check the file; every mistake is refused with its file and key."""
    path = Path(path)
    sections = _sections(path, _read_yaml(path))
    return Settings(
        connections=_entries(path, sections, "connections", "conn_id", _connection),
        pools=_entries(path, sections, "pools", "pool_name", _pool),
        variables=_entries(path, sections, "variables", "variable_name", _variable),
    )


def resolve(settings: Settings, addresses: Mapping[str, str]) -> Settings:
    """Replace every "host:port" that the address book knows, in hosts and in the URLs of extras."""
    return replace(settings, connections=tuple(_moved(c, addresses) for c in settings.connections))


def override(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """Let logins and passwords of the environment stand before those of the file.

    A variable for a connection that the file does not have is refused: it is a typing error, and the connection that
    was meant would keep the password of the file.
    """
    known = {c.id.upper(): c.id for c in settings.connections}
    logins = _overrides(LOGIN_OVERRIDE, environ, known)
    passwords = _overrides(PASSWORD_OVERRIDE, environ, known)
    return replace(
        settings,
        connections=tuple(
            replace(c, login=logins.get(c.id, c.login), password=passwords.get(c.id, c.password))
            for c in settings.connections
        ),
    )


def apply(settings: Settings) -> None:
    """Create or update everything in the metadata database that this environment's Airflow uses, in one transaction."""
    import airflow  # noqa: F401  (configures the ORM)
    from airflow.models.connection import Connection as ConnectionRow
    from airflow.models.pool import Pool as PoolRow
    from airflow.models.variable import Variable as VariableRow
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        for pool in settings.pools:
            PoolRow.create_or_update_pool(pool.name, pool.slots, pool.description, False, session=session)
        for variable in settings.variables:
            row = session.scalar(select(VariableRow).filter_by(key=variable.name))
            if row is None:
                session.add(VariableRow(key=variable.name, val=variable.value))
            else:
                row.set_val(variable.value)
        for connection in settings.connections:
            row = session.scalar(select(ConnectionRow).filter_by(conn_id=connection.id))
            if row is None:
                row = ConnectionRow(conn_id=connection.id)
                session.add(row)
            row.conn_type = connection.type
            row.host, row.port, row.schema = connection.host, connection.port, connection.schema
            row.login, row.password = connection.login, connection.password
            row.extra = json.dumps(connection.extra) if connection.extra else None


def main(argv: list[str] | None = None) -> int:
    """Load the file named on the command line; exit code 2 and one line on stderr when it is refused."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.settings", description=__doc__.splitlines()[0])
    parser.add_argument("--file", type=Path, required=True, help="airflow_settings.yaml")
    parser.add_argument("--addresses", type=Path, help='JSON file: {"primary:5432": "127.0.0.1:21432", ...}')
    arguments = parser.parse_args(argv)
    try:
        settings = override(load(arguments.file), os.environ)
        if arguments.addresses:
            settings = resolve(settings, _read_addresses(arguments.addresses))
    except PgOpsError as error:
        print(error, file=sys.stderr)
        return 2
    apply(settings)
    print(
        f"Loaded {len(settings.connections)} connections, {len(settings.pools)} pools and "
        f"{len(settings.variables)} variables from {arguments.file}"
    )
    return 0


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Refused(
            f"The settings file cannot be read: {error.strerror}", where=str(path), remedy="Name an existing file."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or str(error)
        raise Refused(f"The settings file is not YAML: {problem}", where=where, remedy="Mend the syntax.") from error


def _read_addresses(path: Path) -> dict[str, str]:
    remedy = 'Write a JSON object such as {"primary:5432": "127.0.0.1:21432"}.'
    try:
        book = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Refused(f"The address book cannot be read: {error}", where=str(path), remedy=remedy) from error
    pairs = book.items() if isinstance(book, dict) else [("", None)]
    for pair in pairs:
        if not all(isinstance(side, str) and re.fullmatch(r"[^:/\s]+:\d+", side) for side in pair):
            raise Refused(f"Not a pair of addresses: {pair}", where=str(path), remedy=remedy)
    return dict(pairs)


def _sections(path: Path, document: Any) -> Mapping[str, Any]:
    root = _mapping(path, "the document", document)
    _refuse_unknown_keys(path, "the document", root, ["airflow"])
    sections = _mapping(path, "airflow", root.get("airflow"))
    _refuse_unknown_keys(path, "airflow", sections, SECTIONS)
    return sections


def _entries(
    path: Path,
    sections: Mapping[str, Any],
    section: str,
    id_key: str,
    build: Callable[[Path, str, Mapping[str, Any]], Entry],
) -> tuple[Entry, ...]:
    entries = sections.get(section) or []
    if not isinstance(entries, list):
        raise Refused(
            f"{section} is not a list", where=f"{path}: airflow.{section}", remedy="Start each entry with a dash."
        )
    built: list[Entry] = []
    seen: set[str] = set()
    for number, entry in enumerate(entries):
        key = f"airflow.{section}[{number}]"
        name = _text(path, key, _mapping(path, key, entry), id_key, required=True)
        key = f"{key} ({name})"
        if name in seen:
            raise Refused(
                f"{id_key} {name!r} stands twice", where=f"{path}: {key}", remedy="Rename or remove one of them."
            )
        seen.add(name)
        built.append(build(path, key, entry))
    return tuple(built)


def _connection(path: Path, key: str, entry: Mapping[str, Any]) -> Connection:
    if "conn_uri" in entry:
        # The Astro CLI ignores it as soon as any other field is set: one form is enough, and it is the checked one.
        raise Refused(
            "conn_uri is not supported",
            where=f"{path}: {key}",
            remedy="Write conn_type, conn_host, conn_port and so on.",
        )
    _refuse_unknown_keys(path, key, entry, CONNECTION_FIELDS)
    return Connection(
        id=_identifier(path, key, entry, "conn_id"),
        type=_text(path, key, entry, "conn_type", required=True),
        host=_text(path, key, entry, "conn_host"),
        port=_number(path, key, entry, "conn_port", 1, 65535) if entry.get("conn_port") is not None else None,
        schema=_text(path, key, entry, "conn_schema"),
        login=_text(path, key, entry, "conn_login"),
        password=_text(path, key, entry, "conn_password"),
        extra=_extra(path, key, entry),
    )


def _pool(path: Path, key: str, entry: Mapping[str, Any]) -> Pool:
    _refuse_unknown_keys(path, key, entry, POOL_FIELDS)
    return Pool(
        name=_text(path, key, entry, "pool_name", required=True),
        slots=_number(path, key, entry, "pool_slot", 0, 10_000),
        description=_text(path, key, entry, "pool_description") or "",
    )


def _variable(path: Path, key: str, entry: Mapping[str, Any]) -> Variable:
    _refuse_unknown_keys(path, key, entry, VARIABLE_FIELDS)
    value = entry.get("variable_value")
    return Variable(
        name=_identifier(path, key, entry, "variable_name"),
        value=value if isinstance(value, str) else json.dumps(value),
    )


def _extra(path: Path, key: str, entry: Mapping[str, Any]) -> Mapping[str, Any]:
    extra = entry.get("conn_extra")
    if isinstance(extra, str):
        try:
            extra = json.loads(extra)
        except ValueError:
            extra = [extra]
    if not isinstance(extra, dict | None):
        raise Refused(
            "conn_extra is neither a map nor a JSON object", where=f"{path}: {key}", remedy="Write it as a map."
        )
    return extra or {}


def _mapping(path: Path, key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Refused(f"{key} is not a map", where=str(path), remedy="Write it as key: value lines.")
    return value


def _refuse_unknown_keys(path: Path, key: str, entry: Mapping[str, Any], known: Iterable[str]) -> None:
    for name in entry:
        if name not in known:
            raise Refused(f"Unknown key {name!r}", where=f"{path}: {key}", remedy=f"Use one of: {', '.join(known)}.")


def _text(path: Path, key: str, entry: Mapping[str, Any], name: str, required: bool = False) -> Any:
    value = entry.get(name)
    if value is None or value == "":
        if required:
            raise Refused(f"{name} is missing", where=f"{path}: {key}", remedy=f"Add {name}: to this entry.")
        return None
    if not isinstance(value, str):
        # An unquoted password of digits would arrive as a number, one with leading zeros as another number.
        raise Refused(f"{name} is not text", where=f"{path}: {key}", remedy=f"Put the value of {name} in quotes.")
    return value


def _identifier(path: Path, key: str, entry: Mapping[str, Any], name: str) -> str:
    value: str = _text(path, key, entry, name, required=True)
    if not VALID_ID.fullmatch(value):
        raise Refused(
            f"{name} {value!r} is no valid id",
            where=f"{path}: {key}",
            remedy="Use letters, digits, dash, dot, underscore.",
        )
    return value


def _number(path: Path, key: str, entry: Mapping[str, Any], name: str, low: int, high: int) -> int:
    value = entry.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Refused(
            f"{name} is {value!r}", where=f"{path}: {key}", remedy=f"Write a whole number from {low} to {high}."
        )
    return value


def _overrides(prefix: str, environ: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name, value in environ.items():
        if not name.startswith(prefix):
            continue
        if name.removeprefix(prefix) not in known:
            raise Refused(
                "There is no such connection", where=f"environment: {name}", remedy=f"Use one of: {', '.join(known)}."
            )
        if not value:
            raise Refused("The variable is empty", where=f"environment: {name}", remedy="Set it or unset it.")
        found[known[name.removeprefix(prefix)]] = value
    return found


def _moved(connection: Connection, addresses: Mapping[str, str]) -> Connection:
    moved = replace(connection, extra=_moved_urls(connection.extra, addresses))
    target = addresses.get(f"{connection.host}:{connection.port}")
    if target is None:
        return moved
    host, _, port = target.rpartition(":")
    return replace(moved, host=host, port=int(port))


def _moved_urls(value: Any, addresses: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _moved_urls(item, addresses) for key, item in value.items()}
    if isinstance(value, list):
        return [_moved_urls(item, addresses) for item in value]
    if isinstance(value, str) and "://" in value:
        url = urlsplit(value)
        return url._replace(netloc=addresses.get(url.netloc, url.netloc)).geturl()
    return value


if __name__ == "__main__":
    sys.exit(main())
