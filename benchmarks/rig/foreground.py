"""What an application does meanwhile: pgbench with reads and updates of single rows, at a rate that is not its own."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

from benchmarks.rig.people import DATABASE
from pgops.errors import PgOpsError
from sandbox.load import Request, parsed
from sandbox.postgres import PostgresServer

RATE, CLIENTS = 400, 6
_PICK = "\\set id random(1, :rows)\n"
# In the order of sandbox/load.py: what reads, then what writes.
_SCRIPTS = (
    ("read.sql", 7, _PICK + "SELECT name, email, spent, tier FROM people WHERE id = :id;\n"),
    ("write.sql", 3, _PICK + "UPDATE people SET spent = spent + 1 WHERE id = :id;\n"),
)
_LONGEST = 24 * 3600


class Foreground:
    """The application, for as long as a block lasts.

    Args:
        server: with the table `people`.
        rows: of the table.
        temporary: where its log may lie.
    """

    def __init__(self, server: PostgresServer, rows: int, temporary: Path) -> None:
        self._server, self._rows = server, rows
        self._folder = Path(tempfile.mkdtemp(prefix="foreground-", dir=temporary))
        self._pgbench: subprocess.Popen[str]

    def __enter__(self) -> Foreground:
        files = []
        for name, weight, text in _SCRIPTS:
            (self._folder / name).write_text(text)
            files += ["-f", f"{name}@{weight}"]
        self._pgbench = subprocess.Popen(
            [
                *(str(self._server.binaries.bindir / "pgbench"), "-n", "-M", "prepared", *files),
                *("-D", f"rows={self._rows}", "-c", str(CLIENTS), "-j", "1", f"--rate={RATE}", "-T", str(_LONGEST)),
                *("--log", "--log-prefix=requests", "-h", "127.0.0.1", "-p", str(self._server.port), "-U", "postgres"),
                DATABASE,
            ],
            cwd=self._folder,
            env={**os.environ, "PGPASSWORD": self._server.password, "LC_ALL": "C"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._pgbench.kill()
        self._pgbench.send_signal(signal.SIGALRM)  # what ends it when its time is over: then it writes out its log
        said = self._pgbench.communicate()[1]
        if kind is None and self._pgbench.returncode != 0:
            raise PgOpsError(
                f"pgbench failed: {' '.join(said.split())}", where=f"database {DATABASE}", remedy="Look at the server"
            )

    def requests(self) -> list[Request]:
        """All of them, after the block."""
        return [request for log in self._folder.glob("requests.*") for request in parsed(log.read_text().splitlines())]
