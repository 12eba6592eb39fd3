"""The throttle sees what really happens on servers, and holds a writer back for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg2
import pytest

from pgops.backfill.pace import Go, Stop, Wait
from pgops.backfill.throttle import Order, Throttle
from pgops.backfill.throttle.people import Blackout
from pgops.backfill.throttle.poll import nobody
from pgops.backfill.throttle.replication import Slots, StandbyLag
from pgops.backfill.throttle.server import PgWal, WalRate, Wraparound
from pgops.backfill.throttle.sessions import BlockedSessions, Connections, OldSnapshots
from pgops.backfill.throttle.table import Autovacuum, CanaryLatency, TableSize, p95
from pgops.errors import Refused
from pgops.postgres import Dsn
from sandbox.postgres import PostgresServer, Standby, free_port
from tests.backfill.throttles import execute, oid, policy, read
from tests.fleet.test_backfills import at
from tests.servers import MAJORS, SUPERUSER_PASSWORD, eventually, memory_folder, running_postgres

MONITOR = Path(__file__).parents[2] / "include" / "sql" / "roles" / "monitor.sql"
MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module", params=MAJORS)
def pair(request) -> Iterator[tuple[PostgresServer, Standby]]:
    with running_postgres(request.param) as primary, memory_folder("standby") as folder:
        standby = Standby("follower", primary, folder / "server", free_port())
        standby.create()
        standby.start()
        try:
            standby.wait_until_caught_up()
            yield primary, standby
        finally:
            standby.destroy()


def of(server: PostgresServer) -> Dsn:
    return Dsn("127.0.0.1", server.port, "postgres", "postgres", SUPERUSER_PASSWORD)


def filled(dsn: Dsn, rows: int = 1000) -> int:
    execute(dsn, "DROP TABLE IF EXISTS t")
    execute(dsn, "CREATE TABLE t (id int PRIMARY KEY, v text)")
    execute(dsn, "INSERT INTO t SELECT g, repeat('x', 300) FROM generate_series(1, %s) g", rows)
    return oid(dsn, "t")


@contextmanager
def session(dsn: Dsn, name: str = "tests") -> Iterator[psycopg2.extensions.connection]:
    with closing(psycopg2.connect(dsn.conninfo(), password=dsn.password, application_name=name)) as connection:
        yield connection


class Writer:
    """The simplest engine: it updates a slice of the table again and again and does what its pace says."""

    def __init__(self, dsn: Dsn, pace: Throttle, rows: int = 300) -> None:
        self.dsn, self.pace, self.rows = dsn, pace, rows
        self.batches = 0
        self.held = 0  # answers in a row that were to wait
        self.outcome: object = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with session(self.dsn, "writer") as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            while not self._over.is_set():
                answer = self.pace.before_batch()
                if isinstance(answer, Stop):
                    self.outcome = answer
                    return
                if isinstance(answer, Wait):
                    self.outcome = answer
                    self.held += 1
                    self._over.wait(answer.seconds)
                    continue
                self.held = 0
                started = time.perf_counter()
                before = self._wal(cursor)
                cursor.execute("UPDATE t SET v = repeat('y', 300) WHERE id <= %s", (self.rows,))
                ms = (time.perf_counter() - started) * 1000
                self.batches += 1
                self._over.wait(self.pace.after_batch(self.rows, ms, self._wal(cursor) - before))

    def _wal(self, cursor) -> int:
        cursor.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")
        return cursor.fetchone()[0]


def behind(primary: PostgresServer) -> int:
    rows = primary.execute(
        "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint FROM pg_stat_replication"
        " WHERE application_name = 'follower'"
    )
    return rows[0][0] if rows else 0


# --- replication ---


def test_the_lag_of_a_standby_that_stands_still_stays_at_the_limit(pair):
    primary, standby = pair
    dsn = of(primary)
    table = filled(dsn)
    standby.wait_until_caught_up()
    assert eventually(lambda: behind(primary) < MEGABYTE)
    with Throttle(dsn, table, policy(max_lag_mb=4)) as pace, Writer(dsn, pace) as writer:
        standby.execute("SELECT pg_wal_replay_pause()")
        try:
            # It goes on until the limit, and not beyond: it was told to wait so often that no look is outstanding.
            assert eventually(lambda: writer.held > 10 and behind(primary) > 3 * MEGABYTE, 120)
            assert behind(primary) < 1.25 * 4 * MEGABYTE
            stood = writer.batches
        finally:
            standby.execute("SELECT pg_wal_replay_resume()")
        assert eventually(lambda: writer.batches > stood + 5, 60)
    assert pace.reasons()["standby lag"] > 0


def test_a_standby_that_is_stopped_is_red_and_not_without_lag(pair):
    primary, standby = pair
    dsn = of(primary)
    assert eventually(lambda: behind(primary) < MEGABYTE)
    signal = StandbyLag(16, 1024, ["follower"])
    assert read(dsn, signal).level == "green"
    assert read(dsn, StandbyLag(16, 1024, ["follower", "other"])).level == "red"
    unlisted = StandbyLag(16, 1024)
    assert read(dsn, unlisted).level == "green"
    standby.stop()
    try:
        assert eventually(lambda: read(dsn, signal).level == "red")
        assert "follower does not stream" in read(dsn, signal).words
        assert read(dsn, unlisted).level == "red"  # it streamed at the start
        with Throttle(dsn, filled(dsn), policy(standbys=["follower"])) as pace:
            held = pace.before_batch()
            assert isinstance(held, Wait) and "follower does not stream" in held.reason
    finally:
        standby.start()
    assert eventually(lambda: read(dsn, signal).level == "green", 30)


def test_a_lag_beyond_its_critical_limit_stops(pair):
    primary, standby = pair
    dsn = of(primary)
    table = filled(dsn)
    standby.execute("SELECT pg_wal_replay_pause()")
    try:
        execute(dsn, "UPDATE t SET v = 'z' || v")
        assert eventually(lambda: behind(primary) > 0.2 * MEGABYTE)
        with Throttle(dsn, table, policy(max_lag_mb=0.1, critical_lag_mb=0.2)) as pace:
            stopped = pace.before_batch()
            assert isinstance(stopped, Stop) and "follower is" in stopped.reason
    finally:
        standby.execute("SELECT pg_wal_replay_resume()")


def test_positions_hidden_by_privileges_are_an_error_at_the_start(pair):
    primary, _ = pair
    dsn = of(primary)
    table = filled(dsn)
    execute(dsn, "CREATE ROLE blind LOGIN PASSWORD 'x'")
    execute(dsn, "GRANT SELECT ON t TO blind")
    try:
        blind = replace(dsn, user="blind", password="x")
        with pytest.raises(Refused, match="pg_monitor"):
            Throttle(blind, table, policy()).__enter__()
        with pytest.raises(Refused, match="hidden"):
            read(blind, StandbyLag(16, 1024))
        execute(dsn, "GRANT pg_monitor TO blind")
        with Throttle(blind, table, policy()) as pace:
            assert pace.before_batch() == Go()
    finally:
        execute(dsn, "REVOKE ALL ON t FROM blind")
        execute(dsn, "DROP ROLE blind")


def test_a_standby_is_no_place_for_a_throttle(pair):
    primary, standby = pair
    table = filled(of(primary))
    standby.wait_until_caught_up()
    with pytest.raises(Refused, match="standby"):
        Throttle(of(standby), table, policy()).__enter__()


def test_a_slot_that_nobody_reads_retains_and_is_named(each_database):
    dsn = each_database
    assert read(dsn, Slots(1)).level == "green"
    execute(dsn, "SELECT pg_create_physical_replication_slot('forgotten', true)")
    try:
        filled(dsn, 20_000)
        found = read(dsn, Slots(1))
        assert (found.level, "forgotten (nobody reads it)" in found.words) == ("red", True)
        assert found.figure > MEGABYTE
        assert read(dsn, Slots(1000)).level == "green"
    finally:
        execute(dsn, "SELECT pg_drop_replication_slot('forgotten')")


def test_a_slot_that_is_lost_meanwhile_stops_and_one_lost_before_does_not():
    with running_postgres(MAJORS[0], max_slot_wal_keep_size="1MB") as server:
        dsn = of(server)
        execute(dsn, "SELECT pg_create_physical_replication_slot('s', true)")
        signal = Slots(10_000)
        assert read(dsn, signal).level == "green"
        execute(dsn, "CREATE TABLE filler AS SELECT repeat('x', 1000) FROM generate_series(1, 60000)")
        assert read(dsn, signal).level == "red"  # unreserved: lost at the next checkpoint
        for _ in range(2):
            execute(dsn, "SELECT pg_switch_wal()")
            execute(dsn, "CHECKPOINT")
        assert read(dsn, signal).level == "critical"
        assert read(dsn, Slots(10_000)).level == "green"


# --- sessions ---


def test_a_session_that_waits_for_us_is_red_at_the_second_look_and_one_that_waits_for_others_is_not(each_database):
    dsn = each_database
    filled(dsn)
    with session(dsn, "we") as we, session(dsn, "application") as they:
        we.cursor().execute("UPDATE t SET v = 'a' WHERE id = 1")
        waits = threading.Thread(target=lambda: they.cursor().execute("UPDATE t SET v = 'b' WHERE id = 1"))
        waits.start()
        try:
            ours = BlockedSessions(0, "we")
            assert eventually(lambda: read(dsn, ours).figure == 1)
            found = read(dsn, ours)
            assert (found.level, "application" in found.words) == ("red", True)
            assert read(dsn, BlockedSessions(0, "we")).level == "green"  # the first look
            assert read(dsn, BlockedSessions(1, "we"), times=3).level == "green"
            assert read(dsn, BlockedSessions(0, "application"), times=3).figure == 0
            assert read(dsn, BlockedSessions(0, "nobody"), times=3).figure == 0
        finally:
            we.rollback()
            waits.join(30)
        assert read(dsn, ours).level == "green"


def test_connections_are_measured_against_what_there_may_be(each_database):
    assert read(each_database, Connections(0.9)).level == "green"
    assert read(each_database, Connections(0.001)).level == "red"


def test_a_transaction_open_for_long_and_a_prepared_one_are_named(database):
    assert read(database, OldSnapshots(0.0001, "we")).level == "green"
    with session(database, "forgotten") as other:
        other.set_session(isolation_level="REPEATABLE READ")
        other.cursor().execute("SELECT 1")
        assert eventually(lambda: read(database, OldSnapshots(0.0001, "we")).level == "red")
        assert "forgotten" in read(database, OldSnapshots(0.0001, "we")).words
        assert read(database, OldSnapshots(30, "we")).level == "green"
        assert read(database, OldSnapshots(0.0001, "forgot")).level == "green"


# --- server and table ---


def test_the_wal_rate_is_that_of_the_last_seconds(database):
    now = [0.0]
    signal = WalRate(1, lambda: now[0])
    assert read(database, signal).figure == 0
    filled(database, 20_000)
    now[0] = 1.0
    assert read(database, signal).level == "red"
    now[0] = 2.0
    read(database, signal)
    now[0] = 10.0
    assert read(database, signal).level == "green"


def test_the_size_of_pg_wal_and_of_the_table_are_seen(each_database):
    table = filled(each_database)
    assert read(each_database, PgWal(None)).level == "green"
    assert read(each_database, PgWal(1)).level == "red"
    assert read(each_database, TableSize(table, 1)).level == "green"
    assert read(each_database, TableSize(table, 0.0001)).level == "critical"
    assert read(each_database, Wraparound()).level == "green"


def test_the_canary_reads_the_table_also_when_all_its_first_pages_are_dead(each_database):
    dsn = each_database
    table = filled(dsn, 5000)
    execute(dsn, "DELETE FROM t WHERE id < 4900")
    signal = CanaryLatency(table, 2, 500, lambda: False)
    assert read(dsn, signal, times=30).level == "green"
    execute(dsn, 'ALTER TABLE t RENAME TO "new ""name"""')
    assert read(dsn, signal).level == "green"
    execute(dsn, 'DROP TABLE "new ""name"""')
    with pytest.raises(Refused, match="gone"):
        read(dsn, signal)


