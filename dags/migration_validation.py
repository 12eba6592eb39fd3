"""
# migration_validation

Rehearses migrations on a throw-away copy of the database and says whether they may be deployed: every statement's
locks, how long they are held, rewrites, full scans, WAL and milliseconds; the rollback, timed, and proof that it leaves
nothing behind. Of production only settings and sizes are read.

| step | promise |
|---|---|
| `static_gate` | every file is parsed and linted for the server's version; what is wrong has its line and its mend |
| `golden_copy` | the template for copies is young enough, else it is made anew from a proven backup or from staging |
| `clone` | a copy of the template, with the settings of production |
| `rehearse` | applied beside readers and writers, written to, rolled back, compared in four layers, applied again |
| `report` | a verdict for each, in the log, in Slack, in the bucket and in the ledger; fails when one is refused |
| `drop_clone` | the copy is gone, whatever happened |

**Params**. `database`; `version`: one version, `pending` (all that the database does not have yet) or `all`;
`refresh`: make the template anew first.

**When it fails.** The report names each refused migration with the exact reasons. Mend the file and trigger it again:
what was validated is known by its checksum. See docs/runbook.md.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param, chain

from pgops.fleet import load_fleet
from pgops.operators.alerting import on_failure
from pgops.operators.validation import (
    CloneOperator,
    DropCloneOperator,
    GoldenCopyOperator,
    RehearseOperator,
    StaticGateOperator,
    ValidationReportOperator,
)

fleet = load_fleet()
names = [database.name for database in fleet.databases if database.migrations]
DATABASE = "{{ params.database }}"

with DAG(
    dag_id="migration_validation",
    doc_md=__doc__,
    schedule=None,
    allowed_run_types=["manual"],
    max_active_runs=1,  # one copy at a time on the server for copies, so that measured times mean something
    tags=["migration"],
    params={
        "database": Param(names[0] if names else "none", type="string", enum=names or ["none"], title="Database"),
        "version": Param(
            "pending",
            type="string",
            title="Version",
            pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$",
            description_md="One version such as `001`, `pending`, or `all`.",
        ),
        "refresh": Param(False, type="boolean", title="Make the template anew first"),
    },
    default_args={
        "owner": "database-operations",
        "retries": 1,
        "retry_delay": timedelta(seconds=30),
        "execution_timeout": timedelta(hours=12),
        "on_failure_callback": on_failure(fleet, lambda database: {"database": database}),
    },
) as dag:
    static_gate = StaticGateOperator(task_id="static_gate", database=DATABASE)
    golden_copy = GoldenCopyOperator(task_id="golden_copy", database=DATABASE, pool=fleet.drill_pool)
    clone = CloneOperator(task_id="clone", database=DATABASE, pool=fleet.drill_pool)
    rehearse = RehearseOperator(task_id="rehearse", database=DATABASE, gate=static_gate.output, pool=fleet.drill_pool)
    report = ValidationReportOperator(
        task_id="report",
        database=DATABASE,
        gate=static_gate.task_id,
        rehearsal=rehearse.task_id,
        retries=0,
        on_failure_callback=None,
    )
    drop_clone = DropCloneOperator(task_id="drop_clone", database=DATABASE)

    chain(static_gate, golden_copy, clone, rehearse, report)
    chain(rehearse, drop_clone.as_teardown(setups=clone))
