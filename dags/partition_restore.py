"""
# partition_restore

Brings retired partitions back from their archives: by name, or all that touch a range of the key.

| step | promise |
|---|---|
| `restore_partitions` | loaded, compared with the manifest row by row, and only then visible; it goes again by itself |

**Params**. `database`, `table` (`schema.table`), `partition`, or `from` and `to` in the text form of the key;
`attach`: into the table again, else as a table of its own in the schema `archive_restore`; `days` until retention may
take it again, or the copy is dropped.

**When it fails.** Nothing is left of the try. docs/runbook.md, "Partition not restored".
"""

from datetime import timedelta

from airflow.sdk import DAG, Param

from pgops.fleet import load_fleet
from pgops.operators.alerting import on_failure
from pgops.operators.partitions import RestorePartitionsOperator

fleet = load_fleet()
names = [database.name for database in fleet.databases if database.partitions]

with DAG(
    dag_id="partition_restore",
    doc_md=__doc__,
    schedule=None,
    max_active_runs=1,
    allowed_run_types=["manual"],
    tags=["partitions"],
    params={
        "database": Param(names[0] if names else "none", type="string", enum=names or ["none"], title="Database"),
        "table": Param(type="string", minLength=3, maxLength=130, title="Table", description_md="`schema.table`"),
        "partition": Param("", type="string", maxLength=63, title="Partition", description_md="Or a range:"),
        "from": Param("", type="string", maxLength=60, title="From", description_md="`2024-01-01`"),
        "to": Param("", type="string", maxLength=60, title="To", description_md="Exclusive"),
        "attach": Param(False, type="boolean", title="Attach", description_md="Else beside, in `archive_restore`"),
        "days": Param(14, type="integer", minimum=1, maximum=3650, title="Days", description_md="Then it goes again"),
    },
    default_args={
        "owner": "database-operations",
        "retries": 1,
        "retry_delay": timedelta(seconds=30),
        "execution_timeout": timedelta(hours=12),
        "on_failure_callback": on_failure(fleet, lambda database: {"database": database}),
    },
) as dag:
    RestorePartitionsOperator(task_id="restore_partitions", database="{{ params.database }}")