def test_slow_reads_are_red_against_what_is_usual_and_the_usual_moves_in_pauses():
    took = iter([1.0] * 20 + [30.0] * 420)
    idle = [True]
    signal = CanaryLatency(1, 2, 5, lambda: idle[0])
    signal._took = lambda ask: next(took)  # the clock alone is replaced: a slow disk cannot be had on demand
    for _ in range(20):
        assert signal.read(nobody).level == "green"
    idle[0] = False
    readings = [signal.read(nobody) for _ in range(20)]
    assert readings[0].level == "green"  # one slow read is no tail
    assert (readings[-1].level, readings[-1].limit) == ("red", 5)
    idle[0] = True
    for _ in range(400):
        last = signal.read(nobody)
    assert (last.level, last.limit) == ("green", 60)


@pytest.mark.parametrize(("values", "expected"), [([], 0), ([7], 7), (range(1, 21), 19), (range(1, 101), 95)])
def test_p95_is_the_nearest_rank(values, expected):
    assert p95(list(values)) == expected


def test_a_read_that_waits_for_the_tables_lock_is_a_slow_read_and_not_a_blind_one(database):
    table = filled(database)
    signal = CanaryLatency(table, 2, 100, lambda: False)
    read(database, signal, times=20)
    with session(database) as other:
        other.cursor().execute("LOCK TABLE t")
        found = read(database, signal, times=2)
    assert (found.level, found.figure > 1900) == ("red", True)


