"""
# query_plan

One query's plan: as the planner sees it, and, once somebody has approved it, as it is: executed and measured.

| step | promise |
|---|---|
| `explain` | the plan without executing anything; whatever does more than read is refused here |
| `approve_query` | somebody who may has seen the query and its plan and said yes; silence is a no |
| `analyze_query` | EXPLAIN (ANALYZE, BUFFERS, VERBOSE) on a standby or a copy, read only; never on the primary |

**Params**. `database`; `query` with values in place of $1; `seconds` that it may take.

**When it fails.** `explain` or `analyze_query` says what in the query is refused, or which server may not be used.
A rejected approval has executed nothing. docs/runbook.md, "Query plan refused".
"""

from datetime import timedelta

from airflow.sdk import DAG, Param, chain

from pgops.fleet import load_fleet
from pgops.operators.alerting import on_failure
from pgops.operators.queries import AnalyzeOperator, ApproveAnalyzeOperator, ExplainOperator

fleet = load_fleet()
names = [database.name for database in fleet.databases if database.queries]
DATABASE = "{{ params.database }}"

with DAG(
    dag_id="query_plan",
    doc_md=__doc__,
    schedule=None,
    allowed_run_types=["manual"],
    max_active_runs=4,
    tags=["queries", "approval"],
    params={
        "database": Param(names[0] if names else "none", type="string", enum=names or ["none"], title="Database"),
        "query": Param(
            type="string",
            title="Query",
            minLength=6,
            maxLength=20000,
            format="multiline",
            description_md="A single SELECT with values. It is kept with this run: leave out what nobody may read.",
        ),
        "seconds": Param(60, type="integer", minimum=1, maximum=3600, title="Seconds", description_md="At most."),
    },
    default_args={
        "owner": "database-operations",
        "retries": 0,
        "execution_timeout": timedelta(hours=2),
        "on_failure_callback": on_failure(fleet, lambda database: {"database": database}),
    },
) as dag:
    chain(
        ExplainOperator(task_id="explain", database=DATABASE),
        ApproveAnalyzeOperator(task_id="approve_query", database=DATABASE),
        AnalyzeOperator(task_id="analyze_query", database=DATABASE),
    )
