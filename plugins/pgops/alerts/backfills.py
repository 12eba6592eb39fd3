"""What the team reads in Slack about backfills, as pure functions to Block Kit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pgops import units
from pgops.alerts.blocks import NOTIFICATION_TEXT, Block, Message, code, context, fields, header, markdown, safe, when
from pgops.alerts.messages import BAD_ICON, GOOD_ICON, LOOKS, ending


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
