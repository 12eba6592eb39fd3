"""Airflow's own backfill over dates: refused where a date has no meaning, for a night that is over cannot be dumped;
where it has one, as in what was counted on a day, it does the work of that day.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.rest import ApiError
from tests.servers import eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


SCHEDULED = [
    *("nightly_backup", "backup_watch", "recovery_drill", "partition_maintenance", "daily_health_check"),
    *("configuration_review", "query_snapshot"),
]


def backfill(house: Any, dag_id: str, begin: datetime, end: datetime) -> None:
    house.api.post(
        "/backfills",
        {
            "dag_id": dag_id,
            "from_date": begin.isoformat(),
            "to_date": end.isoformat(),
            "max_active_runs": 1,
            "reprocess_behavior": "none",
            "run_backwards": False,
            "dag_run_conf": {},
        },
    )


@pytest.mark.parametrize("dag_id", SCHEDULED)
def test_a_backfill_over_dates_is_refused_and_starts_nothing(house, dag_id):
    before = {run["dag_run_id"] for run in house.runs(dag_id)}
    with pytest.raises(ApiError) as refused:
        backfill(house, dag_id, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC))
    assert 400 <= refused.value.status < 500
    assert "does not allow backfill runs" in refused.value.detail
    assert {run["dag_run_id"] for run in house.runs(dag_id)} == before


def test_a_backfill_over_dates_reviews_the_queries_of_those_days(house):
    now = datetime.now(UTC)
    house.pause("query_review", False)
    backfill(house, "query_review", now - timedelta(days=2), now)

    def ended() -> list[dict[str, Any]]:
        runs = [run for run in house.runs("query_review") if run["run_type"] == "backfill"]
        return runs if len(runs) == 2 and {run["state"] for run in runs} <= {"success", "failed"} else []

    assert eventually(ended, 300), house.runs("query_review")
    runs = ended()
    assert {run["state"] for run in runs} == {"success"}, [
        house.tasks("query_review", run["dag_run_id"]) for run in runs
    ]
    days = {datetime.fromisoformat(run["logical_date"]) for run in runs}
    kept = house.ledger("select at, facts ->> 'notes' from pgops.query_reviews where run_id like 'backfill%'")
    assert {at for at, _ in kept} == days
    assert all("reviewed afterwards" in notes for _, notes in kept)