@pytest.fixture(scope="module", params=MAJORS)
def vacuuming(request) -> Iterator[Dsn]:
    """A server whose autovacuum begins soon and is slow, so that it can be seen."""
    settings = {
        "autovacuum": "on",
        "autovacuum_naptime": "1s",
        "autovacuum_vacuum_cost_delay": "100ms",
        "autovacuum_vacuum_cost_limit": "1",
        "autovacuum_freeze_max_age": "100000",
    }
    with running_postgres(request.param, **settings) as server:
        yield of(server)


def burn_transaction_ids(dsn: Dsn, count: int) -> None:
    execute(
        dsn,
        f"DO $$ BEGIN FOR i IN 1..{count} LOOP BEGIN PERFORM pg_current_xact_id(); PERFORM txid FROM"
        " (SELECT pg_current_xact_id() AS txid) q; INSERT INTO burnt VALUES (1); RAISE division_by_zero;"
        " EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END $$",
    )


def test_a_real_autovacuum_slows_down_and_one_against_wraparound_holds_up(vacuuming):
    dsn = vacuuming
    table = filled(dsn, 20_000)
    execute(dsn, "CREATE TABLE IF NOT EXISTS burnt (i int)")
    usual, urgent = Autovacuum(table, "we", hard=False), Autovacuum(table, "we", hard=True)
    assert (read(dsn, usual).level, read(dsn, urgent).level) == ("green", "green")
    execute(dsn, "UPDATE t SET v = 'y'")
    assert eventually(lambda: read(dsn, usual).level == "red", 30)
    assert (read(dsn, urgent).level, "public.t" in read(dsn, usual).words) == ("green", True)
    # It is let through, and would come back without end: now the table needs one against wraparound.
    execute(dsn, "ALTER TABLE t SET (autovacuum_enabled = off)")
    execute(dsn, "ALTER TABLE burnt SET (autovacuum_enabled = off)")
    burn_transaction_ids(dsn, 120_000)
    assert eventually(lambda: read(dsn, urgent).level == "red", 60)
    assert "to prevent a wraparound" in read(dsn, urgent).words
    assert read(dsn, usual).level == "green"
    with Throttle(dsn, table, policy()) as pace:
        held = pace.before_batch()
        assert isinstance(held, Wait) and held.reason.startswith("wraparound vacuum")


