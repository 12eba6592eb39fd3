"""A pgbouncer before a server: ten thousand clients share a few dozen sessions."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2

from pgops.errors import PgOpsError, Refused
from sandbox.postgres import PostgresServer, free_port

START_SECONDS = 20


def need_open_files(number: int) -> None:
    """Let this process and its children open so many files.

    Raises:
        Refused: the machine does not allow it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < number:
        raise Refused(
            f"{number} open files are needed, this machine allows {hard}",
            where="ulimit -Hn",
            remedy="Raise the limit, or give fewer --users",
        )
    if soft != resource.RLIM_INFINITY and soft < number:
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))


@contextmanager
def pgbouncer(server: PostgresServer, dbname: str, clients: int, sessions: int, folder: Path) -> Iterator[int]:
    """Run a pgbouncer that pools by transaction; its port.

    Args:
        clients: that may be connected.
        sessions: with the server.
        folder: for its files; its user can reach it.
    """
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise Refused("There is no pgbouncer", where="PATH", remedy="Install it (Debian: apt-get install pgbouncer)")
    port, home = free_port(), server.identity.folder(folder / "pgbouncer")
    (home / "users.txt").write_text(f'"postgres" "{server.password}"\n')
    (home / "pgbouncer.ini").write_text(
        f"""[databases]
{dbname} = host=127.0.0.1 port={server.port} dbname={dbname}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {home / "users.txt"}
pool_mode = transaction
default_pool_size = {sessions}
max_client_conn = {clients + 100}
listen_backlog = 4096
log_connections = 0
log_disconnections = 0
logfile = {home / "log"}
"""
    )
    for file in home.iterdir():
        server.identity.give(file)
    user = {} if server.identity.uid is None else {"user": server.identity.uid, "group": server.identity.gid}
    process = subprocess.Popen(
        [*server.identity.prefix, program, "--quiet", str(home / "pgbouncer.ini")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **user,  # type: ignore[call-overload]
    )
    try:
        _wait(process, server, dbname, port, home / "log")
        yield port
    finally:
        process.terminate()
        process.wait()


def _wait(process: subprocess.Popen[bytes], server: PostgresServer, dbname: str, port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with closing(
                psycopg2.connect(host="127.0.0.1", port=port, dbname=dbname, user="postgres", password=server.password)
            ):
                return
        except psycopg2.Error as error:
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace")[-500:] if log.exists() else "nothing"
                raise PgOpsError("pgbouncer does not start", where=f"port {port}", remedy=f"It said: {said}") from error
            time.sleep(0.2)
