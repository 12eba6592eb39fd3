"""What the team reads in Slack about requests for one person's data: never whose."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pgops.alerts.blocks import NOTIFICATION_TEXT, Block, Message, code, context, fields, header, markdown, safe, when
from pgops.alerts.messages import BAD_ICON, GOOD_ICON, LOOKS, ending

_SHOWN = 8
_HEADLINES = {
    "exported": "a person's data is exported",
    "erased": "a person is ERASED",
    "refused": "nothing was erased or exported",
    "failed": "FAILED: a person must look",
}


@dataclass(frozen=True)
class SubjectNews:
    """What became of a request.

    Attributes:
        state: as in the ledger.
        subject: the beginning of the hash of the subject's key.
        rows: by table, what was exported or has gone.
        notes: what stays and why, and which copies still hold the person.
    """

    database: str
    request: str
    kind: str
    state: str
    subject: str
    requested_by: str
    approved_by: str
    rows: dict[str, int]
    notes: tuple[str, ...]
    export: str
    error: str
    started_at: datetime
    log_url: str


def subject_message(news: SubjectNews, *, runbook_url: str | None = None) -> Message:
    """One message at the end of a request."""
    good = news.state in ("exported", "erased")
    icon = GOOD_ICON if good else LOOKS["warn"].icon if news.state == "refused" else BAD_ICON
    headline = f"{news.database}: {_HEADLINES.get(news.state, news.state)}"
    pairs = [("Request", code(news.request)), ("Subject, hashed", code(news.subject)), ("By", code(news.requested_by))]
    if news.kind == "erase":
        pairs.append(("Approved by", code(news.approved_by or "nobody")))
    blocks: list[Block] = [header(f"{icon} {headline}"), fields(pairs)]
    if news.rows:
        blocks.append(markdown(_listed("Rows", [f"{table}: {count}" for table, count in news.rows.items() if count])))
    if news.notes:
        blocks.append(markdown(_listed("Still there", list(news.notes))))
    if news.export:
        blocks.append(markdown(f"*Export*\n{code(news.export, 300)}"))
    if news.error:
        blocks.append(markdown(f"*Error*\n{code(news.error, 900)}"))
    blocks.append(context(f"started {when(news.started_at)}"))
    blocks += ending(news.log_url, "", "" if good else "subject-request-not-finished", runbook_url)
    return Message(safe(headline, NOTIFICATION_TEXT), tuple(blocks), "" if good else LOOKS["crit"].color)


def _listed(title: str, lines: list[str]) -> str:
    shown = [f"• {safe(line, 200)}" for line in lines[:_SHOWN]]
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "\n".join([f"*{title}*", *shown, *more])
