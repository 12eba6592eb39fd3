"""What the team reads in Slack about migrations, as pure functions to Block Kit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pgops import units
from pgops.alerts.blocks import NOTIFICATION_TEXT, Block, Message, code, context, fields, header, markdown, safe, when
from pgops.alerts.messages import BAD_ICON, GOOD_ICON, LOOKS, ending, listed

_DETAILED = 6
_REASONS = 3
_REASON_TEXT = 300


@dataclass(frozen=True)
class MigrationLine:
    """The verdict on one migration; `report` says where the whole report lies."""

    label: str
    passed: bool
    reasons: tuple[str, ...]
    forecast: Mapping[str, Any]
    report: str


@dataclass(frozen=True)
class ValidationNews:
    """What a validation came to; `missing` are versions that have no verdict, `error` why."""

    database: str
    lines: tuple[MigrationLine, ...]
    missing: tuple[str, ...]
    error: str
    started_at: datetime
    log_url: str
    command: str


def validation_message(news: ValidationNews, *, runbook_url: str | None = None) -> Message:
    """The verdicts, the refused ones with their reasons first."""
    refused = [line for line in news.lines if not line.passed]
    good = not refused and not news.error and not news.missing
    count = f"{len(news.lines)} migration" + ("" if len(news.lines) == 1 else "s")
    outcome = f"{count} PASSED" if good else f"{len(refused)} of {count} REFUSED" if refused else "not validated"
    headline = f"{news.database}: {outcome}"
    blocks: list[Block] = [header(f"{GOOD_ICON if good else BAD_ICON} {headline}")]
    blocks += [_refusal(line) for line in refused[:_DETAILED]]
    if len(refused) > _DETAILED:
        blocks.append(markdown(f"*Refused too:* {listed([line.label for line in refused[_DETAILED:]], 40)}"))
    blocks += [_passed(line) for line in news.lines if line.passed][:_DETAILED]
    if len(news.lines) - len(refused) > _DETAILED:
        blocks.append(context(f"and {len(news.lines) - len(refused) - _DETAILED} more that passed"))
    if news.missing:
        blocks.append(markdown(f"*Not rehearsed:* {listed(news.missing, 40)}"))
    if news.error:
        blocks.append(markdown(f"*Error*\n{code(news.error, 900)}"))
    blocks.append(context(f"started {when(news.started_at)}"))
    blocks += ending(news.log_url, "" if good else news.command, "" if good else "migration-refused", runbook_url)
    return Message(safe(headline, NOTIFICATION_TEXT), tuple(blocks), "" if good else LOOKS["warn"].color)


def _refusal(line: MigrationLine) -> Block:
    reasons = "\n".join(f"• {safe(reason, _REASON_TEXT)}" for reason in line.reasons[:_REASONS])
    more = f"\nand {len(line.reasons) - _REASONS} more" if len(line.reasons) > _REASONS else ""
    return markdown(f"{BAD_ICON} *{safe(line.label, 120)}*\n{reasons}{more}\n{code(line.report, 300)}")


def _passed(line: MigrationLine) -> Block:
    return markdown(f"{GOOD_ICON} *{safe(line.label, 120)}*: {_forecast(line.forecast)}\n{code(line.report, 300)}")


def _forecast(forecast: Mapping[str, Any]) -> str:
    if not forecast:
        return "no forecast"
    return (
        f"about {units.moment(forecast['seconds'])} in production, at most"
        f" {units.moment(forecast['downtime_seconds'])} of them with a table blocked,"
        f" {units.size(forecast['wal_bytes'])} of WAL"
    )


@dataclass(frozen=True)
class DeploymentNews:
    """A deployment that begins, or what became of one.

    Attributes:
        state: as in the ledger, and "asks" before the approval.
        evidence: (item, passed, summary) of the checklist.
        error: what went wrong; empty when nothing did.
        next_step: what a person does now, in a sentence.
    """

    database: str
    label: str
    state: Literal["asks", "deployed", "rolled back", "failed", "refused"]
    requested_by: str
    approved_by: str
    evidence: tuple[tuple[str, bool, str], ...]
    forecast: Mapping[str, Any]
    actual: Mapping[str, Any]
    report: str
    error: str
    next_step: str
    started_at: datetime
    log_url: str
    log_label: str = "Open the task log"


_SECTIONS = {"asks": "", "refused": "deployment-refused"}
_TOOK = (("Took", "seconds"), ("Rollback took", "rollback_seconds"))
_HEADLINES = {
    "asks": "wants to be deployed",
    "deployed": "is DEPLOYED",
    "rolled back": "was ROLLED BACK",
    "failed": "FAILED: a person must look",
    "refused": "was not deployed: nothing was touched",
}


def deployment_message(news: DeploymentNews, *, runbook_url: str | None = None) -> Message:
    """One message before and one after a deployment."""
    icons = {"asks": LOOKS["info"].icon, "refused": LOOKS["warn"].icon, "deployed": GOOD_ICON}
    headline = f"{news.database}: migration {news.label} {_HEADLINES[news.state]}"
    pairs = [
        ("Requested by", code(news.requested_by)),
        ("Approved by", code(news.approved_by or "nobody yet")),
        ("Forecast", _forecast(news.forecast)),
    ]
    if news.actual:
        pairs += [(name, units.moment(news.actual[key])) for name, key in _TOOK if key in news.actual]
    blocks: list[Block] = [header(f"{icons.get(news.state, BAD_ICON)} {headline}"), fields(pairs)]
    if news.error:
        blocks.append(markdown(f"*What happened*\n{code(news.error, 1200)}"))
    if news.next_step:
        blocks.append(markdown(f"*What to do*\n{safe(news.next_step, 600)}"))
    if news.evidence:
        blocks.append(markdown("*Checklist*\n" + "\n".join(_checklist(news.evidence))))
    if news.report:
        blocks.append(markdown(f"*Rehearsal* {code(news.report, 300)}"))
    blocks.append(context(f"started {when(news.started_at)}"))
    good = news.state == "deployed" and not news.error
    section = "" if good else _SECTIONS.get(news.state, "deployment-failed-or-was-rolled-back")
    blocks += ending(news.log_url, "", section, runbook_url, news.log_label)
    warned = LOOKS["warn"].color
    color = {"asks": LOOKS["info"].color, "deployed": "" if good else warned, "refused": warned}
    return Message(safe(headline, NOTIFICATION_TEXT), tuple(blocks), color.get(news.state, LOOKS["crit"].color))


def _checklist(evidence: Sequence[tuple[str, bool, str]]) -> list[str]:
    return [
        f"{GOOD_ICON if passed else BAD_ICON} {safe(item, 40)}: {safe(text, 160)}" for item, passed, text in evidence
    ]
