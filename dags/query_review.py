"""
# query_review

Every morning: which queries cost more than on the same weekday before, and why; what is new; which indexes would help.

| step | promise |
|---|---|
| `review_queries` | the last 24 hours; plans, executing nothing; each index proven, or called unverified |
| `report` | one message for the fleet, the worst first; the whole review of each database lies in the bucket |

A date has a meaning here: Airflow's backfill over dates reviews days that are over once more, from what was counted
then, without plans and advice.

Advice comes with a pair of migration files (in the bucket, beside the report) for `migration_validation`. Nothing is
changed here. docs/queries.md.

**When it fails.** A database could not be reviewed, or its queries could not be counted: the log of its
`review_queries` says why. Regressions do not fail the run. docs/runbook.md, "Queries not reviewed".
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, chain

from pgops.fleet import load_fleet
from pgops.operators.alerting import on_failure
from pgops.operators.fleet import FleetFileOperator
from pgops.operators.queries import REVIEW, QueryReportOperator, QueryReviewOperator

fleet = load_fleet()
names = fleet.databases_with("queries")

with DAG(
    dag_id="query_review",
    doc_md=__doc__,
    schedule=CronTriggerTimetable(fleet.schedule("query_review", "30 6 * * *"), timezone=fleet.timezone),
    catchup=False,
    max_active_runs=1,
    allowed_run_types=["scheduled", "manual", "backfill"],
    tags=["queries"],
    default_args={
        "owner": "database-operations",
        "retries": 1,
        "retry_delay": timedelta(minutes=1),
        "execution_timeout": timedelta(hours=2),
        "on_failure_callback": on_failure(fleet, lambda database: {}),
    },
) as dag:
    chain(
        FleetFileOperator(task_id="fleet_file"),
        QueryReviewOperator.partial(
            task_id=REVIEW, map_index_template="{{ task.database }}", max_active_tis_per_dagrun=4
        ).expand(database=names),
        QueryReportOperator(task_id="report", databases=names, retries=0),
    )
