from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.postgres import Binaries, PostgresServer, available
from sandbox.state import free_port

PASSWORD = "it's a \\ secret"


@pytest.fixture(params=available(), ids=lambda binaries: f"postgres-{binaries.major}")
def binaries(request: pytest.FixtureRequest) -> Binaries:
    return request.param


@pytest.fixture
def server(binaries: Binaries, tmp_path: Path) -> Iterator[PostgresServer]:
    server = PostgresServer("trial", binaries, tmp_path / "trial", free_port(), PASSWORD, {"fsync": "off"})
    server.create()
    server.start()
    yield server
    server.destroy()
