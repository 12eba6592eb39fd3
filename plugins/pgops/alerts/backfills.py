"""What the team reads in Slack about backfills, as pure functions to Block Kit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pgops import units
from pgops.alerts.blocks import (
    NOTIFICATION_TEXT,
    Block,
    Message,
    code,
    context,
    fields,
    header,
    markdown,
    prose,
    safe,
    when,
)
from pgops.alerts.messages import BAD_ICON, GOOD_ICON, LOOKS, ending, run_command


@dataclass(frozen=True)
class BackfillNews:
    """A backfill that begins, goes on or has ended; `held_up` are seconds by reason, the longest first."""

    database: str
    table: str
    job: int
    outcome: str
    rows: int | None
    skipped: int
    held_up: tuple[tuple[str, float], ...]
    error: str
    by: str
    started_at: datetime
    log_url: str


@dataclass(frozen=True)
class StallNews:
    """A backfill that stands still; or goes on, and then `reason` is empty."""

    database: str
    table: str
    job: int
    reason: str
    seconds: float
    percent: float
    rows: int
    log_url: str


def stall_message(news: StallNews, *, runbook_url: str | None = None) -> Message:
    """One message when it stands still for long, and one when it goes on."""
    over = not news.reason
    outcome = "goes on" if over else "is held up"
    icon = GOOD_ICON if over else ":double_vertical_bar:"
    headline = f"{news.database}: backfill of {news.table} {outcome}"
    pairs = [
        ("Job", code(str(news.job))),
        ("Stood still for" if over else "Stands still for", units.duration(news.seconds)),
        ("Done", f"{news.percent:.0f} %, {news.rows} rows"),
    ]
    blocks: list[Block] = [header(f"{icon} {headline}"), fields(pairs)]
    command = ""
    if not over:
        blocks.append(markdown(f"*Held up by*\n{code(news.reason, 900)}"))
        blocks.append(
            prose("It goes on by itself. The next command pauses it; cancel ends it, with its rows as they are.")
        )
        command = run_command("backfill_control", {"database": news.database, "job": news.job, "action": "pause"})
    blocks += ending(news.log_url, command, "" if over else "backfill-held-up", runbook_url)
    return Message(safe(headline, NOTIFICATION_TEXT), tuple(blocks), "" if over else LOOKS["warn"].color)


def backfill_message(news: BackfillNews, *, runbook_url: str | None = None) -> Message:
    """One message at the start and one at the end."""
    begins = news.rows is None
    good = begins or not news.error
    icon = ":hourglass_flowing_sand:" if begins else GOOD_ICON if good else BAD_ICON
    headline = f"{news.database}: backfill of {news.table} {news.outcome}"
    pairs = [("Job", code(str(news.job))), ("By", code(news.by))]
    if news.rows is not None:
        pairs += [("Rows", str(news.rows)), ("Skipped", str(news.skipped))]
    blocks: list[Block] = [header(f"{icon} {headline}"), fields(pairs)]
    if news.held_up:
        reasons = "\n".join(f"• {safe(reason, 160)}: {units.duration(seconds)}" for reason, seconds in news.held_up[:5])
        blocks.append(markdown(f"*Held up by*\n{reasons}"))
    if news.error:
        blocks.append(markdown(f"*Error*\n{code(news.error, 900)}"))
    blocks.append(context(f"started {when(news.started_at)}"))
    blocks += ending(news.log_url, "", "" if good else "backfill-stopped", runbook_url)
    return Message(safe(headline, NOTIFICATION_TEXT), tuple(blocks), "" if good else LOOKS["crit"].color)
