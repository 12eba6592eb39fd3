"""An archive that went through a pipe is restored like one that was written to a file."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgops.recovery.archive import _read_toc, note_positions
from sandbox.postgres import PostgresServer, available, free_port

CONTENTS = """
create table wide (t text); insert into wide select repeat('x', n * 100000) from generate_series(1, 40) n;
create table "q ""uo
te" (id int primary key, t text);
insert into "q ""uo
te" select n, repeat(md5(n::text), n % 50) || E'\\n\\\\.\\n\\t' from generate_series(1, 5000) n;
create table nothing (x int);
create table no_columns (); insert into no_columns default values;
create materialized view mv as select count(*) from wide;
select lo_from_bytea(0, decode(repeat('00', 100000), 'hex')), lo_from_bytea(0, '');
select lo_from_bytea(0, '\\x0000000000010002');
create table last_one (b bytea);
insert into last_one select decode(repeat('00', n), 'hex') from generate_series(1, 300) n;
"""


@pytest.fixture(scope="module", params=[binaries.major for binaries in available()])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    binaries = next(one for one in available() if one.major == request.param)
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=base) as folder:
        settings = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        server = PostgresServer("archive", binaries, Path(folder) / "pg", free_port(), "secret", settings)
        server.create()
        server.start()
        try:
            server.execute("create database source")
            server.execute(CONTENTS, "source")
            yield server
        finally:
            server.destroy()


def _run(server: PostgresServer, *command: str) -> bytes:
    return subprocess.run(
        [str(server.binaries.bindir / command[0]), *command[1:]],
        env={"PGPASSWORD": "secret", "PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": "postgres"},
        check=True,
        capture_output=True,
    ).stdout


def _script(server: PostgresServer, archive: Path) -> list[bytes]:
    """The archive's script; newer programs put a random word around it."""
    lines = _run(server, "pg_restore", "--file=-", str(archive)).splitlines()
    return [line for line in lines if not line.startswith((b"\\restrict", b"\\unrestrict"))]


@pytest.fixture
def archive(server: PostgresServer, tmp_path: Path) -> Path:
    """Captured from a pipe, so that pg_dump could not go back in it."""
    path = tmp_path / "piped.dump"
    path.write_bytes(_run(server, "pg_dump", "--format=custom", "--compress=0", "source"))
    return path


def test_every_position_is_noted_and_the_contents_stay(server: PostgresServer, archive: Path) -> None:
    before, script = archive.stat().st_size, _script(server, archive)
    with archive.open("r+b") as file:
        assert _read_toc(file)
        note_positions(file)
        file.seek(0)
        assert not _read_toc(file)
    assert (archive.stat().st_size, _script(server, archive)) == (before, script)


def test_positions_are_those_that_pg_dump_notes_in_a_file(
    server: PostgresServer, archive: Path, tmp_path: Path
) -> None:
    written = tmp_path / "written.dump"
    _run(server, "pg_dump", "--format=custom", "--compress=0", f"--file={written}", "source")
    with archive.open("r+b") as file:
        note_positions(file)
    # What differs is the instant at which they were made, in the first hundred bytes.
    assert archive.read_bytes()[100:] == written.read_bytes()[100:]


def test_parallel_jobs_restore_it(server: PostgresServer, archive: Path) -> None:
    with archive.open("r+b") as file:
        note_positions(file)
    server.execute("create database target")
    try:
        _run(server, "pg_restore", "--exit-on-error", "--jobs=2", "--dbname=target", str(archive))
        ask = """select (select count(*) from last_one), (select sum(length(t)) from wide),
                        (select count(*) from "q ""uo\nte")"""
        assert server.execute(ask, "target") == server.execute(ask, "source")
    finally:
        server.execute("drop database target")


@pytest.mark.parametrize("damage", ["cut", "another version", "not an archive"])
def test_what_is_not_understood_is_left_as_it_is(archive: Path, damage: str) -> None:
    whole = archive.read_bytes()
    damaged = {
        "cut": whole[: len(whole) * 2 // 3],
        "another version": whole[:6] + b"\x63" + whole[7:],
        "not an archive": b"PG",
    }[damage]
    archive.write_bytes(damaged)
    with archive.open("r+b") as file:
        note_positions(file)
    assert archive.read_bytes() == damaged
