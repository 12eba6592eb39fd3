"""A column is added, filled, proven and indexed while the application goes on: the only safe order, from any state."""

from pgops.column.perform import perform, waited_for
from pgops.column.spec import ColumnSpec, column_spec
from pgops.column.state import ColumnState, state
from pgops.column.steps import Fill, Step, next_steps, undo_steps

__all__ = [
    "ColumnSpec",
    "ColumnState",
    "Fill",
    "Step",
    "column_spec",
    "next_steps",
    "perform",
    "state",
    "undo_steps",
    "waited_for",
]
