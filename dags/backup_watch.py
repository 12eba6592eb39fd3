"""
# backup_watch

Every hour: is each database's newest proven backup younger than its RPO? It looks at the bucket, not at runs, so it
also notices a backup that never started: a paused DAG, an import error, no free slot.

| step | promise |
|---|---|
| `backup_watch` | fails for each database whose newest proven backup is too old, or that has none; alerts once a day |
| `recoverability` | what can be restored of each server; fails when WAL stopped or no base backup serves |
| `expired_recoveries` | copies of point_in_time_recovery are stopped and removed when their time is over |
| `expired_exports` | exports of persons' data are removed when their time is over, whatever else failed |
| `ping` | tells a dead-man's switch that somebody is watching; skipped without the Variable `pgops_dead_man_url` |

**When it fails.** Look at the last nightly_backup; docs/runbook.md, "Backup too old". When Airflow itself is dead
nothing here runs: `./dev freshness` from cron or a monitor elsewhere, or the dead-man's switch, notices that.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, chain

from pgops.fleet import load_fleet
from pgops.operators.alerting import on_failure
from pgops.operators.backup import FreshnessOperator
from pgops.operators.exports import ExpiredExportsOperator
from pgops.operators.fleet import FleetFileOperator
from pgops.operators.ping import DeadManPingOperator
from pgops.operators.recovery_desk import recoverable_servers
from pgops.operators.recovery_drill import ExpiredRecoveriesOperator, RecoverabilityOperator

fleet = load_fleet()
servers = recoverable_servers(fleet)

with DAG(
    dag_id="backup_watch",
    doc_md=__doc__,
    schedule=CronTriggerTimetable(fleet.schedule("backup_watch", "17 * * * *"), timezone=fleet.timezone),
    catchup=False,
    max_active_runs=1,
    allowed_run_types=["scheduled", "manual"],
    tags=["backup", "watch"],
    default_args={
        "owner": "database-operations",
        "retries": 1,
        "retry_delay": timedelta(minutes=1),
        "execution_timeout": timedelta(minutes=15),
        "on_failure_callback": on_failure(fleet, lambda database: {}, once_a_day=True),
    },
) as dag:
    # Side by side: were the ping the last one, its success would be the run's, whatever the watch had found.
    chain(
        FleetFileOperator(task_id="fleet_file"),
        [
            FreshnessOperator.partial(task_id="backup_watch", map_index_template="{{ task.database }}").expand(
                database=[name for name, _ in fleet.names]
            ),
            ExpiredExportsOperator.partial(task_id="expired_exports", map_index_template="{{ task.database }}").expand(
                database=[database.name for database in fleet.databases if database.privacy]
            ),
            RecoverabilityOperator.partial(task_id="recoverability", map_index_template="{{ task.server }}").expand(
                server=servers
            ),
            ExpiredRecoveriesOperator.partial(
                task_id="expired_recoveries", map_index_template="{{ task.server }}"
            ).expand(server=servers),
            DeadManPingOperator(task_id="ping"),
        ],
    )
