"""Reads the fleet file. It never raises: what is wrong becomes a FleetProblem of the entry that it concerns.

A DAG file that raises while it is parsed vanishes from Airflow with all its runs, so an unreadable fleet file must
still give a Fleet; the run then fails with the file's error.
"""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from pgops.fleet.base import NAME_PATTERN
from pgops.fleet.models import BackupPolicy, Database, DrillPolicy, Fleet, Server, Settings
from pgops.fleet.physical import PhysicalPolicy
from pgops.fleet.problems import FleetProblem
from pgops.fleet.tuning import TuningPolicy
from pgops.include import include_folder

_Entry = TypeVar("_Entry", bound=BaseModel)
_SECTIONS = ("servers", "databases", "defaults")  # of the top level, beside the keys of Settings
_OF_SERVERS: dict[str, type[BaseModel]] = {"physical": PhysicalPolicy, "tuning": TuningPolicy}


# Every parse of a DAG file reads the fleet file; of 500 databases that takes seconds without libyaml.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def fleet_file() -> Path:
    """$PGOPS_FLEET, else include/fleet.yaml."""
    configured = os.environ.get("PGOPS_FLEET")
    return Path(configured) if configured else include_folder() / "fleet.yaml"


def load_fleet(path: Path | None = None) -> Fleet:
    """Read the fleet file; `path` is for tests."""
    file = path or fleet_file()
    try:
        document = yaml.load(file.read_text(encoding="utf-8"), _LOADER)
    except OSError as error:
        return _unreadable(file, f"The fleet file cannot be read: {error.strerror}", "Create it, or set PGOPS_FLEET")
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, or the 45th of a month
        return _unreadable(file, f"The fleet file is not YAML: {' '.join(str(error).split())}", "Correct that line")
    if not isinstance(document, dict):
        return _unreadable(file, "The fleet file is not a mapping", "Start from the one in the repository")
    return _Reader(str(file), document).fleet()


def _unreadable(file: Path, what: str, remedy: str) -> Fleet:
    return Fleet(path=str(file), problems=(FleetProblem(None, str(file), "the whole file", what, remedy),))


