"""The health of a database: checks as files, honest results, and a light hand.

checks -> run -> Report -> compare with the run before -> Changes. docs/health.md says how to add a check.
"""

from pgops.health.checks import checks, with_thresholds
from pgops.health.compare import Changes, Mute, compare
from pgops.health.model import (
    Budget,
    Check,
    Finding,
    Measure,
    Outcome,
    Report,
    Sample,
    Snapshot,
    Status,
    Target,
    Threshold,
)
from pgops.health.run import SCOPES, UNREACHABLE, run

__all__ = [
    "SCOPES",
    "UNREACHABLE",
    "Budget",
    "Changes",
    "Check",
    "Finding",
    "Measure",
    "Mute",
    "Outcome",
    "Report",
    "Sample",
    "Snapshot",
    "Status",
    "Target",
    "Threshold",
    "checks",
    "compare",
    "run",
    "with_thresholds",
]
