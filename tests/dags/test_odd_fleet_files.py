"""Whatever stands in the fleet file, the DAGs stay: one that raises while it is parsed vanishes with all its runs."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml

from pgops.errors import Refused
from pgops.fleet import load_fleet
from tests.fleet.test_loader import GOOD

DAGS = Path(__file__).resolve().parents[2] / "dags"


@pytest.fixture
def fleet_file(tmp_path, monkeypatch):
    """Makes a copy of a good fleet file, changed in one place, the one that the DAGs read."""

    def write(*path, value):
        document = copy.deepcopy(GOOD)
        place = document
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = value
        file = tmp_path / "fleet.yaml"
        file.write_text(yaml.safe_dump(document))
        monkeypatch.setenv("PGOPS_FLEET", str(file))

    return write


ODD = {
    "a server with a blank": (("databases", 0, "server"), "pri mary", "no server|should match"),
    "no cron expression": (("schedules", "nightly_backup"), "every night", "no cron expression"),
    "a schedule of no DAG": (("schedules", "nightly_bakcup"), "0 3 * * *", "no scheduled DAG"),
}


@pytest.mark.parametrize(("path", "value", "said"), ODD.values(), ids=ODD)
def test_the_dags_outlive_an_odd_fleet_file_and_say_what_is_wrong(airflow_db, fleet_file, path, value, said):
    from airflow.dag_processing.dagbag import DagBag

    fleet_file(*path, value=value)
    bag = DagBag(DAGS)
    assert bag.import_errors == {}
    assert {"nightly_backup", "restore_drill", "backup_watch"} <= set(bag.dags)
    with pytest.raises(Refused, match=said):
        load_fleet().database("app")
