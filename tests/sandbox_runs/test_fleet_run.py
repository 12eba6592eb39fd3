"""The health of twenty small databases, from the trigger to the message in Slack: how much of that is Airflow's."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.rest import quote
from tests.inbox import shown
from tests.servers import eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

DAG = "daily_health_check"
NAMES = [f"fleet_{number:02}" for number in range(1, 21)]
CONTENTS = """
create table people (id bigint generated always as identity primary key, name text not null);
create table orders (id bigint generated always as identity primary key, person bigint not null references people);
create index on orders (person);
insert into people (name) select 'person ' || n from generate_series(1, 1000) n;
insert into orders (person) select id from people;
analyze
"""


def wait_until_read(house: Any) -> None:
    """Until Airflow has read the DAG with the fleet file as it is now."""
    # Airflow writes down a DAG that has changed no more often than every 30 s.
    written = datetime.now(UTC) + timedelta(seconds=35)

    def read() -> bool:
        return datetime.fromisoformat(house.api.get(f"/dags/{DAG}")["last_parsed_time"]) > written

    assert eventually(read, 120)


@pytest.fixture
def twenty(house: Any) -> Iterator[Any]:
    """The sandbox, with twenty databases on its primary that are all of its fleet, looked at once: yesterday."""
    primary, connections = house.parts.servers.primary, house.parts.servers.connections.connections
    (monitor,) = (one for one in connections if one.id == "pg_app_monitor")
    login = {"login": monitor.login, "password": monitor.password}
    for name in NAMES:
        primary.execute(f"create database {name}")
        primary.execute(CONTENTS, name)
        place = {"host": "127.0.0.1", "port": primary.port, "schema": name}
        house.api.post("/connections", {"connection_id": f"pg_{name}", "conn_type": "postgres", **place, **login})
    databases = [
        {"name": name, "server": "primary", "connection": f"pg_{name}", "health": {"connection": f"pg_{name}"}}
        for name in NAMES
    ]
    house.write_fleet({**house.fleet, "databases": databases})
    wait_until_read(house)
    assert house.wait(DAG, house.trigger(DAG)) == "success"
    yield house
    house.write_fleet(house.fleet)
    wait_until_read(house)
    for name in NAMES:
        primary.execute(f"drop database {name} with (force)")


def looks(house: Any, run_id: str) -> list[tuple[float, float]]:
    """When each look at a database began and ended, by what the tasks left."""
    path = f"/dags/{DAG}/dagRuns/{quote(run_id)}/taskInstances/check_health/xcomEntries/return_value"
    found = [house.api.get(path, map_index=number, deserialize="true")["value"] for number in range(len(NAMES))]
    begun = [datetime.fromisoformat(one["at"]).timestamp() for one in found]
    return [(at, at + one["seconds"]) for at, one in zip(begun, found, strict=True)]


def covered(spans: list[tuple[float, float]]) -> float:
    """Seconds in which at least one of them was under way."""
    seconds, end = 0.0, 0.0
    for begun, ended in sorted(spans):
        seconds += max(ended - max(begun, end), 0)
        end = max(end, ended)
    return seconds


def test_twenty_databases_are_told_in_one_message(twenty: Any) -> None:
    before = len(twenty.messages())
    triggered = time.time()
    run_id = twenty.trigger(DAG)
    assert twenty.wait(DAG, run_id) == "success"
    (told,) = [one for one in twenty.messages()[before:] if "Health of 20 databases" in shown(one)]
    whole, spans = float(told["ts"]) - triggered, looks(twenty, run_id)
    assert len(spans) == 20 and min(spans)[0] > triggered
    figures = {
        "fleet_run_s": round(whole, 1),
        "fleet_looking_s": round(covered(spans), 2),
        "fleet_databases_s": round(sum(ended - begun for begun, ended in spans), 2),
        "airflow_share": round(1 - covered(spans) / whole, 3),
        "databases": len(spans),
    }
    print(json.dumps(figures))
