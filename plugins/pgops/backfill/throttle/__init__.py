"""The throttle: every signal that speaks against the next batch, and how fast to go then."""

from pgops.backfill.throttle.control import Controller, Law
from pgops.backfill.throttle.readings import Level, Order, Reading, Signal
from pgops.backfill.throttle.throttle import Throttle

__all__ = ["Controller", "Law", "Level", "Order", "Reading", "Signal", "Throttle"]
