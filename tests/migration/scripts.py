"""Scripts for tests, from their text."""

from __future__ import annotations

from pgops.migration.model import Script, Source
from pgops.migration.scripts import statements

# Before a statement: it commits by itself.
ALONE = f"\n{statements.AUTOCOMMIT}\n"


def script(text: str, name: str = "V001__test.sql") -> Script:
    """A script as the gate takes it apart."""
    return statements.parse(Source(name, text))
