"""A golden template filled from the staging database: dump and restore in one stream, nothing stored on the worker."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from pgops.migration.copy import APPLICATION, GoldenOrigin
from pgops.postgres import Dsn, client_program, connect
from pgops.processes import Program, ProgramFailed

# What a copy loses in a crash is made again: its commits need not wait for the disk.
_FILL_SETTINGS = {
    "synchronous_commit": "off",
    "maintenance_work_mem": "512MB",
    "client_connection_check_interval": "2000",
}
# What pg_restore says when the server for copies lacks something: another try would fail in the same way.
_HOPELESS = ("permission denied", "must be superuser", "must be owner", "is not available", "does not exist")


def fill_from_staging(source: Dsn, settings_hash: str = "") -> Callable[[Dsn], GoldenOrigin]:
    """For make_golden: fills the template with the staging database, streamed, nothing stored on the worker.

    Owners, privileges and comments are left out, as in a drill. Policies are kept, so the roles that they name must
    exist on the server for copies.
    """

    def fill(target: Dsn) -> GoldenOrigin:
        with connect(source, APPLICATION, readonly=True) as connection:
            version = connection.server_version
        dump = [
            str(client_program("pg_dump", version)),
            *("--format=custom", "--compress=0", "--no-password", "--lock-wait-timeout=60000"),
            f"--dbname={source.conninfo()}",
        ]
        restore = [
            str(client_program("pg_restore", version)),
            *("--exit-on-error", "--no-password", "--no-owner", "--no-privileges", "--no-comments"),
            *("--no-tablespaces", "--no-security-labels", "--no-publications", "--no-subscriptions"),
            f"--dbname={target.conninfo()}",
        ]
        _pipe(
            (dump, source.environment(f"{APPLICATION}.pg_dump"), source.where),
            (restore, target.environment(f"{APPLICATION}.pg_restore", **_FILL_SETTINGS), target.where),
        )
        return GoldenOrigin(source.where, "staging", settings_hash)

    return fill


_Command = tuple[list[str], dict[str, str], str]


def _pipe(giver: _Command, taker: _Command) -> None:
    """Run two programs, the output of one into the other. Of two failures the one that came first is told."""
    with Program(giver[0], env=giver[1], where=giver[2], stdout=subprocess.PIPE) as dump:
        with Program(taker[0], env=taker[1], where=taker[2], stdin=dump.stdout) as restore:
            dump.stdout.close()  # else the dump would never notice that the restore is gone
            try:
                restore.wait()
            except ProgramFailed as failure:
                failure.retry = not any(words in failure.stderr for words in _HOPELESS)
                raise _cause(dump, failure) from None
        dump.wait()


def _cause(dump: Program, failure: ProgramFailed) -> ProgramFailed:
    """Why a restore failed: the dump's own failure, unless that only says that nobody read on."""
    try:
        dump.wait()
    except ProgramFailed as other:
        return failure if "could not write" in other.stderr or other.code < 0 else other
    return failure
