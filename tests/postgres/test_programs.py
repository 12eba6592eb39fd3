"""The client program that fits a server is found, the oldest one; else the refusal says what to install."""

from __future__ import annotations

import pytest

from pgops.errors import Refused
from pgops.postgres import client_program, programs


@pytest.fixture(autouse=True)
def forget():
    yield
    client_program.cache_clear()


def install(tmp_path, monkeypatch, *majors):
    folders = []
    for major in majors:
        program = tmp_path / str(major) / "pg_dump"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) {major}.3 (Debian {major}.3-1)'\n")
        program.chmod(0o755)
        folders.append(program.parent)
    monkeypatch.setattr(programs, "folders", lambda: folders)
    client_program.cache_clear()


@pytest.mark.parametrize(("server", "chosen"), [(150018, "15"), (140001, "15"), (160000, "17"), (170009, "17")])
def test_the_oldest_that_is_not_older_than_the_server_is_taken(tmp_path, monkeypatch, server, chosen):
    install(tmp_path, monkeypatch, 18, 15, 17, 13)
    assert client_program("pg_dump", server).parent.name == chosen


def test_a_server_newer_than_every_program_is_refused_with_what_to_install(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, 15, 13)
    with pytest.raises(Refused) as caught:
        client_program("pg_dump", 180001)
    assert "found: 13, 15" in caught.value.what
    assert "postgresql-client-18" in caught.value.remedy


def test_a_program_that_does_not_run_is_none(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, 15, 17)
    (tmp_path / "15" / "pg_dump").chmod(0o644)
    programs._version.cache_clear()
    assert client_program("pg_dump", 150000).parent.name == "17"


def test_the_folders_of_the_setting_come_first(tmp_path, monkeypatch):
    program = tmp_path / "pg_dump"
    program.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 15.99'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PGOPS_PG_BINDIRS", str(tmp_path))
    client_program.cache_clear()
    assert client_program("pg_dump", 150000) == program
