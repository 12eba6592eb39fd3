"""What a recovered server must show before anybody is told that it is there."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from psycopg2.extensions import QuotedString

from pgops import units
from pgops.errors import PgOpsError
from pgops.fleet import Canary
from pgops.include import sql_text
from pgops.physical.cluster import Cluster
from pgops.processes import ProgramFailed

log = logging.getLogger(__name__)

_NAMED = 5
_COUNTED_BYTES = 1 << 30  # a bigger table is not counted: that takes minutes


@dataclass(frozen=True)
class Check:
    """One check's outcome. `skipped` says why it could not be done, and is neither passed nor failed."""

    name: str
    passed: bool
    seconds: float
    summary: str
    problems: tuple[str, ...] = ()
    skipped: str = ""


@dataclass(frozen=True)
class Count:
    """A table's rows; `estimated` where counting would have taken too long."""

    table: str
    rows: int
    estimated: bool


def ask_canaries(cluster: Cluster, dbname: str, canaries: Sequence[Canary]) -> Check:
    """Ask the fleet file's questions, read only, and compare the answers as text."""
    if not canaries:
        return Check("rows", False, 0.0, "not asked", skipped="there are no questions in the fleet file")

    def differing() -> list[str]:
        found = []
        for canary in canaries:
            try:
                answer = cluster.ask(canary.sql, dbname, search_path=None)
            except PgOpsError as error:
                found.append(f"{canary.name}: {error.what}")
                continue
            if answer not in _spellings(canary.expect):
                found.append(f"{canary.name}: the answer is {answer}, expected {canary.expect}")
        return found

    return _checked("rows", f"{len(canaries)} questions", differing)


def _spellings(expected: object) -> set[str]:
    """psql writes booleans with one letter."""
    return {str(expected), {"True": "t", "False": "f"}.get(str(expected), str(expected))}


def amcheck(cluster: Cluster, dbname: str, jobs: int, *, install: bool) -> Check:
    """Check the structure of every table and B-tree of a database with pg_amcheck.

    Args:
        cluster: the recovered server.
        dbname: which database.
        jobs: side by side.
        install: make the extension for the check where it is not, and remove it afterwards.
    """
    there = cluster.ask("SELECT 1 FROM pg_catalog.pg_extension WHERE extname = 'amcheck'", dbname) == "1"
    if not there and not install:
        return Check("amcheck", False, 0.0, "not run", skipped=f"the extension amcheck is not in {dbname}")

    def corrupt() -> list[str]:
        if not there:
            cluster.ask("CREATE EXTENSION amcheck SCHEMA pg_catalog", dbname, readonly=False)
        try:
            said = cluster.amcheck(dbname, jobs)
        finally:
            if not there:
                cluster.ask("DROP EXTENSION amcheck", dbname, readonly=False)
        return [line for line in said if line]

    try:
        return _checked("amcheck", "heap and B-tree structure", corrupt)
    except ProgramFailed as error:
        if "amcheck" in error.what and ("is not available" in error.what or "could not open extension" in error.what):
            return Check("amcheck", False, 0.0, "not run", skipped="the host has no amcheck")
        raise


def count_rows(cluster: Cluster, dbname: str) -> tuple[Count, ...]:
    """Count the rows of every table, the largest first; a very large one's are estimated."""
    counts = []
    for line in cluster.ask(sql_text("physical/tables.sql"), dbname).splitlines():
        size, estimate, name = json.loads(line)
        if size > _COUNTED_BYTES:
            counts.append(Count(name, max(0, estimate), True))
        else:
            counts.append(Count(name, int(cluster.ask(f"SELECT count(*) FROM {name}", dbname)), False))
    return tuple(counts)


def literal(text: str) -> str:
    """A value within a statement for `Cluster.ask`."""
    quoted = QuotedString(text)
    quoted.encoding = "utf-8"
    return quoted.getquoted().decode()


def _checked(name: str, summary: str, look: Callable[[], list[str]]) -> Check:
    started = time.monotonic()
    problems = look()
    seconds = time.monotonic() - started
    for problem in problems:
        log.error("%s: %s", name, problem)
    if not problems:
        log.info("%s: %s, in %s", name, summary, units.duration(seconds))
    more = [f"and {len(problems) - _NAMED} more"] if len(problems) > _NAMED else []
    return Check(name, not problems, seconds, summary, (*problems[:_NAMED], *more))
