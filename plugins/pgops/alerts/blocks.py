"""Slack's Block Kit: escaping, limits and the few kinds of block that the messages are built from.

Names and errors come from databases and may hold anything. Prose goes out as plain_text, in which Slack interprets
nothing; names, commands and errors go out as code, in which it interprets only links and mentions, which are escaped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pgops.alerts.redaction import redact

Block = dict[str, Any]

# Slack's limits, with room to spare: a header's text is 150 characters, a section's 3000, a field's 2000, a message
# holds 50 blocks; the sum of all texts has an undocumented limit (refusals were reported from 11,341 characters).
HEADER_TEXT = 140
SECTION_TEXT = 2900
PROSE_TEXT = 1500
CODE_TEXT = 500
NOTIFICATION_TEXT = 600
MESSAGE_TEXT = 9000
MESSAGE_BLOCKS = 48
CODE_ROWS_TEXT = SECTION_TEXT - 10


@dataclass(frozen=True)
class Message:
    """What goes to Slack.

    Args:
        text: the line shown in notifications, and instead of the blocks where they cannot be shown.
        blocks: Block Kit; a first header stays outside the coloured bar.
        color: of the bar beside the blocks, `#rrggbb`; empty for none. It never says what the words do not say.
    """

    text: str
    blocks: tuple[Block, ...]
    color: str = ""


def one_line(text: str, limit: int) -> str:
    """Redacted, without line breaks and control characters, cut to the limit."""
    return cut(" ".join(visible(redact(text)).split()), limit)


def visible(text: str) -> str:
    """Without the control, direction and width characters by which one name can pose as another."""
    text = re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]", "�", text)
    return text.encode("utf-8", "replace").decode()


def cut(text: str, limit: int) -> str:
    """The text, or its beginning and an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def escape(text: str) -> str:
    """Slack's three entities: without them `<!channel>` in a database's name would call everybody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def safe(text: str, limit: int) -> str:
    """One line for use within our own markup: redacted, escaped, and even so no longer than the limit.

    A backtick would begin or end code, so it becomes a character that looks like it.
    """
    return _escaped(one_line(text, limit).replace("`", "ˋ"), limit)


def _escaped(text: str, limit: int) -> str:
    """Escaped and, once escaped, no longer than the limit; an entity is never cut in two."""
    while len(escape(text)) > limit:
        text = cut(text, len(text) - max(1, (len(escape(text)) - limit) // 5))
    return escape(text)


def code(text: str, limit: int = CODE_TEXT) -> str:
    """One line as inline code."""
    return f"`{safe(text, limit) or ' '}`"


def code_block(text: str, limit: int = CODE_ROWS_TEXT) -> str:
    """Several lines as a code block."""
    kept = visible(redact(text)).replace("`", "ˋ").strip("\n")
    return f"```{_escaped(cut(kept, limit), limit) or ' '}```"


def link(url: str, label: str) -> str:
    """A link in the text. Not a button: Slack marks those as broken when the app handles no interactions."""
    return f"<{escape(url).replace('|', '%7C')}|{escape(label)}>"


def when(at: datetime | None) -> str:
    """An instant in the reader's own time zone; UTC where Slack cannot do that."""
    if at is None:
        return "unknown"
    at = at.astimezone(UTC)
    shown = f"{{date_short_pretty}} {{time}}|{at:%Y-%m-%d %H:%M} UTC"
    return f"<!date^{int(at.timestamp())}^{shown}>"


def header(text: str) -> Block:
    """The headline; `:icon:` names are shown as icons."""
    return {"type": "header", "text": {"type": "plain_text", "text": one_line(text, HEADER_TEXT), "emoji": True}}


def prose(text: str) -> Block:
    """A paragraph in which nothing is markup."""
    shown = one_line(text, PROSE_TEXT) or " "
    return {"type": "section", "text": {"type": "plain_text", "text": shown, "emoji": False}}


def markdown(text: str) -> Block:
    """A paragraph of our own markup; what comes from outside is escaped by the caller."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def fields(pairs: Sequence[tuple[str, str]]) -> Block:
    """Labels with values, in two columns where there is room; at most ten."""
    shown = [{"type": "mrkdwn", "text": f"*{label}*\n{value}"} for label, value in pairs[:10]]
    return {"type": "section", "fields": shown}


def context(*texts: str) -> Block:
    """Small print."""
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": text} for text in texts[:10]]}


def text_length(part: Any) -> int:
    """The characters of all texts in blocks, as Slack's limit for a whole message counts them."""
    if isinstance(part, list | tuple):
        return sum(map(text_length, part))
    if isinstance(part, dict):
        return sum(len(v) if k == "text" and isinstance(v, str) else text_length(v) for k, v in part.items())
    return 0
