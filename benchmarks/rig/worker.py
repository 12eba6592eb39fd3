"""One measured step in a process of its own, as a task has it, so that its memory can be measured.

Reads a Job as JSON from standard input and prints what it measured as one line of JSON. Seconds are those of the work,
without Python's start and imports; they are left out for the baseline too.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import psutil

from benchmarks.rig.measure import Laps
from pgops.backup import commit, dump, sources, verify
from pgops.catalog import Catalog
from pgops.errors import PgOpsError
from pgops.fleet import BackupPolicy, DrillPolicy
from pgops.ledger import Lease, Ledger
from pgops.postgres import Dsn, client_program, connect
from pgops.recovery import compare, drop_scratch, prepare_scratch, report, restore, run_amcheck, run_canaries
from pgops.storage import Bucket

SOURCE, LEDGER, EMPTY = "source", "ledger", "empty"
RESTORE_JOBS = 2


@dataclass(frozen=True)
class Job:
    """What to do (a key of STEPS), and where."""

    step: str
    port: int
    password: str
    version: int
    endpoint: str
    access_key: str
    secret_key: str
    bucket: str
    archive: str
    backup_id: str = ""

    def dsn(self, dbname: str) -> Dsn:
        """A database of the server."""
        return Dsn("127.0.0.1", self.port, dbname, "postgres", self.password)

    def client(self) -> Any:
        """A boto3 client."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
        )

    def catalog(self) -> Catalog:
        """The source's backups."""
        return Catalog(Bucket(self.client(), self.bucket, "ours"), SOURCE)

    def run(self, program: str, *arguments: str) -> None:
        """Run a client program to its end, as a script does."""
        subprocess.run(
            [str(client_program(program, self.version)), *arguments],
            env={**os.environ, "PGPASSWORD": self.password},
            stdout=subprocess.DEVNULL,
            check=True,
        )

    def url(self, dbname: str) -> str:
        """For --dbname; the password goes by the environment."""
        return self.dsn(dbname).conninfo()


def baseline(job: Job) -> dict[str, Any]:
    """The source document's script: dump to a file, pg_restore --list, upload."""
    client = job.client()
    laps = Laps()
    job.run("pg_dump", "--format=custom", "--compress=9", f"--file={job.archive}", f"--dbname={job.url(SOURCE)}")
    laps.lap("dump")
    job.run("pg_restore", "--list", job.archive)
    laps.lap("list")
    client.upload_file(job.archive, job.bucket, "baseline.dump")
    laps.lap("upload")
    return laps.result(bytes=Path(job.archive).stat().st_size)


def ours(job: Job) -> dict[str, Any]:
    """Dump with fingerprint and upload, read back and verify, commit."""
    return _backup(job, fingerprint=True)


def ours_plain(job: Job) -> dict[str, Any]:
    """The dump alone, without fingerprint: what is left is what fingerprints do not cost."""
    return _backup(job, fingerprint=False)


def _ledger(job: Job) -> Ledger:
    """The ledger, its schema made: that happens once in a project's life."""
    ledger = Ledger(job.dsn(LEDGER))
    with ledger.session():
        return ledger


def _backup(job: Job, fingerprint: bool) -> dict[str, Any]:
    catalog, ledger, policy = job.catalog(), _ledger(job), BackupPolicy()
    lease = Lease(ledger, f"backup/{SOURCE}", f"benchmark {os.getpid()}")
    found, _ = sources(job.dsn(SOURCE), None, policy)
    laps = Laps()
    dumped = dump(SOURCE, found, (), policy, catalog, lease, fingerprint)
    laps.lap("dump")
    if fingerprint:
        verified = verify(catalog, dumped.backup_id, lease)
        laps.lap("verify")
        commit(catalog, verified, ledger, lease)
        laps.lap("commit")
    result = laps.result(bytes=dumped.bytes, raw_bytes=dumped.raw_bytes, backup_id=dumped.backup_id)
    lease.release()
    return result


def floor(job: Job) -> dict[str, Any]:
    """What a logical dump cannot beat: every table formatted by the server, one after the other, and thrown away."""
    with connect(job.dsn(SOURCE), "benchmark.floor") as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        tables = [name for (name,) in cursor.fetchall()]
        laps = Laps()
        for table in tables:
            cursor.execute(f"COPY {table} TO '/dev/null'")
        return laps.result()


def bare_restore(job: Job) -> dict[str, Any]:
    """The baseline's file into an empty database, with two jobs, and nothing proven."""
    with connect(job.dsn("postgres"), "benchmark") as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {EMPTY}")
        laps = Laps()
        job.run("pg_restore", f"--jobs={RESTORE_JOBS}", f"--dbname={job.url(EMPTY)}", job.archive)
        result = laps.result()
        cursor.execute(f"DROP DATABASE {EMPTY}")
    return result


def drill(job: Job) -> dict[str, Any]:
    """The whole drill of one backup."""
    catalog, ledger, policy = job.catalog(), _ledger(job), DrillPolicy(connection="benchmark")
    server = job.dsn("postgres")
    lease = Lease(ledger, f"drill/{SOURCE}", f"benchmark {os.getpid()}")
    laps, started_at = Laps(), datetime.now(UTC)
    scratch = prepare_scratch(catalog, job.backup_id, server, lease)
    laps.lap("prepare")
    target = server.on(scratch.dbname)
    restored = restore(catalog, job.backup_id, target, RESTORE_JOBS)
    laps.lap("restore")
    laps.parts["(download)"] = restored.download_seconds
    with ThreadPoolExecutor() as pool:  # beside each other, as in the DAG
        running = [
            pool.submit(compare, catalog, job.backup_id, target, policy.jobs),
            pool.submit(run_amcheck, target, policy.jobs),
            pool.submit(run_canaries, target, policy.canaries),
        ]
        checks = [one.result() for one in running]
    laps.lap("checks")
    verdict = report(catalog, job.backup_id, started_at, policy.rto_minutes * 60, restored, checks, (), ledger)
    drop_scratch(SOURCE, server, lease)
    laps.lap("rest")
    if not verdict.passed:
        raise PgOpsError(f"The drill failed: {verdict.failures}", where=server.where, remedy="Look at pgops.recovery")
    return laps.result()


STEPS: dict[str, Callable[[Job], dict[str, Any]]] = {
    step.__name__: step for step in (baseline, ours, ours_plain, floor, bare_restore, drill)
}


class _Memory:
    """The most memory that this process and the programs it runs ever had at once, looked at twenty times a second."""

    def __init__(self) -> None:
        self.tree_bytes = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        me = psutil.Process()
        while True:
            total = me.memory_info().rss
            for child in me.children(recursive=True):
                try:
                    total += child.memory_info().rss
                except psutil.Error:
                    continue
            self.tree_bytes = max(self.tree_bytes, total)
            time.sleep(0.05)

    def own_bytes(self) -> int:
        """The kernel's own high-water mark of this process."""
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024


def main() -> int:
    """Run the job that stands on standard input."""
    logging.basicConfig(level=os.environ.get("BENCHMARK_LOG", "WARNING"), format="%(asctime)s %(name)s %(message)s")
    job = Job(**json.load(sys.stdin))
    memory = _Memory()
    try:
        result = STEPS[job.step](job)
    except PgOpsError as error:
        print(error, file=sys.stderr)
        return 1
    result |= {"own_mb": memory.own_bytes() / 1e6, "tree_mb": memory.tree_bytes / 1e6}
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
