"""Brings a backup back into an empty database, with parallel jobs, and measures how long that takes."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from pgops import units
from pgops.catalog import Catalog, Manifest
from pgops.errors import Refused
from pgops.postgres import Dsn, client_program
from pgops.processes import Program, ProgramFailed
from pgops.progress import Progress
from pgops.recovery.archive import note_positions
from pgops.storage import read_all

log = logging.getLogger(__name__)

# A scratch database that is lost in a crash is made again, so its commits need not wait for the disk; and each of
# the parallel jobs builds one index at a time.
_SERVER_SETTINGS = {
    "synchronous_commit": "off",
    "maintenance_work_mem": "512MB",
    "client_connection_check_interval": "2000",
}

# pg_restore's own standard input, opened anew by each job: Airflow lets no other process look into the task's files.
_ITS_INPUT = "/proc/self/fd/0"
_POLICY = re.compile(rb"^\d+; \d+ \d+ POLICY ")

# What pg_restore says when the server for drills lacks something: another try would fail in the same way.
_HOPELESS = ("permission denied", "must be superuser", "must be owner", "is not available")


@dataclass(frozen=True)
class Restored:
    """How long it took, in seconds: `seconds` is download and restore together, what an outage would have lasted."""

    seconds: float
    download_seconds: float
    restore_seconds: float
    jobs: int


def restore(catalog: Catalog, backup_id: str, target: Dsn, jobs: int) -> Restored:
    """Restore a backup into the empty database `target`.

    Owners, privileges, comments and tablespaces are left out: the roles of the source need not exist here.

    Raises:
        Refused: the worker's disk has no room for the dump.
        PgOpsError: the download does not match the manifest, or pg_restore failed.
    """
    manifest = catalog.manifest(backup_id)
    started = time.monotonic()
    with _archive_file(catalog, manifest) as archive:
        downloaded = time.monotonic()
        _run_pg_restore(manifest, archive, target, jobs)
    ended = time.monotonic()
    log.info("restored %s in %s with %s jobs", backup_id, units.duration(ended - started), jobs)
    return Restored(ended - started, downloaded - started, ended - downloaded, jobs)


@contextmanager
def _archive_file(catalog: Catalog, manifest: Manifest) -> Iterator[IO[bytes]]:
    """The decompressed archive as a file without a name: parallel jobs must seek in it, and nobody has to remove it."""
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if free < manifest.raw_bytes * 1.02:
        raise Refused(
            f"The dump needs {units.size(manifest.raw_bytes)}, free are {units.size(free)}",
            where=f"{folder} on the worker",
            remedy="Free space, or point TMPDIR of the workers to a larger disk",
        )
    with tempfile.TemporaryFile(prefix="pgops-", dir=folder) as file:
        _download(catalog, manifest, file)
        note_positions(file)
        yield file


def _download(catalog: Catalog, manifest: Manifest, file: IO[bytes]) -> None:
    progress = Progress(f"download of {manifest.backup_id}", total=manifest.raw_bytes)
    with catalog.opened(manifest, manifest.objects) as plain:
        for data in read_all(plain):
            file.write(data)
            progress.add(len(data))
    file.flush()


def _run_pg_restore(manifest: Manifest, archive: IO[bytes], target: Dsn, jobs: int) -> None:
    argv = [
        # Not newer than the source: a newer one sets parameters that an older server does not know.
        str(client_program("pg_restore", manifest.server_version)),
        "--no-password",
        "--exit-on-error",
        *("--no-owner", "--no-privileges", "--no-tablespaces", "--no-comments", "--no-security-labels"),
        *("--no-publications", "--no-subscriptions"),
        f"--jobs={jobs}",
        f"--dbname={target.conninfo()}",
        _ITS_INPUT,
    ]
    environment = target.environment("pgops.drill.pg_restore", **_SERVER_SETTINGS)
    try:
        with _entries_but_policies(archive, argv[0], target.where) as chosen:
            argv += [f"--use-list={chosen.name}"] if chosen else []
            with Program(argv, where=target.where, env=environment, stdin=archive) as program:
                program.wait()
    except ProgramFailed as error:
        error.retry = not any(words in error.stderr for words in _HOPELESS)
        raise


@contextmanager
def _entries_but_policies(archive: IO[bytes], pg_restore: str, where: str) -> Iterator[IO[bytes] | None]:
    """The archive's list without row security policies, which name roles of the source; None when there are none."""
    with Program([pg_restore, "--list", _ITS_INPUT], where=where, stdin=archive, stdout=subprocess.PIPE) as program:
        lines = program.stdout.readlines()
        program.wait()
    kept = [line for line in lines if not _POLICY.match(line)]
    if len(kept) == len(lines):
        yield None
        return
    with tempfile.NamedTemporaryFile(prefix="pgops-list-") as file:
        file.writelines(kept)
        file.flush()
        yield file
