"""
# migration_deploy

Deploys one validated migration, with the deployment checklist as evidence: every item is a task that looks for itself
and stores what it found. A person approves with the report in front of them; a breach afterwards rolls back by itself.

| step | promise |
|---|---|
| `validation` | this very file (by checksum) passed its rehearsal, rollback included |
| `backup`, `downtime`, `connections`, `lag`, `ownership` | a young proven backup; a short estimate; how it is now |
| `tell_on_call` | the team knows |
| `approve` | somebody who may has said yes; silence is a no |
| `check_again` | the file is still the same, production is what was rehearsed on; nobody else deploys until the end |
| `baseline` | how errors, query times, standbys and latency are before |
| `maintenance_on` | the application and the monitoring are told; the database is muted in the ledger |
| `deploy` | applied with short lock timeouts, tried again, blockers named; the database itself knows what was done |
| `verify_schema`, `smoke_tests` | the schema changed as in the rehearsal; the known questions have their answers |
| `watch` | errors, query times, standbys and latency stay as they were before |
| `roll_back` | only after a breach: the timed rollback, unless it would destroy data that nobody gave up |
| `maintenance_off` | the application and the monitoring are told again, whatever happened |
| `document` | the documentation of the schema, as it is now, lies in the bucket |
| `report` | what became of it, forecast and actual, in Slack and in the ledger; fails unless it is deployed |

**Params**. `database` and `version`.

**When it fails.** Before `deploy` nothing was touched. After it the report says whether the migration is there, was
rolled back, or stopped half way, and what to do; triggering it again goes on where it stopped. See docs/runbook.md.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param, TriggerRule, chain

from pgops.fleet import load_fleet
from pgops.operators.alerting import on_failure
from pgops.operators.deployment.approval import ApproveOperator
from pgops.operators.deployment.checklist import (
    BackupEvidenceOperator,
    BaselineOperator,
    CheckAgainOperator,
    ConnectionsOperator,
    DowntimeOperator,
    LagOperator,
    OwnershipOperator,
    TellOnCallOperator,
    ValidationEvidenceOperator,
)
from pgops.operators.deployment.report import DeploymentReportOperator
from pgops.operators.deployment.steps import (
    DeployOperator,
    DocumentOperator,
    MaintenanceOffOperator,
    MaintenanceOnOperator,
    RollBackOperator,
    SmokeTestsOperator,
    VerifySchemaOperator,
    WatchOperator,
)

fleet = load_fleet()
names = [database.name for database in fleet.databases if database.migrations and database.migrations.deploy]
DATABASE, VERSION = "{{ params.database }}", "{{ params.version }}"

with DAG(
    dag_id="migration_deploy",
    doc_md=__doc__,
    schedule=None,
    allowed_run_types=["manual"],
    max_active_runs=4,  # databases do not wait for each other; one database's deployments do, by a lock
    tags=["migration", "approval"],
    params={
        "database": Param(names[0] if names else "none", type="string", enum=names or ["none"], title="Database"),
        "version": Param(
            type="string",
            title="Version",
            pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$",
            description_md="One that `migration_validation` has passed, such as `001`.",
        ),
    },
    default_args={
        "owner": "database-operations",
        "retries": 1,
        "retry_delay": timedelta(seconds=30),
        "execution_timeout": timedelta(hours=12),
        "on_failure_callback": on_failure(fleet, lambda database: {"database": database}),
    },
) as dag:
    of = {"database": DATABASE, "version": VERSION}
    validation = ValidationEvidenceOperator(task_id="validation", **of)
    evidence = [
        BackupEvidenceOperator(task_id="backup", **of),
        DowntimeOperator(task_id="downtime", **of),
        ConnectionsOperator(task_id="connections", **of),
        LagOperator(task_id="lag", **of),
        OwnershipOperator(task_id="ownership", **of),
    ]
    tell_on_call = TellOnCallOperator(task_id="tell_on_call", **of)
    approve = ApproveOperator(task_id="approve", **of)
    check_again = CheckAgainOperator(task_id="check_again", **of)
    baseline = BaselineOperator(task_id="baseline", **of)
    maintenance_on = MaintenanceOnOperator(task_id="maintenance_on", **of)
    deploy = DeployOperator(task_id="deploy", **of)
    verify_schema = VerifySchemaOperator(task_id="verify_schema", **of)
    smoke_tests = SmokeTestsOperator(task_id="smoke_tests", **of)
    watch = WatchOperator(task_id="watch", **of)
    roll_back = RollBackOperator(task_id="roll_back", trigger_rule=TriggerRule.ONE_FAILED, **of)
    maintenance_off = MaintenanceOffOperator(task_id="maintenance_off", **of)
    document = DocumentOperator(task_id="document", trigger_rule=TriggerRule.ALL_DONE, **of)
    report = DeploymentReportOperator(
        task_id="report", trigger_rule=TriggerRule.ALL_DONE, retries=0, on_failure_callback=None, **of
    )

    chain(validation, evidence, tell_on_call, approve, check_again, baseline, maintenance_on, deploy)
    chain(deploy, verify_schema, smoke_tests, watch, roll_back, document, report)
    chain([verify_schema, smoke_tests], roll_back)
    # It runs whatever failed after check_again: also when maintenance_on told one of two.
    chain(roll_back, maintenance_off.as_teardown(setups=check_again), report)
