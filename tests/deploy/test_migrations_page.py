"""docs/migrations.md names every rule that a migration can break, at its level."""

from __future__ import annotations

import re
from pathlib import Path

from pgops.migration.gate.rules import LEVELS
from pgops.migration.proof.review import RULES

PAGE = Path(__file__).parents[2] / "docs" / "migrations.md"


def test_every_rule_of_this_project_is_documented_at_its_level():
    rows = [line.split("|") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    documented = {
        rule: row[2].strip()
        for row in rows
        if row[2].strip() in ("error", "warning")
        for rule in re.findall(r"`([a-z-]+)`", row[1])
    }
    assert documented == {**LEVELS, **RULES}
