"""Servers of a benchmark's own, which leave neither process nor file."""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import boto3
import psutil

from pgops.errors import Refused
from sandbox.objectstore import S3Server
from sandbox.postgres import PostgresServer, free_port, pick

BUCKET = "benchmark"
# As a server in use has them; the same for both sides of every pair.
SETTINGS = {
    "shared_buffers": "512MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "wal_level": "replica",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
}


@dataclass(frozen=True)
class Ground:
    """A PostgreSQL server and an S3 server, with all their files and the workers' temporary ones in `folder`."""

    server: PostgresServer
    s3: S3Server
    folder: Path
    on_memory: bool

    @property
    def version(self) -> int:
        """Of the server, as PostgreSQL counts: 150018."""
        ((version,),) = self.server.execute("show server_version_num")
        return int(str(version))

    @property
    def described(self) -> str:
        """What figures were measured on."""
        return f"PostgreSQL {self.version}, {platform.machine()}, files {'in memory' if self.on_memory else 'on disk'}"

    def client(self) -> Any:
        """A boto3 client."""
        return boto3.client(
            "s3",
            endpoint_url=self.s3.endpoint,
            aws_access_key_id=self.s3.access_key,
            aws_secret_access_key=self.s3.secret_key,
            region_name="us-east-1",
        )


@contextmanager
def ground(
    gigabytes: float, major: int | None, settings: Mapping[str, str] = MappingProxyType({}), *, on_disk: bool = False
) -> Iterator[Ground]:
    """Start the servers, in memory where there is room for them: a shared machine's disk is noise.

    Args:
        gigabytes: of data; four times that is needed.
        major: version of PostgreSQL; None picks one.
        settings: of the server, beside the usual ones.
        on_disk: on a disk, even if there is room in memory: where it matters what a commit waits for.

    Raises:
        Refused: there is room nowhere.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what follows `finally` is done
    base, on_memory = _roomiest(int(gigabytes * 4e9 + 1e9), on_disk)
    folder = Path(tempfile.mkdtemp(prefix="pgops-bench-", dir=base))
    wanted = {**SETTINGS, **settings}
    server = PostgresServer("benchmark", pick(major), folder / "pg", free_port(), secrets.token_hex(8), wanted)
    s3 = S3Server(folder / "s3", free_port(), "benchmark", secrets.token_hex(16))
    (folder / "tmp").mkdir()
    try:
        server.create()
        server.start()
        s3.start()
        made = Ground(server, s3, folder, on_memory)
        made.client().create_bucket(Bucket=BUCKET)
        yield made
    finally:
        s3.stop()
        server.destroy()
        shutil.rmtree(folder, ignore_errors=True)


def _roomiest(needed: int, on_disk: bool) -> tuple[Path, bool]:
    memory, disk = Path("/dev/shm"), Path(tempfile.gettempdir())
    free = psutil.virtual_memory().available
    if not on_disk and os.access(memory, os.W_OK) and min(shutil.disk_usage(memory).free, free) > needed + 2e9:
        return memory, True
    if shutil.disk_usage(disk).free > needed:
        return disk, False
    raise Refused(
        f"The benchmark needs {needed / 1e9:.0f} GB, and they are free neither in memory nor on disk",
        where=f"{memory}, {disk}",
        remedy="Free space, set TMPDIR to a larger disk, or ask for less data",
    )
