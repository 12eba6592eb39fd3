"""The inbox's page: messages as Slack shows them. Everything that comes from a message is escaped here."""

from __future__ import annotations

import re
from datetime import datetime
from html import escape
from itertools import groupby
from typing import Any

# Drawn here, because a machine without an emoji font (most servers) would show empty boxes.
_DISC = '<circle cx="8" cy="8" r="7.5" fill="{color}"/>'
_SQUARE = '<rect width="16" height="16" rx="3" fill="{color}"/>'
_STROKE = (
    '<path d="{path}" fill="none" stroke="#fff" stroke-width="2.2" stroke-linecap="round" stroke-linejoin="round"/>'
)
_DRAWINGS = {
    "white_check_mark": _SQUARE.format(color="#2b9a5e") + _STROKE.format(path="M4 8.5l3 3 5-6.5"),
    "x": _STROKE.format(path="M3 3l10 10M13 3L3 13").replace("#fff", "#d6243f").replace("2.2", "3"),
    "warning": '<path d="M8 .8L15.6 15H.4z" fill="#f0b429"/>'
    + _STROKE.format(path="M8 6v4M8 12.6v.1").replace("#fff", "#42330a").replace("2.2", "1.8"),
    "rotating_light": '<path d="M3.5 12V7.5a4.5 4.5 0 019 0V12z" fill="#d6243f"/>'
    '<rect x="1.5" y="12" width="13" height="3" rx="1" fill="#5b5f66"/>'
    + _STROKE.format(path="M8 .8v.6M1.2 3.2l.5.4M14.8 3.2l-.5.4").replace("#fff", "#d6243f").replace("2.2", "1.4"),
    "information_source": _SQUARE.format(color="#36709b") + _STROKE.format(path="M8 7.5v5M8 3.8v.1"),
}
EMOJI = {
    name: f'<svg class="emoji" viewBox="0 0 16 16" role="img" aria-label=":{name}:">{drawing}</svg>'
    for name, drawing in _DRAWINGS.items()
}
COLORS = {"good": "#2eb67d", "warning": "#ecb22e", "danger": "#e01e5a"}
AVATARS = ("#4a154b", "#1264a3", "#2b7a5d", "#a3531f", "#5b4b8a")

# Slack's markup, one alternative per construct; the first that matches at a place wins.
MARKUP = re.compile(
    r"```\n?(?P<fence>.+?)```"
    r"|`(?P<code>[^`\n]+)`"
    r"|<(?P<link>(?:https?|mailto):[^|<>]+)(?:\|(?P<label>[^<>]*))?>"
    r"|<(?P<mention>[!@#][^<>]+)>"
    r"|(?<![\w*])\*(?P<bold>[^*\n]+)\*(?![\w*])"
    r"|(?<![\w_])_(?P<italic>[^_\n]+)_(?![\w_])"
    r"|(?<![\w~])~(?P<strike>[^~\n]+)~(?![\w~])"
    r"|:(?P<emoji>[a-z_]+):",
    re.DOTALL,
)


def mrkdwn(text: str) -> str:
    """Slack's mrkdwn as HTML."""
    parts, end = [], 0
    for match in MARKUP.finditer(text):
        parts += [_plain(text[end : match.start()]), _markup(match)]
        end = match.end()
    return "".join([*parts, _plain(text[end:])])


def _markup(match: re.Match[str]) -> str:
    kind, content = next((k, v) for k, v in match.groupdict().items() if v is not None)
    if kind == "fence":
        return f"<pre>{_literal(content)}</pre>"
    if kind == "code":
        return f"<code>{_literal(content)}</code>"
    if kind == "link":
        return f'<a href="{_literal(content)}" rel="noopener noreferrer">{_literal(match["label"] or content)}</a>'
    if kind == "mention" and content.startswith("!date^"):
        return _date(content)
    if kind == "mention":
        return f'<span class="mention">@{_literal(content.lstrip("!@#").partition("|")[0])}</span>'
    if kind == "emoji":
        return EMOJI.get(content, escape(match[0]))
    tag = {"bold": "b", "italic": "i", "strike": "s"}[kind]
    return f"<{tag}>{mrkdwn(content)}</{tag}>"


