"""The tuning policy of a server: units, what is meant, and mistakes that stop nothing else."""

from __future__ import annotations

import pytest
import yaml

from pgops.errors import Refused
from pgops.fleet import load_fleet

POLICY = {
    "connection": "pg_tuner", "memory": "16GiB", "cpus": 4, "disk": "200GiB", "connections": 80, "approvers": ["op"],
}  # fmt: skip


@pytest.fixture
def fleet(tmp_path):
    def fleet(**changes):
        document = {
            "storage": {"connection": "s3", "bucket": "backups"},
            "ledger": {"connection": "ledger"},
            "servers": [{"name": "main", "tuning": POLICY | changes}, {"name": "other"}],
            "databases": [{"name": "app", "server": "main", "connection": "pg_app"}],
        }
        path = tmp_path / "fleet.yaml"
        path.write_text(yaml.safe_dump(document))
        return load_fleet(path)

    return fleet


def test_sizes_and_switches_are_read_as_people_write_them(fleet):
    policy = fleet(
        memory="16GiB", wal_disk=107374182400, deliberate={"jit": {"value": False, "reason": "so"},
                                                            "max_connections": {"value": 20, "reason": "pooler"}},
    ).server("main").tuning  # fmt: skip
    assert (policy.memory, policy.wal_disk) == (16 * 1024**3, 100 * 1024**3)
    assert [one.value for one in policy.deliberate.values()] == ["off", "20"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"memry": "1GiB"}, "Did you mean 'memory'?"),
        ({"memory": 16}, "give a unit"),
        ({"memory": "lots"}, "memory"),
        ({"workload": "olap"}, "workload"),
        ({"deliberate": {"jit": {"value": "off", "reason": ""}}}, "reason"),
        ({"approvers": []}, "approvers"),
    ],
)
def test_a_mistake_stops_the_review_of_that_server_and_nothing_else(fleet, change, said):
    found = fleet(**change)
    with pytest.raises(Refused) as raised:
        found.server("main", "tuning")
    assert said in str(raised.value) and "servers[0].tuning" in str(raised.value)
    assert found.database("app").name == "app" and found.server("other").name == "other"
    assert found.tuned_servers() == ["main"], "its task fails with this error"
    assert found.server("main", "physical").name == "main" and found.physical_servers() == []


def test_a_server_that_is_not_there_is_refused_with_those_that_are(fleet):
    with pytest.raises(Refused, match="main, other"):
        fleet().server("mian")
