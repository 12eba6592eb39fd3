"""
# recovery_drill

Proves every week that each server can be recovered to a point in time: a row is committed before an instant and one
after it, a copy is recovered to that instant, and holds the first row alone.

| step | promise |
|---|---|
| `mark` | a row before an instant, and one after it, in the schema `pgops` of the server |
| `wait_until_archived` | their WAL got into the archive by itself: how long that took is the RPO |
| `plan_drill` | there is a base backup, and every segment of WAL after it; what is restorable is in the ledger |
| `restore_drill_copy` | the base backup is fetched |
| `recover_drill_copy` | WAL is replayed up to the instant: how long both took is the RTO |
| `find_marker` | the row before is there, the row after is not, heaps and B-trees are sound |
| `report` | RPO and RTO against the policy, in the ledger and in Slack; fails when the drill did |
| `clean_up` | copy and rows are gone, whatever happened |

**Params**. `servers`: only these; all when empty.

**When it fails.** Nobody knows whether this server can be recovered: docs/runbook.md, "Recovery not proven". A drill
can be triggered again at any time.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param, TaskGroup, chain

from pgops.fleet import load_fleet
from pgops.operators.alerting import on_failure
from pgops.operators.fleet import FleetFileOperator
from pgops.operators.recovery_desk import recoverable_servers
from pgops.operators.recovery_drill import (
    CleanUpDrillOperator,
    FindMarkerOperator,
    MarkOperator,
    PlanDrillOperator,
    RecoverDrillCopyOperator,
    RecoveryDrillReportOperator,
    RestoreDrillCopyOperator,
    WaitUntilArchivedOperator,
)

fleet = load_fleet()
servers = recoverable_servers(fleet)

with DAG(
    dag_id="recovery_drill",
    doc_md=__doc__,
    schedule=CronTriggerTimetable(fleet.schedule("recovery_drill", "30 4 * * 0"), timezone=fleet.timezone),
    catchup=False,
    max_active_runs=1,
    allowed_run_types=["scheduled", "manual"],
    tags=["backup", "recovery", "drill"],
    params={
        "servers": Param(
            [],
            type="array",
            title="Servers",
            description_md="Only these; all when empty.",
            items={"type": "string", "enum": servers or ["none"]},
            examples=servers,
        ),
    },
    default_args={
        "owner": "database-operations",
        "retries": 1,
        "retry_delay": timedelta(minutes=1),
        "execution_timeout": timedelta(hours=12),
        "on_failure_callback": on_failure(fleet, lambda database: {}),
    },
) as dag:
    fleet_file = FleetFileOperator(task_id="fleet_file")
    for server in servers:
        of = {"server": server}
        with TaskGroup(group_id=server):
            mark = MarkOperator(task_id="mark", **of)
            wait = WaitUntilArchivedOperator(task_id="wait_until_archived", **of)
            plan = PlanDrillOperator(task_id="plan_drill", **of)
            restore = RestoreDrillCopyOperator(task_id="restore_drill_copy", pool=fleet.drill_pool, **of)
            recover = RecoverDrillCopyOperator(task_id="recover_drill_copy", pool=fleet.drill_pool, **of)
            find = FindMarkerOperator(task_id="find_marker", **of)
            report = RecoveryDrillReportOperator(task_id="report", retries=0, on_failure_callback=None, **of)
            clean_up = CleanUpDrillOperator(task_id="clean_up", **of)
            chain(fleet_file, mark, wait, plan, restore, recover, find, report)
            chain(find, clean_up.as_teardown(setups=mark))
