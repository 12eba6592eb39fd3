"""
# nightly_backup

Backs up every database of the fleet, and counts a backup only when it was read back from the bucket and proven.

Each database goes through its own steps; one that fails stops no other.

| step | promise |
|---|---|
| `preflight` | server, role, tools, bucket and lock are right, or one error says what is not; nothing is touched |
| `dump` | one snapshot, dumped into the bucket and fingerprinted table by table |
| `verify` | read back: hashes, full decoding, table of contents, rows of each table |
| `commit` | the manifest is written: the backup exists, and `restore_drill` begins |
| `prune` | backups that no rule keeps are removed; never the newest, never on a night that failed |

And each server with a `physical` policy, beside its databases:

| step | promise |
|---|---|
| `base_backup` | its WAL is being archived, or an error says what is wrong; a base backup is taken where one is due |
| `verify_base_backup` | read back, with the WAL that it needs: decompressed, hashed, every archive whole |
| `prune_base_backups` | chains that no rule keeps go with their WAL, never before a newer one is proven |

Then, whatever failed:

| step | promise |
|---|---|
| `report` | one Slack message for the fleet; fails when any database or server did |

**Params.** `databases`: back up only these (all when empty). `prune_dry_run`: only say what would be removed.
`base_backup`: take base backups though none is due; without it a run for some databases takes none.

**When it fails.** Each failed step has sent an alert that names the cause and the section of docs/runbook.md. Mend the
cause, then clear the failed step (its followers are cleared with it), or trigger this DAG for that database alone.
What a dead run left behind is swept up by the next.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param, TaskGroup, chain, task_group

from pgops.fleet import load_fleet
from pgops.operators.alerting import late_run_deadline, on_failure
from pgops.operators.backup import CommitOperator, DumpOperator, PreflightOperator, PruneOperator, VerifyOperator
from pgops.operators.fleet import FleetFileOperator
from pgops.operators.physical import BaseBackupOperator, PruneBaseBackupsOperator, VerifyBaseBackupOperator
from pgops.operators.reports import NightlyReportOperator

fleet = load_fleet()

with DAG(
    dag_id="nightly_backup",
    doc_md=__doc__,
    schedule=CronTriggerTimetable(fleet.schedule("nightly_backup", "0 2 * * *"), timezone=fleet.timezone),
    catchup=False,
    max_active_runs=1,
    allowed_run_types=["scheduled", "manual"],
    deadline=late_run_deadline(fleet),
    tags=["backup"],
    params={
        "databases": Param(
            [],
            type="array",
            title="Databases",
            description_md="Back up only these; all when empty.",
            items={"type": "string", "enum": [name for name, _ in fleet.names]},
            examples=[name for name, _ in fleet.names],
        ),
        "base_backup": Param(
            False, type="boolean", title="Base backups now", description_md="Take them though none is due."
        ),
        "prune_dry_run": Param(False, type="boolean", title="Prune: dry run", description_md="Only say what would go."),
    },
    default_args={
        "owner": "database-operations",
        "retries": 2,
        "retry_delay": timedelta(minutes=1),
        "execution_timeout": timedelta(hours=12),
        "weight_rule": "upstream",  # a finished dump is proven before the next begins
        "on_failure_callback": on_failure(fleet, lambda database: {"databases": [database]}),
    },
) as dag:
    fleet_file = FleetFileOperator(task_id="fleet_file")
    report = NightlyReportOperator(
        task_id="report",
        groups={server: fleet.on_server(server) for server in fleet.server_names()},
        servers=fleet.physical_servers(),
    )
    chain(fleet_file, report)

    for server in fleet.server_names():

        @task_group(group_id=server)
        def back_up(database: str, pool: str = fleet.pool(server)) -> None:
            """Back up one database of this server."""
            preflight = PreflightOperator(task_id="preflight", database=database)
            dump = DumpOperator(task_id="dump", database=database, pool=pool)
            verify = VerifyOperator(task_id="verify", database=database, dump=dump.output)
            commit = CommitOperator(task_id="commit", database=database, verified=verify.output)
            prune = PruneOperator(task_id="prune", database=database, committed=commit.output)
            chain(preflight, dump, verify, commit, prune)

        chain(fleet_file, back_up.expand(database=fleet.on_server(server)), report)

    for server in fleet.physical_servers():
        with TaskGroup(group_id=f"{server}_physical"):
            base_backup = BaseBackupOperator(task_id="base_backup", server=server, pool=fleet.pool(server))
            verify = VerifyBaseBackupOperator(task_id="verify_base_backup", server=server, taken=base_backup.output)
            prune = PruneBaseBackupsOperator(task_id="prune_base_backups", server=server, verified=verify.output)
        chain(fleet_file, base_backup, verify, prune, report)
