"""External programs whose every failure has a name, and which never outlive the task that started them."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO

from pgops.errors import PgOpsError

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_STDERR_LINES_KEPT = 40
_PIPE_BYTES = 1 << 20  # the usual 64 KiB make both ends wait for each other all the time
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_running: set[Program] = set()


def _die_with_parent() -> None:
    """Run in the child: the kernel kills it when the thread that started it ends (SIGKILL leaves no time to do it)."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _widen(pipe: IO[bytes] | None) -> None:
    """Let a pipe hold more, where the system allows it."""
    if pipe is not None and sys.platform == "linux":
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


class ProgramFailed(PgOpsError):
    """An external program ended with a failure; `stderr` holds its last lines."""

    def __init__(self, name: str, code: int, stderr: str, where: str, retry: bool = True) -> None:
        ended = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        last = stderr.strip() or "it said nothing"
        super().__init__(
            f"{name} {ended}: {last}",
            where=where,
            remedy=f"Read what {name} said; the runbook names the usual causes",
            retry=retry,
        )
        self.code = code
        self.stderr = stderr


class Program:
    """A running program. Start it from a thread that outlives it (see _die_with_parent).

    Args:
        argv: program and arguments; never a secret, everybody on the host can read them.
        env: variables added to this process's environment (PGPASSWORD goes here).
        where: what an error names as the place.
        stdin, stdout: as for subprocess; standard error is always read and kept for the error.
        watch: gets the lines of standard error as they come; without it they are logged.
        inherit: whether the program gets this process's environment; if not, `env` is all that it gets.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        where: str,
        env: Mapping[str, str] | None = None,
        stdin: int | IO[bytes] | None = subprocess.DEVNULL,
        stdout: int | IO[bytes] | None = subprocess.DEVNULL,
        watch: Callable[[str], None] | None = None,
        inherit: bool = True,
    ) -> None:
        self._watch = watch
        self.name = os.path.basename(argv[0])  # noqa: PTH119 - argv is text
        self.where = where
        self._process = subprocess.Popen(
            list(argv),
            env={**(os.environ if inherit else {}), "LC_ALL": "C", **(env or {})},
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            preexec_fn=_die_with_parent,
        )
        for pipe in (self._process.stdin, self._process.stdout):
            _widen(pipe)
        _running.add(self)
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES_KEPT)
        self._reader = threading.Thread(target=self._read_stderr, name=f"{self.name}-stderr", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def last_words(self) -> str:
        """The last lines of its standard error."""
        return "\n".join(self._stderr)

    @property
    def stdin(self) -> IO[bytes]:
        """The pipe to the program's input; only if it was started with stdin=PIPE."""
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        """The pipe from the program's output; only if it was started with stdout=PIPE."""
        assert self._process.stdout is not None
        return self._process.stdout

    def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            text = line.decode(errors="replace").rstrip()
            self._stderr.append(text)
            if self._watch is None:
                log.info("%s: %s", self.name, text)
            else:
                self._watch(text)

    def wait(self) -> None:
        """Wait for the end; raise ProgramFailed unless the exit code is 0."""
        code = self._process.wait()
        self._reader.join(timeout=5)
        _running.discard(self)
        if code != 0:
            raise ProgramFailed(self.name, code, self.last_words, self.where)

    def stop(self, grace: float = 5.0) -> None:
        """End the program: SIGTERM, then SIGKILL after `grace` seconds. Harmless when it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            self._process.wait(timeout=grace)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _running.discard(self)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def run(argv: Sequence[str], *, where: str, env: Mapping[str, str] | None = None) -> str:
    """Run a program to its end and return its standard output."""
    with Program(argv, where=where, env=env, stdout=subprocess.PIPE) as program:
        output = program.stdout.read()
        program.wait()
    return output.decode(errors="replace")


def stop_all() -> None:
    """End every program that this process has running: for a task that is being killed."""
    for program in list(_running):
        program.stop(grace=2.0)


@contextlib.contextmanager
def ending_with_the_parent(poll: float = 1.0) -> Iterator[None]:
    """While inside, this process gets SIGTERM when its parent dies.

    An Airflow task process whose supervisor was killed lives on as an orphan and goes on dumping, while the scheduler
    already starts the next try. It must end, and its children with it.
    """
    parent = os.getppid()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(poll):
            if os.getppid() != parent:
                log.error("the supervisor of this task (pid %s) is gone: ending", parent)
                stop_all()
                os.kill(os.getpid(), signal.SIGTERM)
                if not done.wait(10.0):
                    os._exit(1)
                return

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
    try:
        yield
    finally:
        done.set()
