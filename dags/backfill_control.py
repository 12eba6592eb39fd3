"""
# backfill_control

Pauses, resumes or cancels a running backfill, or changes its speed. The workers obey before their next batch; nothing
is restarted.

| step | promise |
|---|---|
| `control` | the wish stands in the job's row, and how far it is stands in the log |

**Params**. `database`; `job`: its number, 0 for the newest; `action`: run, pause, cancel or only `look`; `speed`: 1 is
what the throttle says, 0.5 half of it; as it is when empty.

**When it fails.** There is no such job, or it is finished: the log lists those that there are.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param

from pgops.fleet import load_fleet
from pgops.operators.alerting import on_failure
from pgops.operators.backfill import ControlBackfillOperator

fleet = load_fleet()
names = [database.name for database in fleet.databases if database.backfill]

with DAG(
    dag_id="backfill_control",
    doc_md=__doc__,
    schedule=None,
    max_active_runs=1,
    allowed_run_types=["manual"],
    tags=["backfill"],
    params={
        "database": Param(names[0] if names else "none", type="string", enum=names or ["none"], title="Database"),
        "job": Param(0, type="integer", minimum=0, title="Job", description_md="0: the newest"),
        "action": Param("look", type="string", enum=["look", "run", "pause", "cancel"], title="Action"),
        "speed": Param(
            None, type=["null", "number"], minimum=0.01, maximum=100, title="Speed", description_md="Or as it is"
        ),
    },
    default_args={
        "owner": "database-operations",
        "retries": 0,
        "retry_delay": timedelta(seconds=10),
        "execution_timeout": timedelta(minutes=5),
        "on_failure_callback": on_failure(fleet, lambda database: {"database": database}),
    },
) as dag:
    ControlBackfillOperator(task_id="control", database="{{ params.database }}")
