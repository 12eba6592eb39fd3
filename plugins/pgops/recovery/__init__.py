"""Proof by restoring: a backup is brought back, compared with its source, and timed."""

from pgops.recovery.checks import Check, compare, run_amcheck, run_canaries
from pgops.recovery.report import DrillReport, report
from pgops.recovery.restore import Restored, restore
from pgops.recovery.scratch import Scratch, drop_scratch, make_empty, prepare_scratch

__all__ = [
    "Check",
    "DrillReport",
    "Restored",
    "Scratch",
    "compare",
    "drop_scratch",
    "make_empty",
    "prepare_scratch",
    "report",
    "restore",
    "run_amcheck",
    "run_canaries",
]
