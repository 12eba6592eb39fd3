"""The primary dies while a worker is at work, and its standby takes over: what that one has is done exactly once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

import pytest

from pgops import backfill
from pgops.postgres import Dsn
from sandbox.postgres import PostgresServer, Standby
from tests import servers
from tests.backfill.backfills import FAST, begun, execute, one, users
from tests.backfill.test_faults import Before
from tests.servers import eventually

ROWS = 3_000
SMALL = replace(FAST, first_batch=100, most_batch=100)


@dataclass
class Pair:
    """A primary and its standby: one port, two addresses, as two hosts of a connection have it."""

    primary: PostgresServer
    standby: Standby

    def dsn(self, hosts: str) -> Dsn:
        wanted = {"target_session_attrs": "read-write"} if "," in hosts else {}
        return Dsn(hosts, self.primary.port, "postgres", "postgres", self.primary.password, wanted)


@pytest.fixture(params=servers.MAJORS)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with ExitStack() as stack:
        primary = stack.enter_context(servers.running_postgres(request.param, synchronous_commit="local"))
        folder = stack.enter_context(servers.memory_folder("standby"))
        settings = {"listen_addresses": "127.0.0.2"}
        standby = Standby("heir", primary, folder / "server", primary.port, settings)
        stack.callback(standby.destroy)
        standby.create()
        standby.start()
        yield Pair(primary, standby)


def test_after_a_failover_the_rows_are_done_exactly_once_on_the_server_that_took_over(pair: Pair) -> None:
    both, heir = pair.dsn("127.0.0.1,127.0.0.2"), pair.dsn("127.0.0.2")
    users(both, ROWS)
    job = begun(both)
    promoting: list[threading.Thread] = []
    known: dict[str, int] = {}
    rows_done = "SELECT sum(rows_done)::int FROM pgops.backfill_ranges"

    def cut_off() -> None:
        """From now on the standby hears nothing, as behind a network that is failing already."""
        execute(heir, "ALTER SYSTEM SET primary_conninfo = ''")
        execute(heir, "SELECT pg_reload_conf()")
        assert eventually(lambda: execute(heir, "SELECT 1 FROM pg_stat_wal_receiver") == [], 30)
        assert eventually(lambda: one(heir, "SELECT pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()"), 30)

    def fail_over() -> None:
        known.update(before=one(both, rows_done), heir=one(heir, rows_done))
        pair.primary.kill()
        promoting.append(threading.Thread(target=execute, args=(heir, "SELECT pg_promote(true, 60)")))
        promoting[0].start()

    class Failing(Before):
        """Cuts the standby off before the fifth batch, and kills the primary before the fifteenth."""

        def before_batch(self) -> backfill.Go:
            if self.left == 10:
                cut_off()
            return super().before_batch()

    assert eventually(lambda: execute(heir, "SELECT to_regclass('pgops.backfill_jobs') IS NOT NULL") == [(True,)], 30)
    worked = backfill.work(both, job.id, None, Failing(14, fail_over), options=SMALL)
    promoting[0].join()
    assert worked.outcome == "done"
    assert 0 < known["heir"] < known["before"] < ROWS, "rows were done that the heir never heard of"
    assert one(heir, "SELECT pg_is_in_recovery()") is False
    assert one(heir, "SELECT count(*) FROM users WHERE tier IS NULL OR touched <> 1") == 0
    assert one(heir, rows_done) == ROWS
    assert backfill.state(both, job.id).job.status == "done"
