"""`./dev run --load`: pgbench's log becomes a table of latencies, and nothing of it stays."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from pgops.errors import Refused
from sandbox import load
from sandbox.load import Load, Request, latency, load_of, parsed
from sandbox.postgres import PostgresServer


def test_each_line_of_the_log_is_a_request_and_half_a_line_is_none() -> None:
    lines = ["3 17 1500 0 1700000000 250000 900", "4 18 250000 1 1700000001 0", "5 19 failed 1 1700000001 0", "5 20 77"]
    assert parsed(lines) == [Request(False, 1700000000.25, 1.5), Request(True, 1700000001.0, 250.0)]


def test_a_request_is_counted_from_when_it_was_due() -> None:
    read, write = parsed(["0 1 1500 0 1700000000 500000 200", "3 7 40000 1 1700000001 0 39000"])
    assert (read.written, read.ms, read.due) == (False, 1.5, pytest.approx(1700000000.4985, rel=1e-13))
    assert (write.written, write.ms, write.due) == (True, 40.0, pytest.approx(1700000000.96, rel=1e-13))


def test_percentiles_are_by_nearest_rank_and_the_longest_says_when_it_was() -> None:
    found = latency([Request(True, 100 + ms, ms) for ms in range(100, 0, -1)])
    assert found is not None
    assert (found.count, found.p50, found.p95, found.p99, found.max, found.max_at) == (100, 50, 95, 99, 100, 200)
    assert latency([]) is None


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "BEFORE_SECONDS", 1.0)
    monkeypatch.setattr(load, "AFTER_SECONDS", 1.0)


def test_a_stall_of_the_table_shows_in_the_table_of_latencies(
    each_postgres: PostgresServer, quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dbname = f"load_{each_postgres.binaries.major}"
    each_postgres.execute(f"create database {dbname}")
    try:
        each_postgres.execute('create table "T 1" (id int primary key, "A b" text)', dbname)
        each_postgres.execute('insert into "T 1" select g, g from generate_series(1, 100) g', dbname)
        with Load(each_postgres, dbname, '"T 1"') as running:
            each_postgres.execute('begin; lock table "T 1"; select pg_sleep(1); commit', dbname)
        assert running.errors == ""
        before = latency(running.of(written=True, beside=False))
        stalled = latency(running.of(written=True, beside=True))
        assert before is not None and stalled is not None and stalled.max >= 900
        assert [line.split("  ")[0] for line in running.lines()] == [
            "latency, ms",
            "reads before the run",
            "reads beside the run",
            "writes before the run",
            "writes beside the run",
            "errors: none",
        ]
        assert list(tmp_path.iterdir()) == []
        assert each_postgres.execute("select pid from pg_stat_activity where application_name = 'load'") == []
    finally:
        each_postgres.execute(f"drop database {dbname} with (force)")


def test_an_error_that_a_request_gets_is_shown(postgres: PostgresServer, quick: None) -> None:
    postgres.execute("create table gone (id int primary key, n int)")
    with Load(postgres, "postgres", "gone") as running:
        postgres.execute("drop table gone")
        time.sleep(0.5)
        postgres.execute("create table gone (id int primary key, n int)")
    postgres.execute("drop table gone")
    assert "does not exist" in running.lines()[-1]


def test_what_no_load_can_be_put_on_is_refused(postgres: PostgresServer, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="No table"):
        load_of(postgres, {"database": "app"}, "app")
    with pytest.raises(Refused, match="no primary key"), load_of(postgres, {"table": "nowhere"}, "postgres"):
        pass
    postgres_without = PostgresServer("x", replace(postgres.binaries, bindir=tmp_path), tmp_path, 1, "")
    with pytest.raises(Refused, match="no pgbench"), Load(postgres_without, "postgres", "t"):
        pass
