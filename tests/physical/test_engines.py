"""Each engine for real: what it pushes can be listed, read back, fetched and recovered from."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from pgops.errors import PgOpsError, Refused
from pgops.physical.archive import rewritten
from pgops.physical.engines import WalgEngine, tablespace_directory
from pgops.physical.model import BaseBackup
from pgops.physical.store import Secrets
from sandbox.objectstore import S3Server
from tests import servers
from tests.physical.archived import Archived, archived_server, asked, recovered, walg


def quiet(line: str) -> None:
    """Where lines of progress go."""


@pytest.fixture(scope="module")
def pushed(each_archived: Archived) -> BaseBackup:
    """A base backup of a server with a tablespace."""
    folder = each_archived.folder / "extra"
    folder.mkdir()
    each_archived.server.execute(f"CREATE TABLESPACE extra LOCATION '{folder}'")
    each_archived.server.execute("CREATE TABLE beside TABLESPACE extra AS SELECT g FROM generate_series(1, 500) g")
    return each_archived.engine.push(quiet)


def test_a_pushed_backup_is_listed_as_it_was_returned(each_archived: Archived, pushed: BaseBackup) -> None:
    assert each_archived.engine.backups() == (pushed,)
    assert pushed.server_version // 10000 == each_archived.server.binaries.major
    assert pushed.started_at <= pushed.ended_at and pushed.start_lsn < pushed.end_lsn
    assert pushed.bytes > 100_000 and pushed.directory_bytes > pushed.bytes
    assert [location for _, location in pushed.tablespaces] == [str(each_archived.folder / "extra")]
    assert each_archived.engine.unfinished() == ()


def test_a_pushed_backup_is_read_back_sound_once_its_wal_is_there(each_archived: Archived, pushed: BaseBackup) -> None:
    assert each_archived.archived(pushed.last_wal)
    assert each_archived.engine.verify(pushed) == ()
    assert each_archived.engine.shelf.proven() == {pushed.backup_id}


def test_a_fetched_backup_recovers_to_the_end_of_the_wal_beside_its_original(
    each_archived: Archived, pushed: BaseBackup
) -> None:
    each_archived.server.execute("INSERT INTO beside VALUES (777)")
    assert each_archived.archived(each_archived.switch())
    with recovered(each_archived, pushed) as connection:
        assert asked(connection, "SELECT count(*) FROM beside") == 501
        moved = asked(connection, "SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'extra'")
        directory = PurePosixPath(each_archived.folder / "recovered")
        assert moved == str(tablespace_directory(directory, pushed.tablespaces[0][0]))


def test_nothing_is_fetched_over_a_folder_that_holds_something(each_archived: Archived, pushed: BaseBackup) -> None:
    directory = PurePosixPath(each_archived.folder / "full")
    each_archived.host.run(("mkdir", str(directory)))
    each_archived.host.write(directory / "precious", b"keep me")
    with pytest.raises(Refused, match="not empty"):
        each_archived.engine.fetch(pushed, directory, each_archived.host, quiet)
    assert each_archived.host.read(directory / "precious") == b"keep me"


def test_a_missing_key_stops_a_recovery_instead_of_ending_it(each_archived: Archived) -> None:
    """PostgreSQL takes exit codes up to 125 for the end of the WAL."""
    command = each_archived.engine.restore_command(each_archived.host)
    name = "0000000100000000000000FF"
    absent = each_archived.host.run(
        ("sh", "-c", command.replace("%f", name).replace("%p", str(each_archived.folder / "fetched"))), check=False
    )
    assert absent.code == 1
    file = each_archived.folder / "secrets" / f".{each_archived.engine.name}-primary.environment"
    file.rename(file.with_suffix(".away"))
    try:
        keyless = each_archived.host.run(("sh", "-c", command), check=False)
    finally:
        file.with_suffix(".away").rename(file)
    assert keyless.code == 126


def test_the_key_stands_in_no_setting_and_in_a_file_for_its_owner_alone(each_archived: Archived) -> None:
    commands = each_archived.engine.archive_command(each_archived.host) + each_archived.engine.restore_command(
        each_archived.host
    )
    assert servers.SECRET_KEY not in commands
    file = each_archived.folder / "secrets" / f".{each_archived.engine.name}-primary.environment"
    assert servers.SECRET_KEY in file.read_text() and file.stat().st_mode & 0o077 == 0


def test_a_push_to_a_dead_store_fails_and_leaves_nothing_that_counts(each_archived: Archived) -> None:
    before = each_archived.engine.backups()
    dead = replace(each_archived.store, endpoint=f"http://127.0.0.1:{servers.free_port()}")
    engine = type(each_archived.engine)(each_archived.engine.source, dead, each_archived.bucket)
    with pytest.raises(PgOpsError, match="ended with exit code"):
        engine.push(quiet)
    assert each_archived.engine.backups() == before


def test_a_segment_archived_twice_passes_if_it_is_the_same_and_is_refused_or_found_out_if_not(
    each_archived: Archived, s3: S3Server
) -> None:
    """WAL-G refuses other content. Barman takes it, and then the order in which segments arrived gives it away."""
    engine, host, folder = each_archived.engine, each_archived.host, each_archived.folder
    name, follower = each_archived.switch(), each_archived.switch()
    assert each_archived.archived(name) and each_archived.archived(follower)

    def fetched() -> bytes:
        (folder / name).unlink(missing_ok=True)
        command = engine.restore_command(host).replace("%f", name).replace("%p", str(folder / name))
        host.run(("sh", "-c", command))
        return (folder / name).read_bytes()

    def archive(content: bytes) -> int:
        (folder / name).write_bytes(content)
        # as PostgreSQL does it: a relative path, from its data directory
        command = engine.archive_command(host).replace("%p", str(folder / name))
        return host.run(("sh", "-c", f"cd {folder}; {command}"), check=False).code

    first = fetched()
    assert archive(first) == 0 and fetched() == first
    other = first[:-1] + b"\x01"
    refused = archive(other) != 0
    if engine.name == "walg":
        assert refused and fetched() == first
        return
    assert not refused and fetched() == other
    assert rewritten(engine.archive()) == ()
    stored = s3.data / each_archived.bucket.name / engine.shelf.segments()[follower].key
    an_hour_ago = time.time() - 3600
    os.utime(stored, (an_hour_ago, an_hour_ago))
    assert servers.eventually(lambda: name in rewritten(engine.archive()))
    assert archive(first) == 0


def test_a_store_that_is_away_for_a_moment_is_waited_for(each_archived: Archived, s3: S3Server) -> None:
    engine, host, target = each_archived.engine, each_archived.host, each_archived.folder / "waited-for"
    name = each_archived.switch()
    assert each_archived.archived(name)
    command = engine.restore_command(host).replace("%f", name).replace("%p", str(target))
    s3.stop()
    back = threading.Timer(3, s3.start)
    back.start()
    host.run(("sh", "-c", command))
    back.join()
    assert target.stat().st_size == 16 << 20


def test_a_host_with_an_envdir_needs_no_file_of_ours(each_archived: Archived) -> None:
    folder, target = each_archived.folder / "envdir", each_archived.folder / "by-envdir"
    engine = each_archived.engine
    variables = engine._store_environment(engine.store) if engine.name == "walg" else engine._environment()
    folder.mkdir()
    for name, value in variables.items():
        (folder / name).write_text(f"{value}\n")
    source = replace(engine.source, secrets=Secrets(envdir=PurePosixPath(folder)))
    command = type(engine)(source, engine.store, each_archived.bucket).restore_command(each_archived.host)
    name = each_archived.switch()
    assert each_archived.archived(name)
    command = command.replace("%f", name).replace("%p", str(target))
    each_archived.host.run(("sh", "-c", command))
    assert target.stat().st_size == 16 << 20
    folder.rename(folder.with_name("away"))
    assert each_archived.host.run(("sh", "-c", command), check=False).code == 126


def test_a_backup_that_is_marked_to_be_kept_is_known_and_stays(each_archived: Archived, pushed: BaseBackup) -> None:
    engine, host = each_archived.engine, each_archived.host
    newer = engine.push(quiet)
    assert pushed.backup_id in engine.prune([newer.backup_id], dry_run=True) or newer.parent is not None
    if engine.name == "barman":
        keep = [*engine._command("backup-keep"), "--target", "full", *engine._where(), pushed.backup_id]
        host.run(keep, engine._environment())
    else:
        engine._walg(host, "backup-mark", pushed.backup_id)
    assert {one.backup_id: one.permanent for one in engine.backups()}[pushed.backup_id]
    assert engine.prune([newer.backup_id], dry_run=True) == ()


def test_wal_g_takes_a_server_over_the_replication_protocol_or_says_that_it_cannot(s3: S3Server, bucket) -> None:
    """WAL-G 3.0.8 cannot since PostgreSQL 15; those after it can. Tablespaces are refused in any case."""
    with archived_server(walg, servers.MAJORS[0], s3, bucket) as archived:
        engine = WalgEngine(replace(archived.engine.source, host=None), archived.store, archived.bucket)
        archived.server.execute("CREATE TABLE rows AS SELECT g FROM generate_series(1, 500) g")
        try:
            made = engine.push(quiet)
        except Refused as refused:
            assert "issue 1385" in refused.what and engine.backups() == ()
        else:
            assert made.parent is None and archived.archived(made.last_wal) and engine.verify(made) == ()
            directory = PurePosixPath(archived.folder / "streamed")
            engine.fetch(made, directory, archived.host, quiet)
            assert archived.host.exists(directory / "backup_label")
        folder = archived.folder / "extra"
        folder.mkdir()
        archived.server.execute(f"CREATE TABLESPACE extra LOCATION '{folder}'")
        with pytest.raises(Refused, match="tablespaces over the replication protocol: extra"):
            engine.push(quiet)
