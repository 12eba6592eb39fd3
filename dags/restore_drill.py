"""
# restore_drill

Restores a backup and holds it against what the source had when it was taken. Every backup is drilled once: a backup
that exists starts a run with the partition key `<database>/<backup_id>`.

| step | promise |
|---|---|
| `prepare` | the server for drills can take this backup; an empty scratch database is there |
| `restore` | downloaded, checked against the manifest, restored with parallel jobs; the time is measured |
| `compare` | every table's rows and hash, large objects and sequences are as in the source's snapshot |
| `amcheck` | heaps and B-trees are sound |
| `canaries` | the questions of the fleet file have their known answers |
| `report` | verdict with RTO, in the ledger, beside the manifest and in Slack; fails when the drill did |
| `drop_scratch` | the scratch database is gone, whatever happened |

**Params** (for a drill by hand). `database`, and `backup_id`: which backup, or `newest`.

**When it fails.** The backup does not bring back what the source had, or not in time: see docs/runbook.md before
relying on it. The drill can be triggered again at any time; it touches neither the source nor the backup.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param, PartitionedAssetTimetable, chain

from pgops.fleet import load_fleet
from pgops.operators.alerting import on_failure
from pgops.operators.backup import PROVEN_BACKUP
from pgops.operators.drill import (
    AmcheckOperator,
    CanariesOperator,
    CompareOperator,
    DrillReportOperator,
    DropScratchOperator,
    PrepareScratchOperator,
    RestoreOperator,
)

fleet = load_fleet()
names = [name for name, _ in fleet.names]

# A run that a backup started carries both in its partition key; one by hand carries them in its params.
DATABASE = "{{ dag_run.partition_key.split('/')[0] if dag_run.partition_key else params.database }}"
BACKUP_ID = "{{ dag_run.partition_key.split('/')[1] if dag_run.partition_key else params.backup_id }}"

with DAG(
    dag_id="restore_drill",
    doc_md=__doc__,
    schedule=PartitionedAssetTimetable(assets=PROVEN_BACKUP),
    catchup=False,
    is_paused_upon_creation=False,  # it only reacts, and must not miss a backup
    max_active_runs=1,  # one scratch database at a time on the server for drills
    allowed_run_types=["asset_triggered", "manual"],
    tags=["backup", "drill"],
    params={
        "database": Param(names[0] if names else "none", type="string", enum=names or ["none"], title="Database"),
        "backup_id": Param(
            "newest",
            type="string",
            title="Backup",
            pattern=r"^(newest|\d{8}T\d{6}Z-[0-9a-f]{6})$",
            description_md="`newest`, or an id such as 20261123T020000Z-1f9a3c.",
        ),
    },
    default_args={
        "owner": "database-operations",
        "retries": 1,
        "retry_delay": timedelta(minutes=1),
        "execution_timeout": timedelta(hours=12),
        "on_failure_callback": on_failure(fleet, lambda database: {"database": database}),
    },
) as dag:
    prepare = PrepareScratchOperator(task_id="prepare", database=DATABASE, backup_id=BACKUP_ID)
    restore = RestoreOperator(task_id="restore", database=DATABASE, scratch=prepare.output, pool=fleet.drill_pool)
    compare = CompareOperator(task_id="compare", database=DATABASE, scratch=prepare.output, pool=fleet.drill_pool)
    amcheck = AmcheckOperator(task_id="amcheck", database=DATABASE, scratch=prepare.output, pool=fleet.drill_pool)
    canaries = CanariesOperator(task_id="canaries", database=DATABASE, scratch=prepare.output, pool=fleet.drill_pool)
    steps = {"prepare": prepare, "restore": restore, "compare": compare, "amcheck": amcheck, "canaries": canaries}
    report = DrillReportOperator(
        task_id="report",
        database=DATABASE,
        steps={name: step.task_id for name, step in steps.items()},
        retries=0,
        on_failure_callback=None,
    )
    drop_scratch = DropScratchOperator(task_id="drop_scratch", database=DATABASE)

    chain(prepare, restore, [compare, amcheck, canaries], report)
    chain([compare, amcheck, canaries], drop_scratch.as_teardown(setups=prepare))
