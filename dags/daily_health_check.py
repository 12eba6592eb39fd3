"""
# daily_health_check

Every morning: what is wrong with each database, how bad, since when, and the SQL that mends it.

| step | promise |
|---|---|
| `check_health` | every check, in seconds, and nobody waits for it; what is new and critical alerts at once |
| `report` | one message for the fleet: only what changed since the run before, the worst first |

What a check could not see is never called healthy: it is unknown or skipped, with the reason. A database that is down
is a finding. Mute what you know of with `health_mute`.

**When it fails.** A database could not be looked at at all: its entry in the fleet file or its connection is wrong, and
the log of its `check_health` says which. Findings do not fail the run. docs/runbook.md, "Health check did not run".
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, chain

from pgops.fleet import load_fleet
from pgops.operators.alerting import on_failure
from pgops.operators.fleet import FleetFileOperator
from pgops.operators.health import CHECK, HealthCheckOperator, HealthReportOperator

fleet = load_fleet()
names = fleet.databases_with("health")

with DAG(
    dag_id="daily_health_check",
    doc_md=__doc__,
    schedule=CronTriggerTimetable(fleet.schedule("daily_health_check", "0 7 * * *"), timezone=fleet.timezone),
    catchup=False,
    max_active_runs=1,
    allowed_run_types=["scheduled", "manual"],
    tags=["health"],
    default_args={
        "owner": "database-operations",
        "retries": 1,
        "retry_delay": timedelta(minutes=1),
        "execution_timeout": timedelta(hours=1),
        "on_failure_callback": on_failure(fleet, lambda database: {}),
    },
) as dag:
    chain(
        FleetFileOperator(task_id="fleet_file"),
        # Not so many at once that all of them on one server reach the monitor role's limit of 10 sessions.
        HealthCheckOperator.partial(
            task_id=CHECK, map_index_template="{{ task.database }}", max_active_tis_per_dagrun=8
        ).expand(database=names),
        HealthReportOperator(task_id="report", databases=names, retries=0),
    )
