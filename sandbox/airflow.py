"""Airflow's four processes on the sandbox's servers."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pgops.errors import PgOpsError
from sandbox import barman
from sandbox.account import account
from sandbox.processes import Processes
from sandbox.rest import Api, ApiError
from sandbox.state import PROJECT, State, is_free

# Everybody reads the logs in one folder: no log servers, which would listen on every address.
COMMANDS = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
PROCESSES = tuple(COMMANDS)
HEALTH_KEYS = {"api-server": "metadatabase", "dag-processor": "dag_processor"}
# Name -> role: what each role may do is in the README's role table.
USERS = {"admin": "admin", "op": "op", "user": "user", "viewer": "viewer"}
UI_PORT = 8080
START_SECONDS = 180


class Airflow:
    """Airflow of the sandbox.

    Args:
        state: where ports and secrets are remembered.
        processes: by which the four are started.
        metadata_url: tells where the metadata database is, which may move until its server is up.
    """

    def __init__(self, state: State, processes: Processes, metadata_url: Callable[[], str]) -> None:
        self.state = state
        self.processes = processes
        self.home = state.folder / "airflow"
        self.metadata_url = metadata_url

    @property
    def url(self) -> str:
        """Where the UI is."""
        return f"http://127.0.0.1:{self.state.port('airflow', UI_PORT)}"

    def logins(self) -> dict[str, str]:
        """Return the password of each user."""
        return {name: self.state.secret(f"user {name}")[:16] for name in USERS}

    def api(self, user: str = "admin") -> Api:
        """Return a client that is logged in as that user."""
        return Api(self.url, user, self.logins()[user])

    def migrate(self, addresses: dict[str, str], file: Path) -> None:
        """Bring the metadata database up to date, and the connections, pools and variables in it."""
        self._prepare()
        # Each of the two imports Airflow, which takes seconds: what is known to be done is not done again.
        done = version("apache-airflow")
        if self.state.get("airflow", "migrated") != done:
            self._airflow("-m", "airflow", "db", "migrate")
            self.state.put("airflow", "migrated", done)
        book = self.home / "addresses.json"
        book.write_text(json.dumps(addresses, indent=1))
        overrides = sorted(item for item in os.environ.items() if item[0].startswith("PGOPS_CONN_"))
        digest = hashlib.sha256(f"{file.read_text()}{addresses}{overrides}".encode()).hexdigest()
        if self.state.get("airflow", "settings") != digest:
            self._airflow("-m", "sandbox.settings", "--file", str(file), "--addresses", str(book))
            self.state.put("airflow", "settings", digest)

    def up(self) -> list[str]:
        """Start the processes that do not run, or run with other settings than today's; return their names."""
        self._prepare()
        environment = self.environment()
        digest = hashlib.sha256(repr((COMMANDS, sorted(self._settings().items()))).encode()).hexdigest()
        same = self.state.get("airflow", "environment") == digest
        dead = [name for name in PROCESSES if not same or self.processes.pid(f"airflow {name}") is None]
        self.processes.stop([f"airflow {name}" for name in dead])
        if "api-server" in dead and not is_free(self.state.port("airflow", UI_PORT)):
            self.state.move_port("airflow")
            return self.up()  # every process is told this port
        for name in dead:
            command = [sys.executable, "-m", "airflow", *COMMANDS[name]]
            self.processes.start(f"airflow {name}", command, environment)
        self.state.put("airflow", "environment", digest)
        return dead

    def wait_until_healthy(self, say: Callable[[str], None]) -> None:
        """Wait until all four say that they are well."""
        deadline = time.monotonic() + START_SECONDS
        healthy: set[str] = set()
        while len(healthy) < len(PROCESSES):
            for name in sorted(self.healthy() - healthy):
                say(f"airflow {name} is healthy")
                healthy.add(name)
            for name in PROCESSES:
                if self.processes.pid(f"airflow {name}") is None or (
                    time.monotonic() > deadline and name not in healthy
                ):
                    log = f"airflow {name}"
                    raise PgOpsError(
                        f"Airflow's {name} does not start",
                        where=str(self.processes.log(log)),
                        remedy=f"Its last words: {self.processes.last_words(log)}",
                        retry=True,
                    )
            time.sleep(0.5)

    def healthy(self) -> set[str]:
        """Return those of the four that the health address calls healthy."""
        try:
            report = Api(self.url).get("/monitor/health")
        except (ApiError, OSError):
            return set()
        return {name for name in PROCESSES if self._is_healthy(name, report)}

    def environment(self) -> dict[str, str]:
        """Return the environment of everything that is Airflow: the caller's, without what would steer it elsewhere."""
        foreign = ("AIRFLOW", "PG", "PYTHONPATH", "VIRTUAL_ENV")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
        return {**kept, **self._settings()}

    def _is_healthy(self, name: str, report: dict[str, Any]) -> bool:
        """Whether the report says so of the process that runs now: it repeats a dead one's word for half a minute."""
        started = self.processes.started(f"airflow {name}")
        key = HEALTH_KEYS.get(name, name)
        part = report.get(key) or {}
        heartbeat = part.get(f"latest_{key}_heartbeat")
        if started is None or part.get("status") != "healthy":
            return False
        return heartbeat is None or datetime.fromisoformat(heartbeat).timestamp() > started

    def _settings(self) -> dict[str, str]:
        state, url = self.state, self.url
        fernet = base64.urlsafe_b64encode(bytes.fromhex(state.secret("fernet"))).decode()
        return {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": os.environ.get("AIRFLOW__CORE__DAGS_FOLDER", str(PROJECT / "dags")),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "120",  # a crowded machine needs more than the default's 30 s
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "8",
            "AIRFLOW__CORE__FERNET_KEY": fernet,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in USERS.items()),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self._passwords_file),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.metadata_url(),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": url.rpartition(":")[2],
            "AIRFLOW__API__BASE_URL": url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": state.secret("api secret"),
            "AIRFLOW__API_AUTH__JWT_SECRET": state.secret("jwt secret"),
            # A new or changed DAG file is seen within seconds (default: five minutes).
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
            # A task whose supervisor was killed is noticed after half a minute (default: five minutes).
            # An asset counts as active only after this; a task with an inactive outlet fails without another try, and
            # a small database is dumped and verified within the default's 60 s after a start.
            "AIRFLOW__SCHEDULER__PARSING_CLEANUP_INTERVAL": "3",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "5",
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",  # how soon a failed or cancelled task is seen
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "PATH": os.pathsep.join([str(barman.programs(account())), os.environ.get("PATH", os.defpath)]),
            "PGOPS_LOCAL_RECOVERIES": str(account().folder(self.state.folder / "recoveries")),
            "PGOPS_LOCAL_RUN_AS": shlex.join(account().command_prefix),  # who owns the servers' files
            "PGOPS_RUN_COMMAND": "./dev run",  # how alerts here say what to run next
            "PGOPS_FLEET": os.environ.get("PGOPS_FLEET", str(PROJECT / "include" / "fleet.yaml")),
            "PGOPS_INCLUDE": os.environ.get("PGOPS_INCLUDE", str(PROJECT / "include")),
        }

    @property
    def _passwords_file(self) -> Path:
        return self.home / "passwords.json"

    def _prepare(self) -> None:
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._passwords_file.touch(mode=0o600)
        self._passwords_file.write_text(json.dumps(self.logins()))

    def _airflow(self, *arguments: str) -> None:
        paths = os.pathsep.join([str(PROJECT), str(PROJECT / "plugins")])
        done = subprocess.run(
            [sys.executable, *arguments],
            env={**self.environment(), "PYTHONPATH": paths},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            last = " | ".join(done.stdout.strip().splitlines()[-3:])
            raise PgOpsError(
                f"python {' '.join(arguments[:3])} failed", where=str(self.home), remedy=f"It said: {last}"
            )
