"""
# batched_backfill

Changes many rows of one table so that the application does not feel it: in batches of some milliseconds along the
primary key, each with its checkpoint in the same transaction, slowed down or held whenever the database, a standby or
a person says so. It can be killed at any instant: clearing the task, or triggering the same backfill again, goes on
where it stopped.

| step | promise |
|---|---|
| `plan` | the specification is checked on the server; rows, ranges, a sample of before and after, and an ETA |
| `begin` | the job stands in the database itself; with `dry_run` (the default) the run ends before it |
| `work` | one task per worker; rate, percent and an honest ETA in the log; every row once |
| `finish` | nothing is left to do, or what was skipped is named; statistics are fresh |
| `report` | what was done, what held it up, in the log, in Slack and in the ledger |

**Params**. `database`, `table`, `set` (`tier = 'basic', score = 0`), `where` (which rows are still to do: it must
become false by the update), `key` (columns to walk along; the primary key when empty), `workers`, `dry_run`. Instead of
`table`, `set`, `where` and `key`: `spec`, the same keys as YAML.

**While it runs**: `backfill_control` pauses, resumes, cancels or changes the speed, without a restart.

**When it fails.** The log names the row, the limit or the lock. Nothing is lost: clear `work`, or trigger it again with
the same params. See docs/runbook.md.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param, chain

from pgops.fleet import load_fleet
from pgops.operators.alerting import on_failure
from pgops.operators.backfill import (
    BackfillReportOperator,
    BackfillWorkOperator,
    BeginBackfillOperator,
    FinishBackfillOperator,
    PlanBackfillOperator,
)

fleet = load_fleet()
names = [database.name for database in fleet.databases if database.backfill]
DATABASE = "{{ params.database }}"

with DAG(
    dag_id="batched_backfill",
    doc_md=__doc__,
    schedule=None,
    max_active_runs=1,
    allowed_run_types=["manual"],
    tags=["backfill"],
    params={
        "database": Param(names[0] if names else "none", type="string", enum=names or ["none"], title="Database"),
        "table": Param(None, type=["null", "string"], maxLength=130, title="Table", description_md="`schema.table`"),
        "set": Param(
            None,
            type=["null", "string"],
            format="multiline",
            title="Set",
            description_md="As after SET: `tier = 'basic', score = score * 10`",
        ),
        "where": Param(
            None,
            type=["null", "string"],
            format="multiline",
            title="Where",
            description_md="Which rows are still to do: `tier IS NULL`",
        ),
        "key": Param([], type="array", items={"type": "string"}, title="Key", description_md="Empty: the primary key"),
        "spec": Param(
            None,
            type=["null", "string"],
            format="multiline",
            title="Or all of these as YAML",
            description_md="`table`, `set` (column: expression), `where`, `key`, `allow_functions`",
        ),
        "workers": Param(1, type="integer", minimum=1, maximum=16, title="Workers"),
        "dry_run": Param(True, type="boolean", title="Dry run", description_md="Only say what would be done."),
    },
    default_args={
        "owner": "database-operations",
        "retries": 2,
        "retry_delay": timedelta(seconds=30),
        "execution_timeout": timedelta(hours=12),
        "on_failure_callback": on_failure(fleet, lambda database: {"database": database}),
    },
) as dag:
    plan = PlanBackfillOperator(task_id="plan", database=DATABASE)
    begin = BeginBackfillOperator(task_id="begin", database=DATABASE)
    work = BackfillWorkOperator.partial(
        task_id="work", database=DATABASE, map_index_template="worker {{ task.worker }}"
    ).expand(worker=begin.output)
    finish = FinishBackfillOperator(task_id="finish", database=DATABASE)
    report = BackfillReportOperator(task_id="report", database=DATABASE, retries=0, on_failure_callback=None)

    chain(plan, begin, work, finish, report)
