"""
# partition_maintenance

Every day, for each database with policies: partitions are there before they are needed, and those beyond retention
leave step by step, with proof.

| step | promise |
|---|---|
| `plan_partitions` | one look at the catalog; the log says what will be done, and nothing else is |
| `create` | for each table apart: what is missing, with locks that stop nobody for longer than a moment |
| `retire` | detached, archived in two formats, read back and compared, left for a while, looked at again, dropped |
| `tidy` | restored copies whose time is over are gone |
| `check` | the catalog is read again: what is still missing, and up to when partitions are there |
| `ledger` | the operations ledger's own months |
| `report` | one message when something was done, is in danger, or failed |

**Params**. `dry_run`: only say what would be done.

**When it fails.** One table's failure stops no other. Whatever died goes on where it was at the next run; nothing is
dropped without a proven archive, or a policy that says that none is wanted. docs/runbook.md, "Partitions not ready".
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param, TaskGroup, TriggerRule, chain

from pgops.fleet import load_fleet
from pgops.operators.alerting import on_failure
from pgops.operators.fleet import FleetFileOperator
from pgops.operators.partitions import (
    CheckPartitionsOperator,
    CreatePartitionsOperator,
    LedgerPartitionsOperator,
    PartitionReportOperator,
    PlanPartitionsOperator,
    RetirePartitionsOperator,
    TidyPartitionsOperator,
)

fleet = load_fleet()
names = [database.name for database in fleet.databases if database.partitions]

with DAG(
    dag_id="partition_maintenance",
    doc_md=__doc__,
    schedule=CronTriggerTimetable(fleet.schedule("partition_maintenance", "40 0 * * *"), timezone=fleet.timezone),
    catchup=False,
    max_active_runs=1,
    allowed_run_types=["scheduled", "manual"],
    tags=["partitions"],
    params={"dry_run": Param(False, type="boolean", title="Dry run", description_md="Only say what would be done.")},
    default_args={
        "owner": "database-operations",
        "retries": 2,
        "retry_delay": timedelta(minutes=1),
        "execution_timeout": timedelta(hours=12),
        "on_failure_callback": on_failure(fleet, lambda database: {}),
    },
) as dag:
    fleet_file = FleetFileOperator(task_id="fleet_file")
    ledger = LedgerPartitionsOperator(task_id="ledger")
    report = PartitionReportOperator(task_id="report", databases=names, retries=0)
    chain(fleet_file, ledger, report)

    for name in names:
        with TaskGroup(group_id=name):
            plan = PlanPartitionsOperator(task_id="plan_partitions", database=name)
            create = CreatePartitionsOperator.partial(task_id="create", database=name).expand(parent=plan.output)
            retire = RetirePartitionsOperator.partial(
                task_id="retire", database=name, trigger_rule=TriggerRule.ALL_DONE
            ).expand(parent=plan.output)
            tidy = TidyPartitionsOperator(task_id="tidy", database=name)
            check = CheckPartitionsOperator(task_id="check", database=name)
            chain(fleet_file, plan, create, retire, check, report)
            chain(plan, tidy, check)
