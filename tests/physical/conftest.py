"""Archiving servers and hosts for the tests of physical backups."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from pgops.storage import Bucket
from sandbox.objectstore import S3Server
from tests import servers
from tests.physical.archived import EACH, ENGINES, Archived, archived_server, barman


@pytest.fixture(scope="module")
def module_bucket(s3: S3Server) -> Bucket:
    """A bucket for all tests of a file."""
    client = servers.s3_client(s3.endpoint)
    name = f"tests-{secrets.token_hex(4)}"
    client.create_bucket(Bucket=name)
    return Bucket(client, name, "pre/fix")


@pytest.fixture(scope="module", params=EACH, ids=lambda pair: f"{pair[0]}-{pair[1]}")
def each_archived(request: pytest.FixtureRequest, s3: S3Server, module_bucket: Bucket) -> Iterator[Archived]:
    """A server of each major version that archives with each engine."""
    engine, major = request.param
    bucket = Bucket(module_bucket.client, module_bucket.name, f"{engine}/pg{major}")
    with archived_server(ENGINES[engine], major, s3, bucket) as archived:
        yield archived


@pytest.fixture(scope="module")
def archived(s3: S3Server, module_bucket: Bucket) -> Iterator[Archived]:
    """A server that archives with barman-cloud, where the version does not matter."""
    with archived_server(barman, servers.MAJORS[0], s3, module_bucket) as archived:
        yield archived
