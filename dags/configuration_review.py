"""
# configuration_review

Every day: is each server set for its machine and its work? By hand also: an approved change, seen in place, and taken
back as easily.

| step | promise |
|---|---|
| `review_settings` | a verdict on every setting, with formula, reason and source; scripts both ways; what changes did |
| `approve_settings` | somebody else than who asked has seen each setting and said yes; silence is a no |
| `apply_settings` | one at a time, only if it is still as planned, seen in a new session; never a restart |
| `report` | one message: what is dangerous, what was changed, what takes it back; fails unless all of it is in place |

The clock only looks, at all servers, and speaks when something changed since the last look. **Params** of a run by
hand: `server`; `apply`: ask for an approval of what a reload can change; `settings`: only these; `mode`: `reverse`
takes back the change whose id stands in `change`.

**When it fails.** Before `apply_settings` nothing was touched. After it the report names each setting that is not in
place, and why; clearing it goes on where it stopped. See docs/tuning.md and docs/runbook.md, "Settings not changed".
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param, chain

from pgops.fleet import load_fleet
from pgops.operators.alerting import on_failure
from pgops.operators.fleet import FleetFileOperator
from pgops.operators.tuning import (
    APPLY,
    APPROVE,
    REVIEW,
    ApplyConfigurationOperator,
    ApproveConfigurationOperator,
    ConfigurationReportOperator,
    ReviewConfigurationOperator,
)

fleet = load_fleet()
names = fleet.tuned_servers()
SERVER = "{{ params.server }}"

with DAG(
    dag_id="configuration_review",
    doc_md=__doc__,
    schedule=CronTriggerTimetable(fleet.schedule("configuration_review", "0 14 * * *"), timezone=fleet.timezone),
    catchup=False,
    max_active_runs=4,  # one that waits for its approval must not keep the daily look waiting
    allowed_run_types=["scheduled", "manual"],
    tags=["tuning", "approval"],
    params={
        "server": Param(names[0] if names else "all", type="string", enum=[*names, "all"], title="Server"),
        "apply": Param(
            True,
            type="boolean",
            title="Apply what is advised",
            description_md="Asks a second person first. Nothing that needs a restart.",
        ),
        "settings": Param(
            [],
            type="array",
            items={"type": "string", "pattern": "^[A-Za-z0-9_.]{1,63}$"},
            title="Settings",
            description_md="Apply only these; all that are advised when empty.",
        ),
        "mode": Param("review", type="string", enum=["review", "reverse"], title="Mode"),
        "change": Param(
            "",
            type="string",
            pattern="^([0-9]{8}T[0-9]{6}Z-[0-9a-f]{6})?$",
            title="Change",
            description_md="With mode `reverse`: the id of the change to take back, from its report.",
        ),
    },
    default_args={
        "owner": "database-operations",
        "retries": 2,
        "retry_delay": timedelta(seconds=30),
        "execution_timeout": timedelta(minutes=30),
        "on_failure_callback": on_failure(fleet, lambda server: {"server": server}),
    },
) as dag:
    review = ReviewConfigurationOperator.partial(
        task_id=REVIEW, map_index_template="{{ task.server }}", max_active_tis_per_dagrun=8
    ).expand(server=names)
    chain(
        FleetFileOperator(task_id="fleet_file"),
        review,
        ApproveConfigurationOperator(task_id=APPROVE, database=SERVER),
        ApplyConfigurationOperator(task_id=APPLY, server=SERVER),
        ConfigurationReportOperator(task_id="report", servers=names, retries=0),
    )
