"""The sandbox's Slack inbox as a process of a test's own."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
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


@contextmanager
def running_inbox(data: Path, *options: str) -> Iterator[RunningInbox]:
    """An inbox that keeps its messages in `data`."""
    command = [sys.executable, "-m", "sandbox.slack_inbox", "--port", "0", "--data", str(data), *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("Slack inbox: http://"), "the inbox did not start"
            yield RunningInbox(line.removeprefix("Slack inbox: ").strip(), process)
        finally:
            process.kill()


def shown(message: dict[str, Any]) -> str:
    """All that a message shows."""
    return " ".join(str(message.get(part, "")) for part in ("text", "blocks", "attachments"))
