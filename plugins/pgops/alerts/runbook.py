"""The runbook's sections that alerts point to, and which section belongs to which failed step."""

from __future__ import annotations

import os
import re

from pgops.errors import LostOwnership, Refused

SECTIONS = {
    "backup-refused-by-preflight": "Backup refused by preflight",
    "backup-dump-failed": "Backup: dump failed",
    "backup-verification-failed": "Backup: verification failed",
    "backup-lost-its-lock": "Backup lost its lock",
    "backup-pruning-failed": "Backup: pruning failed",
    "run-is-late": "Run is late",
    "backup-too-old": "Backup too old",
    "drill-could-not-restore": "Drill could not restore",
    "drill-found-a-mismatch": "Drill found a mismatch",
    "drill-missed-its-rto": "Drill missed its RTO",
    "drill-amcheck-found-corruption": "Drill: amcheck found corruption",
    "drill-canary-query-failed": "Drill: canary query failed",
    "recovery-not-finished": "Recovery not finished",
    "recovery-not-proven": "Recovery not proven",
    "migration-refused": "Migration refused",
    "validation-did-not-run": "Validation did not run",
    "deployment-refused": "Deployment refused",
    "deployment-failed-or-was-rolled-back": "Deployment failed or was rolled back",
    "backfill-held-up": "Backfill held up",
    "backfill-stopped": "Backfill stopped",
    "column-not-finished": "Column not finished",
    "partitions-not-ready": "Partitions not ready",
    "partition-not-restored": "Partition not restored",
    "subject-request-not-finished": "Subject request not finished",
    "health-finding-is-critical": "Health finding is critical",
    "health-check-did-not-run": "Health check did not run",
    "query-regression": "Query regression",
    "queries-not-counted": "Queries not counted",
    "queries-not-reviewed": "Queries not reviewed",
    "query-plan-refused": "Query plan refused",
    "setting-is-dangerous": "Setting is dangerous",
    "settings-not-changed": "Settings not changed",
    "dead-man-ping-missing": "Dead-man ping missing",
    "slack-not-reachable": "Slack not reachable",
    "fleet-file-refused": "Fleet file refused",
    "a-task-failed": "A task failed",
}

_BY_STEP = {
    "preflight": "backup-refused-by-preflight",
    "dump": "backup-dump-failed",
    "verify": "backup-verification-failed",
    "commit": "backup-verification-failed",
    "prune": "backup-pruning-failed",
    "prepare": "drill-could-not-restore",
    "restore": "drill-could-not-restore",
    "compare": "drill-found-a-mismatch",
    "amcheck": "drill-amcheck-found-corruption",
    "canaries": "drill-canary-query-failed",
    "measure": "drill-missed-its-rto",
    "backup_watch": "backup-too-old",
    **dict.fromkeys(("static_gate", "golden_copy", "clone", "rehearse", "drop_clone"), "validation-did-not-run"),
    **dict.fromkeys(("plan", "begin", "work", "finish", "control"), "backfill-stopped"),
    **dict.fromkeys(("add_column", "backfill", "prove", "index", "analyze", "undo"), "column-not-finished"),
    **dict.fromkeys(("plan_partitions", "create", "retire", "tidy", "check", "ledger"), "partitions-not-ready"),
    "restore_partitions": "partition-not-restored",
    **dict.fromkeys(
        ("plan_recovery", "approve_recovery", "restore_copy", "recover", "check_copy", "hand_over", "seed_standbys"),
        "recovery-not-finished",
    ),
    "expired_recoveries": "recovery-not-finished",
    **dict.fromkeys(
        ("mark", "wait_until_archived", "plan_drill", "restore_drill_copy", "recover_drill_copy", "find_marker"),
        "recovery-not-proven",
    ),
    **dict.fromkeys(("clean_up", "recoverability"), "recovery-not-proven"),
    "check_health": "health-check-did-not-run",
    "snapshot": "queries-not-counted",
    "review_queries": "queries-not-reviewed",
    **dict.fromkeys(("explain", "approve_query", "analyze_query"), "query-plan-refused"),
    **dict.fromkeys(("review_settings", "approve_settings", "apply_settings"), "settings-not-changed"),
    **dict.fromkeys(
        ("find", "export", "approve_erasure", "tombstone", "erase", "prove_erasure"), "subject-request-not-finished"
    ),
    **dict.fromkeys(
        ("validation", "backup", "downtime", "connections", "lag", "ownership", "approve", "check_again", "baseline"),
        "deployment-refused",
    ),
    **dict.fromkeys(
        ("maintenance_on", "deploy", "verify_schema", "smoke_tests", "watch", "roll_back", "maintenance_off"),
        "deployment-failed-or-was-rolled-back",
    ),
}


def section_for(task_id: str, error: BaseException | None = None) -> str:
    """The runbook section for a failed task: by the error where it tells more than the step does."""
    step = re.sub(r"__\d+$", "", task_id.rsplit(".", 1)[-1])
    if isinstance(error, LostOwnership):
        return "backup-lost-its-lock"
    if isinstance(error, Refused) and step == "dump":
        return "backup-refused-by-preflight"
    return _BY_STEP.get(step, "a-task-failed")


def runbook_base() -> str:
    """Where the runbook can be read: PGOPS_RUNBOOK_URL, or the file in the repository."""
    return os.environ.get("PGOPS_RUNBOOK_URL") or "docs/runbook.md"
