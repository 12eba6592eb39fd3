"""Real servers for the tests: PostgreSQL with its files in memory, an S3 server, and the ways to break them."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from pgops.postgres import Dsn
from sandbox.objectstore import S3Server
from sandbox.postgres import PostgresServer, available, free_port

MAJORS = [binaries.major for binaries in available() if binaries.major in (15, 18)]
# A test's server may lose everything in a crash of the machine; it must not wait for the disk.
NO_WAITING = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}
SUPERUSER_PASSWORD = "superuser-of-the-tests-9f2c"
ACCESS_KEY = "AKIAOFTHETESTS"
SECRET_KEY = "secret-key-of-the-tests-71d0e3"


@contextmanager
def memory_folder(name: str) -> Iterator[Path]:
    """A folder in memory where the machine has one: test servers write a lot and keep nothing."""
    shm = Path("/dev/shm")
    place = shm if shm.is_dir() and os.access(shm, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix=f"pgops-{name}-", dir=place, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def running_postgres(major: int, **settings: str) -> Iterator[PostgresServer]:
    """A PostgreSQL server of that major version."""
    binaries = next((binaries for binaries in available() if binaries.major == major), None)
    if binaries is None:
        pytest.skip(f"PostgreSQL {major} is not on this machine")
    with memory_folder(f"pg{major}") as folder:
        server = PostgresServer(
            f"tests-{major}", binaries, folder / "server", free_port(), SUPERUSER_PASSWORD, NO_WAITING | settings
        )
        try:
            server.create()
            server.start()
            yield server
        finally:
            server.destroy()


@contextmanager
def running_s3() -> Iterator[S3Server]:
    """An S3 server that knows one key."""
    with memory_folder("s3") as folder:
        server = S3Server(folder / "s3", free_port(), ACCESS_KEY, SECRET_KEY)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextmanager
def fresh_database(server: PostgresServer, prefix: str = "t") -> Iterator[Dsn]:
    """An empty database, reached as superuser; dropped at the end."""
    name = f"{prefix}_{secrets.token_hex(4)}"
    server.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    try:
        yield Dsn("127.0.0.1", server.port, name, "postgres", server.password)
    finally:
        if server.running():
            server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def dsn_facts(dsn: Dsn) -> dict[str, Any]:
    """What another process needs to make the same `Dsn`: JSON can carry it."""
    return {"host": dsn.host, "port": dsn.port, "dbname": dsn.dbname, "user": dsn.user, "password": dsn.password}


def s3_client(endpoint: str, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY, attempts: int = 2):
    """A client that gives up soon, so that tests of a dead store end soon."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name="us-east-1",
        config=Config(connect_timeout=3, read_timeout=20, retries={"max_attempts": attempts, "mode": "standard"}),
    )


def eventually(true: Callable[[], object], seconds: float = 10) -> bool:
    """Whether something becomes true within `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.05)
    return bool(true())