def _date(content: str) -> str:
    """`!date^SECONDS^format|fallback`: in the reader's time zone, which here is the machine's."""
    seconds = content.split("^")[1]
    if not seconds.isdigit():
        return _literal(content.partition("|")[2])
    at = datetime.fromtimestamp(int(seconds)).astimezone()
    return f'<time class="date" datetime="{at.isoformat()}">{at:%-d %B %H:%M}</time>'


def _literal(text: str) -> str:
    """Undo Slack's three entities, then escape for HTML: `&amp;lt;` shows as `&lt;`, `&lt;` as `<`."""
    for entity, char in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        text = text.replace(entity, char)
    return escape(text)


def _plain(text: str) -> str:
    return _literal(text).replace("\n", "<br>")


def _text(text: dict[str, Any]) -> str:
    if text["type"] == "mrkdwn":
        return mrkdwn(text["text"])
    return re.sub(r":([a-z_]+):", lambda m: EMOJI.get(m[1], m[0]), _plain(text["text"]))


def _element(element: dict[str, Any]) -> str:
    if element["type"] == "image":
        return f'<span class="image">{escape(element["alt_text"])}</span>'
    if element["type"] != "button":
        return f"<span>{_text(element)}</span>"
    style = f' class="button {escape(element.get("style", ""))}"'
    if "url" in element:
        return f'<a{style} href="{escape(element["url"])}" rel="noopener noreferrer">{_text(element["text"])}</a>'
    return f"<span{style}>{_text(element['text'])}</span>"


def _block(block: dict[str, Any]) -> str:
    kind = block["type"]
    if kind == "header":
        return f"<h3>{_text(block['text'])}</h3>"
    if kind == "divider":
        return "<hr>"
    if kind == "image":
        return f'<p class="image">{escape(block["alt_text"])}</p>'
    if kind in ("context", "actions"):
        return f'<div class="{kind}">{"".join(map(_element, block["elements"]))}</div>'
    text = f'<div class="text">{_text(block["text"])}</div>' if "text" in block else ""
    fields = "".join(f'<div class="field">{_text(f)}</div>' for f in block.get("fields") or [])
    fields = f'<div class="fields">{fields}</div>' if fields else ""
    accessory = _element(block["accessory"]) if "accessory" in block else ""
    return f'<div class="section"><div class="grow">{text}{fields}</div>{accessory}</div>'


def _attachment(attachment: dict[str, Any]) -> str:
    wanted = str(attachment.get("color", ""))
    color = COLORS.get(wanted) or (wanted if re.fullmatch(r"#[0-9a-fA-F]{6}", wanted) else "#dddddd")
    parts = [f"<p>{mrkdwn(str(attachment['pretext']))}</p>"] if attachment.get("pretext") else []
    if attachment.get("title"):
        parts.append(f"<b>{_plain(str(attachment['title']))}</b>")
    if attachment.get("text"):
        parts.append(f'<div class="text">{mrkdwn(str(attachment["text"]))}</div>')
    parts += map(_block, attachment.get("blocks") or [])
    return f'<div class="attachment" style="border-color:{color}">{"".join(parts)}</div>'


def _file(file: dict[str, Any]) -> str:
    size = f"{file['size'] / 1024:.0f} KiB"
    return f'<a class="file" href="/files/{escape(file["id"])}">{escape(file["title"])} <small>{size}</small></a>'


