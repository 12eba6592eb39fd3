"""What the ledger keeps: reviews, plans with who approved them, what became of each setting, and effects."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from pgops.errors import Refused
from pgops.ledger import Ledger
from pgops.tuning.model import Change, Plan, Verdict

_PLAN, _CHANGE = TypeAdapter(Plan), TypeAdapter(Change)


def record_review(
    ledger: Ledger,
    run_id: str,
    server: str,
    at: datetime,
    verdicts: Sequence[Verdict],
    figures: Mapping[str, Any],
    report: str | None,
) -> None:
    """Keep what was said of a server."""
    ledger.rows(
        "record_config_review",
        run_id=run_id,
        server=server,
        at=at,
        counts=json.dumps(counts(verdicts)),
        verdicts=json.dumps([asdict(one) for one in verdicts]),
        figures=json.dumps(figures, default=str),
        report=report,
    )


def counts(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """How many settings have which grade."""
    return {str(grade): number for grade, number in Counter(one.grade for one in verdicts).items()}


def last_verdicts(ledger: Ledger, server: str, run_id: str) -> list[dict[str, Any]] | None:
    """Those of the review before this run's; None where there is none."""
    found = ledger.rows("config_review_last", server=server, run_id=run_id)
    return found[0]["verdicts"] if found else None


def record_plan(ledger: Ledger, plan: Plan, run_id: str, requested_by: str) -> None:
    """Keep a plan as it is put to the approver."""
    ledger.rows(
        "record_config_plan",
        id=plan.id,
        run_id=run_id,
        server=plan.server,
        plan=_PLAN.dump_json(plan).decode(),
        undoes=plan.undoes,
        requested_by=requested_by,
    )


def approve(ledger: Ledger, plan: str, approved_by: str) -> None:
    """Keep who said yes."""
    ledger.rows("approve_config_plan", id=plan, approved_by=approved_by)


def approved_plan(ledger: Ledger, name: str) -> Plan:
    """The plan as it was approved, wherever the task runs that applies it.

    Raises:
        Refused: nobody has approved it.
    """
    for row in ledger.rows("config_plan", id=name):
        if row["approved_by"]:
            return _PLAN.validate_python(row["plan"])
    raise Refused(
        "Nobody has approved this change",
        where=f"plan {name}, task approve",
        remedy="Trigger it again and have it approved under Required Actions; marking the task does not count",
    )


def applied_plan(ledger: Ledger, name: str, server: str) -> tuple[Plan, list[str]]:
    """A plan that may be taken back, and those of its settings that were, or may have been, changed by it.

    Raises:
        Refused: there is none, it is another server's, or nothing of it is in place.
    """
    found = ledger.rows("config_plan", id=name)
    where = f"the param change, server {server}"
    if not found or found[0]["server"] != server:
        raise Refused(
            f"No change {name!r} was made to {server}",
            where=where,
            remedy="The report of the run that applied it, Slack and the dashboard name its id",
        )
    plan = _PLAN.validate_python(found[0]["plan"])
    settings = [row["setting"] for row in changes(ledger, name) if row["state"] in ("applied", "applying")]
    if not settings:
        raise Refused(f"Nothing of {name} is in place", where=where, remedy="There is nothing to take back")
    return plan, settings


def changes(ledger: Ledger, plan: str) -> list[dict[str, Any]]:
    """What became of each setting of a plan."""
    return ledger.rows("config_changes", plan_id=plan)


def unfinished(ledger: Ledger, server: str) -> list[tuple[str, Change, datetime]]:
    """Changes that were begun and that nobody has seen done, with their plan."""
    return [
        (row["plan_id"], _CHANGE.validate_python(row["change"]), row["begun_at"])
        for row in ledger.rows("unfinished_config_changes", server=server)
    ]


def note_change(ledger: Ledger, plan_id: str, server: str, change: Change, state: str, says: str = "") -> None:
    """Keep how far a setting is."""
    ledger.rows(
        "record_config_change",
        plan_id=plan_id,
        setting=change.setting,
        server=server,
        state=state,
        change=_CHANGE.dump_json(change).decode(),
        says=says,
    )
