"""Someone destroys rows in the running sandbox, and exactly those of the instant before come back."""

from __future__ import annotations

import copy
import shutil
import time
from collections.abc import Iterator
from pathlib import PurePosixPath

import psycopg2
import pytest

from pgops.physical.engines import Source, WalgEngine
from pgops.physical.host import LocalHost
from pgops.physical.store import Secrets
from pgops.postgres import Dsn
from tests.inbox import shown

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

CONTENT = "select count(*), coalesce(sum(hashtextextended(o::text, 0)::numeric), 0)::text from orders o"
DAG = "point_in_time_recovery"


@pytest.fixture(scope="module")
def base(house) -> None:
    """A base backup of the primary, with its WAL."""
    code, outcome = house.run("nightly_backup", databases=["crm"], base_backup=True)
    assert code == 0, outcome


@pytest.fixture
def destroyed(house, base) -> Iterator[tuple[str, tuple]]:
    """An instant with its orders, and a statement that changed half of them and took the others."""
    primary = house.parts.servers.primary
    primary.execute("create table saved as select * from orders", "app")
    [(at,)] = primary.execute("select clock_timestamp()", "app")
    [content] = primary.execute(CONTENT, "app")
    time.sleep(0.01)
    primary.execute("update orders set total_amount = total_amount + 1 where id % 2 = 0", "app")
    primary.execute("delete from orders where id % 2 = 1", "app")
    yield at.isoformat(), content
    primary.execute("delete from orders; insert into orders overriding system value select * from saved", "app")
    primary.execute("drop table saved", "app")


def asked(house, address: str) -> tuple:
    """The orders of a copy, as the role of the database's connection sees them."""
    login = next(one for one in house.parts.connections.connections if one.id == "pg_app")
    port = int(address.rpartition(":")[2])
    with (
        psycopg2.connect(host="127.0.0.1", port=port, dbname="app", user=login.login, password=login.password) as copy,
        copy.cursor() as cursor,
    ):
        cursor.execute(CONTENT)
        return cursor.fetchone()


def objects(house) -> dict[str, tuple]:
    """Everything of the primary's archive."""
    bucket = house.catalog("app").bucket
    return {one.key: (one.bytes, one.modified) for one in bucket.objects(bucket.key("_physical"))}


def test_after_a_destructive_statement_the_rows_of_that_instant_come_back(house, destroyed):
    at, content = destroyed
    before = objects(house)
    code, outcome = house.run(DAG, database="app", target_time=at)
    assert code == 0, outcome
    result = outcome["result"]
    assert result["state"] == "recovered" and "recovery stopping before commit" in result["stopped"]
    assert asked(house, result["address"]) == content
    assert house.parts.servers.primary.execute(CONTENT, "app") != [content], "the live one is as it was left"
    after = objects(house)
    assert {key: after[key] for key in before} == before
    written = {key.rpartition("/")[2][:8] for key in set(after) - set(before)}
    assert written <= {"00000001"}, "only the live server's own timeline"
    assert any(result["address"] in shown(message) for message in house.messages())


def test_a_drill_leaves_its_rpo_and_rto_in_the_ledger_and_nothing_else(house, base):
    code, outcome = house.run("recovery_drill")
    assert code == 0, outcome
    measured = "select passed, rpo_seconds, rto_seconds from pgops.recoveries where kind = 'drill'"
    [(passed, rpo, rto)] = house.ledger(measured)
    assert passed and 0 <= rpo < 300 and 0 < rto < 1800
    assert outcome["tasks"]["primary.clean_up"] == "success"


def test_in_place_after_an_approval_the_primary_itself_goes_back(house, destroyed):
    at, content = destroyed
    done = house.dev(
        "run", DAG, "--approve", "--conf", f'{{"database": "app", "target_time": "{at}", "mode": "in_place"}}'
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert house.parts.servers.primary.execute(CONTENT, "app") == [content]


@pytest.fixture
def with_walg(house) -> Iterator[None]:
    """The fleet file says `engine: walg`, and the primary archives with it. Last in this file: barman's archive has a
    gap afterwards."""
    if shutil.which("wal-g") is None:
        pytest.skip("wal-g is not on PATH: point_in_time_recovery was not run in the sandbox with engine walg")
    servers, bucket = house.parts.servers, house.catalog("app").bucket
    primary, folder = servers.primary, servers.primary.home / "archive"
    source = Source("primary", Dsn("127.0.0.1", 0, "postgres", "postgres"), secrets=Secrets(PurePosixPath(folder)))
    command = WalgEngine(source, servers.store(), bucket).archive_command(LocalHost())
    for path in folder.iterdir():
        primary.identity.give(path)
    fleet = copy.deepcopy(house.fleet)
    fleet["servers"][0]["physical"]["engine"] = "walg"
    house.write_fleet(fleet)
    primary.execute("alter system set archive_command = '{}'".format(command.replace("'", "''")))
    primary.execute("select pg_reload_conf()")
    yield
    primary.execute("alter system reset archive_command")
    primary.execute("select pg_reload_conf()")
    house.write_fleet(house.fleet)


@pytest.fixture
def taken_with_walg(house, with_walg) -> None:
    """A base backup of the primary by WAL-G, in the night's own steps."""
    code, outcome = house.run("nightly_backup", databases=["crm"], base_backup=True)
    assert code == 0, outcome


def test_with_wal_g_the_rows_of_that_instant_come_back_too(house, taken_with_walg, destroyed):
    at, content = destroyed
    assert house.parts.servers.primary.execute(CONTENT, "app") != [content]
    code, outcome = house.run(DAG, database="app", target_time=at)
    assert code == 0, outcome
    assert outcome["result"]["state"] == "recovered" and "(walg)" in "".join(outcome["result"]["plan"])
    assert asked(house, outcome["result"]["address"]) == content