def _message(message: dict[str, Any], replies: list[dict[str, Any]]) -> str:
    name = message["username"]
    avatar = AVATARS[sum(map(ord, name)) % len(AVATARS)]
    at = datetime.fromtimestamp(float(message["ts"])).astimezone()
    # As in Slack: where there are blocks, the text is for notifications only.
    body = "".join(map(_block, message["blocks"]))
    if not body and message["text"]:
        body = f'<div class="text">{mrkdwn(message["text"])}</div>'
    body += "".join(map(_attachment, message["attachments"])) + "".join(map(_file, message.get("files", [])))
    edited = ' <small class="edited">(edited)</small>' if message.get("edited") else ""
    thread = ""
    if replies:
        count = f"{len(replies)} {'reply' if len(replies) == 1 else 'replies'}"
        thread = f'<div class="thread"><small>{count}</small>{"".join(_message(r, []) for r in replies)}</div>'
    return (
        f'<article id="m{escape(message["ts"])}"><div class="avatar" style="background:{avatar}">'
        f'{escape(name[:1].upper())}</div><div class="grow"><div class="who"><b>{escape(name)}</b>'
        f'<span class="app">APP</span><time datetime="{at.isoformat()}">{at:%H:%M}</time>{edited}</div>'
        f"{body}{thread}</div></article>"
    )


def _channel(name: str, messages: list[dict[str, Any]]) -> str:
    parents = [m for m in messages if not m.get("thread_ts")]
    replies: dict[str, list[dict[str, Any]]] = {}
    for message in messages:
        if message.get("thread_ts"):
            replies.setdefault(message["thread_ts"], []).append(message)
    days = []
    for day, group in groupby(parents, key=lambda m: datetime.fromtimestamp(float(m["ts"])).date()):
        shown = "".join(_message(m, replies.get(m["ts"], [])) for m in group)
        days.append(f'<div class="day"><span>{day:%A, %-d %B}</span></div>{shown}')
    return f'<section><h2 id="{escape(name)}"># {escape(name.lstrip("#"))}</h2>{"".join(days)}</section>'


def render_page(messages: list[dict[str, Any]]) -> str:
    """The whole page: one column per channel, newest message last, as in Slack."""
    channels: dict[str, list[dict[str, Any]]] = {}
    for message in messages:
        channels.setdefault(message["channel"], []).append(message)
    links = "".join(
        f'<a href="#{escape(name)}"># {escape(name.lstrip("#"))} <small>{len(found)}</small></a>'
        for name, found in sorted(channels.items())
    )
    body = "".join(_channel(name, found) for name, found in sorted(channels.items()))
    body = body or '<p class="empty">No message yet. What the project sends to Slack appears here.</p>'
    return PAGE.replace("{links}", links, 1).replace("{body}", body, 1)


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Slack inbox</title><style>
* { box-sizing: border-box }
body { margin: 0; display: flex; min-height: 100vh; background: #fff; color: #1d1c1d;
       font: 15px/1.46 Lato, "Helvetica Neue", Helvetica, "Segoe UI", "Liberation Sans", Arial, sans-serif }
