"""A program's failure has a name, and no program outlives the task that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import psutil
import pytest

from pgops import processes
from pgops.processes import Program, ProgramFailed, run
from tests.servers import eventually

PLUGINS = Path(__file__).parents[1] / "plugins"


def python(script: str) -> subprocess.Popen[str]:
    """A process of its own, with pgops, whose first line of output a test can wait for."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=os.environ | {"PYTHONPATH": str(PLUGINS)},
        stdout=subprocess.PIPE,
        text=True,
    )


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_failure_carries_name_exit_code_stderr_and_place():
    with pytest.raises(ProgramFailed) as caught:
        run(["sh", "-c", "echo first >&2; echo 'the disk is on fire' >&2; exit 7"], where="host:5432/app")
    assert "sh ended with exit code 7" in caught.value.what
    assert caught.value.stderr == "first\nthe disk is on fire"
    assert caught.value.where == "host:5432/app"
    assert caught.value.code == 7


def test_a_killed_program_is_named_by_its_signal():
    with pytest.raises(ProgramFailed, match="was killed by SIGKILL: it said nothing"):
        run(["sh", "-c", "kill -9 $$"], where="here")


def test_a_flood_on_stderr_blocks_nothing_and_keeps_the_end():
    with pytest.raises(ProgramFailed) as caught:
        run(["sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo line $i >&2; i=$((i+1)); done; exit 1"], where="here")
    assert caught.value.stderr.endswith("line 19999")
    assert len(caught.value.stderr.splitlines()) <= 40


def test_a_program_ends_with_its_block_also_when_it_ignores_sigterm():
    started = time.monotonic()
    with Program(["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"], where="here") as program:
        time.sleep(0.3)
        program.stop(grace=0.5)
    assert not alive(program.pid)
    assert time.monotonic() - started < 5


def test_children_die_with_a_parent_that_was_killed():
    parent = python("""
        import time
        from pgops.processes import Program
        program = Program(["sleep", "300"], where="here")
        print(program.pid, flush=True)
        time.sleep(300)
    """)
    child = int(parent.stdout.readline())
    assert alive(child)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert eventually(lambda: not alive(child), 5)


def test_an_orphan_ends_itself_and_its_children():
    """The supervisor of an Airflow task is killed: the task must not go on dumping."""
    supervisor = python("""
        import os, subprocess, sys, time
        task = '''
        import os, time
        from pgops.processes import Program, ending_with_the_parent
        with ending_with_the_parent(poll=0.2):
            program = Program(["sleep", "300"], where="here")
            print(os.getpid(), program.pid, flush=True)
            time.sleep(300)
        '''
        import textwrap
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(task)])
        time.sleep(300)
    """)
    task, child = map(int, supervisor.stdout.readline().split())
    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait()
    assert eventually(lambda: not alive(task) and not alive(child), 10)


@pytest.mark.slow
def test_an_orphan_that_ignores_sigterm_ends_too():
    supervisor = python("""
        import subprocess, sys, textwrap, time
        task = '''
        import os, signal, time
        from pgops.processes import ending_with_the_parent
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with ending_with_the_parent(poll=0.2):
            print(os.getpid(), flush=True)
            while True:
                time.sleep(1)
        '''
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(task)])
        time.sleep(300)
    """)
    task = int(supervisor.stdout.readline())
    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait()
    assert eventually(lambda: not alive(task), 15)


def test_leaving_the_block_ends_the_watch():
    with processes.ending_with_the_parent(poll=0.05):
        pass
    time.sleep(0.2)
    assert "parent-watch" not in {thread.name for thread in threading.enumerate()}


def test_stop_all_ends_whatever_runs():
    one, two = Program(["sleep", "300"], where="here"), Program(["sleep", "300"], where="here")
    processes.stop_all()
    assert not alive(one.pid)
    assert not alive(two.pid)


def test_variables_reach_the_program_and_its_messages_are_in_english(monkeypatch):
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert run(["sh", "-c", "echo $SECRET $LC_ALL"], where="here", env={"SECRET": "s3cret"}) == "s3cret C\n"
