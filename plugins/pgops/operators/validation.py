"""The steps of migration_validation, one operator each."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import TriggerRule

from pgops import units
from pgops.errors import PgOpsError
from pgops.fleet import Database, Fleet
from pgops.include import include_folder
from pgops.operators import resources
from pgops.operators.base import PgOpsOperator
from pgops.operators.results import from_xcom, to_xcom
from pgops.operators.tombstones import replay_tombstones

if TYPE_CHECKING:
    from pgops.migration.copy import Clone, Settings
    from pgops.postgres import Dsn

log = logging.getLogger(__name__)


def production_settings(database: Database) -> Settings:
    """How sessions in production understand SQL."""
    from pgops.migration.copy import read_settings

    policy = resources.migration_policy(database)
    role = resources.dsn(policy.deploy.connection).user if policy.deploy else None
    return read_settings(resources.dsn(database.connection), role)


def _make_clone(database: Database) -> Clone:
    from pgops.migration.copy import make_clone

    server = resources.dsn(resources.migration_policy(database).connection)
    return make_clone(server, database.name, production_settings(database))


class StaticGateOperator(PgOpsOperator):
    """Chooses the migrations, parses them and lints them. What it finds refuses a migration, not the run."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return the chosen versions with their checksums, and all findings."""
        from pgops.migration.gate.check import check
        from pgops.migration.proof.review import RULES
        from pgops.migration.scripts.history import asked_for, migrations_of, on
        from pgops.postgres import connect

        policy = resources.migration_policy(database)
        migrations = migrations_of(policy, include_folder())
        production = resources.dsn(database.connection)
        wanted = asked_for(migrations, context["params"]["version"], on(production, migrations, policy.baseline))
        with connect(production, "pgops.static_gate", readonly=True) as connection:
            server_version = connection.server_version
        findings = check(wanted, policy, server_version, known=RULES)
        for finding in findings:
            log.log(logging.ERROR if finding.level == "error" else logging.WARNING, "%s", finding)
        errors = sum(finding.level == "error" for finding in findings)
        log.info("%s migrations, %s errors, %s warnings", len(wanted), errors, len(findings) - errors)
        return {
            "versions": {one.version: one.checksum for one in wanted},
            "findings": [to_xcom(finding) for finding in findings],
        }


class GoldenCopyOperator(PgOpsOperator):
    """Makes the template for copies anew when there is none, when it is too old, or when it is asked for."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return a GoldenState."""
        from pgops.migration.copy import golden_state, make_golden
        from pgops.migration.staging import fill_from_staging

        policy = resources.migration_policy(database)
        server = resources.dsn(policy.connection)
        state = golden_state(server, database.name)
        if state is not None and not context["params"]["refresh"]:
            age = state.age_hours(datetime.now(UTC))
            if age <= policy.golden.max_age_hours:
                log.info("the template is %.1f h old, made from %s", age, state.made_from)
                return to_xcom(state)
        settings = production_settings(database)
        if policy.golden.source == "staging":
            assert policy.golden.connection is not None  # the policy says so
            fill = fill_from_staging(resources.dsn(policy.golden.connection), settings.hash)
            return to_xcom(make_golden(server, database.name, fill, source_identity=settings.identity))
        return to_xcom(self._from_backup(fleet, database, server, settings))

    @staticmethod
    def _from_backup(fleet: Fleet, database: Database, server: Dsn, settings: Settings) -> Any:
        from pgops.migration.copy import GoldenOrigin, make_golden
        from pgops.recovery import restore
        from pgops.recovery.scratch import chosen_backup

        settings_of_fleet = fleet.checked_settings()
        catalog = resources.catalog(settings_of_fleet, database.name)
        backup_id = chosen_backup(catalog, "newest")
        manifest = catalog.manifest(backup_id)
        jobs = database.drill.jobs if database.drill else 2

        def fill(target: Dsn) -> GoldenOrigin:
            restore(catalog, backup_id, target, jobs)
            replay_tombstones(settings_of_fleet, database, target, manifest.started_at)
            return GoldenOrigin(catalog.bucket.where(catalog.key(backup_id)), backup_id, settings.hash)

        return make_golden(server, database.name, fill, encoding=manifest.encoding, source_identity=settings.identity)


class CloneOperator(PgOpsOperator):
    """Makes the copy on which the migrations are rehearsed."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return a Clone."""
        clone = _make_clone(database)
        log.info("%s: %s by %s in %.1f s", clone.dbname, units.size(clone.bytes), clone.strategy, clone.seconds)
        for note in clone.notes:
            log.warning("%s", note)
        return to_xcom(clone)


