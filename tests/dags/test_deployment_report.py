"""What a deployment's report keeps for the forecasts to come."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pgops.operators.deployment.report import _actual

pytestmark = pytest.mark.airflow
DEPLOYED = {"seconds": 30.0, "first_segment": 0, "already": False, "statements": [{"ms": 1500.0}, {"ms": 500.0}]}


@pytest.mark.parametrize(
    ("change", "measured"), [({}, 2.0), ({"first_segment": 1}, None), ({"already": True, "statements": []}, None)]
)
def test_waiting_for_locks_and_the_rest_of_a_run_cut_off_correct_no_forecast(change, measured):
    left: dict[str, Any] = {"deploy": DEPLOYED | change}
    found = _actual({"ti": SimpleNamespace(xcom_pull=lambda task_ids: left.get(task_ids))})
    assert found["seconds"] == 30.0 and found.get("measured_seconds") == measured
