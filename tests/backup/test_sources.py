"""Everything that would spoil a dump is refused before it, with its remedy; a standby is used only when it is good."""

from __future__ import annotations

import dataclasses
import re
import secrets
import socket
import struct
import sys
import threading
from collections.abc import Iterator

import pytest

from pgops.backup import sources
from pgops.errors import Refused
from pgops.fleet import BackupPolicy
from pgops.include import sql_text
from pgops.ledger import Lease
from pgops.postgres import DatabaseError, Dsn, client_program, programs
from pgops.storage import Bucket, StorageError
from sandbox.postgres import Standby, free_port
from tests.nights import SAMPLE, Night, execute
from tests.servers import MAJORS, eventually, fresh_database, memory_folder, running_postgres, s3_client


def refusal(night: Night, kind: type[Exception] = Refused):
    with pytest.raises(kind) as caught:
        night.preflight()
    return caught.value


@pytest.fixture
def role(each_night) -> Iterator[Night]:
    """The night as a role that may only connect."""
    name = f"role_{secrets.token_hex(4)}"
    execute(each_night.dsn, f"CREATE ROLE {name} LOGIN PASSWORD 'role-of-the-tests'")
    yield dataclasses.replace(
        each_night, dsn=dataclasses.replace(each_night.dsn, user=name, password="role-of-the-tests")
    )
    execute(each_night.dsn, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def test_a_good_night_is_described(each_night):
    execute(each_night.dsn, *SAMPLE)
    checked = each_night.preflight()
    assert (checked.taken_from, checked.tables, checked.notes) == ("primary", 12, ())
    assert checked.server_version // 10000 in MAJORS
    assert each_night.stored() == []


def test_a_role_that_may_not_read_is_refused_with_the_grant(each_night, role):
    execute(each_night.dsn, 'CREATE SCHEMA hidden; CREATE TABLE hidden."T x" (); CREATE SEQUENCE s')
    error = refusal(role)
    assert 'hidden."T x"' in error.what
    assert "public.s" in error.what
    assert f"GRANT pg_read_all_data TO {role.dsn.user}" in error.remedy
    execute(each_night.dsn, f"GRANT pg_read_all_data TO {role.dsn.user}")
    role.backup()


def test_row_security_that_would_hide_rows_is_refused(each_night, role):
    execute(
        each_night.dsn,
        "CREATE TABLE t AS SELECT 1 AS x",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        f"GRANT pg_read_all_data TO {role.dsn.user}",
    )
    error = refusal(role)
    assert "hide rows of 1 tables" in error.what
    assert "BYPASSRLS" in error.remedy
    execute(each_night.dsn, f"ALTER ROLE {role.dsn.user} BYPASSRLS")
    assert role.backup().rows == 1


def test_large_objects_of_others_are_refused(each_night, role):
    execute(each_night.dsn, "SELECT lo_from_bytea(0, 'x')", f"GRANT pg_read_all_data TO {role.dsn.user}")
    error = refusal(role)
    assert "large object" in error.what
    assert "lo_compat_privileges" in error.remedy
    execute(each_night.dsn, f"ALTER ROLE {role.dsn.user} SET lo_compat_privileges = on")
    role.backup()


def test_a_client_older_than_the_server_is_refused(postgres_of, bucket, ledger, monkeypatch):
    if MAJORS != [15, 18]:
        pytest.skip("needs PostgreSQL 15 and 18")
    only_15 = client_program("pg_dump", 150000).parent
    client_program.cache_clear()
    monkeypatch.setattr(programs, "folders", lambda: [only_15])
    with fresh_database(postgres_of(18)) as dsn:
        error = refusal(Night(dsn, bucket, ledger))
    client_program.cache_clear()
    assert "No pg_dump of version 18" in error.what
    assert "postgresql-client-18" in error.remedy


def test_a_lock_table_too_small_for_the_tables_is_refused(bucket, ledger):
    with (
        running_postgres(15, max_locks_per_transaction="10", max_connections="20") as server,
        fresh_database(server) as dsn,
    ):
        for first in range(0, 200, 40):
            execute(dsn, ";".join(f"CREATE TABLE t{n} ()" for n in range(first, first + 40)))
        error = refusal(Night(dsn, bucket, ledger))
    assert "locks 200 tables; the lock table has 200 places" in error.what
    assert "max_locks_per_transaction" in error.remedy


def test_what_is_wrong_with_server_and_store_is_named(night):
    assert refusal(dataclasses.replace(night, dsn=night.dsn.on("nowhere")), DatabaseError).sqlstate == "3D000"
    wrong = dataclasses.replace(night.dsn, password="wrong")
    assert refusal(dataclasses.replace(night, dsn=wrong), DatabaseError).sqlstate == "28P01"
    down = dataclasses.replace(night.dsn, port=free_port())
    assert refusal(dataclasses.replace(night, dsn=down), DatabaseError).retry
    missing = Bucket(night.bucket.client, "not-there")
    assert refusal(dataclasses.replace(night, bucket=missing), StorageError).code == "NoSuchBucket"
    wrong_key = s3_client(night.bucket.client.meta.endpoint_url, secret_key="wrong")
    night.bucket = Bucket(wrong_key, night.bucket.name)
    assert refusal(night, StorageError).code == "SignatureDoesNotMatch"


def test_another_run_at_work_is_refused(night):
    Lease(night.ledger, night.lease.name, "another").take()
    assert refusal(night).retry


class Pooler:
    """What a transaction pooler does to a session's start: its options do not reach the server."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pool, args=(client,), daemon=True).start()

    def _pool(self, client: socket.socket) -> None:
        body = self._packet(client)
        while struct.unpack("!I", body[:4])[0] in (80877103, 80877104):  # asks for TLS or GSS
            client.sendall(b"N")
            body = self._packet(client)
        body = re.sub(rb"options\0[^\0]*\0", b"", body)
        server = socket.create_connection(("127.0.0.1", self._target))
        server.sendall(struct.pack("!I", len(body) + 4) + body)
        threading.Thread(target=self._copy, args=(client, server), daemon=True).start()
        self._copy(server, client)

    @staticmethod
    def _packet(client: socket.socket) -> bytes:
        (length,) = struct.unpack("!I", client.recv(4, socket.MSG_WAITALL))
        return client.recv(length - 4, socket.MSG_WAITALL)

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        target.close()

    def close(self) -> None:
        self._listener.close()


def test_a_pooler_that_drops_the_sessions_settings_is_refused(each_night):
    pooler = Pooler(each_night.dsn.port)
    try:
        through = dataclasses.replace(each_night, dsn=dataclasses.replace(each_night.dsn, port=pooler.port))
        error = refusal(through)
    finally:
        pooler.close()
    assert "pooler" in error.what
    assert "Connect directly" in error.remedy


# --- standby ---


@pytest.fixture(scope="module", params=MAJORS)
def pair(request):
    """A primary and a standby that gives way to replay at once."""
    with running_postgres(request.param, wal_level="replica") as primary, memory_folder("standby") as folder:
        gives_way = {"hot_standby_feedback": "off", "max_standby_streaming_delay": "0"}
        standby = Standby("standby", primary, folder / "standby", free_port(), gives_way)
        try:
            standby.create()
            standby.start()
            yield primary, standby
        finally:
            standby.destroy()


@pytest.fixture
def standby_night(pair, bucket, ledger) -> Iterator[Night]:
    primary, standby = pair
    with fresh_database(primary) as dsn:
        standby.wait_until_caught_up()
        yield Night(
            dsn,
            bucket,
            ledger,
            BackupPolicy(prefer_standby=True, compression="none"),
            standby=dataclasses.replace(dsn, port=standby.port),
        )


def test_a_standby_that_follows_is_dumped_and_unlogged_tables_are_named(pair, standby_night):
    night = standby_night
    execute(night.dsn, *SAMPLE)
    pair[1].wait_until_caught_up()
    committed = night.backup()
    assert committed.taken_from == "standby"
    assert any("unlogged tables are absent (public.unlogged)" in note for note in committed.notes)
    tables = {table.name for table in night.catalog.manifest(committed.backup_id).tables}
    assert "unlogged" not in tables
    assert "orders" in tables


def test_an_idle_standby_is_not_taken_for_a_lagging_one(pair, standby_night):
    policy = standby_night.policy.model_copy(update={"max_standby_lag_seconds": 1})
    assert eventually(
        lambda: sources(standby_night.dsn, standby_night.standby, policy)[0][0].role == "standby", seconds=5
    )


def test_a_standby_that_lags_is_not_used_and_the_report_says_why(pair, standby_night):
    night = standby_night
    standby = pair[1]
    standby.execute("SELECT pg_wal_replay_pause()")
    try:
        assert eventually(lambda: standby.execute("SELECT pg_get_wal_replay_pause_state()") == [("paused",)])
        execute(night.dsn, "CREATE TABLE t AS SELECT 1 AS x", "INSERT INTO t VALUES (2)")
        assert eventually(lambda: standby.execute(sql_text("backup/standby_lag.sql"))[0][0] > 1)
        night.policy = night.policy.model_copy(update={"max_standby_lag_seconds": 1})
        committed = night.backup()
    finally:
        standby.execute("SELECT pg_wal_replay_resume()")
    assert (committed.taken_from, committed.rows) == ("primary", 2)
    assert any("since the standby cannot be used: The standby is" in note for note in committed.notes)


def test_a_standby_that_is_down_or_no_standby_is_not_used(standby_night):
    night = standby_night
    for wrong, why in ((dataclasses.replace(night.dsn, port=free_port()), "failed"), (night.dsn, "no standby")):
        found, notes = sources(night.dsn, wrong, night.policy)
        assert [one.role for one in found] == ["primary"]
        assert why in notes[0]


def test_a_connection_for_the_primary_that_leads_to_a_standby_is_refused(standby_night):
    with pytest.raises(Refused, match="leads to a standby"):
        sources(standby_night.standby, None, standby_night.policy)


def test_a_conflict_with_recovery_starts_the_dump_again_on_the_primary(pair, standby_night, monkeypatch):
    night = standby_night
    execute(
        night.dsn,
        "CREATE TABLE a AS SELECT g, repeat(md5(g::text), 20) AS x FROM generate_series(1, 16000) g",
        "CREATE TABLE b AS SELECT generate_series(1, 1000) AS g",
    )
    pair[1].wait_until_caught_up()
    module = sys.modules["pgops.backup.dump"]
    real, happened = module._Output.read, []

    def read(self, size=-1):
        data = real(self, size)
        if not happened:
            happened.append(True)
            execute(night.dsn, "DELETE FROM b WHERE g < 900", "DELETE FROM a WHERE g < 15000", "VACUUM a", "VACUUM b")
            assert eventually(lambda: conflicts(pair[1], night.dsn) > 0, 20)
        return data

    monkeypatch.setattr(module._Output, "read", read)
    committed = night.backup()
    assert happened
    assert committed.taken_from == "primary"
    assert any("conflict with recovery" in note for note in committed.notes)
    assert night.incomplete() == []
    assert night.catalog.backups() == [committed.backup_id]


def conflicts(standby: Standby, dsn: Dsn) -> int:
    return standby.execute(
        "SELECT confl_lock + confl_snapshot + confl_bufferpin + confl_deadlock FROM pg_stat_database_conflicts"
        f" WHERE datname = '{dsn.dbname}'"
    )[0][0]
