"""A dump that is killed in any way: nothing of it is left, and the backup is taken all the same."""

from __future__ import annotations

import psutil
import pytest

from pgops.errors import Refused
from pgops.ledger import Lease, Ledger
from pgops.postgres import Dsn
from tests.servers import eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]
DATABASE = "billing"  # its dump comes from the primary
SOON = 15.0  # seconds: the server looks every two whether its client is there


def task_process(dump: psutil.Process) -> list[psutil.Process]:
    return [dump.parent()]


def supervisor(dump: psutil.Process) -> list[psutil.Process]:
    return [dump.parent().parent()]


def everything(dump: psutil.Process) -> list[psutil.Process]:
    return [dump.parent().parent(), dump.parent(), dump]


@pytest.fixture
def earlier(house):
    """A backup that must outlive all this."""
    house.pause("restore_drill")
    catalog = house.catalog(DATABASE)
    if not catalog.backups():
        assert house.run("nightly_backup", databases=[DATABASE])[0] == 0
    return {
        info.key: (info.bytes, info.modified) for backup_id in catalog.backups() for info in catalog.listing(backup_id)
    }


def started(house, run_id: str) -> psutil.Process:
    """The pg_dump of a run, when it waits for the lock."""
    assert eventually(house.pg_dump, 90), house.tasks("nightly_backup", run_id)
    assert eventually(lambda: any("in_the_way" in query for query in house.sessions(DATABASE).values()), 30)
    dump = house.pg_dump()
    secrets = [one.password for one in house.parts.connections.connections if one.password]
    assert [secret for secret in secrets if secret in " ".join(dump.cmdline())] == []
    return dump


def assert_nothing_is_left(house, earlier) -> None:
    catalog = house.catalog(DATABASE)
    assert catalog.folders() == catalog.backups(), "a folder without a manifest"
    prefix = catalog.bucket.key(DATABASE) + "/"
    assert catalog.bucket.abort_uploads(prefix) == 0, "an unfinished upload"
    now = {
        info.key: (info.bytes, info.modified) for backup_id in catalog.backups() for info in catalog.listing(backup_id)
    }
    assert {key: now.get(key) for key in earlier} == earlier, "an earlier backup was touched"
    assert house.ledger("select name from pgops.leases where expires_at > now() and name like 'backup/%'") == []


@pytest.mark.parametrize("victims", [task_process, supervisor, everything], ids=lambda victims: victims.__name__)
def test_a_killed_dump_leaves_nothing_and_is_tried_again(house, earlier, victims):
    before = len(house.catalog(DATABASE).backups())
    with house.stuck_dump(DATABASE) as release:
        run_id = house.trigger("nightly_backup", databases=[DATABASE])
        dump = started(house, run_id)
        orphans, sessions = [dump, dump.parent()], set(house.sessions(DATABASE))
        assert len(sessions) >= 2, "the snapshot's and pg_dump's"
        for process in victims(dump):
            process.kill()
        _, alive = psutil.wait_procs(orphans, timeout=SOON)
        assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
        assert eventually(lambda: sessions.isdisjoint(house.sessions(DATABASE)), SOON), house.sessions(DATABASE)
        release()
    assert house.wait("nightly_backup", run_id) == "success"
    assert house.tasks("nightly_backup", run_id)[f"primary.dump[{DATABASE}]"]["try_number"] == 2
    assert len(house.catalog(DATABASE).backups()) == before + 1
    assert_nothing_is_left(house, earlier)


def test_a_dump_that_is_marked_failed_ends_at_once_and_the_run_that_waited_for_it_goes_on(house, earlier):
    with house.stuck_dump(DATABASE) as release:
        first = house.trigger("nightly_backup", databases=[DATABASE])
        dump = started(house, first)
        sessions = set(house.sessions(DATABASE))
        second = house.trigger("nightly_backup", databases=[DATABASE])

        ledger = Ledger(Dsn("127.0.0.1", house.parts.servers.operations.port, "ledger", "postgres", _password(house)))
        with pytest.raises(Refused, match=f"Another run is at work: nightly_backup/{first}".replace("+", r"\+")):
            Lease(ledger, f"backup/{DATABASE}", "by hand").take()
        assert (house.state("nightly_backup", first), house.state("nightly_backup", second)) == ("running", "queued")

        index = house.tasks("nightly_backup", first)[f"primary.dump[{DATABASE}]"]["map_index"]
        path = f"/dags/nightly_backup/dagRuns/{first}/taskInstances/primary.dump/{index}"
        house.api.patch(path, {"new_state": "failed"})
        _, alive = psutil.wait_procs([dump], timeout=SOON)
        assert alive == []
        assert eventually(lambda: sessions.isdisjoint(house.sessions(DATABASE)), SOON), house.sessions(DATABASE)
        release()
    assert house.wait("nightly_backup", first) == "failed"
    assert house.wait("nightly_backup", second) == "success"
    assert_nothing_is_left(house, earlier)


def _password(house) -> str:
    return str(house.parts.servers.operations.password)
