"""The ledger upgrades itself, tolerates a newer one, and gives a lease to one owner at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pgops.errors import LostOwnership, Refused
from pgops.ledger import Lease, Ledger, held_lease, schema, store
from sandbox.postgres import PostgresServer

PLUGINS = Path(__file__).parents[2] / "plugins"
FACTS = {
    "database": "app",
    "backup_id": "20261123T020000Z-1f9a3c",
    "started_at": datetime(2026, 11, 23, 2, tzinfo=UTC),
    "finished_at": datetime(2026, 11, 23, 3, tzinfo=UTC),
    "bytes": 1,
    "raw_bytes": 2,
    "seconds": 3.0,
    "taken_from": "primary",
    "verification": "L3",
    "tables": 4,
    "rows": 5,
}


@pytest.fixture
def empty(database):
    """A ledger whose database is empty and which nobody used yet."""
    store._current.clear()
    return Ledger(database)


def version(ledger: Ledger) -> str:
    return ledger.rows("version")[0]["version_num"]


def test_the_first_use_makes_the_schema_and_the_second_changes_nothing(empty):
    assert empty.rows("lease_holder", name="x") == []
    assert version(empty) == schema.newest()
    empty.record_backup(FACTS)
    store._current.clear()
    schema.upgrade(schema.url(empty.dsn))
    assert version(empty) == schema.newest()
    assert ask(empty, "SELECT count(*) FROM pgops.backups") == 1


def test_several_upgrades_at_once_wait_for_each_other(empty):
    environ = os.environ | {
        "PYTHONPATH": str(PLUGINS),
        "PGOPS_LEDGER_URL": schema.url(empty.dsn).render_as_string(hide_password=False),
    }
    upgrades = [
        subprocess.Popen([sys.executable, "-m", "pgops.ledger.schema"], env=environ, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    ended = [(upgrade.communicate()[1], upgrade.returncode) for upgrade in upgrades]
    assert [code for _, code in ended] == [0] * 4, ended
    assert version(empty) == schema.newest()


def test_threads_that_use_it_first_at_once_do_not_collide(empty):
    failures = []

    def use():
        try:
            Ledger(empty.dsn).rows("lease_holder", name="x")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_ledger_that_a_newer_release_upgraded_is_used_as_it_is(empty, caplog):
    version(empty)
    ask(empty, "UPDATE pgops.alembic_version SET version_num = '9999' RETURNING 1")
    store._current.clear()
    empty.record_backup(FACTS)
    assert "newer than this code" in caplog.text
    assert version(empty) == "9999"


def test_recording_the_same_again_changes_nothing(empty):
    empty.record_backup(FACTS)
    empty.record_backup(FACTS | {"bytes": 99})
    assert ask(empty, "SELECT array_agg(bytes) FROM pgops.backups") == [1]
    empty.record_pruned("app", [FACTS["backup_id"]])
    first = ask(empty, "SELECT pruned_at FROM pgops.backups")
    empty.record_pruned("app", [FACTS["backup_id"], "unknown"])
    assert ask(empty, "SELECT pruned_at FROM pgops.backups") == first
    for state in ("failed", "success"):
        empty.record_run("nightly_backup", "run1", "app", state, {"why": "'quoted'"})
    assert ask(empty, "SELECT array_agg(state) FROM pgops.runs") == ["success"]
    empty.record_alert("task_failed", "text", None)
    empty.record_drill("app", FACTS["backup_id"], FACTS["started_at"], FACTS["finished_at"], REPORT)
    assert ask(empty, "SELECT report->>'why' FROM pgops.drills WHERE passed") == "é"


REPORT = {"passed": True, "rto_seconds": 1.5, "why": "é"}


def ask(ledger: Ledger, statement: str):
    with ledger.session() as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


# --- leases ---


@pytest.fixture
def lease(ledger, request):
    return lambda owner, seconds=60.0: Lease(ledger, f"backup/{request.node.name}", owner, seconds)


def test_a_lease_has_one_owner_until_it_is_given_back(lease):
    lease("one").take()
    lease("one").take()
    lease("one").refuse_if_taken()
    with pytest.raises(Refused) as caught:
        lease("two").take()
    assert "one has it until" in caught.value.what
    assert caught.value.retry
    with pytest.raises(Refused):
        lease("two").refuse_if_taken()
    lease("two").release()  # not its own: nothing happens
    lease("one").renew()
    lease("one").release()
    lease("two").refuse_if_taken()
    lease("two").take()


def test_a_dead_owners_lease_runs_out_and_the_dead_one_cannot_come_back(lease):
    lease("dead", 0.3).take()
    time.sleep(0.4)
    lease("dead", 0.3).renew()  # nobody took it meanwhile: it is still the owner
    time.sleep(0.4)
    lease("next").refuse_if_taken()
    lease("next").take()
    with pytest.raises(LostOwnership):
        lease("dead").renew()
    lease("dead").release()
    lease("next").renew()


def test_many_that_want_a_lease_at_once_get_it_once(lease):
    got, barrier = [], threading.Barrier(8)

    def want(owner):
        barrier.wait()
        try:
            lease(owner).take()
        except Refused:
            return
        got.append(owner)

    threads = [threading.Thread(target=want, args=(f"owner{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1


def test_a_held_lease_outlives_its_seconds_and_is_kept_after_success(lease):
    with held_lease(lease("one", 0.6)):
        time.sleep(1.5)
        with pytest.raises(Refused):
            lease("two").take()
    with pytest.raises(Refused):
        lease("two").take()


def test_a_held_lease_is_given_back_after_a_failure(lease):
    with pytest.raises(ZeroDivisionError), held_lease(lease("one")):
        raise ZeroDivisionError
    lease("two").take()


def test_an_unreachable_ledger_does_not_hide_what_happened(postgres: PostgresServer, lease):
    one = lease("one", 60)
    with pytest.raises(ZeroDivisionError), held_lease(one):
        postgres.execute(f"ALTER DATABASE {one.ledger.dsn.dbname} ALLOW_CONNECTIONS false")
        raise ZeroDivisionError
    postgres.execute(f"ALTER DATABASE {one.ledger.dsn.dbname} ALLOW_CONNECTIONS true")


def test_the_code_knows_the_newest_version_of_the_schema():
    assert schema.newest() == store.NEWEST
