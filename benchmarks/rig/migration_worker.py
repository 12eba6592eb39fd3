"""One measured step of `bench migration` in a process of its own.

Reads a Job as JSON from standard input and prints what it measured as one line of JSON. Seconds are those of the work,
without Python's start; the project is imported inside the steps, so that the gate's process loads what the gate needs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.rig.measure import Laps
from pgops.errors import PgOpsError

if TYPE_CHECKING:
    from pgops.fleet import MigrationPolicy
    from pgops.postgres import Dsn

# The shop is what is migrated, `source` what is cloned.
SHOP, COPY = "shop", "shop_copy"
SOURCE, RESTORED = "source", "restored"
RESTORE_JOBS = 2


@dataclass(frozen=True)
class Job:
    """What to do (a key of STEPS), and where; `files` are the pairs that the gate is given."""

    step: str
    port: int
    password: str
    version: int
    folder: str
    files: int

    def dsn(self, dbname: str) -> Dsn:
        """A database of the server."""
        from pgops.postgres import Dsn

        return Dsn("127.0.0.1", self.port, dbname, "postgres", self.password)

    def execute(self, *statements: str) -> None:
        """Run statements outside of the measurement."""
        from pgops.postgres import connect

        with connect(self.dsn("postgres"), "benchmark") as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def argv(self, program: str, *arguments: str) -> list[str]:
        """A client program's command line."""
        from pgops.postgres import client_program

        return [str(client_program(program, self.version)), *arguments]

    def environment(self) -> dict[str, str]:
        """For client programs."""
        return {**os.environ, "PGPASSWORD": self.password}

    def run(self, program: str, *arguments: str) -> None:
        """Run a client program to its end, as a script does."""
        subprocess.run(self.argv(program, *arguments), env=self.environment(), stdout=subprocess.DEVNULL, check=True)

    def fresh_copy(self) -> None:
        """The shop's copy, as it was; by files, as make_clone does, which leaves no dirty pages for others to write."""
        self.execute(
            f"DROP DATABASE IF EXISTS {COPY} WITH (FORCE)", f"CREATE DATABASE {COPY} TEMPLATE {SHOP} STRATEGY file_copy"
        )

    def fresh_empty(self) -> None:
        """An empty database to restore into."""
        self.execute(f"DROP DATABASE IF EXISTS {RESTORED} WITH (FORCE)", f"CREATE DATABASE {RESTORED}")


# --- a migration of a hundred statements ---


def psql(job: Job) -> dict[str, Any]:
    """The same files with psql, each in one transaction: up, down, up."""
    from benchmarks.rig.migrations import hundred

    migration = hundred()
    assert migration.down is not None
    files = {}
    for direction, source in (("up", migration.up), ("down", migration.down)):
        files[direction] = Path(job.folder) / source.name
        files[direction].write_text(source.text, encoding="utf-8")
    job.fresh_copy()
    conninfo = job.dsn(COPY).conninfo()
    laps = Laps()
    for name, direction in (("up", "up"), ("down", "down"), ("up again", "up")):
        job.run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-1", "-f", str(files[direction]), "-d", conninfo)
        laps.lap(name)
    return laps.result()


def rehearsal(job: Job) -> dict[str, Any]:
    """Gate, rehearsal and verdict, until the migration has passed."""
    from benchmarks.rig.migrations import hundred
    from pgops.migration.gate.check import check
    from pgops.migration.rehearsal.validation import Bench, validate

    migration, policy = hundred(), _policy()
    job.fresh_copy()
    laps = Laps()
    findings = check([migration], policy, job.version)
    laps.lap("gate")
    bench = Bench("shop", job.dsn(COPY), job.fresh_copy, {})
    (validated,) = validate(bench, [], [migration], findings, policy)
    laps.lap("validation")
    result = laps.result()
    judged = validated.judged
    if not judged.passed:
        raise PgOpsError(f"It was refused: {judged.reasons}", where=COPY, remedy="Mend benchmarks/rig/migrations.py")
    seen = judged.rehearsal
    runs = {"(apply, under load)": seen.applied, "(rollback)": seen.rolled_back, "(apply again)": seen.applied_again}
    result["parts"] |= {name: ran.seconds for name, ran in runs.items() if ran is not None}
    return {**result, "statements": len(seen.applied.statements) if seen.applied else 0}


