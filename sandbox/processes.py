"""The sandbox's own processes: started in sessions of their own, found again after a crash, stopped without remains."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import psutil

from sandbox.state import State

TERM_SECONDS = 10
MARK = "PGOPS_SANDBOX"


class Processes:
    """The processes that `state` remembers, with their descendants.

    A pid alone proves nothing: it may have been given to somebody else since. A process belongs to the sandbox if it is
    in the session of a process that was started here (same pid, same start time), or, when that one is dead, if it also
    works in the sandbox's `run` folder or carries the sandbox's mark in its environment.
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self.run_folder = state.folder / "run"
        self.logs = state.folder / "logs"

    def start(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        """Start a process in a session of its own and remember it; what is left of an earlier one ends first."""
        self.stop([name])
        self.run_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.log(name).open("ab") as log:
            started = subprocess.Popen(
                [str(word) for word in command],
                env={**environment, MARK: str(self.state.folder)},
                cwd=self.run_folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.state.put("processes", name, {"pid": started.pid, "started": psutil.Process(started.pid).create_time()})

    def log(self, name: str) -> Path:
        """Return the file that a process's output goes to."""
        return self.logs / f"{name}.log"

    def last_words(self, name: str, lines: int = 3) -> str:
        """Return the end of a process's log."""
        try:
            return " | ".join(line for line in self.log(name).read_text(errors="replace").splitlines()[-lines:] if line)
        except OSError:
            return "none"

    def pid(self, name: str) -> int | None:
        """Return the pid of a remembered process that lives."""
        leader = self._leader(name)
        return leader.pid if leader else None

    def started(self, name: str) -> float | None:
        """Return when a remembered process that lives was started, in seconds since the epoch."""
        leader = self._leader(name)
        return float(leader.create_time()) if leader else None

    def stop(self, names: Iterable[str]) -> None:
        """Ask these processes to end, then end them and everything that they left behind."""
        names = list(names)
        leaders = [leader for name in names if (leader := self._leader(name))]
        for leader in leaders:
            _quietly(leader.terminate)
        _wait_until_gone(leaders, TERM_SECONDS)
        while members := self._members(names):  # a killed process may have forked at the last moment
            for member in members:
                _quietly(member.kill)
            _wait_until_gone(members, TERM_SECONDS)
        for name in names:
            self.state.put("processes", name, None)

    def stop_all(self) -> None:
        """Stop every process that is remembered, and any that carries the sandbox's mark."""
        self.stop(self.state.section("processes"))
        marked = [process for process in psutil.process_iter() if self._is_marked(process)]
        for process in marked:
            _quietly(process.kill)
        _wait_until_gone(marked, TERM_SECONDS)

    def _leader(self, name: str) -> psutil.Process | None:
        record = self.state.get("processes", name)
        try:
            process = psutil.Process(record["pid"]) if record else None
            return process if process and _alive(process) and _started_at(process, record["started"]) else None
        except psutil.Error:
            return None

    def _members(self, names: Iterable[str]) -> list[psutil.Process]:
        records = {record["pid"]: record for name in names if (record := self.state.get("processes", name))}
        return [process for process in psutil.process_iter() if self._is_member(process, records)]

    def _is_member(self, process: psutil.Process, records: Mapping[int, Mapping[str, float]]) -> bool:
        try:
            record = records.get(os.getsid(process.pid))
            if record is None or not _alive(process):
                return False
            if psutil.pid_exists(record["pid"]):
                return _started_at(psutil.Process(int(record["pid"])), record["started"])
            return Path(process.cwd()).is_relative_to(self.run_folder) or self._is_marked(process)
        except (psutil.Error, OSError):
            return False

    def _is_marked(self, process: psutil.Process) -> bool:
        try:
            return (
                process.pid != os.getpid() and _alive(process) and process.environ().get(MARK) == str(self.state.folder)
            )
        except (psutil.Error, OSError):
            return False


def _started_at(process: psutil.Process, moment: float) -> bool:
    return abs(process.create_time() - moment) < 1


def _alive(process: psutil.Process) -> bool:
    return bool(process.status() != psutil.STATUS_ZOMBIE)


def _quietly(signal: Callable[[], None]) -> None:
    with contextlib.suppress(psutil.Error):
        signal()


def _wait_until_gone(processes: Sequence[psutil.Process], seconds: float) -> None:
    """Wait for the end of processes that may not be our children; one that nobody reaps counts as ended."""
    wait_until(lambda: not any(_still_there(process) for process in processes), seconds)


def _still_there(process: psutil.Process) -> bool:
    try:
        return process.is_running() and _alive(process)
    except psutil.Error:
        return False


def wait_until(true: Callable[[], object], seconds: float) -> None:
    """Wait until something is true, or the time is over; the caller looks which."""
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
