"""
# query_snapshot

Every ten minutes: what each query did since the last time, so that `query_review` has days to compare.

| step | promise |
|---|---|
| `snapshot` | differences of pg_stat_statements, which is never reset; only what moved; no literal is kept |

Why so often: what the server forgets between two snapshots is lost, when it runs out of room, restarts or is reset. A
snapshot of 5,000 statements takes less than a second. docs/queries.md.

**When it fails.** The log of `snapshot` names what is missing: the extension, its library, a privilege, a partition of
the ledger. Nothing is lost while pg_stat_statements goes on counting. docs/runbook.md, "Queries not counted".
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, chain

from pgops.fleet import load_fleet
from pgops.operators.alerting import on_failure
from pgops.operators.fleet import FleetFileOperator
from pgops.operators.queries import SnapshotOperator

fleet = load_fleet()
names = fleet.databases_with("queries")

with DAG(
    dag_id="query_snapshot",
    doc_md=__doc__,
    schedule=CronTriggerTimetable(fleet.schedule("query_snapshot", "*/10 * * * *"), timezone=fleet.timezone),
    catchup=False,
    max_active_runs=1,
    allowed_run_types=["scheduled", "manual"],
    tags=["queries"],
    default_args={
        "owner": "database-operations",
        "retries": 1,
        "retry_delay": timedelta(seconds=30),
        "execution_timeout": timedelta(minutes=5),
        "on_failure_callback": on_failure(fleet, lambda database: {}, once_a_day=True),
    },
) as dag:
    chain(
        FleetFileOperator(task_id="fleet_file"),
        SnapshotOperator.partial(
            task_id="snapshot", map_index_template="{{ task.database }}", max_active_tis_per_dagrun=8
        ).expand(database=names),
    )
