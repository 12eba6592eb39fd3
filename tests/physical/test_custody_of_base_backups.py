"""Base backups and WAL over verified TLS, with a key that cannot delete, and encrypted by the store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest

from pgops.errors import PgOpsError
from pgops.physical.engines import BarmanEngine, Source, WalgEngine
from pgops.physical.store import Store
from pgops.storage import Bucket, Custody
from tests import servers
from tests.certificates import over_tls, speak_tls
from tests.physical.archived import ENGINES, Archived, archived_server
from tests.storage.test_custody import policy_of_docs
from tests.stores import ask_for_keys, running_moto, user_of


@dataclass
class Guarded:
    """An archiving server whose key cannot delete, and that key's counterpart."""

    archived: Archived
    writer: dict[str, str]
    pruner: dict[str, str]


@pytest.fixture(scope="module", params=ENGINES)
def guarded(request: pytest.FixtureRequest) -> Iterator[Guarded]:
    with running_moto() as moto:
        servers.s3_client(moto, "x", "x").create_bucket(Bucket="guarded")
        policies = {name: policy_of_docs(name, "guarded", "pre/fix") for name in ("writer", "pruner")}
        # Of a bulk delete AWS asks for the right to each object, this store for that to the bucket too.
        policies["pruner"]["Statement"] += [
            {"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::guarded"}
        ]
        keys = {name: user_of(moto, name, policy) for name, policy in policies.items()}
        ask_for_keys(moto)
        bucket = Bucket(
            servers.s3_client(moto, **keys["writer"]),
            "guarded",
            "pre/fix",
            custody=Custody(sse="AES256"),
            remover=lambda: servers.s3_client(moto, **keys["pruner"]),
        )

        def make(source: Source, store: Store, bucket: Bucket) -> Any:
            plain = ENGINES[request.param](source, store, bucket)  # skips an engine that is not here
            engine = {"barman": BarmanEngine, "walg": WalgEngine}[request.param]
            mine = replace(store, sse="AES256", **keys["writer"])
            return engine(
                replace(plain.source, max_deltas=0), mine, bucket, pruning=lambda: replace(mine, **keys["pruner"])
            )

        at: Any = SimpleNamespace(endpoint=moto)
        with archived_server(make, servers.MAJORS[0], at, bucket) as archived:
            yield Guarded(archived, keys["writer"], keys["pruner"])


def test_a_server_archives_and_is_backed_up_with_a_key_that_cannot_delete_and_pruned_with_the_other(
    guarded: Guarded,
) -> None:
    archived, engine = guarded.archived, guarded.archived.engine
    first = engine.push(lambda line: None)
    second = engine.push(lambda line: None)
    assert archived.archived(archived.switch())
    assert engine.verify(second) == ()
    with pytest.raises(PgOpsError):
        type(engine)(engine.source, engine.store, engine.shelf.bucket).prune([second.backup_id], dry_run=False)
    assert engine.prune([second.backup_id], dry_run=False) == (first.backup_id,)
    assert [one.backup_id for one in engine.backups()] == [second.backup_id]


def test_the_hosts_files_hold_the_writers_key_and_never_the_pruners(guarded: Guarded) -> None:
    folder = guarded.archived.folder / "secrets"
    texts = [path.read_text() for path in folder.iterdir()]
    assert any(guarded.writer["secret_key"] in text for text in texts)
    assert not any(guarded.pruner["secret_key"] in text for text in texts)


def test_base_backups_and_wal_are_encrypted_by_the_store_as_the_policy_says(guarded: Guarded) -> None:
    bucket = guarded.archived.bucket
    keys = [one.key for one in bucket.objects("pre/fix/") if "/proofs/" not in one.key]
    assert any("wal" in key for key in keys) and any("base" in key for key in keys)
    assert {bucket.head(key).get("ServerSideEncryption") for key in keys} == {"AES256"}


def test_a_base_backup_is_taken_over_verified_tls(guarded: Guarded) -> None:
    """The server refuses this role without TLS."""
    archived, engine = guarded.archived, guarded.archived.engine
    authority = speak_tls(archived.server)
    dsn = over_tls(engine.source.dsn, sslmode="verify-full", sslrootcert=str(authority))
    secure = type(engine)(replace(engine.source, dsn=dsn), engine.store, engine.shelf.bucket)
    assert secure.push(lambda line: None).backup_id in {one.backup_id for one in engine.backups()}
