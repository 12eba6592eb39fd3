"""Connects alerts with this fleet: where they go, and the ledger that remembers them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from pgops.alerts.callbacks import LateRunNotifier, alert_on_failure
from pgops.alerts.send import notify
from pgops.errors import PgOpsError
from pgops.fleet import Fleet, Settings, load_fleet

log = logging.getLogger(__name__)


def record_unsent(kind: str, message: str, error: str) -> None:
    """Leave a record of an alert that Slack did not take."""
    from pgops.operators import resources

    resources.ledger(load_fleet().checked_settings()).record_alert(kind, message, error)


def claim(key: str) -> bool:
    """Whether nobody has alerted about this yet, in whichever process."""
    from pgops.operators import resources

    return resources.ledger(load_fleet().checked_settings()).claim_alert(key)


def claim_once_a_day(key: str) -> bool:
    """As claim, but for a state that lasts: the same task of another run alerts again only tomorrow (UTC).

    Args:
        key: dag/run/task/map index/try, as pgops.alerts makes it.
    """
    parts = key.split("/")
    return claim("/".join([parts[0], *parts[-3:-1], f"{datetime.now(UTC):%Y-%m-%d}"]))


def on_failure(
    fleet: Fleet, rerun: Callable[[str], Mapping[str, Any]], once_a_day: bool = False
) -> Callable[[Any], None] | None:
    """The on_failure_callback for a DAG's tasks; None where the fleet file names no Slack.

    Args:
        fleet: as the DAG file read it.
        rerun: from a database's name, the conf with which the DAG repeats its work.
        once_a_day: see claim_once_a_day.
    """
    if fleet.settings is None or fleet.settings.slack is None:
        return None
    slack = fleet.settings.slack
    callback: Callable[[Any], None] = alert_on_failure(
        connection_id=slack.connection,
        channel=slack.channel,
        rerun=rerun,
        record=record_unsent,
        claim=claim_once_a_day if once_a_day else claim,
        runbook_url=fleet.settings.runbook_url,
    )
    return callback


def late_run_deadline(fleet: Fleet) -> Any:
    """The DeadlineAlert of a run that takes longer than the fleet file allows; None where it names no Slack."""
    from datetime import timedelta

    from airflow.sdk.definitions.callback import AsyncCallback
    from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

    if fleet.settings is None or fleet.settings.slack is None:
        return None
    slack = fleet.settings.slack
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(minutes=fleet.settings.late_after_minutes),
        callback=AsyncCallback(
            LateRunNotifier,
            kwargs={
                "connection_id": slack.connection,
                "channel": slack.channel,
                "record": f"{__name__}.record_unsent",
                "runbook_url": fleet.settings.runbook_url,
            },
        ),
    )


def tell_slack(message: Any, settings: Settings, kind: str) -> bool:
    """Send a report if the fleet file names a channel; whether it was sent. It never fails the work."""
    if settings.slack is None:
        log.info("not sent, since the fleet file names no Slack: %s", message.text)
        return False
    sent = notify(
        message,
        connection_id=settings.slack.connection,
        channel=settings.slack.channel,
        record=record_unsent,
        kind=kind,
    )
    return sent is not None


def record_run(settings: Settings, context: Mapping[str, Any], database: str, state: str, detail: Any) -> None:
    """Leave a run's outcome in the ledger; a ledger that is down must not hide what the run has to say."""
    from pgops.operators import resources

    try:
        resources.ledger(settings).record_run(context["dag"].dag_id, context["run_id"], database, state, detail)
    except PgOpsError as error:
        log.error("the ledger did not take the run's record: %s", error)
