"""A recovered server on a host: started, asked, stopped and removed through that host's own programs."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pgops.errors import PgOpsError, Refused
from pgops.physical.model import Host

_SOCKET_PATH = 90  # of the 107 bytes that a socket's address may have, some are for its name
_NOT_RUNNING = (3, 4)  # as pg_ctl status says it, the second where there is no data directory
_LOG_BYTES = 1 << 20
_CONTROL = re.compile(r"^([^:]+):\s+(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Cluster:
    """A data directory with the server on it.

    Attributes:
        bindir: PostgreSQL's programs on the host, of the server's major version.
        data: the data directory.
        folder: for its log, its sockets and what belongs to the recovery.
        port: 0 where it is only started and stopped.
        superuser: the role that asks, over a socket that only the owner of the files can reach.
    """

    host: Host
    bindir: PurePosixPath
    data: PurePosixPath
    folder: PurePosixPath
    port: int
    superuser: str = "postgres"

    @property
    def log(self) -> PurePosixPath:
        """Where the server writes."""
        return self.folder / "server.log"

    @property
    def where(self) -> str:
        """As errors name it."""
        return f"{self.host.name}:{self.data}" + (f", port {self.port}" if self.port else "")

    @property
    def sockets(self) -> PurePosixPath:
        """The folder of its sockets; a deep folder's path would be too long for one."""
        inside = self.folder / "sockets"
        if len(str(inside)) <= _SOCKET_PATH:
            return inside
        return PurePosixPath("/tmp") / f"pgops-recovery-{hashlib.sha256(str(self.folder).encode()).hexdigest()[:16]}"

    def make_sockets(self) -> None:
        """Make the folder of its sockets, which nobody else may enter.

        Raises:
            Refused: somebody else made it.
        """
        self.host.run(["mkdir", "-p", "-m", "700", str(self.sockets)])
        if self.host.run(["test", "-O", str(self.sockets)], check=False).code != 0:
            raise Refused(
                "The folder for the server's sockets belongs to somebody else",
                where=f"{self.host.name}:{self.sockets}",
                remedy="Remove it",
            )

    def running(self) -> bool:
        """Whether the server's process lives.

        Raises:
            PgOpsError: pg_ctl cannot tell.
        """
        done = self.host.run([self._program("pg_ctl"), "status", "-D", str(self.data)], check=False)
        if done.code not in (0, *_NOT_RUNNING):
            raise PgOpsError(
                f"pg_ctl status ended with exit code {done.code}: {(done.stderr or done.stdout).strip()}",
                where=self.where,
                remedy="Look at the data directory on that host",
                retry=True,
            )
        return done.code == 0

    def start(self, settings: Mapping[str, str]) -> None:
        """Start the server and do not wait for it.

        Args:
            settings: that no file may overrule.
        """
        options = " ".join(f"-c {name}={shlex.quote(value)}" for name, value in settings.items())
        command = [self._program("pg_ctl"), "start", "-W", "-s", "-D", str(self.data), "-l", str(self.log)]
        self.host.run([*command, "-o", options], {"LC_ALL": "C"})

    def stop(self, seconds: int = 60) -> bool:
        """Stop the server within a bound; whether it stopped cleanly. A failing archive_command would hold it up."""
        stop = [self._program("pg_ctl"), "stop", "-s", "-D", str(self.data)]
        for mode in ("fast", "immediate"):
            self.host.run([*stop, "-m", mode, "-t", str(seconds)], check=False)
            if not self.running():
                return mode == "fast"
        raise PgOpsError(
            f"The server did not stop within {2 * seconds} s, not even by an immediate shutdown",
            where=self.where,
            remedy="Look at its processes on that host; nothing else was touched",
        )

    def ask(
        self, statement: str, dbname: str = "postgres", *, readonly: bool = True, search_path: str | None = ""
    ) -> str:
        """Run SQL as superuser and return rows with | between columns.

        Args:
            statement: it goes to psql's standard input.
            dbname: in which database.
            readonly: whether it may only read.
            search_path: names without a schema are the system's; None leaves the server's setting.

        Raises:
            PgOpsError: psql failed; with what the server said.
        """
        command = [self._program("psql"), "-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-f", "-"]
        command += ["-h", str(self.sockets), "-p", str(self.port), "-U", self.superuser]
        options = "-c statement_timeout=600000 -c lock_timeout=30000"
        options += f" -c search_path={search_path}" if search_path is not None else ""
        options += f" -c default_transaction_read_only={'on' if readonly else 'off'}"
        # As an argument, a name with = in it would be a connection string.
        environment = {"PGDATABASE": dbname, "PGAPPNAME": "pgops.recovery", "PGCONNECT_TIMEOUT": "10", "LC_ALL": "C"}
        environment["PGOPTIONS"] = options
        return self.host.run(command, environment, given=statement.encode()).stdout.strip()

    def amcheck(self, dbname: str, jobs: int) -> list[str]:
        """Run pg_amcheck on a database that has the extension; return what it found."""
        command = [self._program("pg_amcheck"), "--no-password", f"--jobs={jobs}"]
        command += ["-h", str(self.sockets), "-p", str(self.port), "-U", self.superuser, "--maintenance-db=postgres"]
        pattern = dbname.replace('"', '""')
        command += [f'--database="{pattern}"']
        done = self.host.run(command, {"PGAPPNAME": "pgops.recovery.amcheck"}, check=False)
        found = done.stdout.splitlines()
        return (
            found
            if done.code == 0 or found
            else [f"pg_amcheck ended with exit code {done.code}: {done.stderr.strip()}"]
        )

    def answers(self) -> bool:
        """Whether it takes connections."""
        command = [self._program("pg_isready"), "-q", "-h", str(self.sockets), "-p", str(self.port)]
        return self.host.run(command, check=False).code == 0

    def said(self) -> str:
        """The end of the server's log."""
        return self.host.run(["sh", "-c", f"tail -c {_LOG_BYTES} -- {shlex.quote(str(self.log))}"], check=False).stdout

    def control(self) -> dict[str, str]:
        """What pg_controldata says."""
        said = self.host.run([self._program("pg_controldata"), "-D", str(self.data)], {"LC_ALL": "C"}).stdout
        return {name.strip(): value.strip() for name, value in _CONTROL.findall(said)}

    def _program(self, name: str) -> str:
        return str(self.bindir / name)


