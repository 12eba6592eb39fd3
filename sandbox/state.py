"""What the sandbox remembers between two commands: ports, passwords, processes, and which steps are done."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from pgops.errors import PgOpsError, Refused

PROJECT = Path(__file__).resolve().parent.parent


def home() -> Path:
    """Return the sandbox's folder; PGOPS_SANDBOX_HOME lets tests have one of their own."""
    return Path(os.environ.get("PGOPS_SANDBOX_HOME") or PROJECT / ".sandbox").absolute()


class State:
    """The file state.json, written whole at every change, so that a crash leaves the old or the new one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "state.json"
        self._values: dict[str, Any] = {}
        if self.file.exists():
            self._values = self._read()

    def get(self, section: str, key: str) -> Any:
        """Return what is remembered, or None."""
        return self._values.get(section, {}).get(key)

    def put(self, section: str, key: str, value: Any) -> None:
        """Remember a value; None forgets it."""
        entries = self._values.setdefault(section, {})
        if value is None:
            entries.pop(key, None)
        else:
            entries[key] = value
        self._write()

    def section(self, name: str) -> dict[str, Any]:
        """Return a copy of all that is remembered in a section."""
        return dict(self._values.get(name, {}))

    def secret(self, name: str) -> str:
        """Return the password of that name; made at the first call."""
        return str(self.get("secrets", name) or self._keep("secrets", name, secrets.token_hex(32)))

    def port(self, name: str, preferred: int | None = None) -> int:
        """Return the port of that name; chosen at the first call: the preferred one where it is free."""
        known = self.get("ports", name)
        return int(known) if known else self.move_port(name, preferred)

    def move_port(self, name: str, preferred: int | None = None) -> int:
        """Choose another port for that name, because somebody took the one it had."""
        taken = set(self.section("ports").values())
        candidates = ([preferred] if preferred else []) + [free_port() for _ in range(20)]
        port = next(candidate for candidate in candidates if candidate not in taken and is_free(candidate))
        return int(self._keep("ports", name, port))

    def _keep(self, section: str, key: str, value: Any) -> Any:
        self.put(section, key, value)
        return value

    def _read(self) -> dict[str, Any]:
        try:
            values = json.loads(self.file.read_text())
        except (OSError, ValueError) as error:
            raise PgOpsError(
                f"The sandbox's state cannot be read: {error}",
                where=str(self.file),
                remedy="Run ./dev down --purge and start again.",
            ) from error
        return dict(values)

    def _write(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self.file.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(self._values, indent=1))
        draft.replace(self.file)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Return whether nobody listens on that port of 127.0.0.1."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: a closed one's port counts as free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Let one command at a time change the sandbox; it ends with the process, so a crash leaves no lock."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refused(
                "Another ./dev is changing the sandbox", where=str(folder), remedy="Wait until it has finished."
            ) from None
        yield