class _Reader:
    def __init__(self, file: str, document: dict[str, Any]) -> None:
        self.file = file
        self.document = document
        self.problems: list[FleetProblem] = []

    def fleet(self) -> Fleet:
        settings = self._validated(
            Settings, {key: value for key, value in self.document.items() if key not in _SECTIONS}, "top level", None
        )
        servers = [
            server
            for position, entry in enumerate(self._list("servers"))
            if (server := self._server(entry, f"servers[{position}]"))
        ]
        if os.environ.get("PGOPS_PHYSICAL") == "off":  # a deployment that cannot log in to the servers' hosts
            servers = [server.model_copy(update={"physical": None}) for server in servers]
        self._refuse_duplicates("servers", (server.name for server in servers), None)
        defaults = self._defaults()
        names: list[tuple[str, str]] = []
        databases: list[Database] = []
        known_servers = {server.name for server in servers}
        for position, entry in enumerate(self._list("databases")):
            name = _text(entry, "name") or f"databases-{position}"
            names.append((name, _group(_text(entry, "server"))))
            key = f"databases[{position}] ({name})"
            database = self._validated(Database, _with_defaults(entry, defaults), key, name)
            if database is None:
                continue
            if database.server not in known_servers:
                self._problem(name, f"{key}.server", f"There is no server {database.server!r}", "Add it under servers")
            databases.append(database)
        for name in self._duplicates(name for name, _ in names):
            self._problem(name, "databases", f"Two entries are named {name!r}", "Give each database its own name")
        return Fleet(
            path=self.file,
            settings=settings,
            servers=tuple(servers),
            databases=tuple(databases),
            names=tuple(dict(names).items()),
            problems=tuple(self.problems),
        )

    def _server(self, entry: Any, key: str) -> Server | None:
        """A mistake in one policy of a server must not keep its databases from being backed up."""
        name = _text(entry, "name")
        if not name:
            return self._validated(Server, entry, key, None)
        given = {policy: entry[policy] for policy in _OF_SERVERS if policy in entry}
        plain = {known: value for known, value in entry.items() if known not in given}
        found = {
            policy: self._validated(_OF_SERVERS[policy], value, f"{key}.{policy}", None, (name, policy))
            for policy, value in given.items()
        }
        server = self._validated(Server, plain, key, None)
        return server and server.model_copy(update=found)

    def _defaults(self) -> dict[str, Any]:
        defaults = self.document.get("defaults") or {}
        if not isinstance(defaults, dict):
            self._problem(None, "defaults", "defaults is not a mapping", "Give it the keys backup and drill")
            return {}
        self._validated(BackupPolicy, defaults.get("backup") or {}, "defaults.backup", None)
        self._refuse_unknown("defaults", defaults, ("backup", "drill"))
        # A drill policy may be completed by the database; only its own keys can be checked here.
        self._refuse_unknown("defaults.drill", defaults.get("drill") or {}, tuple(DrillPolicy.model_fields))
        return defaults

    def _refuse_unknown(self, section: str, given: Any, known: tuple[str, ...]) -> None:
        if not isinstance(given, dict):
            self._problem(None, section, f"{section} is not a mapping", f"The keys here are: {', '.join(known)}")
            return
        for key in given:
            if key not in known:
                self._problem(None, f"{section}.{key}", f"There is no key {key!r}", "Remove it")

    def _list(self, section: str) -> list[Any]:
        entries = self.document.get(section)
        if isinstance(entries, list) and entries:
            return entries
        self._problem(None, section, f"{section} is not a list of entries", "Start from the file in the repository")
        return []

    def _validated(
        self, model: type[_Entry], entry: Any, key: str, database: str | None, server: tuple[str, str] | None = None
    ) -> _Entry | None:
        try:
            return model.model_validate(entry)
        except ValidationError as error:
            for fault in error.errors():
                at = ".".join([key, *(str(part) for part in fault["loc"])])
                self._problem(database, at, _sentence(fault), _remedy(fault, model), server)
            return None

    def _refuse_duplicates(self, section: str, names: Iterable[str], database: str | None) -> None:
        for name in self._duplicates(names):
            self._problem(database, section, f"Two entries are named {name!r}", "Give each its own name")

    @staticmethod
    def _duplicates(names: Iterable[str]) -> list[str]:
        return [name for name, count in Counter(names).items() if count > 1]

    def _problem(
        self, database: str | None, key: str, what: str, remedy: str, server: tuple[str, str] | None = None
    ) -> None:
        self.problems.append(FleetProblem(database, self.file, key, what, remedy, *(server or ())))


def _text(entry: Any, key: str) -> str | None:
    value = entry.get(key) if isinstance(entry, dict) else None
    return value if isinstance(value, str) and value else None


def _group(server: str | None) -> str:
    """The server's name, where Airflow takes it as that of a task group; the entry's own problem tells the rest."""
    return server if server and re.match(NAME_PATTERN, server) else "unknown"


def _with_defaults(entry: Any, defaults: dict[str, Any]) -> Any:
    """The entry with the defaults below it; mappings are merged key by key."""
    if not isinstance(entry, dict):
        return entry
    merged = dict(defaults)
    for key, value in entry.items():
        below = merged.get(key)
        merged[key] = _with_defaults(value, below) if isinstance(value, dict) and isinstance(below, dict) else value
    return merged


def _sentence(fault: Any) -> str:
    if fault["type"] == "extra_forbidden":
        return f"There is no key {fault['loc'][-1]!r}"
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "missing":
        return "This key is missing"
    return f"{fault['input']!r}: {message}" if not isinstance(fault["input"], dict) else message


def _remedy(fault: Any, model: type[BaseModel]) -> str:
    if fault["type"] == "extra_forbidden":
        fields = _fields_at(model, fault["loc"][:-1])
        near = difflib.get_close_matches(str(fault["loc"][-1]), fields, n=1)
        return f"Did you mean {near[0]!r}?" if near else f"The keys here are: {', '.join(fields)}"
    if fault["type"] == "missing":
        return "Add it"
    return "Correct the value"


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    current: Any = model
    for part in location:
        info = current.model_fields.get(str(part)) if current is not None else None
        candidates = [] if info is None else [info.annotation, *getattr(info.annotation, "__args__", ())]
        current = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
    beside = _SECTIONS if current is Settings else ()
    return [*current.model_fields, *beside] if current is not None else []
