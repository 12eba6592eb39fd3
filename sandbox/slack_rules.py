"""What Slack refuses in a message, with the error codes that it answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

# Slack does not document this limit; refusals were reported from 11,341 characters (slackapi/bolt-js issue 2867).
MAX_BLOCK_TEXT = 11_000


class SlackError(Exception):
    """What Slack answers instead of ok: its error code, and the details that it adds for the developer."""

    def __init__(self, code: str, *details: str) -> None:
        super().__init__(code)
        self.code = code
        self.details = details


def check_message(message: dict[str, Any]) -> None:
    """Refuse a message that Slack would refuse, with Slack's own error code."""
    blocks, attachments = message["blocks"], message["attachments"]
    if not (message["text"] or blocks or attachments or message.get("files")):
        raise SlackError("no_text")
    if len(message["text"]) > 40_000:
        raise SlackError("msg_too_long")
    problems = block_problems(blocks)
    if problems:
        raise SlackError("invalid_blocks", *problems)
    if text_length(blocks) + text_length(attachments) > MAX_BLOCK_TEXT:
        raise SlackError("msg_blocks_too_long")
    if not isinstance(attachments, list) or len(attachments) > 100:
        raise SlackError("too_many_attachments")
    for attachment in attachments:
        problems = (
            block_problems(attachment.get("blocks", [])) if isinstance(attachment, dict) else ["attachment: no object"]
        )
        if problems:
            raise SlackError("invalid_attachments", *problems)


def text_length(part: Any) -> int:
    """The characters of all texts in blocks, however deep."""
    if isinstance(part, list):
        return sum(map(text_length, part))
    if isinstance(part, dict):
        return sum(len(v) if k == "text" and isinstance(v, str) else text_length(v) for k, v in part.items())
    return 0


def block_problems(blocks: Any) -> list[str]:
    """Everything that Slack's Block Kit limits forbid in these blocks."""
    if not isinstance(blocks, list):
        return ["blocks: must be an array"]
    problems = [] if len(blocks) <= 50 else [f"blocks: {len(blocks)} items, no more than 50 allowed"]
    for number, block in enumerate(blocks):
        kind = block.get("type") if isinstance(block, dict) else None
        check = BLOCK_CHECKS.get(kind) if isinstance(kind, str) else None
        found = check(block) if check else [f"unsupported type: {kind}"]
        problems += [f"/blocks/{number}: {problem}" for problem in found]
    ids = [b["block_id"] for b in blocks if isinstance(b, dict) and "block_id" in b]
    if len(ids) != len(set(ids)):
        problems.append("blocks: block_id is not unique")
    return problems


def _text_problems(text: Any, limit: int, types: tuple[str, ...] = ("mrkdwn", "plain_text")) -> list[str]:
    if not isinstance(text, dict) or text.get("type") not in types or not isinstance(text.get("text"), str):
        return [f"text: must be an object of type {' or '.join(types)}"]
    if not 1 <= len(text["text"]) <= limit:
        return [f"text: {len(text['text'])} characters, 1 to {limit} allowed"]
    return []


def _header_problems(block: dict[str, Any]) -> list[str]:
    return _text_problems(block.get("text"), 150, ("plain_text",))


def _section_problems(block: dict[str, Any]) -> list[str]:
    fields = block.get("fields")
    if "text" not in block and not fields:
        return ["section: needs text or fields"]
    problems = _text_problems(block["text"], 3000) if "text" in block else []
    if fields is not None:
        if not isinstance(fields, list) or not 1 <= len(fields) <= 10:
            return [*problems, "fields: 1 to 10 allowed"]
        for one in fields:
            problems += _text_problems(one, 2000)
    if "accessory" in block:
        problems += _element_problems(block["accessory"])
    return problems


def _context_problems(block: dict[str, Any]) -> list[str]:
    elements = block.get("elements")
    if not isinstance(elements, list) or not 1 <= len(elements) <= 10:
        return ["elements: 1 to 10 allowed"]
    problems = []
    for one in elements:
        is_image = isinstance(one, dict) and one.get("type") == "image"
        problems += _image_problems(one) if is_image else _text_problems(one, 3000)
    return problems


def _actions_problems(block: dict[str, Any]) -> list[str]:
    elements = block.get("elements")
    if not isinstance(elements, list) or not 1 <= len(elements) <= 25:
        return ["elements: 1 to 25 allowed"]
    return [problem for one in elements for problem in _element_problems(one)]


def _element_problems(element: Any) -> list[str]:
    if not isinstance(element, dict):
        return ["element: must be an object"]
    if element.get("type") == "image":
        return _image_problems(element)
    if element.get("type") != "button":
        return [f"unsupported element: {element.get('type')}"]
    problems = _text_problems(element.get("text"), 75, ("plain_text",))
    url = element.get("url")
    if url is not None and (not re.match(r"https?://", str(url)) or len(str(url)) > 3000):
        problems.append("url: must be an http address of at most 3000 characters")
    if element.get("style") not in (None, "primary", "danger"):
        problems.append("style: primary or danger")
    return problems


def _image_problems(block: dict[str, Any]) -> list[str]:
    url, alt = block.get("image_url"), block.get("alt_text")
    if not isinstance(url, str) or len(url) > 3000:
        return ["image_url: required, at most 3000 characters"]
    return [] if isinstance(alt, str) and 1 <= len(alt) <= 2000 else ["alt_text: required, at most 2000 characters"]


BLOCK_CHECKS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "header": _header_problems,
    "section": _section_problems,
    "context": _context_problems,
    "actions": _actions_problems,
    "image": _image_problems,
    "divider": lambda block: [],
}
