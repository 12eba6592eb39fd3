"""A server that archives its WAL with an engine, for tests."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import psycopg2
import pytest

from pgops.physical.engines import BarmanEngine, Source, WalgEngine
from pgops.physical.host import LocalHost
from pgops.physical.model import BaseBackup
from pgops.physical.store import Secrets, Store
from pgops.postgres import Dsn
from pgops.storage import Bucket
from sandbox.objectstore import S3Server
from sandbox.postgres import PostgresServer
from tests import servers

PROGRAMS = PurePosixPath(sys.executable).parent


@dataclass(frozen=True)
class Archived:
    """A running server, its engine, and the host of both."""

    server: PostgresServer
    engine: Any
    host: LocalHost
    store: Store
    bucket: Bucket
    folder: Path

    def switch(self) -> str:
        """Write something, switch to the next segment and return the name of the one that is now complete."""
        self.server.execute("SELECT pg_create_restore_point('here')")
        (name,) = self.server.execute("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")[0]
        self.server.execute("SELECT pg_switch_wal()")
        return str(name)

    def archived(self, segment: str, seconds: float = 30) -> bool:
        """Whether a segment arrives."""
        return servers.eventually(lambda: segment in self.engine.archive().segments, seconds)

    def archive_with(self, command: str) -> None:
        """Give the server another archive_command."""
        escaped = command.replace("'", "''")
        self.server.execute(f"ALTER SYSTEM SET archive_command = '{escaped}'")
        self.server.execute("SELECT pg_reload_conf()")


def barman(source: Source, store: Store, bucket: Bucket) -> BarmanEngine:
    return BarmanEngine(source, store, bucket)


def walg(source: Source, store: Store, bucket: Bucket) -> WalgEngine:
    if shutil.which("wal-g") is None:
        pytest.skip("wal-g is not on PATH: its adapter was not run against the real program")
    return WalgEngine(replace(source, programs=None), store, bucket)


def sealed_walg(key: str) -> Callable[[Source, Store, Bucket], WalgEngine]:
    """WAL-G with a key."""

    def make(source: Source, store: Store, bucket: Bucket) -> WalgEngine:
        return WalgEngine(walg(source, store, bucket).source, store, bucket, key=key)

    return make


@contextmanager
def secret_keys() -> Iterator[Callable[[], str]]:
    """Makes armored secret keys, as an operator would."""
    if shutil.which("gpg") is None:
        pytest.skip("gpg is not on PATH: there is nothing to make a key with")
    home = Path(tempfile.mkdtemp(prefix="gpg"))  # short: a socket lies in it
    home.chmod(0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]

    def make() -> str:
        name = f"{secrets.token_hex(4)}@example.org"
        subprocess.run([*gpg, "--quick-generate-key", name, "future-default", "default", "never"], check=True)
        armored = [*gpg, "--armor", "--export-secret-keys", name]
        return subprocess.run(armored, stdout=subprocess.PIPE, text=True, check=True).stdout

    yield make
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"], check=False)
    shutil.rmtree(home, ignore_errors=True)


ENGINES = {"barman": barman, "walg": walg}
EACH = [(engine, major) for engine in ENGINES for major in servers.MAJORS]


def store_of(s3: S3Server, bucket: Bucket) -> Store:
    return Store(
        bucket.name, bucket.prefix, s3.endpoint, "us-east-1", servers.ACCESS_KEY, servers.SECRET_KEY, path_style=True
    )


@contextmanager
def recovered(archived: Archived, backup: BaseBackup) -> Iterator[Any]:
    """A connection to what a base backup recovers to at the end of the WAL, beside its original."""
    directory, port = PurePosixPath(archived.folder / "recovered"), servers.free_port()
    archived.engine.fetch(backup, directory, archived.host, lambda line: None)
    settings = {
        "restore_command": archived.engine.restore_command(archived.host),
        "archive_mode": "off",
        "port": str(port),
        "unix_socket_directories": str(archived.folder),
    }
    lines = (f"{name} = '{value}'" for name, value in settings.items())
    archived.host.write(directory / "postgresql.auto.conf", "\n".join(lines).encode())
    archived.host.write(directory / "recovery.signal", b"")
    control = str(archived.server.binaries.bindir / "pg_ctl")
    log = str(archived.folder / "recovered.log")
    archived.host.run([control, "start", "--wait", "-D", str(directory), "-l", log])
    try:
        connection = psycopg2.connect(archived.server.dsn().replace(str(archived.server.port), str(port)))
        assert servers.eventually(lambda: not asked(connection, "SELECT pg_is_in_recovery()"))
        yield connection
        connection.close()
    finally:
        archived.host.run([control, "stop", "--mode=immediate", "-D", str(directory)], check=False)


def asked(connection: Any, statement: str) -> Any:
    """The one answer to a statement."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


@contextmanager
def archived_server(
    make: Callable[[Source, Store, Bucket], Any], major: int, s3: S3Server, bucket: Bucket, **settings: str
) -> Iterator[Archived]:
    """A server of that major version whose WAL goes into the bucket from its first segment on."""
    with (
        servers.memory_folder("archived") as folder,
        servers.running_postgres(major, archive_mode="on", archive_command="", **settings) as server,
    ):
        host = LocalHost(run_as=server.identity.prefix)
        dsn = Dsn("127.0.0.1", server.port, "postgres", "postgres", server.password)
        place = Secrets(PurePosixPath(folder / "secrets"))
        store = store_of(s3, bucket)
        engine = make(Source("primary", dsn, host, programs=PROGRAMS, secrets=place), store, bucket)
        archived = Archived(server, engine, host, store, bucket, folder)
        archived.archive_with(engine.archive_command(host))
        yield archived
