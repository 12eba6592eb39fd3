"""The server that an engine backs up, as the engine's programs need to know it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from pgops.errors import Refused
from pgops.physical.model import Host
from pgops.physical.store import Secrets
from pgops.postgres import Dsn, connect


@dataclass(frozen=True)
class Source:
    """One PostgreSQL server.

    Attributes:
        server: its name in the fleet file.
        dsn: a role that may take base backups (include/sql/roles/physical.sql).
        host: where its files are; None when nobody can log in there.
        data_directory: asked from the server when it is None.
        programs: the folder of the engine's programs on all hosts; None finds them on PATH.
        secrets: how commands of PostgreSQL itself come by the store's key on a recovery host.
        full_every_days: how old the newest full backup may become, for engines that know differences.
        max_deltas: how long a chain of differences may become.
    """

    server: str
    dsn: Dsn
    host: Host | None = None
    data_directory: PurePosixPath | None = None
    programs: PurePosixPath | None = None
    secrets: Secrets = field(default_factory=Secrets)
    full_every_days: float = 7
    max_deltas: int = 6

    def program(self, name: str) -> str:
        """A program of the engine, as a command names it."""
        return str(self.programs / name) if self.programs else name

    def directory(self) -> PurePosixPath:
        """Where the server keeps its data."""
        if self.data_directory is not None:
            return self.data_directory
        with connect(self.dsn, "pgops.physical") as connection, connection.cursor() as cursor:
            cursor.execute("SHOW data_directory")
            (found,) = cursor.fetchone() or ("",)
        if not found:
            raise Refused(
                "The server does not say where its data lies",
                where=self.dsn.where,
                remedy="Grant the role pg_read_all_settings, or set physical.data_directory in the fleet file",
            )
        return PurePosixPath(found)

    def needs_host(self, why: str) -> Host:
        """The host.

        Raises:
            Refused: the fleet file names none.
        """
        if self.host is None:
            raise Refused(
                f"Nobody can log in to the host of {self.server}",
                where=f"include/fleet.yaml, servers, {self.server}, physical.host",
                remedy=f"{why}: set it to local or to an Airflow connection of type ssh, or take another engine",
            )
        return self.host


def tablespace_directory(directory: PurePosixPath, name: str) -> PurePosixPath:
    """Where a fetched backup's tablespace lies: beside its data directory, never where the original has it."""
    return directory.with_name(f"{directory.name}.tablespaces") / name


def new_directory(host: Host, directory: PurePosixPath, tablespaces: Sequence[tuple[str, str]]) -> None:
    """Make the empty folders that a base backup is fetched into.

    Raises:
        Refused: there is something already.
    """
    folders = [directory, *(tablespace_directory(directory, name) for name, _ in tablespaces)]
    for folder in folders:
        if host.exists(folder) and host.run(("ls", "-A", "--", str(folder))).stdout.strip():
            raise Refused(
                "A base backup is only fetched into a new folder, and this one is not empty",
                where=f"{host.name}: {folder}",
                remedy="Name another folder, or remove this one if nobody needs it",
            )
        host.run(("mkdir", "-p", "-m", "700", "--", str(folder)))