def find_bindir(
    host: Host, major: int, configured: PurePosixPath | None = None, also: Sequence[PurePosixPath] = ()
) -> PurePosixPath:
    """PostgreSQL's server programs of a major version on a host.

    Args:
        host: where the server shall run.
        major: files of another one cannot be started.
        configured: where they are; else the usual places are tried.
        also: further places to try.

    Raises:
        Refused: there are none.
    """
    usual = (f"/usr/lib/postgresql/{major}/bin", f"/usr/pgsql-{major}/bin", "/usr/local/pgsql/bin", "/usr/bin")
    tried = [configured] if configured is not None else [*map(PurePosixPath, usual), *also]
    for folder in tried:
        done = host.run(["sh", "-c", f"{shlex.quote(str(folder / 'postgres'))} --version"], check=False)
        if done.code == 0 and re.search(rf"\(PostgreSQL\) {major}\b", done.stdout):
            return folder
    raise Refused(
        f"PostgreSQL {major} is not on this host: {', '.join(map(str, tried))}",
        where=host.name,
        remedy=f"Install postgresql-{major} there, or say where it is; nothing was touched",
    )


def log_words(log: str, lines: int = 4) -> str:
    """What a server that died said: its fatal errors, else its last lines."""
    kept = [line for line in log.splitlines() if re.search(r"\b(FATAL|PANIC):", line)] or log.splitlines()
    return " | ".join(line.strip() for line in kept[-lines:]) or "it said nothing"