class RehearseOperator(PgOpsOperator):
    """Rehearses the chosen migrations one after the other; each has its verdict in the bucket and the ledger at once.

    Args:
        gate: the StaticGateOperator's result.
    """

    template_fields: Sequence[str] = ("database", "gate")

    def __init__(self, *, gate: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.gate = gate

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> list[dict[str, Any]]:
        """Return the verdicts."""
        from pgops.migration.copy import clone_name
        from pgops.migration.model import Finding
        from pgops.migration.rehearsal.rehearse import relation_bytes
        from pgops.migration.rehearsal.validation import Bench, validate
        from pgops.migration.scripts.history import beforehand, migrations_of, on
        from pgops.migration.verdict.records import correction_from, keep
        from pgops.migration.verdict.report import as_text

        settings, policy = fleet.checked_settings(), resources.migration_policy(database)
        bucket, ledger = resources.bucket(settings), resources.ledger(settings)
        migrations = migrations_of(policy, include_folder())
        wanted = [one for one in migrations if one.version in self.gate["versions"]]
        self._refuse_edited({one.version: one.checksum for one in wanted})
        copy = resources.dsn(policy.connection).on(clone_name(database.name))

        def renew() -> None:
            _make_clone(database)

        if context["ti"].try_number > 1:  # the try before may have left it half migrated
            renew()
        bench = Bench(
            database=database.name,
            copy=copy,
            renew=renew,
            production_bytes=relation_bytes(resources.dsn(database.connection)),
            correction=correction_from(ledger.rows("forecast_errors", database=database.name)),
        )
        first = beforehand(migrations, wanted, on(copy, migrations, policy.baseline))
        findings = [from_xcom(Finding, one) for one in self.gate["findings"]]
        kept = []
        for validated in validate(bench, first, wanted, findings, policy):
            log.info("\n%s", as_text(validated.judged))
            kept.append(to_xcom(keep(validated, bucket, ledger, context["run_id"])))
        return kept

    def _refuse_edited(self, checksums: Mapping[str, str]) -> None:
        if checksums != self.gate["versions"]:
            raise PgOpsError(
                "The migrations are not those that the static gate has checked: files were changed meanwhile",
                where="task static_gate",
                remedy="Trigger the validation again",
            )


class DropCloneOperator(PgOpsOperator):
    """Drops the copy, whatever happened before."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> None:
        """Return nothing."""
        from pgops.migration.copy import drop_clone

        drop_clone(resources.dsn(resources.migration_policy(database).connection), database.name)


class ValidationReportOperator(PgOpsOperator):
    """Says what became of every migration, and fails when one is refused or was not rehearsed.

    Runs whatever failed before it.

    Args:
        gate, rehearsal: the task ids of those steps.
    """

    template_fields: Sequence[str] = ("database",)

    def __init__(self, *, gate: str, rehearsal: str, **kwargs: Any) -> None:
        kwargs.setdefault("trigger_rule", TriggerRule.ALL_DONE)
        super().__init__(**kwargs)
        self.gate = gate
        self.rehearsal = rehearsal

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return the verdicts, and the versions that have none."""
        from pgops.alerts.messages import run_command
        from pgops.alerts.migrations import MigrationLine, ValidationNews, validation_message
        from pgops.operators.alerting import tell_slack

        ti, settings = context["ti"], fleet.checked_settings()
        wanted = (ti.xcom_pull(task_ids=self.gate) or {}).get("versions", {})
        rows = resources.ledger(settings).rows("validations_of_run", run_id=context["run_id"], database=database.name)
        verdicts = {row["version"]: row for row in rows}
        steps = (self.gate, "golden_copy", "clone", self.rehearsal)
        problems = [ti.xcom_pull(task_ids=step, key="problem") for step in steps]
        error = "; ".join(problem["error"] for problem in problems if problem)
        missing = [version for version in wanted if version not in verdicts]
        if missing or not wanted:
            error = error or "a step before it did not come to its end: see its log"
        refused = [row for row in verdicts.values() if not row["passed"]]
        bucket = resources.bucket(settings)
        news = ValidationNews(
            database=database.name,
            lines=tuple(
                MigrationLine(
                    label=f"{row['version']} {row['name']}",
                    passed=row["passed"],
                    reasons=tuple(row["reasons"]),
                    forecast=row["forecast"] or {},
                    report=bucket.where(f"{row['folder']}/report.html"),
                )
                for row in verdicts.values()
            ),
            missing=tuple(missing),
            error=error,
            started_at=context["dag_run"].start_date or datetime.now(UTC),
            log_url=ti.log_url,
            command=run_command(
                context["dag"].dag_id, {"database": database.name, "version": context["params"]["version"]}
            ),
        )
        tell_slack(validation_message(news, runbook_url=settings.runbook_url), settings, "validation_report")
        result = {
            "database": database.name,
            "passed": [row["version"] for row in verdicts.values() if row["passed"]],
            "refused": {row["version"]: list(row["reasons"]) for row in refused},
            "missing": missing,
        }
        if refused or error:
            ti.xcom_push(key="report", value=result)
            told = [f"{row['version']}: {'; '.join(row['reasons'])}" for row in refused[:5]]
            told += [error] if error else []
            raise PgOpsError(
                f"{len(refused)} of {len(wanted)} migrations refused: {' | '.join(told)}",
                where=database.name,
                remedy="Read the reports, mend the files, and validate again",
            )
        return result
