"""Texts of statements as they may be kept: no literal, no comment, no more than a screenful of screens.

pg_stat_statements puts $1 where a constant was, but not in utility statements (ALTER ROLE ... PASSWORD 'secret'), and
not when it had to forget the statement while it ran. So every literal is masked here, before anything else sees it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import pglast
from pglast.parser import ParseError

MOST_TEXT = 20_000  # characters that are kept; a longer text is cut, and can then not be explained

# What follows is not a number that anybody typed as a value: a column's position, a type's width.
_POSITIONS = re.compile(
    r"\b(?:order|group)\s+by\s+\d{1,2}\b(?:\s+(?:asc|desc))?(?:\s*,\s*\d{1,2}\b(?:\s+(?:asc|desc))?)*", re.I
)
_WIDTHS = re.compile(
    r"\b(?:numeric|decimal|varchar|char|character|varying|bit|varbit|timestamp|timestamptz|time|timetz|interval)"
    r"\s*\(\s*\d{1,4}(?:\s*,\s*-?\d{1,4})?\s*\)",
    re.I,
)
_TOKEN = re.compile(
    r"""(?P<kept>"(?:[^"]|"")*"|\$\d+|[^\W\d][\w$]*(?='))   # "name", $1; a word before a quote, such as E'...'
      |(?P<line>--[^\n]*)
      |(?P<comment>/\*)
      |(?P<dollar>\$(?:[^\W\d]\w*)?\$)
      |(?P<quote>')
      |(?P<number>(?<![\w$])(?:\d[\w.]*(?:(?<=[eE])[+-]\d+)?|\.\d+))
      |(?P<word>[^\W\d][\w$]*)""",
    re.VERBOSE,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
# A literal's prefix that changes how backslashes are read, or what the literal is.
_PREFIXES = frozenset({"e", "b", "x", "n", "u&"})
_STRING = re.compile(r"(?:[^'\\]|'')*'")
_ESCAPED = re.compile(r"(?:[^'\\]|''|\\.)*'", re.DOTALL)
# SET app.token = abc: a bare word is a literal there. A name with a dot is an application's own.
_OWN_SETTING = re.compile(
    r"""^((?:alter\s+(?:role|user|database)\s.*?\s)?set\s+(?:session\s+|local\s+)?["\w]+(?:\.["\w]+)+\s*(?:=|to\b))
        (?!\s*default\b).*""",
    re.I | re.S | re.X,
)
_TYPED = re.compile(r"\b(interval|date|timestamp|timestamptz|time|timetz)\s+(\$\d+)", re.I)


@dataclass(frozen=True)
class Text:
    """A statement's text as it is kept.

    Attributes:
        fingerprint: the same for the same statement whatever its literals, spelling and server version.
        whole: False where it was cut.
    """

    fingerprint: str
    text: str
    whole: bool


def kept(raw: str) -> Text:
    """What may be kept of a statement's text."""
    whole = len(raw) <= MOST_TEXT
    text = masked(raw[:MOST_TEXT])
    return Text(_fingerprint(text, whole), text, whole)


def masked(text: str) -> str:
    """The text without comments, every literal replaced by a parameter; what cannot be told apart is left out.

    A statement without literals keeps its meaning: $1, columns' positions (ORDER BY 1) and widths of types stay.
    """
    return _OWN_SETTING.sub(r"\1 $1", _without_literals(text))


def _without_literals(text: str) -> str:
    safe = [found.span() for pattern in (_POSITIONS, _WIDTHS) for found in pattern.finditer(text)]
    number = max((int(one) for one in re.findall(r"\$(\d{1,6})\b", text)), default=0)
    parts: list[str] = []
    at = 0
    while found := _TOKEN.search(text, at):
        parts.append(text[at : found.start()])
        kind, at = str(found.lastgroup), found.end()
        if kind in ("kept", "word"):
            literal = text[at : at + 1] == "'" and found[0].lower() in _PREFIXES
            if not literal:
                parts.append(found[0])
            elif (end := _string_end(text, at + 1, escapes=found[0].lower() == "e")) is None:
                return _cut_off(parts)
            else:
                number, at = number + 1, end
                parts.append(f"${number}")
        elif kind == "line":
            parts.append(" ")
        elif kind == "comment":
            if (end := _comment_end(text, at)) is None:
                return _cut_off(parts)
            parts.append(" ")
            at = end
        elif kind == "number" and any(begin <= found.start() < end for begin, end in safe):
            parts.append(found[0])
        else:
            end = at if kind == "number" else _literal_end(text, at, found[0])
            if end is None:
                return _cut_off(parts)
            number, at = number + 1, end
            parts.append(f"${number}")
    return "".join([*parts, text[at:]]).strip()


def _literal_end(text: str, at: int, opening: str) -> int | None:
    if opening == "'":
        return _string_end(text, at, escapes=False)
    end = text.find(opening, at)
    return None if end < 0 else end + len(opening)


def _string_end(text: str, at: int, *, escapes: bool) -> int | None:
    """Where a literal ends; None where it does not, or where a backslash leaves that to the server's settings."""
    found = (_ESCAPED if escapes else _STRING).match(text, at)
    if found is None and not escapes:
        plain = re.compile(r"(?:[^']|'')*'").match(text, at)
        # A backslash that is not before a quote means the same either way.
        return plain.end() if plain and "\\'" not in plain[0] else None
    return found.end() if found else None


def _comment_end(text: str, at: int) -> int | None:
    """Comments nest."""
    depth = 1
    for found in _COMMENT_EDGE.finditer(text, at):
        depth += 1 if found[0] == "/*" else -1
        if depth == 0:
            return found.end()
    return None


def _cut_off(parts: list[str]) -> str:
    return "".join(parts).strip() + " ..."


def _fingerprint(text: str, whole: bool) -> str:
    if whole:
        try:
            return str(pglast.parser.fingerprint(plannable(text)))
        except (ParseError, ValueError, RecursionError):
            pass
    # A text that the parser does not know (cut, or of a newer version): spelling counts, numbers of parameters do not.
    plain = re.sub(r"\$\d+(?:\s*,\s*\$\d+)*", "$", " ".join(text.lower().split()))
    return f"t{hashlib.sha256(plain.encode()).hexdigest()[:15]}"


def plannable(text: str) -> str:
    """The text with `interval $1`, which pg_stat_statements writes and no parser reads, as `$1::interval`."""
    return _TYPED.sub(r"\2::\1", text)


def one_line(text: str, limit: int = 100) -> str:
    """Its beginning, for tables."""
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1]}…"
