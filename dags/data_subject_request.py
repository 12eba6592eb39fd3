"""
# data_subject_request

One person's data: exported for them, or erased and proven to be gone. Which tables that are is found by foreign keys
and completed by the privacy policy in the fleet file.

| step | promise |
|---|---|
| `find` | rows by table, how they are reached, what would happen to each; what nobody named is pointed out |
| `export` | all of it, from one snapshot, as JSON and CSV in the bucket, read back; it goes after `export_days` |
| `approve_erasure` | somebody else than who asked has seen what will go and said yes; silence is a no |
| `tombstone` | a keyed hash of the person's key lies in the bucket, so that no restore brings them back |
| `erase` | children before parents, in small transactions; can be killed at any instant |
| `prove_erasure` | a search finds nothing; which backups still hold the person, and until when |
| `report` | in Slack and in the ledger, without the person; fails unless it is done |

**Params**. `database`; `kind` (`export`, or `erase`, which exports first); `subject`, the person's key, or
`subject_variable`, the name of an Airflow variable that holds it. Params stay in Airflow's metadata with the run and in
its audit log. With a variable the key is in neither: it is encrypted, and removed when the request is done.

**When it fails.** Until `tombstone` nothing has changed. After it, clear the failed task: it goes on with what is left.
See docs/privacy.md and docs/runbook.md.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param, chain

from pgops.fleet import load_fleet
from pgops.operators.alerting import on_failure
from pgops.operators.subject import (
    ApproveErasureOperator,
    EraseSubjectOperator,
    ExportSubjectOperator,
    FindSubjectOperator,
    ProveErasureOperator,
    SubjectReportOperator,
    TombstoneOperator,
)

fleet = load_fleet()
names = [database.name for database in fleet.databases if database.privacy]
DATABASE = "{{ params.database }}"

with DAG(
    dag_id="data_subject_request",
    doc_md=__doc__,
    schedule=None,
    allowed_run_types=["manual"],
    max_active_runs=4,  # one that waits for its approval must not keep another person waiting
    tags=["privacy", "approval"],
    params={
        "database": Param(names[0] if names else "none", type="string", enum=names or ["none"], title="Database"),
        "kind": Param("export", type="string", enum=["export", "erase"], title="Kind"),
        "subject": Param(
            "",
            type=["string", "integer"],
            title="Subject",
            description_md="The person's key, as in the column that the policy names. It stays with the run.",
        ),
        "subject_variable": Param(
            "",
            type="string",
            maxLength=250,
            title="or variable",
            description_md="Instead: an Airflow variable that holds the key. It is removed at the end.",
        ),
    },
    default_args={
        "owner": "database-operations",
        "retries": 2,
        "retry_delay": timedelta(seconds=30),
        "execution_timeout": timedelta(hours=12),
        # Never the run's conf: it holds the person's key.
        "on_failure_callback": on_failure(fleet, lambda database: {"database": database}),
    },
) as dag:
    of = {"database": DATABASE}
    find = FindSubjectOperator(task_id="find", **of)
    export = ExportSubjectOperator(task_id="export", **of)
    approve_erasure = ApproveErasureOperator(task_id="approve_erasure", **of)
    tombstone = TombstoneOperator(task_id="tombstone", **of)
    erase = EraseSubjectOperator(task_id="erase", **of)
    prove_erasure = ProveErasureOperator(task_id="prove_erasure", **of)
    report = SubjectReportOperator(task_id="report", retries=0, on_failure_callback=None, **of)

    chain(find, export, approve_erasure, tombstone, erase, prove_erasure, report)
