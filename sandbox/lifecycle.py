"""`./dev up`, `down` and `status`: the whole sandbox, its parts in order, every step safe to repeat."""

from __future__ import annotations

import os
import shutil
import sys
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pgops.errors import PgOpsError
from sandbox import settings
from sandbox.airflow import PROCESSES, Airflow
from sandbox.processes import Processes, wait_until
from sandbox.servers import Servers
from sandbox.state import PROJECT, State, exclusive, home, is_free

SETTINGS_FILE = PROJECT / "airflow_settings.yaml"
SLACK_HOST = "slack-inbox:8085"
SLACK_PORT = 8085
INBOX = "slack inbox"


class Sandbox:
    """All parts, and what one needs to know of another."""

    def __init__(self, major: int | None = None) -> None:
        self.folder = home()
        self.state = State(self.folder)
        self.processes = Processes(self.state)
        self.connections = settings.override(settings.load(SETTINGS_FILE), os.environ)
        self.servers = Servers(self.state, major, self.connections)
        self.airflow = Airflow(self.state, self.processes, self.servers.metadata_url)

    @property
    def slack_url(self) -> str:
        """Where the Slack inbox is."""
        return f"http://127.0.0.1:{self.state.port('slack inbox', SLACK_PORT)}"

    def up(self, scale: float, say: Callable[[str], None]) -> None:
        """Start what does not run; what runs is left alone."""
        with exclusive(self.folder):
            self.servers.up()
            say(f"PostgreSQL {self.servers.primary.binaries.major} and S3 are up")
            self._up_inbox()
            with ThreadPoolExecutor() as pool:
                loading = pool.submit(self.servers.load_sample, scale)
                self.airflow.migrate(self._addresses(), SETTINGS_FILE)
                for database in loading.result():
                    say(f"sample database {database} is filled (scale {scale:g})")
            started = self.airflow.up()
            if started:
                say(f"starting Airflow: {', '.join(started)}")
            self.airflow.wait_until_healthy(say)

    def down(self, purge: bool = False) -> None:
        """Stop everything; with `purge` remove its files too."""
        with exclusive(self.folder):
            self.processes.stop_all()
            self.servers.down()
            if purge:
                self._purge()

    def status(self) -> list[tuple[str, str, str, str]]:
        """Return name, state, address and pid of every part; what is down has no address."""
        healthy = self.airflow.healthy()
        rows = [
            (f"postgres {server.name}", _state(server.running(), server.ready()), f"127.0.0.1:{server.port}", "")
            for server in sorted(self.servers.postgres, key=lambda server: server.name)
        ]
        s3 = self.servers.s3
        rows.append(("s3", _state(s3.running(), s3.running() and s3.ready()), s3.endpoint, ""))
        inbox = self.processes.pid(INBOX)
        rows.append(
            (INBOX, _state(bool(inbox), bool(inbox) and self._inbox_answers()), self.slack_url, str(inbox or ""))
        )
        for name in PROCESSES:
            pid = self.processes.pid(f"airflow {name}")
            address = self.airflow.url if name == "api-server" else ""
            rows.append((f"airflow {name}", _state(bool(pid), name in healthy), address, str(pid or "")))
        return [(name, state, "" if state == "down" else address, pid) for name, state, address, pid in rows]

    def environment(self) -> dict[str, str]:
        """Return what a program beside Airflow needs to reach the sandbox's bucket: the AWS SDK's own variables."""
        s3 = self.servers.s3
        return {
            **self.airflow.environment(),
            "PYTHONPATH": os.pathsep.join([str(PROJECT), str(PROJECT / "plugins")]),
            "AWS_ACCESS_KEY_ID": s3.access_key,
            "AWS_SECRET_ACCESS_KEY": s3.secret_key,
            "AWS_ENDPOINT_URL": s3.endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def where_to_look(self) -> list[str]:
        """Return the addresses and logins for people."""
        logins = "   ".join(f"{name} / {password}" for name, password in self.airflow.logins().items())
        primary = self.servers.primary
        psql = "psql" if shutil.which("psql") else str(primary.binaries.bindir / "psql")
        return [
            f"Airflow      {self.airflow.url}",
            f"  logins     {logins}",
            f"Slack inbox  {self.slack_url}",
            f"The primary  {psql} postgres://postgres:{primary.password}@127.0.0.1:{primary.port}/app",
        ]

    def require_up(self) -> None:
        """Refuse to go on where Airflow does not run."""
        if not self.processes.pid("airflow api-server"):
            raise PgOpsError("The sandbox is not running", where=str(self.folder), remedy="Start it: ./dev up.")

    def _addresses(self) -> dict[str, str]:
        return {**self.servers.addresses(), SLACK_HOST: self.slack_url.removeprefix("http://")}

    def _up_inbox(self) -> None:
        if self.processes.pid(INBOX):
            return
        self.processes.stop([INBOX])
        if not is_free(self.state.port(INBOX, SLACK_PORT)):
            self.state.move_port(INBOX)
        data = self.folder / "slack" / "messages.jsonl"
        data.parent.mkdir(mode=0o700, exist_ok=True)
        paths = os.pathsep.join([str(PROJECT), str(PROJECT / "plugins")])
        environment = {**os.environ, "PYTHONPATH": paths, "SLACK_INBOX_TOKEN": self._slack_token()}
        port = str(self.state.port(INBOX))
        command = [sys.executable, "-m", "sandbox.slack_inbox", "--port", port, "--data", str(data)]
        self.processes.start(INBOX, command, environment)
        wait_until(lambda: self._inbox_answers() or not self.processes.pid(INBOX), seconds=20)
        if not self._inbox_answers():
            raise PgOpsError(
                "The Slack inbox does not start",
                where=str(self.processes.log(INBOX)),
                remedy=f"Its last words: {self.processes.last_words(INBOX)}",
            )

    def _inbox_answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.slack_url}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _slack_token(self) -> str:
        return next((str(c.password) for c in self.connections.connections if c.type == "slack" and c.password), "")

    def _purge(self) -> None:
        for server in self.servers.postgres:
            server.destroy()
        _remove(self.folder.iterdir())


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_symlink():  # PostgreSQL's files lie elsewhere where its user cannot enter the clone
            shutil.rmtree(path.resolve(), ignore_errors=True)
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != "lock":
            path.unlink()


def _state(running: bool, well: bool) -> str:
    return "up" if well else "not well" if running else "down"