# --- people ---


def test_a_blackout_holds_up_and_says_until_when():
    zone = ZoneInfo("Europe/Berlin")
    windows = ["Mon-Fri 09:00-17:00", "22:30-01:00"]

    def level_at(moment: str) -> tuple[str, str]:
        found = Blackout(windows, zone, lambda: at(moment)).read(nobody)
        return found.level, found.words

    assert level_at("2026-03-02T10:00") == ("red", "blackout: Mon-Fri 09:00-17:00, until Mon 17:00 CET")
    assert level_at("2026-07-06T16:00") == ("red", "blackout: Mon-Fri 09:00-17:00, until Mon 17:00 CEST")
    assert level_at("2026-03-03T00:30")[0] == "red"
    assert level_at("2026-03-03T01:00")[0] == "green"


def test_the_operators_pause_and_speed_act_while_it_runs(database):
    table = filled(database)
    order = [Order()]
    with Throttle(database, table, policy(), order=lambda: order[0]) as pace, Writer(database, pace) as writer:
        assert eventually(lambda: writer.batches > 3)
        order[0] = Order(paused=True)
        assert eventually(lambda: isinstance(pace.before_batch(), Wait))
        assert "operator: paused" in str(pace.before_batch())
        stood = writer.batches
        time.sleep(0.5)
        assert writer.batches - stood <= 1
        order[0] = Order(speed=0.5)
        assert eventually(lambda: writer.batches > stood + 3)
        assert eventually(lambda: pace.after_batch(1, 100, 0) >= 0.1)


