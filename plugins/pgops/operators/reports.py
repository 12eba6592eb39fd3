"""Reports at the end of a run: one Slack message, records in the ledger, and never a green run over a failure."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from pgops.fleet import Settings
from pgops.operators.alerting import record_run, tell_slack
from pgops.operators.base import task_states
from pgops.operators.fleet_report import FleetReportOperator
from pgops.operators.results import pulled

if TYPE_CHECKING:
    from pgops.alerts.messages import BackupLine, BaseLine, Canary
    from pgops.fleet import Canary as Question
    from pgops.recovery import DrillReport, Scratch

log = logging.getLogger(__name__)

STEPS = ("preflight", "dump", "verify", "commit", "prune")
BASE_STEPS = ("base_backup", "verify_base_backup", "prune_base_backups")
_READ_BACK = {"L3": "hash, contents, rows"}
_BAD = ("failed", "upstream_failed", "removed")


class NightlyReportOperator(FleetReportOperator):
    """Says what became of every database and server tonight, and fails when one of them was not backed up.

    It does no work of its own, so clearing it repeats none. Runs whatever failed before it.

    Args:
        groups: the databases of each task group, in the order in which the group was expanded.
        servers: of which base backups are taken.
    """

    def __init__(self, *, groups: Mapping[str, Sequence[str]], servers: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.groups = {group: list(names) for group, names in groups.items()}
        self.servers = list(servers)

    def execute(self, context: Any) -> dict[str, Any]:
        """Return what the run came to, per database."""
        from pgops.alerts.messages import NightlyReport, nightly_message

        settings = self.settings()
        states = task_states(context)
        outcomes: dict[str, dict[str, Any]] = {}
        for group, names in self.groups.items():
            outcomes |= self._outcomes(context, group, names, states)
        for name, outcome in outcomes.items():
            log.info("%s", _sentence(name, outcome))
            record_run(settings, context, name, "success" if outcome["ok"] else "failed", outcome)
        bases = {server: outcome for server in self.servers if (outcome := self._base_outcome(context, server, states))}
        failed = sorted(name for name, outcome in outcomes.items() if not outcome["ok"])
        failed_bases = sorted(server for server, outcome in bases.items() if not outcome["ok"])
        started_at = context["dag_run"].start_date or datetime.now(UTC)
        report = NightlyReport(
            lines=tuple(_line(name, outcome) for name, outcome in outcomes.items()),
            started_at=started_at,
            seconds=(datetime.now(UTC) - started_at).total_seconds(),
            log_url=context["ti"].log_url,
            pruned=sum(len(outcome["pruned"]) for outcome in outcomes.values()),
            command=_again(failed, failed_bases) if failed or failed_bases else "",
            bases=tuple(_base_line(server, outcome) for server, outcome in bases.items()),
        )
        tell_slack(nightly_message(report, runbook_url=settings.runbook_url), settings, "nightly_report")
        result = {"databases": outcomes, "failed": failed, "servers": bases, "failed_servers": failed_bases}
        if failed or failed_bases:
            context["ti"].xcom_push(key="return_value", value=result)
            errors = [f"{name}: {outcomes[name]['error']}" for name in failed]
            errors += [f"{server}: {bases[server]['error']}" for server in failed_bases]
            raise AirflowFailException("; ".join(errors))
        return result

    @staticmethod
    def _base_outcome(context: Any, server: str, states: Mapping[str, str]) -> dict[str, Any]:
        """What became of a server's base backup; nothing when none was asked for."""
        group = f"{server}_physical"
        steps = {step: states.get(f"{group}.{step}") for step in BASE_STEPS}
        if steps["base_backup"] == "skipped":
            return {}
        results = {step: next(iter(pulled(context, f"{group}.{step}")), None) for step in BASE_STEPS}
        problems = {step: next(iter(pulled(context, f"{group}.{step}", "problem")), None) for step in BASE_STEPS}
        bad = [step for step, state in steps.items() if state in _BAD]
        told = next((f"{step}: {problem['error']}" for step, problem in problems.items() if problem), "")
        outcome = {
            "ok": not bad and results["verify_base_backup"] is not None,
            "error": "" if not bad else told or f"{bad[0]}: the task {steps[bad[0]]}, see its log",
            "backup": results["base_backup"],
            "verified": results["verify_base_backup"],
            "pruned": (results["prune_base_backups"] or {}).get("removed", []),
        }
        log.info("base backup of %s: %s", server, outcome["error"] or (outcome["backup"] or {}).get("backup_id"))
        return outcome

    @staticmethod
    def _outcomes(
        context: Any, group: str, names: Sequence[str], states: Mapping[str, str]
    ) -> dict[str, dict[str, Any]]:
        committed = {one["database"]: one for one in pulled(context, f"{group}.commit")}
        pruned = {one["database"]: one for one in pulled(context, f"{group}.prune")}
        checked = {one["database"]: one for one in pulled(context, f"{group}.preflight")}
        problems = {
            one["database"]: f"{step}: {one['error']}"
            for step in STEPS
            for one in pulled(context, f"{group}.{step}", "problem")
        }
        outcomes = {}
        for index, name in enumerate(names):
            steps = {step: states.get(f"{group}.{step}_{index}") for step in STEPS}
            if steps["preflight"] == "skipped":
                continue
            bad = [step for step, state in steps.items() if state in _BAD]
            outcomes[name] = {
                "ok": not bad and name in committed,
                "error": "" if not bad else problems.get(name, f"{bad[0]}: the task {steps[bad[0]]}, see its log"),
                "backup": committed.get(name),
                "pruned": pruned.get(name, {}).get("removed", []),
                "prune_dry_run": pruned.get(name, {}).get("dry_run", False),
                "notes": list(
                    dict.fromkeys(
                        (
                            *checked.get(name, {}).get("notes", ()),
                            *committed.get(name, {}).get("notes", ()),
                            *pruned.get(name, {}).get("locked", ()),
                        )
                    )
                ),
            }
        return outcomes


