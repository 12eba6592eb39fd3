"""PostgreSQL servers of the sandbox and of the tests: made, started, broken and stopped without a service manager."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import psutil
import psycopg2
from psycopg2.extensions import make_dsn

from pgops.errors import PgOpsError
from sandbox.account import Account, account
from sandbox.binaries import Binaries as Binaries
from sandbox.binaries import available as available
from sandbox.binaries import pick as pick
from sandbox.state import free_port as free_port

START_SECONDS = 60
STOP_SECONDS = 30
SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class PostgresServer:
    """One PostgreSQL server on 127.0.0.1 whose files lie under `root`.

    Args:
        name: how messages call it.
        binaries: which installation runs it.
        root: the folder for its data directory and log.
        port: its TCP port.
        password: of the superuser `postgres`.
        settings: server parameters beside the usual ones.
        identity: who runs it; by default whoever fits this machine.
    """

    def __init__(
        self,
        name: str,
        binaries: Binaries,
        root: Path,
        port: int,
        password: str,
        settings: Mapping[str, str] | None = None,
        identity: Account | None = None,
    ) -> None:
        self.name = name
        self.binaries = binaries
        self.port = port
        self.password = password
        self.settings = dict(settings or {})
        self.identity = identity or account()
        self.home = self.identity.folder(root)
        self.data = self.home / "data"
        self.log = self.home / "server.log"
        # A socket's path may have 107 bytes, so it cannot lie in a deep folder.
        digest = hashlib.sha256(str(self.home).encode()).hexdigest()[:12]
        self._sockets = Path(tempfile.gettempdir()) / f"pgops-{os.geteuid()}-{digest}"

    # --- life ---

    def create(self) -> None:
        """Make the data directory if there is none, and write the settings."""
        if not (self.data / "PG_VERSION").exists():
            fresh = self.home / "data.new"  # takes its name when complete: a killed create leaves no half server
            self._remove(fresh)
            self._fill(fresh)
            fresh.rename(self.data)
        self._write_settings()

    def start(self) -> None:
        """Start the server, also after a crash, and wait until it answers."""
        if self.running():
            return
        self._clear_leftovers()
        self._sockets.mkdir(mode=0o700)
        self.identity.give(self._sockets)
        done = self._run(
            "pg_ctl", "start", "--wait", f"--timeout={START_SECONDS}", "-D", self.data, "-l", self.log, "--silent"
        )
        if done.returncode != 0:
            self.stop("immediate")
            raise PgOpsError(
                f"PostgreSQL server '{self.name}' does not start",
                where=f"port {self.port}, {self.log}",
                remedy=f"Its last words: {self.last_words()}",
                retry=True,
            )

    def stop(self, mode: str = "fast") -> None:
        """Stop the server; one that does not obey in time is stopped by ever harder means."""
        for number in (SIGNALS[mode], signal.SIGQUIT, signal.SIGKILL):
            postmaster = self._postmaster()
            if postmaster is None:
                break
            postmaster.send_signal(number)
            self._wait_until_gone()
        shutil.rmtree(self._sockets, ignore_errors=True)

    def kill(self) -> None:
        """Crash the server: SIGKILL to its postmaster."""
        postmaster = self._postmaster()
        if postmaster is not None:
            postmaster.kill()
            self._wait_until_gone()

    def restart(self, mode: str = "fast") -> None:
        """Stop and start."""
        self.stop(mode)
        self.start()

    def destroy(self) -> None:
        """Stop the server and remove its files."""
        self.stop("immediate")
        self._remove(self.home)

    def running(self) -> bool:
        """Return whether the postmaster lives."""
        return self._postmaster() is not None

    def ready(self) -> bool:
        """Return whether the server takes connections."""
        return self.running() and self._run("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)).returncode == 0

    # --- use ---

    def dsn(self, dbname: str = "postgres", user: str = "postgres", password: str | None = None) -> str:
        """Return a libpq connection string; the superuser's password is filled in."""
        if password is None and user == "postgres":
            password = self.password
        return str(make_dsn(host="127.0.0.1", port=self.port, dbname=dbname, user=user, password=password))

    def execute(self, statement: str, dbname: str = "postgres") -> list[tuple[object, ...]]:
        """Run SQL as superuser in autocommit and return the rows, if any."""
        with closing(psycopg2.connect(self.dsn(dbname), connect_timeout=10)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []

    def last_words(self, lines: int = 4) -> str:
        """Return the end of the server's log."""
        try:
            return " | ".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return "none"

    # --- parts ---

    def _fill(self, target: Path) -> None:
        """Put a new, complete data directory at `target`."""
        secret = self.home / "password"
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        self.identity.give(secret)
        try:
            self._check(
                self._run(
                    *("initdb", "-D", target, "--username=postgres", f"--pwfile={secret}", "--auth=scram-sha-256"),
                    *("--encoding=UTF8", "--locale=C", "--data-checksums", "--no-sync"),
                )
            )
        finally:
            secret.unlink()
        with (target / "postgresql.conf").open("a") as configuration:
            configuration.write("\ninclude 'sandbox.conf'\n")

    def _configuration(self) -> dict[str, str]:
        return {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self._sockets),
            "password_encryption": "scram-sha-256",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_line_prefix": "%m [%p] %q%u@%d %a ",
            **self.settings,
        }

    def _write_settings(self) -> None:
        target = self.data / "sandbox.conf"
        lines = (f"{key} = {_quoted(value)}\n" for key, value in self._configuration().items())
        draft = target.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.write_text("".join(lines))
        self.identity.give(draft)
        draft.replace(target)

    def _run(
        self, program: str, *arguments: str | Path, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        bindir = self.identity.reachable(self.binaries.bindir)
        return self.identity.run(bindir / program, *arguments, env=env)

    def _check(self, done: subprocess.CompletedProcess[str]) -> None:
        if done.returncode != 0:
            program = Path(next(word for word in done.args if "/bin/" in word)).name
            raise PgOpsError(
                f"{program} failed for PostgreSQL server '{self.name}'",
                where=str(self.home),
                remedy=f"It said: {done.stdout.strip()[-800:]}",
            )

    def _postmaster(self) -> psutil.Process | None:
        """Return the living postmaster; a pid file may be stale and its pid reused, so the folder has to match too."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split()[0])
            process = psutil.Process(pid)
            return process if self._works_here(process) else None
        except (OSError, ValueError, IndexError, psutil.Error):
            return None

    def _wait_until_gone(self) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        while self.running() and time.monotonic() < deadline:
            time.sleep(0.02)

    def _works_here(self, process: psutil.Process) -> bool:
        """Every process of a server has the data directory as its working directory."""
        try:
            return process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == self.data.resolve()
        except psutil.Error:
            return False

    def _clear_leftovers(self) -> None:
        """Remove what a crash left: orphaned backends hold the shared memory, a reused pid blocks the lock files."""
        orphans = [process for process in psutil.process_iter() if self._is_orphan(process)]
        _, alive = psutil.wait_procs(orphans, timeout=5)
        for process in alive:
            process.kill()
        psutil.wait_procs(alive, timeout=5)
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        shutil.rmtree(self._sockets, ignore_errors=True)

    def _is_orphan(self, process: psutil.Process) -> bool:
        try:
            return process.name().startswith("postgres") and self._works_here(process)
        except psutil.Error:
            return False

    def _remove(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)


class Standby(PostgresServer):
    """A streaming standby of `primary`, fed through a replication slot of its own.

    Takes `PostgresServer`'s arguments, except the password, which is the primary's.
    """

    def __init__(
        self,
        name: str,
        primary: PostgresServer,
        root: Path,
        port: int,
        settings: Mapping[str, str] | None = None,
        identity: Account | None = None,
    ) -> None:
        inherited = {**primary.settings, "hot_standby_feedback": "on", "archive_mode": "off", **(settings or {})}
        super().__init__(name, primary.binaries, root, port, primary.password, inherited, identity)
        self.primary = primary
        self.slot = re.sub(r"\W", "_", name.lower())

    def create(self) -> None:
        """Clone the primary if there is no clone of it yet, and write the settings."""
        if (self.data / "PG_VERSION").exists() and self._identifier(self) != self._identifier(self.primary):
            self._remove(self.data)  # the primary was made anew
        super().create()

    def wait_until_caught_up(self, seconds: float = 30) -> None:
        """Wait until the standby has replayed everything that the primary has committed by now."""
        # Commits that did not wait for the disk are sent only when they were written: by a later commit that did.
        self.primary.execute("set synchronous_commit = local; select pg_current_xact_id()")
        target = self.primary.execute("select pg_current_wal_flush_lsn()::text")[0][0]
        deadline = time.monotonic() + seconds
        while self.execute(f"select pg_last_wal_replay_lsn() >= '{target}'")[0][0] is not True:
            if time.monotonic() > deadline:
                raise PgOpsError(
                    f"Standby '{self.name}' does not catch up",
                    where=str(self.log),
                    remedy=f"Its last words: {self.last_words()}",
                    retry=True,
                )
            time.sleep(0.05)

    def _fill(self, target: Path) -> None:
        self.primary.execute(
            f"select pg_create_physical_replication_slot('{self.slot}') where not exists"
            f" (select from pg_replication_slots where slot_name = '{self.slot}')"
        )
        self._check(
            self._run(
                *("pg_basebackup", "-D", target, "-X", "stream", "-c", "fast", "-S", self.slot, "--no-sync", "-w"),
                *("-h", "127.0.0.1", "-p", str(self.primary.port), "-U", "postgres"),
                env={"PGPASSWORD": self.primary.password},
            )
        )
        signal_file = target / "standby.signal"
        signal_file.touch(mode=0o600)
        self.identity.give(signal_file)

    def _configuration(self) -> dict[str, str]:
        # Written at every start, not once by pg_basebackup -R: the primary's port may have changed since.
        source = self.primary
        conninfo = make_dsn(
            host="127.0.0.1", port=source.port, user="postgres", password=source.password, application_name=self.name
        )
        return {**super()._configuration(), "primary_conninfo": str(conninfo), "primary_slot_name": self.slot}

    def _identifier(self, server: PostgresServer) -> str:
        said = server._run("pg_controldata", server.data).stdout
        found = re.search(r"system identifier:\s+(\d+)", said)
        return found.group(1) if found else ""


def stop_servers_in(folder: Path) -> None:
    """Stop whatever servers work somewhere below a folder; nobody needs what they hold."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name().startswith("postgres") and Path(process.cwd()).is_relative_to(folder):
                found.append(process)
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGQUIT)
    _, alive = psutil.wait_procs(found, timeout=STOP_SECONDS)
    for process in alive:
        process.kill()


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
