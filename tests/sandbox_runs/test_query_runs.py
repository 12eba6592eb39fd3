"""The query review in the running sandbox: a planted regression named first, an approved plan from the standby."""

from __future__ import annotations

import copy
import json

import psycopg2
import pytest

from pgops.ledger import Ledger
from pgops.postgres import Dsn
from sandbox.rest import quote
from tests.queries.test_regressions import BACKDATE
from tests.servers import eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

TABLE = """
create table planted_visits (id int primary key, place int not null, kind int not null, note text);
insert into planted_visits select i, i % 2000, i % 7, repeat('n', 30) from generate_series(1, 30000) i;
create index planted_visits_place on planted_visits (place);
vacuum analyze planted_visits
"""
BY_PLACE = "select count(*) from planted_visits where place = 7"
BY_ID = "select note from planted_visits where id = 7"
HYPOPG = ("hypopg",)
LIMITS = {"regression_seconds": 0.001, "regression_calls": 10, "new_seconds": 0}


@pytest.fixture(scope="module")
def app(house):
    """The application's session on the primary, and a fleet file that takes small regressions seriously."""
    fleet = copy.deepcopy(house.fleet)
    fleet["databases"][0]["queries"] |= LIMITS
    house.write_fleet(fleet)

    def app(*statements: str) -> None:
        connection = psycopg2.connect(house.parts.servers.primary.dsn("app"))
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        connection.close()

    app(*TABLE.split(";\n"))
    if HYPOPG in house.parts.servers.primary.execute("select name::text from pg_available_extensions"):
        app("create extension hypopg")
    yield app
    app("drop table planted_visits", "drop extension if exists hypopg")
    house.write_fleet(house.fleet)


def backdate(house, days: int) -> None:
    """What was counted until now was counted on a day in the past."""
    operations = house.parts.servers.operations
    ledger = Ledger(Dsn("127.0.0.1", operations.port, "ledger", "postgres", operations.password))
    with ledger.session() as connection, connection.cursor() as cursor:
        cursor.execute(BACKDATE, {"database": "app", "days": days})


def test_a_planted_regression_is_named_first_and_its_index_is_proven_or_called_unverified(house, app):
    code, outcome = house.run("query_snapshot")
    assert code == 0, outcome
    app(*[BY_PLACE] * 50, *[BY_ID] * 20)
    code, outcome = house.run("query_review")
    assert code == 0, outcome
    backdate(house, 7)
    app("drop index planted_visits_place", *[BY_PLACE] * 50, *[BY_ID] * 2000)
    code, outcome = house.run("query_review")
    assert code == 0, outcome
    result = outcome["result"]
    print(result)
    first = result["regressions"][0]
    assert (first["database"], first["cause"]) == ("app", "changed plan")
    assert "planted_visits where place" in first["query"] and "planted_visits_place" in first["why"]
    hundredfold = next(one for one in result["regressions"] if "where id" in one["query"])
    assert hundredfold["cause"] == "more calls" and "x 100" in hundredfold["why"]
    advised = [one for one in result["advice"] if one["object"] == "public.planted_visits (place)"]
    assert [one["kind"] for one in advised] == ["candidate"]
    installed = house.parts.servers.primary.execute("select extname::text from pg_extension", "app")
    assert advised[0]["proof"] == ("HypoPG" if HYPOPG in installed else "unverified")
    assert any("index_planted_visits_place" in key for key in result["migrations"]["app"])
    told = [one for one in map(str, house.messages()) if "planted_visits" in one and "changed plan" in one]
    assert len(told) == 1
    page = house.catalog("app").bucket.open([result["reports"]["app"]]).read().decode()
    assert "Seq Scan on public.planted_visits" in page and "planted_visits_place" in page


def test_a_query_is_executed_on_the_standby_after_an_approval_and_not_without_one(house, app):
    conf = {"database": "app", "query": "select count(*) from users where id < 10", "seconds": 30}
    done = house.dev("run", "query_plan", "--approve", "--conf", json.dumps(conf))
    assert done.returncode == 0, done.stdout + done.stderr
    path = f"/dags/query_plan/dagRuns/{quote(json.loads(done.stdout.splitlines()[-1])['run_id'])}"
    measured = house.api.get(f"{path}/taskInstances/analyze_query/xcomEntries/return_value?deserialize=true")["value"]
    assert "actual rows=1" in str(measured) and str(house.parts.servers.standby.port) in str(measured)
    run_id = house.trigger("query_plan", **conf)
    states = lambda: {name: one["state"] for name, one in house.tasks("query_plan", run_id).items()}  # noqa: E731
    assert eventually(lambda: states()["approve_query"] == "awaiting_input", 60), states()
    house.as_user("op").patch(
        f"/dags/query_plan/dagRuns/{quote(run_id)}/taskInstances/approve_query/-1/hitlDetails",
        {"chosen_options": ["Reject"], "params_input": {}},
    )
    assert house.wait("query_plan", run_id) == "failed" and states()["analyze_query"] == "upstream_failed"
    run_id = house.trigger("query_plan", **(conf | {"query": "delete from users"}))
    assert house.wait("query_plan", run_id) == "failed"
    assert states()["explain"] == "failed" and states()["analyze_query"] == "upstream_failed"
