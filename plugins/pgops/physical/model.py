"""What an engine holds, and what it is asked: the words that planning, recovery and the drills share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from typing import Protocol


@dataclass(frozen=True)
class BaseBackup:
    """One base backup as its engine lists it. Times are UTC.

    Attributes:
        backup_id: the engine's own name of it.
        parent: the backup that this one is a difference to; None for a full one.
        first_wal, last_wal: segment names: without all between them, both included, it cannot become consistent.
        bytes: what it takes in the archive.
        directory_bytes: what it takes when fetched.
        permanent: retention leaves it alone.
    """

    engine: str
    backup_id: str
    started_at: datetime
    ended_at: datetime
    start_lsn: int
    end_lsn: int
    timeline: int
    first_wal: str
    last_wal: str
    bytes: int
    directory_bytes: int
    server_version: int
    system_identifier: str
    parent: str | None = None
    permanent: bool = False
    tablespaces: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class WalArchive:
    """Every WAL segment that the archive holds, complete ones only.

    Attributes:
        segments: name of the segment (24 hex digits) to when the archive received it.
        histories: timeline to the text of its history file.
        segment_bytes: 16 MB unless initdb was told otherwise.
    """

    segments: Mapping[str, datetime] = field(default_factory=dict)
    histories: Mapping[int, str] = field(default_factory=dict)
    segment_bytes: int = 16 * 1024 * 1024


@dataclass(frozen=True)
class Completed:
    """A program that ended."""

    code: int
    stdout: str
    stderr: str


class Host(Protocol):
    """Where PostgreSQL's files are: this machine, or another one over SSH.

    Environment never appears in a command line. A program's failure is an error: program, host and last words.
    """

    name: str

    def run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        given: bytes | None = None,
        watch: Callable[[str], None] | None = None,
        check: bool = True,
    ) -> Completed:
        """Run a program to its end as the owner of the server's files; `watch` gets lines of stderr as they come."""

    def read(self, path: PurePosixPath) -> bytes:
        """Return a file."""

    def write(self, path: PurePosixPath, content: bytes, mode: int = 0o600) -> None:
        """Write a file whole or not at all."""

    def exists(self, path: PurePosixPath) -> bool:
        """Is there such a file or directory?"""

    def free_bytes(self, path: PurePosixPath) -> int:
        """Return what the volume of a directory, or of its nearest existing parent, has left."""


class Engine(Protocol):
    """A backup engine of one database server. What it keeps lies in the bucket, under the server's own prefix."""

    name: str

    def backups(self) -> tuple[BaseBackup, ...]:
        """Return the finished base backups, oldest first."""

    def archive(self) -> WalArchive:
        """Return the WAL that the archive holds."""

    def push(self, watch: Callable[[str], None]) -> BaseBackup:
        """Take a base backup, and return it as the archive lists it afterwards."""

    def fetch(self, backup: BaseBackup, directory: PurePosixPath, host: Host, watch: Callable[[str], None]) -> None:
        """Put a base backup, with what it is a difference to, into a new directory of a host."""

    def restore_command(self, host: Host) -> str:
        """Return what postgresql.auto.conf of a recovery on that host says; it reads the archive and never writes."""

    def verify(self, backup: BaseBackup) -> tuple[str, ...]:
        """Read a base backup back and return what is wrong with it."""

    def prune(self, keep: Sequence[str], *, dry_run: bool) -> tuple[str, ...]:
        """Delete what none of the backups to keep needs, whole chains only; return what goes, or would go."""
