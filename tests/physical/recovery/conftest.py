"""Sources whose WAL is archived."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import servers
from tests.physical.recovery.sources import Source, archiving_source


@pytest.fixture(scope="module", params=servers.MAJORS)
def each_source(request: pytest.FixtureRequest) -> Iterator[Source]:
    with archiving_source(request.param) as source:
        yield source


@pytest.fixture(scope="module")
def shared_source() -> Iterator[Source]:
    with archiving_source(servers.MAJORS[0]) as source:
        yield source


@pytest.fixture(params=servers.MAJORS)
def each_fresh_source(request: pytest.FixtureRequest) -> Iterator[Source]:
    """One that a test may recover over."""
    with archiving_source(request.param) as source:
        yield source


@pytest.fixture
def source(shared_source: Source) -> Iterator[Source]:
    """The module's source; a test's recoveries go with it."""
    yield shared_source
    shared_source.clean()
