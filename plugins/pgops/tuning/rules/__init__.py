"""The rules: one for each setting, with formula, reason and source. What they say depends on the facts alone."""

from __future__ import annotations

from pgops.tuning.model import Rule
from pgops.tuning.rules import connections, logging, memory, planner, protection, replication, vacuum, wal

RULES: tuple[Rule, ...] = (
    *memory.RULES,
    *wal.RULES,
    *planner.RULES,
    *connections.RULES,
    *logging.RULES,
    *vacuum.RULES,
    *replication.RULES,
    *protection.RULES,
)

__all__ = ["RULES"]