nav { width: 220px; flex: none; padding: 18px 12px; background: #f6f3f7; border-right: 1px solid #e8e4ea }
nav b { display: block; padding: 0 8px 12px; font-size: 17px }
nav a { display: flex; justify-content: space-between; padding: 4px 8px; border-radius: 6px; color: inherit;
        text-decoration: none; overflow-wrap: anywhere }
nav a:hover { background: #e9e3eb }
nav p { padding: 12px 8px; font-size: 12px; color: #696669 }
main { flex: 1; min-width: 0; padding: 0 24px 48px }
h2 { position: sticky; top: 0; margin: 0 -24px; padding: 14px 24px; font-size: 17px; background: #fff;
     border-bottom: 1px solid #e8e8e8; z-index: 1; scroll-margin-top: 0 }
.day { margin: 18px 0 6px; border-top: 1px solid #e8e8e8; text-align: center }
.day span { position: relative; top: -12px; padding: 3px 14px; border: 1px solid #ddd; border-radius: 20px;
            background: #fff; font-size: 12.5px; font-weight: bold }
article { display: flex; gap: 10px; max-width: 860px; padding: 8px 8px; border-radius: 6px }
article:hover { background: #f8f8f8 }
.avatar { width: 36px; height: 36px; flex: none; border-radius: 6px; color: #fff; font-weight: bold; font-size: 17px;
          display: grid; place-items: center }
.grow { flex: 1; min-width: 0 }
.who { display: flex; align-items: baseline; gap: 6px }
.app { padding: 0 3px; border-radius: 2px; background: #e8e8e8; color: #5c5a5c; font-size: 10px; font-weight: bold }
.who time, small, .edited { color: #696669; font-size: 12px }
h3 { margin: 4px 0 6px; font-size: 18px; line-height: 1.3; overflow-wrap: anywhere }
hr { margin: 10px 0; border: 0; border-top: 1px solid #e0dfe0 }
.section { display: flex; gap: 12px; align-items: flex-start; margin: 6px 0 }
.text, .field { overflow-wrap: anywhere }
.fields { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 8px 20px; margin-top: 4px;
          max-width: 640px }
.context { display: flex; flex-wrap: wrap; gap: 4px 10px; margin: 6px 0; color: #696669; font-size: 13px }
.actions { display: flex; flex-wrap: wrap; gap: 8px; margin: 8px 0 }
.button { display: inline-block; padding: 4px 12px; border: 1px solid #bbbabb; border-radius: 4px; background: #fff;
          color: #1d1c1d; font-size: 14px; font-weight: bold; text-decoration: none; white-space: nowrap }
.button.primary { border-color: #007a5a; background: #007a5a; color: #fff }
.button.danger { border-color: #e01e5a; color: #b3164a }
.attachment { margin: 4px 0; padding: 2px 0 2px 12px; border-left: 4px solid #ddd; border-radius: 2px }
time.date { color: inherit; font-size: inherit }
.emoji { width: 1.05em; height: 1.05em; vertical-align: -.15em }
code { padding: 1px 4px; border: 1px solid #ddd; border-radius: 3px; background: #f7f7f7; color: #b3164a;
       font: 12.5px/1.5 "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere }
pre { margin: 4px 0; padding: 8px 10px; border: 1px solid #ddd; border-radius: 4px; background: #f8f8f8;
      font: 12.5px/1.5 "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
      white-space: pre-wrap; overflow-wrap: anywhere }
a { color: #1264a3; text-decoration: none } a:hover { text-decoration: underline }
.mention { padding: 0 3px; border-radius: 3px; background: #fdf0d0; color: #8a5b00 }
.thread { margin-top: 6px; padding-left: 10px; border-left: 2px solid #e8e8e8 }
.file { display: inline-block; margin: 4px 0; padding: 8px 12px; border: 1px solid #ddd; border-radius: 8px }
.empty { margin: 20vh auto; text-align: center; color: #696669 }
@media (max-width: 640px) { nav { display: none } main { padding: 0 12px 32px } h2 { margin: 0 -12px; padding: 12px }
  .fields { grid-template-columns: 1fr } .section { flex-direction: column }
  pre { font-size: 12px } }
</style></head><body>
<nav><b>Slack inbox</b>{links}<p>The sandbox's stand-in for Slack. Nothing leaves this machine.</p></nav>
<main>{body}</main>
<script>
// Fetch the page again and swap it in only when it changed, so that a selection or the scroll position stays.
setInterval(async () => {
  try {
    const fresh = new DOMParser().parseFromString(await (await fetch("/")).text(), "text/html");
    for (const part of ["nav", "main"]) {
      const now = document.querySelector(part), next = fresh.querySelector(part);
      if (now.innerHTML !== next.innerHTML) now.replaceWith(next);
    }
  } catch (error) { /* the sandbox is down: keep showing what was there */ }
}, 2000);
</script></body></html>
"""
