"""
# point_in_time_recovery

A server as it was at an instant. By default beside the live one, on a port of its own: to look, and to copy back what
was lost. A target that cannot be reached is refused with the instants that can.

| step | promise |
|---|---|
| `plan_recovery` | which base backup and WAL, that every segment is there; disk, extensions, locales; expected time |
| `approve_recovery` | in place: somebody else has seen the plan and the way back and said yes; silence is a no |
| `restore_copy` | the base backup is fetched; in place the server stops first and its files keep a dated name |
| `recover` | WAL is replayed exactly up to the target, as the server's own log says, and the copy promoted |
| `check_copy` | rows, structure; who was erased since is erased again; nobody was let in until here |
| `hand_over` | beside: roles are let in. In place: the server serves, its slots are back, a new base backup is taken |
| `seed_standbys` | in place: those that the fleet file names are copied anew, until they stream; their old files stay |
| `report` | where it is, until when, how to look and how to copy a table back |

**Params**. `database`; `target_time` with its zone, or `target`: an LSN, the name of a restore point (`target_time`
then says after when it was made), a time, or `latest`; `mode`; `timeline`, if not the one that was live then;
`keep_hours` of a copy beside, which backup_watch removes afterwards; `dry_run` ends with the plan. The whole server
comes back, with all of its databases. Nothing is written into its archive by a copy beside it.

**When it fails.** A refusal has touched nothing. Otherwise clear the failed task: each goes on where it was, or begins
anew; `seed_standbys` alone, as the server is in service by then. In place: the way back stands in the approval, in the
log of `restore_copy` and in the report. See docs/runbook.md, "Someone dropped a table".
"""

from datetime import timedelta

from airflow.sdk import DAG, Param, TriggerRule, chain

from pgops.fleet import load_fleet
from pgops.operators.alerting import on_failure
from pgops.operators.recovery import (
    IN_PLACE,
    SIDE_BY_SIDE,
    ApproveRecoveryOperator,
    CheckCopyOperator,
    HandOverOperator,
    PlanRecoveryOperator,
    RecoverOperator,
    RecoveryReportOperator,
    RestoreCopyOperator,
    SeedStandbysOperator,
)
from pgops.operators.recovery_desk import recoverable

fleet = load_fleet()
names = recoverable(fleet)
DATABASE = "{{ params.database }}"

with DAG(
    dag_id="point_in_time_recovery",
    doc_md=__doc__,
    schedule=None,
    allowed_run_types=["manual"],
    max_active_runs=4,  # two instants may be looked at side by side, and an approval keeps nobody waiting
    tags=["backup", "recovery", "approval"],
    params={
        "database": Param(names[0] if names else "none", type="string", enum=names or ["none"], title="Database"),
        "target_time": Param(
            None, type=["null", "string"], format="date-time", title="Instant", description_md="With its zone."
        ),
        "target": Param(
            "",
            type="string",
            maxLength=100,
            title="or target",
            description_md="`latest`, an LSN such as `0/3000060`, or the name of a restore point.",
        ),
        "mode": Param(SIDE_BY_SIDE, type="string", enum=[SIDE_BY_SIDE, IN_PLACE], title="Mode"),
        "timeline": Param(None, type=["null", "integer"], minimum=1, title="Timeline"),
        "keep_hours": Param(None, type=["null", "number"], minimum=0.1, maximum=744, title="Keep the copy (hours)"),
        "dry_run": Param(False, type="boolean", title="Only plan"),
    },
    default_args={
        "owner": "database-operations",
        "retries": 2,
        "retry_delay": timedelta(seconds=30),
        "execution_timeout": timedelta(hours=12),
        "on_failure_callback": on_failure(fleet, lambda database: {"database": database}),
    },
) as dag:
    of = {"database": DATABASE}
    plan = PlanRecoveryOperator(task_id="plan_recovery", **of)
    approve = ApproveRecoveryOperator(task_id="approve_recovery", **of)
    # An approval that was not asked for is skipped, and must not skip what follows.
    restore = RestoreCopyOperator(task_id="restore_copy", trigger_rule=TriggerRule.NONE_FAILED, **of)
    recover = RecoverOperator(task_id="recover", **of)
    check = CheckCopyOperator(task_id="check_copy", **of)
    hand_over = HandOverOperator(task_id="hand_over", **of)
    seed = SeedStandbysOperator(task_id="seed_standbys", **of)
    report = RecoveryReportOperator(task_id="report", retries=0, on_failure_callback=None, **of)

    chain(plan, approve, restore, recover, check, hand_over, [seed, report])
    seed >> report
