"""Nights of a database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from pgops.postgres import client_program
from sandbox.postgres import PostgresServer
from tests.nights import Night


@pytest.fixture
def night(database, bucket, ledger) -> Night:
    """An empty database and all it takes to back it up."""
    return Night(database, bucket, ledger)


@pytest.fixture
def each_night(each_database, bucket, ledger) -> Night:
    """As night, on a server of each version."""
    return Night(each_database, bucket, ledger)


@pytest.fixture
def failing_pg_dump(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], AbstractContextManager[None]]:
    """For the time of a block pg_dump is a shell script; in it $REAL is the real one and "$@" its arguments."""

    @contextmanager
    def instead(script: str) -> Iterator[None]:
        client_program.cache_clear()
        real = client_program("pg_dump", postgres.binaries.major * 10000)
        fake = tmp_path / "programs" / "pg_dump"
        fake.parent.mkdir(exist_ok=True)
        fake.write_text(
            f'#!/bin/bash\nset -o pipefail\nREAL={real}\n[ "$1" = --version ] && exec $REAL --version\n{script}\n'
        )
        fake.chmod(0o755)
        client_program.cache_clear()
        with monkeypatch.context() as patch:
            patch.setenv("PGOPS_PG_BINDIRS", str(fake.parent))
            yield
        client_program.cache_clear()

    return instead
