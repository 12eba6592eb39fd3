"""
# zero_downtime_column

Adds a column to a table in use, in the only safe order, from whatever state it is in: each task reads the state anew
and does the steps of its phase that are still to do. With a constant default no row is touched at all.

| step | promise |
|---|---|
| `plan` | the steps that are left, each with its SQL and its lock |
| `add_column` | the column, and the default or trigger that fills new rows; short locks, tried again |
| `backfill` | the rows that are there, in batches that the application does not feel |
| `prove` | CHECK NOT VALID, the sweep of what was missed, VALIDATE, SET NOT NULL, and the CHECK is gone again |
| `index` | built concurrently; who it waits for is named; an invalid one is repaired |
| `analyze` | the planner knows the values |
| `undo` | with action `undo`: what was begun is taken back, up to the point of NOT NULL |
| `report` | read back: the column is as it was asked for |

**Params**. `database`, `table`, `column`, `type`; `default` (an SQL expression), `backfill` (an expression over the
row, if old rows get something else), `not_null`, `index`; `action`: `plan` (the default), `apply` or `undo`.

**When it fails.** The log names the step. Nothing is lost: trigger it again with the same params, it goes on from
there; or with `undo`. See docs/runbook.md.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param, TriggerRule, chain

from pgops.fleet import load_fleet
from pgops.operators.alerting import on_failure
from pgops.operators.column import ColumnReportOperator, ColumnStepsOperator, PlanColumnOperator, UndoColumnOperator

fleet = load_fleet()
names = [database.name for database in fleet.databases if database.backfill]
DATABASE = "{{ params.database }}"

ADD = ("add column with its default", "add column", "set default", "create trigger")
PROVE = ("add CHECK NOT VALID", "add NOT NULL NOT VALID", "sweep", "validate", "set NOT NULL", "drop CHECK")
INDEX = ("create parent index", "drop invalid index", "create index", "attach index")

with DAG(
    dag_id="zero_downtime_column",
    doc_md=__doc__,
    schedule=None,
    max_active_runs=1,
    allowed_run_types=["manual"],
    tags=["backfill", "migration"],
    params={
        "database": Param(names[0] if names else "none", type="string", enum=names or ["none"], title="Database"),
        "table": Param(type="string", minLength=1, maxLength=130, title="Table", description_md="`schema.table`"),
        "column": Param(type="string", minLength=1, maxLength=65, title="Column"),
        "type": Param("text", type="string", minLength=1, maxLength=200, title="Type"),
        "default": Param("", type="string", maxLength=2000, title="Default", description_md="`''`, or `now()`"),
        "backfill": Param("", type="string", maxLength=5000, title="Old rows get", description_md="`lower(email)`"),
        "not_null": Param(True, type="boolean", title="NOT NULL"),
        "index": Param(False, type="boolean", title="Index"),
        "action": Param("plan", type="string", enum=["plan", "apply", "undo"], title="Action"),
    },
    default_args={
        "owner": "database-operations",
        "retries": 2,
        "retry_delay": timedelta(seconds=30),
        "execution_timeout": timedelta(hours=12),
        "on_failure_callback": on_failure(fleet, lambda database: {"database": database}),
    },
) as dag:
    plan = PlanColumnOperator(task_id="plan", database=DATABASE)
    phases = [
        ColumnStepsOperator(task_id="add_column", database=DATABASE, steps=ADD),
        ColumnStepsOperator(task_id="backfill", database=DATABASE, steps=("backfill",)),
        ColumnStepsOperator(task_id="prove", database=DATABASE, steps=PROVE),
        ColumnStepsOperator(task_id="index", database=DATABASE, steps=INDEX),
        ColumnStepsOperator(task_id="analyze", database=DATABASE, steps=("analyze",)),
    ]
    undo = UndoColumnOperator(task_id="undo", database=DATABASE)
    report = ColumnReportOperator(
        task_id="report",
        database=DATABASE,
        retries=0,
        trigger_rule=TriggerRule.NONE_FAILED,
        on_failure_callback=None,
    )

    chain(plan, *phases, report)
    chain(plan, undo, report)