def _policy() -> MigrationPolicy:
    """Lets everything pass that the migration does, so that every step is done; time does not matter to the verdict."""
    from benchmarks.rig.migrations import ALLOWED
    from pgops.fleet import MigrationPolicy
    from pgops.fleet.migrations import LockBudget

    hour = 3_600_000
    return MigrationPolicy(
        folder="migrations/shop",
        connection="copies",
        locks=LockBudget(reads_and_writes=hour, writes=hour),
        max_stall_ms=hour,
        rules=dict.fromkeys(ALLOWED, "warning"),
    )


# --- a copy of a large database ---


def clone(job: Job) -> dict[str, Any]:
    """A clone of the golden template."""
    from pgops.migration.copy import drop_clone, make_clone

    server = job.dsn("postgres")
    laps = Laps()
    made = make_clone(server, SOURCE)
    result = laps.result()
    drop_clone(server, SOURCE)
    return {**result, "bytes": made.bytes, "strategy": made.strategy}


def pipe(job: Job) -> dict[str, Any]:
    """pg_dump | pg_restore: no file, but one job."""
    job.fresh_empty()
    laps = Laps()
    dump = job.argv("pg_dump", "--format=custom", "--compress=0", "-d", job.dsn(SOURCE).conninfo())
    restore = job.argv("pg_restore", "--exit-on-error", "-d", job.dsn(RESTORED).conninfo())
    with subprocess.Popen(dump, env=job.environment(), stdout=subprocess.PIPE) as giver:
        subprocess.run(restore, env=job.environment(), stdin=giver.stdout, check=True)
    if giver.returncode:
        raise PgOpsError("pg_dump failed", where=SOURCE, remedy="See its output above")
    return _restored(job, laps)


def file(job: Job) -> dict[str, Any]:
    """pg_dump into a file, pg_restore with two jobs."""
    return _by_way_of(job, Path(job.folder) / "source.dump", "--format=custom")


def directory(job: Job) -> dict[str, Any]:
    """pg_dump with two jobs into a folder, pg_restore with two jobs."""
    return _by_way_of(job, Path(job.folder) / "source.folder", "--format=directory", f"--jobs={RESTORE_JOBS}")


def _by_way_of(job: Job, archive: Path, *options: str) -> dict[str, Any]:
    job.fresh_empty()
    laps = Laps()
    try:
        job.run("pg_dump", *options, "--compress=0", f"--file={archive}", "-d", job.dsn(SOURCE).conninfo())
        laps.lap("dump")
        restored = ("pg_restore", "--exit-on-error", f"--jobs={RESTORE_JOBS}", "-d", job.dsn(RESTORED).conninfo())
        job.run(*restored, str(archive))
        laps.lap("restore")
        return _restored(job, laps)
    finally:
        with suppress(FileNotFoundError):
            shutil.rmtree(archive) if archive.is_dir() else archive.unlink()


def _restored(job: Job, laps: Laps) -> dict[str, Any]:
    result = laps.result()
    job.execute(f"DROP DATABASE {RESTORED}")
    return result


# --- the static gate ---


def gate(job: Job) -> dict[str, Any]:
    """The gate over many pairs, in both directions."""
    from benchmarks.rig.migrations import everyday

    migrations, policy = everyday(job.files), _policy()
    laps = Laps()
    from pgops.migration.gate.check import check

    laps.lap("imports")
    findings = check(migrations, policy, job.version)
    laps.lap("check")
    return laps.result(findings=len(findings))


STEPS: dict[str, Callable[[Job], dict[str, Any]]] = {
    step.__name__: step for step in (psql, rehearsal, pipe, file, directory, clone, gate)
}


def main() -> int:
    """Run the job that stands on standard input."""
    job = Job(**json.load(sys.stdin))
    try:
        print(json.dumps(STEPS[job.step](job)))
    except PgOpsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
