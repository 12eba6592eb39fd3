"""Databases that a backup tool meets only in real life: other encodings, policies, sequences, limits, names."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from pgops.errors import PgOpsError
from pgops.processes import stop_all
from pgops.recovery import restore
from tests.drills import drilled, scratch_database
from tests.nights import execute


@pytest.mark.parametrize(
    ("encoding", "word"), [("LATIN1", "'grün'"), ("SQL_ASCII", r"convert_from('\xfc', 'SQL_ASCII')")]
)
def test_a_database_in_another_encoding_is_proven_and_passes_its_drill(postgres, night, encoding, word):
    dbname = f"{night.dsn.dbname}_{encoding.lower()}"
    postgres.execute(f"CREATE DATABASE {dbname} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")
    try:
        night.dsn = night.dsn.on(dbname)
        execute(night.dsn, "CREATE TABLE t (a text)", f"INSERT INTO t VALUES ({word})")
        assert drilled(night).problems == ()
    finally:
        postgres.execute(f"DROP DATABASE {dbname} WITH (FORCE)")


def test_a_sequence_that_was_behind_in_the_source_too_is_no_damage(night):
    execute(night.dsn, "CREATE TABLE t (id serial PRIMARY KEY)", "INSERT INTO t VALUES (100)")
    assert drilled(night).problems == ()


def test_a_policy_for_a_role_of_the_source_needs_no_such_role(postgres, night):
    execute(
        night.dsn,
        "CREATE TABLE t (a int)",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        "CREATE ROLE of_the_source",
        "CREATE POLICY p ON t TO of_the_source USING (true)",
    )
    committed = night.backup()
    execute(night.dsn, "DROP POLICY p ON t", "DROP ROLE of_the_source")
    with scratch_database(night.dsn) as scratch:
        restore(night.catalog, committed.backup_id, scratch, jobs=2)


def test_a_transaction_limit_of_the_role_does_not_end_the_snapshot(each_night, monkeypatch):
    """PostgreSQL 17 has transaction_timeout; pg_dump lifts it for itself, the snapshot's session must too."""
    if execute(each_night.dsn, "SELECT count(*) FROM pg_settings WHERE name = 'transaction_timeout'") == [(0,)]:
        pytest.skip("before PostgreSQL 17 there is no such limit")
    execute(
        each_night.dsn,
        "CREATE TABLE t (a int)",
        f"ALTER DATABASE {each_night.dsn.dbname} SET transaction_timeout = '2s'",
    )
    stream = sys.modules["pgops.backup.dump"]._stream_dump

    def late(*arguments):
        time.sleep(3)
        return stream(*arguments)

    monkeypatch.setattr(sys.modules["pgops.backup.dump"], "_stream_dump", late)
    each_night.dump()


def test_a_sequence_whose_name_looks_like_a_table_of_the_dump_is_backed_up(night):
    execute(night.dsn, 'CREATE SEQUENCE "e\nCOPY public.fake FROM stdin;\n"')
    night.backup()


def test_a_name_in_the_dump_that_is_no_utf8_does_not_hang_verify(night, failing_pg_dump):
    """The thread that counts rows dies, nobody reads pg_restore any more, and verify waits for ever."""
    execute(night.dsn, "CREATE TABLE alpha AS SELECT repeat(md5(g::text), 20) AS x FROM generate_series(1, 20000) g")
    with failing_pg_dump("$REAL \"$@\" | LC_ALL=C sed 's/COPY public.alpha/COPY public.alph\\xff/'"):
        dumped = night.dump()
    verifying = threading.Thread(target=_refused, args=(night, dumped.backup_id), daemon=True)
    verifying.start()
    verifying.join(20)
    hangs = verifying.is_alive()
    stop_all()
    assert not hangs


def _refused(night, backup_id):
    with pytest.raises(PgOpsError):
        night.verify(backup_id)
