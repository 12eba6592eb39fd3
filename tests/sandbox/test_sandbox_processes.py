"""Stopping ends everything that was started, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pgops.errors import PgOpsError, Refused
from sandbox.processes import Processes, wait_until
from sandbox.state import State, exclusive, is_free

# A parent that ignores polite requests, with a child that its death does not end.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import signal,time; signal.signal(15, 1); time.sleep(600)"])
open(sys.argv[1], "w").write(f"{child.pid} ")
time.sleep(600)
"""


@pytest.fixture
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Processes]:
    monkeypatch.setattr("sandbox.processes.TERM_SECONDS", 0.5)
    processes = Processes(State(tmp_path / "sandbox"))
    yield processes
    processes.stop_all()


def start_stubborn(processes: Processes, tmp_path: Path) -> psutil.Process:
    """Start it and return its child."""
    note = tmp_path / "child"
    processes.start("stubborn", [sys.executable, "-c", STUBBORN, note], os.environ)
    wait_until(lambda: note.exists() and note.read_text().endswith(" "), 20)
    return psutil.Process(int(note.read_text()))


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_stubborn_process_ends_with_its_child(processes: Processes, tmp_path: Path) -> None:
    child = start_stubborn(processes, tmp_path)
    pid = processes.pid("stubborn")
    processes.stop(["stubborn"])
    assert gone(child)
    assert not psutil.pid_exists(pid) or gone(psutil.Process(pid))
    assert processes.pid("stubborn") is None


def test_an_orphan_is_found_although_its_parent_is_dead(processes: Processes, tmp_path: Path) -> None:
    child = start_stubborn(processes, tmp_path)
    os.kill(processes.pid("stubborn"), 9)
    wait_until(lambda: processes.pid("stubborn") is None, 5)
    assert not gone(child)
    Processes(State(processes.state.folder)).stop_all()
    assert gone(child)


def test_a_stranger_with_a_remembered_pid_lives_on(processes: Processes) -> None:
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        processes.state.put("processes", "old", {"pid": stranger.pid, "started": 12345.0})
        assert processes.pid("old") is None
        processes.stop_all()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_the_state_survives_and_is_for_its_owner_only(tmp_path: Path) -> None:
    state = State(tmp_path / "s")
    secret, port = state.secret("x"), state.port("y")
    again = State(tmp_path / "s")
    assert (again.secret("x"), again.port("y")) == (secret, port)
    assert state.file.stat().st_mode & 0o077 == 0
    assert again.port("z", preferred=port) != port  # nobody listens there now, but it is y's
    assert is_free(port)


def test_an_unreadable_state_names_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(PgOpsError, match="--purge"):
        State(tmp_path)


def test_two_commands_do_not_change_the_sandbox_at_once(tmp_path: Path) -> None:
    with exclusive(tmp_path), pytest.raises(Refused, match=r"Another \./dev"), exclusive(tmp_path):
        pass
    with exclusive(tmp_path):
        pass