def _again(databases: Sequence[str], servers: Sequence[str]) -> str:
    """The command that repeats what failed."""
    from pgops.alerts.messages import run_command

    conf: dict[str, Any] = {"databases": list(databases)} if databases else {}
    return run_command("nightly_backup", conf | ({"base_backup": True} if servers else {}))


def _base_line(server: str, outcome: Mapping[str, Any]) -> BaseLine:
    from pgops.alerts.messages import BaseLine

    backup = outcome["backup"] or {}
    return BaseLine(
        server=server,
        ok=outcome["ok"],
        backup_id=backup.get("backup_id", ""),
        kind=backup.get("kind", ""),
        taken=bool(backup.get("taken")),
        bytes=backup.get("bytes"),
        seconds=backup.get("seconds"),
        error=outcome["error"],
        notes=(
            *backup.get("notes", ()),
            *(f"swept up {one}, which nobody finished" for one in backup.get("swept", ())),
        ),
    )


def _line(name: str, outcome: Mapping[str, Any]) -> BackupLine:
    from pgops.alerts.messages import BackupLine

    backup = outcome["backup"] or {}
    seconds = backup.get("seconds", 0.0) + backup.get("verify_seconds", 0.0)
    return BackupLine(
        name=name,
        ok=outcome["ok"],
        bytes=backup.get("bytes"),
        seconds=seconds or None,
        throughput=backup["raw_bytes"] / backup["seconds"] if backup.get("seconds") else None,
        change=backup.get("change"),
        verification=f"{backup['level']} read back: {_READ_BACK.get(backup['level'], 'hash')}" if backup else "",
        error=outcome["error"],
        notes=tuple(outcome["notes"]),
    )


def _sentence(name: str, outcome: Mapping[str, Any]) -> str:
    backup = outcome["backup"]
    if not outcome["ok"] or not backup:
        return f"{name}: FAILED: {outcome['error']}"
    return (
        f"{name}: {backup['backup_id']}, {backup['bytes']} bytes, {backup['rows']} rows in {backup['tables']} tables, "
        f"from the {backup['taken_from']}, proven to {backup['level']}"
    )


def _answer(name: str, problems: Sequence[str]) -> Canary:
    from pgops.alerts.messages import Canary

    problem = next((problem for problem in problems if problem.startswith(f"{name}: ")), "")
    return Canary(name, not problem, problem)


def send_drill_report(
    verdict: DrillReport,
    scratch: Scratch,
    questions: Sequence[Question],
    context: Mapping[str, Any],
    settings: Settings,
) -> None:
    """Tell Slack what a drill found."""
    from pgops.alerts.messages import DrillReport as DrillNews
    from pgops.alerts.messages import drill_message, run_command

    checks = {check.name: check for check in verdict.checks}
    contents, amcheck, canaries = (checks.get(name) for name in ("contents", "amcheck", "canaries"))
    news = DrillNews(
        database=verdict.database,
        backup_id=verdict.backup_id,
        restored=verdict.restored is not None,
        tables=scratch.tables,
        differing=contents.problems if contents else (),
        restore_seconds=verdict.rto_seconds if verdict.restored else None,
        rto_seconds=verdict.rto_limit_seconds,
        amcheck=len(amcheck.problems) if amcheck and not amcheck.skipped else None,
        canaries=tuple(_answer(question.name, canaries.problems) for question in questions) if canaries else None,
        started_at=context["dag_run"].start_date or datetime.now(UTC),
        log_url=context["ti"].log_url,
        error="; ".join(verdict.unfinished),
        command=run_command("restore_drill", {"database": verdict.database, "backup_id": verdict.backup_id}),
    )
    tell_slack(drill_message(news, runbook_url=settings.runbook_url), settings, "drill_report")
