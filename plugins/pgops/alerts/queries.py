"""What the team reads in Slack about queries, as pure functions to Block Kit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pgops import units
from pgops.alerts.blocks import (
    MESSAGE_BLOCKS,
    MESSAGE_TEXT,
    NOTIFICATION_TEXT,
    Block,
    Message,
    code,
    code_block,
    context,
    header,
    markdown,
    safe,
    text_length,
    when,
)
from pgops.alerts.messages import BAD_ICON, GOOD_ICON, LOOKS, ending
from pgops.queries.daily import Reviewed

_REGRESSIONS, _ADVICE, _NOTES = 5, 5, 5


@dataclass(frozen=True)
class QueryNews:
    """One review of the whole fleet; `failed` says why a database was not reviewed."""

    reviewed: tuple[Reviewed, ...]
    started_at: datetime
    seconds: float
    log_url: str
    failed: Mapping[str, str] = field(default_factory=dict)
    command: str = ""


def query_message(news: QueryNews, *, runbook_url: str | None = None) -> Message:
    """One message for the fleet: what was not reviewed, what costs more, what is new, which indexes would help."""
    worse = _of_all(news, "regressions", lambda one: -float(one["added"]))
    new = _of_all(news, "new", lambda one: -float(one["seconds"]))
    advice = _of_all(news, "advice", lambda one: -float(one["saved"]))
    headline = _headline(news, len(worse), len(new), len(advice))
    icon = BAD_ICON if news.failed else LOOKS["warn"].icon if worse else GOOD_ICON
    fleet = f"{sum(one.queries for one in news.reviewed)} queries took"
    took = f"{fleet} {units.duration(sum(one.seconds for one in news.reviewed))} in a day"
    if news.reviewed:
        took += f" until {when(max(one.at for one in news.reviewed))}"
    blocks: list[Block] = [header(f"{icon} {headline}"), context(f"{took}  ·  started {when(news.started_at)}")]
    if news.failed:
        lines = [f"• {code(name, 100)}: {safe(why, 300)}" for name, why in list(news.failed.items())[:8]]
        blocks.append(markdown("*Not reviewed*\n" + "\n".join(lines)))
    section = "queries-not-reviewed" if news.failed else "query-regression" if worse else ""
    tail = [*_deployments(news), *_notes(news)]
    tail += ending(news.log_url, news.command if news.failed else "", section, runbook_url)
    for paragraphs in (_regressions(worse), _new(new), _advice(advice)):
        for paragraph in paragraphs:
            if text_length([*blocks, paragraph, *tail]) < MESSAGE_TEXT:
                blocks.append(paragraph)
    color = LOOKS["crit"].color if news.failed else LOOKS["warn"].color if worse else ""
    return Message(safe(headline, NOTIFICATION_TEXT), tuple([*blocks, *tail][:MESSAGE_BLOCKS]), color)


def _of_all(news: QueryNews, what: str, order: Any) -> list[tuple[str, Mapping[str, Any]]]:
    found = [(one.database, item) for one in news.reviewed for item in getattr(one, what)]
    return sorted(found, key=lambda pair: order(pair[1]))


def _headline(news: QueryNews, worse: int, new: int, advice: int) -> str:
    numbers = [
        (len(news.failed), "NOT REVIEWED"),
        (worse, f"regression{'s' if worse != 1 else ''}"),
        (new, "new"),
        (advice, "on indexes"),
    ]
    told = ", ".join(f"{number} {what}" for number, what in numbers if number)
    fleet = len(news.reviewed)
    return f"Queries of {fleet} database{'s' if fleet != 1 else ''}: {told or 'nothing got worse'}"


def _regressions(found: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Block]:
    blocks = []
    for database, one in found[:_REGRESSIONS]:
        added = f"{units.duration(float(one['added']))} more a day, user {code(str(one['user']), 60)}"
        what = f"*{safe(str(one['cause']), 40)}* in {code(database, 60)}: {added}"
        blocks.append(markdown(f"{what}\n{safe(str(one['why']), 500)}\n{code_block(str(one['query']), 250)}"))
    more = len(found) - _REGRESSIONS
    return [*blocks, context(f"{more} more regressions are in the reports")] if more > 0 else blocks


def _new(found: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Block]:
    lines = [
        f"• {code(database, 60)}: {units.duration(float(one['seconds']))} a day, {code(str(one['query']), 150)}"
        for database, one in found[:_REGRESSIONS]
    ]
    return [markdown("*New queries*\n" + "\n".join(lines))] if lines else []


def _advice(found: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Block]:
    blocks = []
    for database, one in found[:_ADVICE]:
        proof = f", proof: {safe(str(one['proof']), 40)}" if one["proof"] else ""
        apply = "\n".join(f"{line};" for line in one["apply"])
        sql = f"\n{code_block(apply, 300)}" if apply else ""
        what = f"*{safe(str(one['kind']), 20)}* {code(str(one['object']), 120)} in {code(database, 60)}{proof}"
        blocks.append(markdown(f"{what}\n{safe(str(one['says']), 250)}{sql}"))
    more = len(found) - _ADVICE
    return [*blocks, context(f"{more} more pieces of advice are in the reports")] if more > 0 else blocks


def _deployments(news: QueryNews) -> list[Block]:
    lines = [f"• {code(one.database, 60)} {safe(line, 300)}" for one in news.reviewed for line in one.deployments]
    return [markdown("*After deployments*\n" + "\n".join(lines[:5]))] if lines else []


def _notes(news: QueryNews) -> list[Block]:
    lines = [f"• {code(one.database, 60)}: {safe(note, 250)}" for one in news.reviewed for note in one.notes]
    more = [f"and {len(lines) - _NOTES} more"] if len(lines) > _NOTES else []
    return [markdown("*What could not be told*\n" + "\n".join([*lines[:_NOTES], *more]))] if lines else []
