"""What a restored database must show before its backup counts as restorable."""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pgops import units
from pgops.catalog import Catalog, Manifest
from pgops.fingerprint import (
    LargeObjects,
    Table,
    TableFingerprint,
    dumped_tables,
    fingerprint_tables,
    large_objects,
    sequences_behind,
)
from pgops.fleet import Canary
from pgops.postgres import DatabaseError, Dsn, Limits, client_program, connect
from pgops.processes import Program, ProgramFailed
from pgops.progress import Progress

log = logging.getLogger(__name__)

APPLICATION = "pgops.drill"
_NAMED = 5


@dataclass(frozen=True)
class Check:
    """One check's outcome. `skipped` says why it could not be done, and is neither passed nor failed."""

    name: str
    passed: bool
    seconds: float
    summary: str
    problems: tuple[str, ...] = ()
    skipped: str = ""


def compare(catalog: Catalog, backup_id: str, restored: Dsn, jobs: int) -> Check:
    """Compare all contents with the fingerprints that were taken in the snapshot of the dump."""
    started = time.monotonic()
    manifest = catalog.manifest(backup_id)
    limits = Limits(statement=3600)
    with connect(restored, APPLICATION, limits, readonly=True, system_names=True) as connection:
        tables = dumped_tables(connection)
        progress = Progress(f"comparison of {backup_id}", total=sum(table.bytes for table in tables))
        found = fingerprint_tables(
            restored, tables, application_name=f"{APPLICATION}.compare", jobs=jobs, on_bytes=progress.add
        )
        problems = [
            *_different_tables(manifest, tables, found),
            *_different_large_objects(manifest, large_objects(connection)),
            *(one for one in sequences_behind(connection) if one not in manifest.sequences_behind),
        ]
    summary = f"{len(manifest.tables)} tables, {manifest.rows} rows"
    return _check("contents", started, summary, problems)


def _different_tables(manifest: Manifest, tables: Sequence[Table], found: Sequence[TableFingerprint]) -> list[str]:
    restored = {(one.schema, one.name): one for one in found}
    expected = {(one.schema, one.name) for one in manifest.tables}
    problems = []
    for one in manifest.tables:
        name = f"{one.schema}.{one.name}"
        other = restored.get((one.schema, one.name))
        if other is None:
            problems.append(f"{name} was not restored")
        elif other.rows != one.rows:
            problems.append(f"{name} has {other.rows} rows, the source had {one.rows}")
        elif other.hash != one.hash:
            problems.append(f"{name} has {one.rows} rows as the source, but other contents")
    # From a standby unlogged tables come without rows and are not in the manifest.
    problems += [
        f"{table.schema}.{table.name} was not in the source"
        for table in tables
        if (table.copy_schema, table.copy_name) not in expected
        and not (table.unlogged and manifest.taken_from == "standby")
    ]
    return problems


def _different_large_objects(manifest: Manifest, found: LargeObjects) -> list[str]:
    if found == manifest.large_objects:
        return []
    return [f"{found.count} large objects with other contents, the source had {manifest.large_objects.count}"]


def run_amcheck(restored: Dsn, jobs: int) -> Check:
    """Check the structure of every table and B-tree with pg_amcheck.

    Skipped where the role may not: amcheck's functions are a superuser's unless granted.
    """
    started = time.monotonic()
    try:
        with connect(restored, APPLICATION) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT FROM pg_extension WHERE extname = 'amcheck'")
            if cursor.fetchone() is None:  # make_empty could not install it; say why
                cursor.execute("CREATE EXTENSION amcheck")
            server_version = connection.server_version
    except DatabaseError as error:
        if error.sqlstate in ("42501", "0A000", "58P01"):
            return Check("amcheck", False, time.monotonic() - started, "not run", skipped=error.what)
        raise
    argv = [
        str(client_program("pg_amcheck", server_version)),
        "--no-password",
        f"--jobs={jobs}",
        f"--host={restored.host}",
        f"--port={restored.port}",
        f"--username={restored.user}",
        restored.dbname,
    ]
    environment = {**restored.variables(), **restored.environment(f"{APPLICATION}.amcheck")}
    findings: list[str] = []
    try:
        with Program(argv, where=restored.where, env=environment, stdout=subprocess.PIPE) as program:
            findings += (line.decode(errors="replace").rstrip() for line in program.stdout)  # what is corrupt
            program.wait()
    except ProgramFailed as error:
        errors = [line for line in [*findings, *error.stderr.splitlines()] if "ERROR:" in line or "error:" in line]
        if errors and all("permission denied" in line for line in errors):
            return Check("amcheck", False, time.monotonic() - started, "not run", skipped=errors[0].strip())
        return _check("amcheck", started, "pg_amcheck", findings or [error.what])
    return _check("amcheck", started, "heap and B-tree structure", [])


def run_canaries(restored: Dsn, canaries: Sequence[Canary]) -> Check:
    """Ask the fleet file's questions, read only, and compare the answers as text."""
    if not canaries:
        return Check("canaries", False, 0.0, "not run", skipped="there are no questions in the fleet file")
    started = time.monotonic()
    problems = []
    for canary in canaries:
        try:
            with (
                connect(restored, f"{APPLICATION}.canary", Limits(statement=600), readonly=True) as connection,
                connection.cursor() as cursor,
            ):
                cursor.execute(canary.sql)
                row = cursor.fetchone()
        except DatabaseError as error:
            problems.append(f"{canary.name}: {error.what}")
            continue
        answer = row[0] if row else None
        if str(answer) != str(canary.expect):
            problems.append(f"{canary.name}: the answer is {answer}, expected {canary.expect}")
    return _check("canaries", started, f"{len(canaries)} questions", problems, named=len(canaries))


def _check(name: str, started: float, summary: str, problems: list[str], named: int = _NAMED) -> Check:
    seconds = time.monotonic() - started
    for problem in problems:
        log.error("%s: %s", name, problem)
    if not problems:
        log.info("%s: %s, in %s", name, summary, units.duration(seconds))
    shown = problems[:named] + ([f"and {len(problems) - named} more"] if len(problems) > named else [])
    return Check(name, not problems, seconds, summary, tuple(shown))
