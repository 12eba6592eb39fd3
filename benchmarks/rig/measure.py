"""What all benchmarks measure with: steps in processes of their own, laps, a quiet machine, a table."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from pgops.errors import PgOpsError


class Laps:
    """Seconds of each part of a step."""

    def __init__(self) -> None:
        self._begun = self._last = time.monotonic()
        self.parts: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """The part `name` has just ended."""
        now = time.monotonic()
        self.parts[name], self._last = now - self._last, now

    def result(self, **more: Any) -> dict[str, Any]:
        """What a worker prints."""
        return {"seconds": time.monotonic() - self._begun, "parts": self.parts, **more}


def start(module: str, job: Any, temporary: Path) -> dict[str, Any]:
    """Run a worker's job, a dataclass with `step`, in a fresh process and return what it measured."""
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(asdict(job)),
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise PgOpsError(f"The step {job.step} failed", where="its output above", remedy="Mend it and run again")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def wait_until_idle(percent: float = 10, seconds: float = 30) -> None:
    """Until nothing else runs: a virtual machine's kernel goes on for seconds after a step that freed much memory."""
    deadline = time.monotonic() + seconds
    while psutil.cpu_percent(interval=1.5) > percent and time.monotonic() < deadline:
        pass


def print_header(what: str, more: str = "") -> None:
    """The first line of a table."""
    print(f"\n{what:<34}{'median':>8}{'min':>8}{'max':>8}{more}")


def print_row(name: str, values: Iterable[float], more: str = "") -> None:
    """A line of a table."""
    values = list(values)
    print(f"{name:<34}{statistics.median(values):8.2f}{min(values):8.2f}{max(values):8.2f}{more}")
