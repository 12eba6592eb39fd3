"""Takes secrets out of a text before it leaves the house. In doubt it takes too much."""

from __future__ import annotations

import re

MASK = "***"

# A value after `key=` or `key:`: quoted (libpq, JSON, Python) or up to white space; `&next=` ends it in a URL. What is
# masked already stays, so that redacting twice is harmless. Repetitions are bounded: errors may be megabytes long.
_VALUE = r"""(?!\*\*\*)(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|(?:\\.|&(?![\w.-]+=)|[^\s&\\])+)"""
_SECRET_KEY = (
    r"(?:password|passwd|passphrase|pwd|secret|token|credential|signature|api[_-]?key|access[_-]?key|private[_-]?key)"
    r"[\w.-]{0,40}"
)

RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), MASK),
    # scheme://user:password@host. The password may hold a stray @ or /, so all up to the last @ goes; but a colon that
    # begins a port (http://host:8080/...) begins no password.
    (re.compile(r"(\b[a-zA-Z][\w+.-]{0,30}://[^\s:/@]{0,200}):(?!\d+(?:/|\s|$))[^\s\"'<>]{0,500}@"), rf"\1:{MASK}@"),
    (re.compile(r"(hooks\.slack\.com/services/)[\w/]+"), rf"\1{MASK}"),
    (re.compile(r"\bxox[a-z]-[\w-]+|\bxapp-[\w-]+"), MASK),
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), MASK),
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*"), MASK),
    (re.compile(r"\bSCRAM-SHA-256\$[^\s'\"]+"), MASK),
    (re.compile(r"(?i)(\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}"), rf"\1{MASK}"),
    (re.compile(rf"(?i)({_SECRET_KEY}[\"']?\s*[=:]\s*){_VALUE}"), rf"\1{MASK}"),
    (re.compile(r"(?i)(\bpassword\s+)'(?:[^'\\]|\\.|'')*'"), rf"\1{MASK}"),  # ALTER ROLE x PASSWORD '...'
)


def redact(text: str) -> str:
    """The text without passwords, keys and tokens."""
    for pattern, replacement in RULES:
        text = pattern.sub(replacement, text)
    return text
