from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TOKEN = "xoxb-1234567890-testtesttest"


@dataclass
class RunningInbox:
    url: str
    process: subprocess.Popen[str]

    def messages(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.url}messages.json", timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)["messages"]
        return found

    def page(self) -> str:
        with urllib.request.urlopen(self.url, timeout=5) as answer:
            return str(answer.read().decode())

    def connection(self, token: str = TOKEN) -> str:
        """An Airflow connection to this inbox, as an environment variable holds it."""
        extra = {"base_url": f"{self.url}api/"}
        return json.dumps({"conn_type": "slack", "password": token, "extra": extra})

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(timeout=5)


StartInbox = Callable[..., RunningInbox]


@pytest.fixture
def start_inbox(tmp_path: Path) -> Iterator[StartInbox]:
    """Starts inboxes as processes of their own; `--data` stays the same within a test."""
    started: list[RunningInbox] = []

    def start(*options: str, data: Path = tmp_path / "inbox.jsonl") -> RunningInbox:
        command = [sys.executable, "-m", "sandbox.slack_inbox", "--port", "0", "--data", str(data), *options]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert process.stdout is not None
        line = process.stdout.readline()
        inbox = RunningInbox(line.removeprefix("Slack inbox: ").strip(), process)
        started.append(inbox)
        assert line.startswith("Slack inbox: http://"), "the inbox did not start"
        return inbox

    yield start
    for inbox in started:
        inbox.process.kill()
        inbox.process.wait()
        if inbox.process.stdout:
            inbox.process.stdout.close()


@pytest.fixture
def inbox(start_inbox: StartInbox) -> RunningInbox:
    return start_inbox()
