"""Scripts for tests, from their text."""

from __future__ import annotations

import re
from itertools import groupby

import pglast

from pgops.migration.model import Script, Segment, Statement

_ALONE = re.compile(r"\bCONCURRENTLY\b|^VACUUM|/\* alone", re.IGNORECASE)


def script(text: str, name: str = "V001__test.sql") -> Script:
    """A script: ... CONCURRENTLY, VACUUM and what says `/* alone */` run outside a transaction."""
    statements, offset = [], 0
    for part in pglast.split(text):
        at = text.index(part, offset)
        offset = at + len(part)
        kind = " ".join(re.findall(r"[A-Z]+", part)[:2]).upper()
        if part.upper().startswith(("TRUNCATE", "UPDATE", "INSERT", "SELECT", "DO", "SET")):
            kind = part.split()[0].upper()
        statements.append(Statement(part, text.count("\n", 0, at) + 1, kind, not _ALONE.search(part)))
    segments = []
    for transactional, group in groupby(statements, key=lambda one: one.transactional):
        if transactional:
            segments.append(Segment(True, tuple(group)))
        else:
            segments += [Segment(False, (one,)) for one in group]
    return Script(name, text, tuple(segments))
