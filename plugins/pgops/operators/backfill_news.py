"""How people hear of a backfill: in Slack at its start, its stalls and its end; in the ledger all the while."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pgops.fleet import Database, Settings
from pgops.operators import resources
from pgops.operators.results import pulled

if TYPE_CHECKING:
    from pgops.backfill import Job, Stall, State

log = logging.getLogger(__name__)

_CONNECT_SECONDS = 2
_ASK_AGAIN_SECONDS = 60.0


class LedgerCopy:
    """Keeps a backfill's row in the ledger. A ledger that is down never stops a backfill: it is asked again later.

    Args:
        settings: of the fleet file.
        database: its name there.
    """

    def __init__(self, settings: Settings, database: str) -> None:
        self._settings, self._database = settings, database
        self._not_before = 0.0
        self._missed = False

    def record(self, state: State, held_up: Mapping[str, Mapping[str, float]] | None = None) -> None:
        """Write how far it is.

        Args:
            state: of the job.
            held_up: by worker, seconds by reason.
        """
        if time.monotonic() < self._not_before:
            return
        try:
            ledger = resources.ledger(self._settings)
            ledger.dsn = replace(ledger.dsn, options={**ledger.dsn.options, "connect_timeout": str(_CONNECT_SECONDS)})
            ledger.record_backfill(_facts(self._database, state, held_up or {}))
            self._missed = False
        except Exception as error:  # whatever is wrong with a copy, the work goes on
            if not self._missed:
                log.error("the ledger does not take how far the backfill is, which goes on without it: %s", error)
            self._missed, self._not_before = True, time.monotonic() + _ASK_AGAIN_SECONDS


def tell_stall(context: Mapping[str, Any], settings: Settings, database: str, stall: Stall) -> None:
    """Say in Slack that a backfill stands still, or goes on."""
    from pgops.alerts.backfills import StallNews, stall_message
    from pgops.operators.alerting import tell_slack

    state = stall.state
    news = StallNews(
        database=database,
        table=state.job.table,
        job=state.job.id,
        reason=stall.reason,
        seconds=stall.seconds,
        percent=state.percent,
        rows=state.rows_done,
        log_url=context["ti"].log_url,
    )
    message = stall_message(news, runbook_url=settings.runbook_url)
    log.warning("%s after %.0f s: %s", message.text, stall.seconds, stall.reason or state.line())
    tell_slack(message, settings, "backfill")


def tell(
    context: Mapping[str, Any],
    settings: Settings,
    database: Database,
    outcome: str,
    job: Job,
    state: State | None,
    error: str,
) -> None:
    """Say in Slack that a backfill begins or has ended; without a state it begins."""
    from pgops.alerts.backfills import BackfillNews, backfill_message
    from pgops.operators.alerting import tell_slack

    held_up: dict[str, float] = {}
    for worked in pulled(context, "work") if state else []:
        for reason, seconds in worked["held_up"].items():
            held_up[reason] = held_up.get(reason, 0.0) + seconds
    news = BackfillNews(
        database=database.name,
        table=job.table,
        job=job.id,
        outcome=outcome,
        rows=state.rows_done if state else None,
        skipped=state.skipped if state else 0,
        held_up=tuple(sorted(held_up.items(), key=lambda one: one[1], reverse=True)),
        error=error,
        by=job.created_by,
        started_at=context["dag_run"].start_date or datetime.now(UTC),
        log_url=context["ti"].log_url,
    )
    tell_slack(backfill_message(news, runbook_url=settings.runbook_url), settings, "backfill")


def _facts(database: str, state: State, held_up: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    job = state.job
    return {
        "database": database,
        "job": job.id,
        "created_at": job.created_at,
        "table_name": job.table,
        "spec": json.dumps(job.spec.as_dict()),
        "status": job.status,
        "desired": job.desired,
        "speed": job.speed,
        "rows_estimate": job.rows_estimate,
        "rows_done": state.rows_done,
        "percent": state.percent,
        "rows_per_second": state.rate,
        "eta_p50": state.eta_p50,
        "eta_p90": state.eta_p90,
        "batches": state.batches,
        "batch_p50_ms": state.batch_p50_ms,
        "batch_max_ms": state.batch_max_ms,
        "retries": state.retries,
        "skipped": state.skipped,
        "waiting": list(state.waiting),
        "held_up": json.dumps({worker: reasons for worker, reasons in held_up.items() if reasons}),
        "error": job.error,
        "created_by": job.created_by,
        "dag_run": job.dag_run,
        "finished_at": job.finished_at,
    }
