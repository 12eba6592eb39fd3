"""WAL-G encrypts before anything leaves the host: only its key brings a server back, and what is wrong has a name."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from pgops.errors import Refused
from pgops.fleet import PhysicalPolicy
from pgops.physical.engines import WalgEngine
from pgops.physical.model import BaseBackup
from pgops.storage import Bucket
from sandbox.objectstore import S3Server
from tests import servers
from tests.physical.archived import Archived, archived_server, asked, recovered, sealed_walg, secret_keys

# Not compressible, so that it lies in a file as it lies in the table.
MARKER = random.Random(3).randbytes(1500)


@pytest.fixture(scope="module")
def new_key() -> Iterator[Callable[[], str]]:
    """Makes armored secret keys, as an operator would."""
    with secret_keys() as make:
        yield make


@pytest.fixture(scope="module")
def sealed(s3: S3Server, module_bucket: Bucket, new_key: Callable[[], str]) -> Iterator[Archived]:
    """A server that archives with WAL-G and a key."""

    with archived_server(sealed_walg(new_key()), servers.MAJORS[-1], s3, module_bucket) as archived:
        archived.server.execute("CREATE TABLE secrets (body bytea)")
        archived.server.execute("ALTER TABLE secrets ALTER body SET STORAGE EXTERNAL")
        archived.server.execute(f"INSERT INTO secrets VALUES ('\\x{MARKER.hex()}')")
        yield archived


@pytest.fixture(scope="module")
def pushed(sealed: Archived) -> BaseBackup:
    backup: BaseBackup = sealed.engine.push(lambda line: None)
    return backup


def with_key(archived: Archived, key: str, server: str = "primary") -> WalgEngine:
    """The same archive, asked by somebody with another key, or none."""
    source = replace(archived.engine.source, server=server)
    return WalgEngine(source, archived.engine.store, archived.bucket, key=key)


def holding_marker(archived: Archived, engine: WalgEngine) -> list[str]:
    """Objects in which the table's row can be read."""
    keys = [one.key for prefix in (engine.shelf.base, engine.shelf.wal) for one in archived.bucket.objects(prefix)]
    assert keys
    return [key for key in keys if MARKER in archived.bucket.open([key]).read()]


def test_nothing_of_a_table_can_be_read_in_the_bucket(sealed: Archived, pushed: BaseBackup) -> None:
    assert sealed.archived(sealed.switch())
    assert holding_marker(sealed, sealed.engine) == []
    plain = with_key(sealed, "", server="plain")
    plain.push(lambda line: None)
    assert holding_marker(sealed, plain), "without a key it can be"


def test_a_sealed_backup_is_proven_as_far_as_that_goes(sealed: Archived, pushed: BaseBackup) -> None:
    assert sealed.archived(pushed.last_wal)
    assert sealed.engine.verify(pushed) == ()
    assert sealed.engine.shelf.proven() == {pushed.backup_id}


@pytest.mark.parametrize("what", ["base", "wal"])
def test_what_came_unencrypted_from_a_host_without_the_key_is_found(
    sealed: Archived, pushed: BaseBackup, what: str
) -> None:
    shelf = sealed.engine.shelf
    tar = next(one.key for one in shelf.of_backup(pushed.backup_id) if ".tar" in one.key)
    key = tar if what == "base" else shelf.segments()[pushed.first_wal].key
    before = sealed.bucket.open([key]).read()
    sealed.bucket.client.put_object(Bucket=sealed.bucket.name, Key=key, Body=b"\x28\xb5\x2f\xfd" + before)
    try:
        assert any(f"{key}: it is not encrypted" in problem for problem in sealed.engine.verify(pushed))
    finally:
        sealed.bucket.client.put_object(Bucket=sealed.bucket.name, Key=key, Body=before)


def test_with_the_key_it_recovers_and_the_new_timeline_can_be_read(sealed: Archived, pushed: BaseBackup) -> None:
    sealed.server.execute("CREATE TABLE later AS SELECT 1 AS x")
    assert sealed.archived(sealed.switch())
    with recovered(sealed, pushed) as connection:
        assert bytes(asked(connection, "SELECT body FROM secrets")) == MARKER
        assert asked(connection, "SELECT count(*) FROM later") == 1
    history = sealed.folder / "recovered" / "pg_wal" / "00000002.history"
    push = sealed.engine.archive_command(sealed.host).replace("%p", "pg_wal/00000002.history")
    sealed.host.run(("sh", "-c", f"cd {sealed.folder}/recovered; {push}"))
    try:
        assert sealed.engine.archive().histories == {2: history.read_text()}
    finally:
        sealed.bucket.delete([sealed.engine.shelf.segments()["00000002.history"].key])


def test_nothing_is_fetched_without_the_key_or_with_another(
    sealed: Archived, pushed: BaseBackup, new_key: Callable[[], str]
) -> None:
    directory = PurePosixPath(sealed.folder / "elsewhere")
    with pytest.raises(Refused, match=f"{pushed.backup_id} is encrypted, and there is no key"):
        with_key(sealed, "").fetch(pushed, directory, sealed.host, lambda line: None)
    with pytest.raises(Refused, match=f"{pushed.backup_id} is encrypted with another key"):
        with_key(sealed, new_key()).fetch(pushed, directory, sealed.host, lambda line: None)
    assert not sealed.host.exists(directory)


def test_an_archive_is_either_encrypted_or_not(
    sealed: Archived, pushed: BaseBackup, new_key: Callable[[], str]
) -> None:
    """WAL-G with a key reads nothing else, so half of such an archive would be lost."""
    for key, why in (("", "encrypted, and there is no key"), (new_key(), "encrypted with another key")):
        with pytest.raises(Refused, match=f"is {why}"):
            with_key(sealed, key).push(lambda line: None)
    other = with_key(sealed, "", server="both")
    other.push(lambda line: None)
    with pytest.raises(Refused, match="is not encrypted, and there is a key"):
        with_key(sealed, new_key(), server="both").push(lambda line: None)


def test_barman_is_refused_a_key_in_the_fleet_file() -> None:
    with pytest.raises(ValueError, match="barman-cloud cannot encrypt before it sends"):
        PhysicalPolicy(engine="barman", connection="x", host="local", encryption_connection="y")
