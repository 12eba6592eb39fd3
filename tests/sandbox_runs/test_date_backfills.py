"""Airflow's own backfill over dates is refused where a date has no meaning: a night that is over cannot be dumped."""

from __future__ import annotations

import pytest

from sandbox.rest import ApiError

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


SCHEDULED = [
    *("nightly_backup", "backup_watch", "recovery_drill", "partition_maintenance", "daily_health_check"),
    *("configuration_review", "query_snapshot", "query_review"),
]


@pytest.mark.parametrize("dag_id", SCHEDULED)
def test_a_backfill_over_dates_is_refused_and_starts_nothing(house, dag_id):
    before = {run["dag_run_id"] for run in house.runs(dag_id)}
    with pytest.raises(ApiError) as refused:
        house.api.post(
            "/backfills",
            {
                "dag_id": dag_id,
                "from_date": "2026-01-01T00:00:00Z",
                "to_date": "2026-01-03T00:00:00Z",
                "max_active_runs": 1,
                "reprocess_behavior": "none",
                "run_backwards": False,
                "dag_run_conf": {},
            },
        )
    assert 400 <= refused.value.status < 500
    assert "does not allow backfill runs" in refused.value.detail
    assert {run["dag_run_id"] for run in house.runs(dag_id)} == before
