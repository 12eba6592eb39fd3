"""A server's night: base backups that count only when they were read back, and go only when a newer one is proven."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest

from pgops.errors import PgOpsError, Refused
from pgops.fleet import PhysicalPolicy, PhysicalRetention
from pgops.ledger import Lease, Ledger
from pgops.physical.engines import BarmanEngine
from pgops.physical.model import BaseBackup
from pgops.physical.nightly import (
    BaseTaken,
    kept,
    prune_base_backups,
    refuse_unfit_server,
    server_state,
    take_base_backup,
    verify_base_backup,
    why_due,
)
from pgops.storage import Bucket
from sandbox.objectstore import S3Server
from sandbox.postgres import Standby
from tests import servers
from tests.physical.archived import Archived, archived_server, barman

NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)
POLICY = PhysicalPolicy(engine="barman", connection="unused", host="local")


@pytest.fixture(scope="module")
def archived(s3: S3Server) -> Iterator[Archived]:
    """A server that archives, with a bucket of its own: these tests damage it."""
    client = servers.s3_client(s3.endpoint)
    client.create_bucket(Bucket="base-backups")
    with archived_server(barman, servers.MAJORS[-1], s3, Bucket(client, "base-backups")) as archived:
        archived.server.execute("CREATE TABLE rows AS SELECT g, md5(g::text) FROM generate_series(1, 20000) g")
        yield archived


@pytest.fixture
def lease(ledger: Ledger) -> Lease:
    return Lease(ledger, f"physical/{secrets.token_hex(4)}", "this run")


@pytest.fixture(scope="module")
def night(archived: Archived, ledger: Ledger) -> BaseTaken:
    """A base backup that was taken and read back."""
    lease = Lease(ledger, "physical/night", "this run")
    taken = take(archived, ledger, lease)
    verify_base_backup("primary", archived.engine, taken.backup_id, ledger, lease, 60)
    return taken


def take(archived: Archived, ledger: Ledger, lease: Lease, **given: Any) -> BaseTaken:
    dsn = archived.engine.source.dsn
    return take_base_backup("primary", archived.engine, dsn, POLICY, ledger, lease, datetime.now(UTC), **given)


def verify(archived: Archived, taken: BaseTaken, ledger: Ledger, lease: Lease, **given: Any) -> Any:
    return verify_base_backup("primary", archived.engine, taken.backup_id, ledger, lease, 2, **given)


def base_object(archived: Archived, backup_id: str) -> str:
    objects = archived.engine.shelf.of_backup(backup_id)
    return next(one.key for one in objects if one.key.endswith("data.tar.gz"))


class Damaged:
    """An object with other bytes, until the end of the block."""

    def __init__(self, archived: Archived, key: str, body: bytes | None) -> None:
        self.client, self.name, self.key, self.body = archived.bucket.client, archived.bucket.name, key, body

    def __enter__(self) -> None:
        self.before = self.client.get_object(Bucket=self.name, Key=self.key)["Body"].read()
        if self.body is None:
            self.client.delete_object(Bucket=self.name, Key=self.key)
        else:
            self.client.put_object(Bucket=self.name, Key=self.key, Body=self.body)

    def __exit__(self, *exc: object) -> None:
        self.client.put_object(Bucket=self.name, Key=self.key, Body=self.before)


def content(archived: Archived, key: str) -> bytes:
    return archived.bucket.open([key]).read()


def flipped(content: bytes, at: float) -> bytes:
    place = int(len(content) * at)
    return content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]


def test_a_night_leaves_a_proven_backup_and_its_rows_in_the_ledger(
    archived: Archived, night: BaseTaken, ledger: Ledger
) -> None:
    assert night.taken and night.kind == "full" and night.why == "there is no proven one"
    assert archived.engine.shelf.proven() == {night.backup_id}
    with ledger.session() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT server, engine, verified_at > ended_at, pruned_at FROM pgops.base_backups")
        assert cursor.fetchall() == [("primary", "barman", True, None)]
        cursor.execute("SELECT failing, facts ->> 'rewritten' FROM pgops.wal_state")
        assert cursor.fetchall() == [(False, "[]")]


def test_a_young_backup_is_not_taken_again_unless_asked_for(
    archived: Archived, night: BaseTaken, ledger: Ledger, lease: Lease
) -> None:
    again = take(archived, ledger, lease)
    assert (again.taken, again.backup_id) == (False, night.backup_id)
    assert verify(archived, again, ledger, lease, again=False).seconds == 0
    assert why_due(archived.engine.backups(), {night.backup_id}, POLICY, datetime.now(UTC) + timedelta(days=1)) != ""


@pytest.mark.parametrize("at", [0.3, 0.999])
def test_a_base_backup_with_one_bit_flipped_is_found_before_it_was_ever_proven(
    archived: Archived, night: BaseTaken, ledger: Ledger, lease: Lease, at: float
) -> None:
    key, proof = base_object(archived, night.backup_id), archived.engine.shelf.proof_key(night.backup_id)
    with (
        Damaged(archived, proof, None),
        Damaged(archived, key, flipped(content(archived, key), at)),
        pytest.raises(PgOpsError, match=r"is damaged: .*data\.tar\.gz"),
    ):
        verify(archived, night, ledger, lease)


def test_a_base_backup_that_ends_early_is_found(
    archived: Archived, night: BaseTaken, ledger: Ledger, lease: Lease
) -> None:
    key = base_object(archived, night.backup_id)
    with Damaged(archived, key, content(archived, key)[:-1000]), pytest.raises(PgOpsError, match="is damaged"):
        verify(archived, night, ledger, lease)


def test_another_backup_in_the_place_of_a_proven_one_is_found(
    archived: Archived, night: BaseTaken, ledger: Ledger, lease: Lease
) -> None:
    """Sound in itself, and not what was proven: only the hash of then tells."""
    import gzip

    key = base_object(archived, night.backup_id)
    same = gzip.compress(gzip.decompress(content(archived, key)), 1)
    with Damaged(archived, key, same), pytest.raises(PgOpsError, match="not what it was when it was proven"):
        verify(archived, night, ledger, lease)


@pytest.mark.parametrize("damage", ["missing", "cut", "another's"])
def test_a_backup_whose_wal_is_not_whole_is_not_proven(
    archived: Archived, night: BaseTaken, ledger: Ledger, lease: Lease, damage: str
) -> None:
    backup = archived.engine.backups()[0]
    segments = archived.engine.shelf.segments()
    key = segments[backup.first_wal].key
    other = content(archived, next(one.key for name, one in segments.items() if name != backup.first_wal))
    body = {"missing": None, "cut": content(archived, key)[:-40], "another's": other}[damage]
    message = {"missing": "has not arrived", "cut": "decompressed", "another's": "not the WAL of its name"}[damage]
    with Damaged(archived, key, body), pytest.raises(PgOpsError, match=message):
        verify(archived, night, ledger, lease)


def test_what_a_killed_push_leaves_is_swept_by_the_next_night_but_not_under_a_running_backup(
    archived: Archived, night: BaseTaken, ledger: Ledger, lease: Lease
) -> None:
    archived.server.execute("CREATE TABLE big AS SELECT g, md5(g::text) FROM generate_series(1, 900000) g")
    failed: list[BaseException] = []

    def push() -> None:
        try:
            archived.engine.push(lambda line: None)
        except PgOpsError as error:
            failed.append(error)

    pusher = threading.Thread(target=push)
    pusher.start()
    assert servers.eventually(archived.engine.unfinished, 60)
    assert server_state(archived.engine.source.dsn).backups_running == 1
    assert take(archived, ledger, lease).swept == ()
    for process in psutil.Process().children(recursive=True):  # as a host dies: no cleaning runs
        if any("barman-cloud-backup" in word for word in process.cmdline()[:2]):
            process.kill()
    pusher.join(60)
    assert failed
    assert servers.eventually(lambda: server_state(archived.engine.source.dsn).backups_running == 0, 30)
    unfinished = archived.engine.unfinished()
    assert take(archived, ledger, lease).swept == unfinished
    assert archived.engine.unfinished() == ()
    assert [backup.backup_id for backup in archived.engine.backups()] == [night.backup_id]


def test_a_standby_is_refused_as_a_source(archived: Archived) -> None:
    standby = Standby("standby", archived.server, archived.folder / "standby", servers.free_port())
    try:
        standby.create()
        standby.start()
        state = server_state(replace(archived.engine.source.dsn, port=standby.port))
    finally:
        standby.destroy()
        archived.server.execute("SELECT pg_drop_replication_slot('standby')")
    with pytest.raises(Refused, match="standby"):
        refuse_unfit_server(state, "standby", 15)


def test_a_server_that_archives_nothing_is_refused(postgres: Any) -> None:
    from pgops.postgres import Dsn

    state = server_state(Dsn("127.0.0.1", postgres.port, "postgres", "postgres", postgres.password))
    with pytest.raises(Refused, match="does not archive"):
        refuse_unfit_server(state, "here", 15)


def test_a_failing_archiver_is_an_error_with_the_segment_at_which_it_fails(
    archived: Archived, night: BaseTaken, ledger: Ledger, lease: Lease
) -> None:
    archived.archive_with("false")
    try:
        archived.switch()
        assert servers.eventually(lambda: server_state(archived.engine.source.dsn).failing, 30)
        name = server_state(archived.engine.source.dsn).last_failed_wal
        with pytest.raises(PgOpsError, match=f"archiver fails: segment {name}"):
            take(archived, ledger, lease)
    finally:
        archived.archive_with(archived.engine.archive_command(archived.host))
    assert servers.eventually(lambda: not server_state(archived.engine.source.dsn).failing, 90)


def test_a_server_with_a_failing_archiver_stops_in_bounded_time(archived: Archived, night: BaseTaken) -> None:
    archived.archive_with("sleep 611")
    try:
        archived.switch()
        started = time.monotonic()
        archived.server.stop("fast")
        assert not archived.server.running() and time.monotonic() - started < 120
    finally:
        archived.server.start()
        archived.archive_with(archived.engine.archive_command(archived.host))
        for process in psutil.process_iter(["cmdline"]):  # the archiver waits for it, whatever the setting says now
            if process.info["cmdline"] == ["sleep", "611"]:
                process.kill()


def test_a_bucket_that_holds_another_servers_backups_is_refused(
    archived: Archived, night: BaseTaken, ledger: Ledger, lease: Lease, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pgops.physical import nightly

    state = replace(server_state(archived.engine.source.dsn), system_identifier="4711")
    monkeypatch.setattr(nightly, "server_state", lambda dsn: state)
    with pytest.raises(Refused, match="backups of another server"):
        take(archived, ledger, lease)


def test_nothing_is_pruned_before_tonights_backup_is_proven_and_then_the_oldest_goes_with_its_wal(
    archived: Archived, night: BaseTaken, ledger: Ledger, lease: Lease
) -> None:
    retention = PhysicalRetention(keep_full=1, keep_days=0)
    second = take(archived, ledger, lease, force=True)
    given = ("primary", archived.engine, retention, second.backup_id, ledger, lease, datetime.now(UTC))
    with pytest.raises(Refused, match="not proven"):
        prune_base_backups(*given, dry_run=False)
    verify_base_backup("primary", archived.engine, second.backup_id, ledger, lease, 60)
    before = set(archived.engine.archive().segments)
    dry = prune_base_backups(*given, dry_run=True)
    assert dry.removed == (night.backup_id,) and set(archived.engine.archive().segments) >= before
    pruned = prune_base_backups(*given, dry_run=False)
    assert (pruned.removed, pruned.kept) == ((night.backup_id,), 1)
    [left] = archived.engine.backups()
    assert left.backup_id == second.backup_id and archived.engine.shelf.proven() == {second.backup_id}
    assert min(archived.engine.archive().segments) == left.first_wal
    assert archived.engine.verify(left) == ()


# --- which stay: the plan alone ---


def backup(days: float, backup_id: str, parent: str | None = None, permanent: bool = False) -> BaseBackup:
    at = NOW - timedelta(days=days)
    name = "000000010000000000000001"
    return BaseBackup("walg", backup_id, at, at, 1, 2, 1, name, name, 1, 1, 150000, "1", parent, permanent)


CHAINS = (
    backup(30, "kept", permanent=True),
    backup(20, "a"),
    backup(19, "a1", "a"),
    backup(10, "b"),
    backup(9, "b1", "b"),
    backup(8, "b2", "b1"),
    backup(3, "c"),
    backup(2, "c1", "c"),
)
ALL = tuple(one.backup_id for one in CHAINS)


@pytest.mark.parametrize(
    ("proven", "keep_full", "keep_days", "gone"),
    [
        (ALL, 1, 7, ("a", "a1")),  # seven days back need the base backup of ten days ago
        (ALL, 1, 2, ("a", "a1", "b", "b1", "b2")),
        (ALL, 2, 2, ("a", "a1")),
        (ALL, 4, 0, ()),
        (("a", "b"), 1, 2, ("a", "a1")),  # the newest is not proven: the one before stays
        (("c",), 2, 0, ()),
        ((), 1, 0, ()),
    ],
)
def test_a_chain_stays_or_goes_as_one_and_the_window_keeps_what_it_needs(
    proven: tuple[str, ...], keep_full: int, keep_days: float, gone: tuple[str, ...]
) -> None:
    stays = kept(
        CHAINS,
        set(proven) | {"kept"} if proven == ALL else set(proven),
        PhysicalRetention(keep_full=keep_full, keep_days=keep_days),
        NOW,
    )
    assert tuple(one for one in ALL if one not in stays) == gone


def test_barman_is_the_engine_unless_the_policy_says_otherwise() -> None:
    assert BarmanEngine.name == PhysicalPolicy(connection="x", host="local").engine
