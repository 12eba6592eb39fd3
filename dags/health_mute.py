"""
# health_mute

Nobody hears of a finding of `daily_health_check` until a day, for a reason that stands beside it; or is told again.

| step | promise |
|---|---|
| `mute` | it stays in the reports and on the dashboard, as muted; if it is still there on that day, it is news again |

**Params**. `database`; `fingerprint`: of the finding, from the report or the dashboard, empty for the whole database;
`until`: the first day on which it is told again; `reason`; `action`: mute, or unmute.

**When it fails.** No such finding is open (the error lists those that are), the day is over, or there is no reason.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param

from pgops.fleet import load_fleet
from pgops.operators.alerting import on_failure
from pgops.operators.health import MuteFindingOperator

fleet = load_fleet()
names = [database.name for database in fleet.databases if database.health]

with DAG(
    dag_id="health_mute",
    doc_md=__doc__,
    schedule=None,
    max_active_runs=1,
    allowed_run_types=["manual"],
    tags=["health"],
    params={
        "database": Param(names[0] if names else "none", type="string", enum=names or ["none"], title="Database"),
        "fingerprint": Param(
            "", type="string", pattern="^([0-9a-f]{16})?$", title="Fingerprint", description_md="Empty: all of them"
        ),
        "until": Param(None, type=["null", "string"], format="date", title="Until", description_md="Then told again"),
        "reason": Param("", type="string", maxLength=500, title="Reason"),
        "action": Param("mute", type="string", enum=["mute", "unmute"], title="Action"),
    },
    default_args={
        "owner": "database-operations",
        "retries": 0,
        "retry_delay": timedelta(seconds=10),
        "execution_timeout": timedelta(minutes=5),
        "on_failure_callback": on_failure(fleet, lambda database: {"database": database}),
    },
) as dag:
    MuteFindingOperator(task_id="mute", database="{{ params.database }}")
