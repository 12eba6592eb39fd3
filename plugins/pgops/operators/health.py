"""The steps of daily_health_check and of health_mute, one operator each."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin
from zoneinfo import ZoneInfo

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from pgops.errors import PgOpsError, Refused
from pgops.fleet import Database, Fleet, Settings
from pgops.operators import resources
from pgops.operators.alerting import claim, record_run, tell_slack
from pgops.operators.base import PgOpsOperator, requester
from pgops.operators.fleet_report import FleetReportOperator, left_by
from pgops.operators.results import to_xcom

if TYPE_CHECKING:
    from pgops.health import Finding, Target
    from pgops.health.daily import Checked
    from pgops.health.model import Scope

log = logging.getLogger(__name__)

CHECK = "check_health"  # the task id by which the report finds what the checks left


class HealthCheckOperator(PgOpsOperator):
    """Looks at one database, compares with the run before, keeps it in the ledger; alerts about what is critical now.

    The server itself and its standbys are looked at with the first database that the fleet file names on it.
    """

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> dict[str, Any]:
        """Return a Checked."""
        from pgops.health import Budget, checks, with_thresholds
        from pgops.health.daily import Desk, check_health
        from pgops.health.table import table

        settings, policy = fleet.checked_settings(), resources.health_policy(database)
        desk = Desk(resources.ledger(settings), resources.bucket(settings), context["run_id"])
        checked, report, changes = check_health(
            desk,
            _target(settings, database),
            scopes=_scopes(fleet, database),
            budget=Budget(check=policy.check_seconds, run=policy.run_seconds),
            checks=with_thresholds(checks(), policy.thresholds),
        )
        for line in table(report, changes):
            log.info("%s", line)
        for note in checked.notes:
            log.warning("%s", note)
        _alert(checked, settings, context)
        return to_xcom(checked)


def _target(settings: Settings, database: Database) -> Target:
    from dataclasses import replace

    from pgops.health import Target

    policy = resources.health_policy(database)
    dsn = resources.dsn(policy.connection)
    places = filter(None, (database.standby_connection, *policy.standbys))
    return Target(
        name=database.name,
        dsn=dsn,
        standbys={place: replace(resources.dsn(place), user=dsn.user, password=dsn.password) for place in places},
        ledger=resources.dsn(settings.ledger.connection),
        facts={**policy.facts, "rpo_hours": str(database.backup.rpo_hours)},
        server=database.server,
    )


def _scopes(fleet: Fleet, database: Database) -> tuple[Scope, ...]:
    from pgops.health import SCOPES

    on_server = [one.name for one in fleet.databases if one.server == database.server and one.health]
    return SCOPES if on_server[:1] == [database.name] else ("database", "ledger")


def _alert(checked: Checked, settings: Settings, context: Mapping[str, Any]) -> None:
    """Tell what is critical and was not yesterday, once a run."""
    from pgops.alerts.health import critical_message
    from pgops.health import Status

    critical = [one for one in (*checked.new, *checked.worse) if one.status is Status.CRIT]
    if first := _claimed(critical, context):
        log_url = context["ti"].log_url
        message = critical_message(checked.database, first, log_url, runbook_url=settings.runbook_url)
        tell_slack(message, settings, "health_critical")


def _claimed(findings: Sequence[Finding], context: Mapping[str, Any]) -> Sequence[Finding]:
    """Those that this run has not alerted about: databases of one server share some, and a task may be tried again."""
    try:
        return [one for one in findings if claim(f"{context['dag'].dag_id}/{context['run_id']}/{one.fingerprint}")]
    except PgOpsError as error:  # without the ledger: rather the same alert twice than none
        log.warning("could not ask whether this alert was sent before: %s", error)
        return findings


class HealthReportOperator(FleetReportOperator):
    """Says what changed since the run before, in one message for the fleet. Runs whatever failed before it.

    A database that is down is a finding. The report fails only where a database could not be looked at at all.

    Args:
        databases: those that are looked at.
    """

    def __init__(self, *, databases: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.databases = list(databases)

    def execute(self, context: Any) -> dict[str, Any]:
        """Return grades, and what changed: the worst first."""
        from pgops.alerts.health import HealthNews, health_message, summary
        from pgops.alerts.messages import run_command
        from pgops.health.daily import Checked

        settings = self.settings()
        if not self.databases:
            raise AirflowSkipException("no database of the fleet file has a health policy")
        checked, failed = left_by(context, CHECK, Checked, self.databases)
        for name, one in checked.items():
            detail = {"grade": one.grade, "open": dict(one.open), "notes": one.notes, "report": one.page}
            record_run(settings, context, name, "success", detail)
        for name, why in failed.items():
            record_run(settings, context, name, "failed", {"error": why})
        started_at = context["dag_run"].start_date or datetime.now(UTC)
        news = HealthNews(
            checked=tuple(checked.values()),
            failed=failed,
            started_at=started_at,
            seconds=(datetime.now(UTC) - started_at).total_seconds(),
            log_url=context["ti"].log_url,
            dashboard_url=_dashboard_url(),
            command=run_command("daily_health_check"),
        )
        tell_slack(health_message(news, runbook_url=settings.runbook_url), settings, "health_report")
        looking = sum(one.seconds for one in checked.values())
        log.info("%.1f s since the run began, %.1f s of them spent with the databases", news.seconds, looking)
        if failed:
            raise AirflowFailException("; ".join(f"{name}: {why}" for name, why in failed.items()))
        return {
            "grades": {name: str(one.grade) for name, one in checked.items()},
            "changed": summary(news.told("new", "worse")),
            "better": summary(news.told("better", "resolved")),
            "seconds": {"run": round(news.seconds, 1), "databases": round(looking, 1)},
            "notes": sorted({note for one in checked.values() for note in one.notes}),
        }


def _dashboard_url() -> str:
    from airflow.sdk.configuration import conf

    base = str(conf.get("api", "base_url", fallback="http://localhost:8080/"))
    return urljoin(f"{base.rstrip('/')}/", "plugin/fleet")


class MuteFindingOperator(PgOpsOperator):
    """Says nothing of an open finding until a date, or speaks of it again."""

    def work(self, context: Mapping[str, Any], fleet: Fleet, database: Database) -> str:
        """Return what is muted, until when."""
        from pgops.health.records import mute, unmute

        params, settings = context["params"], fleet.checked_settings()
        ledger, fingerprint = resources.ledger(settings), str(params["fingerprint"]).strip()
        if params["action"] == "unmute":
            if not unmute(ledger, database.name, fingerprint):
                raise Refused(
                    f"{fingerprint or 'The whole database'} is not muted",
                    where=f"database {database.name} in the ledger",
                    remedy="The dashboard shows what is, with its fingerprint",
                )
            return f"{database.name}: {fingerprint or 'everything'} is told again"
        until, reason = _until(params["until"], settings), str(params["reason"] or "").strip()
        if not reason:
            raise Refused("There is no reason", where="the param reason", remedy="Say why nobody shall hear of it")
        title = mute(ledger, database.name, fingerprint, until, reason, requester(context))
        return f"{database.name}: {title} is muted until {until:%Y-%m-%d %H:%M %Z}"


def _until(text: str | None, settings: Settings) -> datetime:
    """The beginning of that day, where the fleet is."""
    try:
        until = datetime.combine(date.fromisoformat(text or ""), time(), ZoneInfo(settings.timezone))
    except ValueError:
        until = None
    if until is None or until <= datetime.now(UTC):
        raise Refused(
            f"{text!r} is no day to come",
            where="the param until",
            remedy="Give the first day on which it shall be told again, such as 2027-01-31",
        )
    return until