def test_an_operators_order_that_fails_or_hangs_holds_up_and_never_blocks(database):
    table = filled(database)
    answers = {"now": "fine"}
    hang = threading.Event()

    def order() -> Order:
        if answers["now"] == "raises":
            raise RuntimeError("the ledger is gone")
        if answers["now"] == "hangs":
            hang.wait(30)
        return Order()

    with Throttle(database, table, policy(), order=order) as pace:
        assert pace.before_batch() == Go()
        answers["now"] = "raises"
        assert eventually(lambda: "the ledger is gone" in str(pace.before_batch()))
        answers["now"] = "fine"
        assert eventually(lambda: pace.before_batch() == Go())
        answers["now"] = "hangs"
        assert eventually(lambda: "does not answer" in str(pace.before_batch()))
        hang.set()


# --- the whole ---


def test_a_server_that_is_gone_holds_up_then_stops_and_one_that_comes_back_lets_go():
    with running_postgres(MAJORS[-1]) as server:
        dsn = of(server)
        table = filled(dsn)
        with Throttle(dsn, table, policy()) as pace:
            assert pace.before_batch() == Go()
            server.restart("immediate")
            assert eventually(lambda: pace.before_batch() == Go(), 20)
        with Throttle(dsn, table, policy(max_blind_seconds=1)) as pace:
            server.stop("immediate")
            assert eventually(lambda: isinstance(pace.before_batch(), Wait))
            assert eventually(lambda: isinstance(pace.before_batch(), Stop), 20)


def test_every_signal_stands_in_the_readings_in_words(each_database):
    table = filled(each_database)
    with Throttle(each_database, table, policy(max_table_gb=1, max_wal_mb_s=1000)) as pace:
        readings = pace.readings()
    assert [one.level for one in readings] == ["green"] * len(readings)
    assert [one.name for one in readings] == [
        *("operator", "blackout", "wraparound vacuum", "transaction ids", "standby lag", "blocked sessions"),
        *("replication slots", "pg_wal", "table size", "read latency", "WAL rate", "vacuum", "connections"),
        "old snapshot",
    ]
    assert all(one.words.startswith(one.name) for one in readings)


def test_a_throttle_that_ends_leaves_no_session(database):
    table = filled(database)
    with Throttle(database, table, policy()):
        pass
    left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgops.backfill.throttle'"
    assert eventually(lambda: execute(database, left) == [(0,)])


def test_a_table_that_is_not_there_is_refused_at_the_start(database):
    with pytest.raises(Refused, match="gone"):
        Throttle(database, 999_999, policy()).__enter__()
