"""Signals of people: the windows in which nothing may run, and the operator's pause."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from pgops.backfill.throttle.readings import Ask, Order, Reading
from pgops.fleet.windows import window


class Blackout:
    """A window in which no batch runs."""

    name, hard, every = "blackout", True, 0.5

    def __init__(self, windows: Sequence[str], zone: ZoneInfo, now: Callable[[], datetime]) -> None:
        self._windows = [window(text) for text in windows]
        self._zone, self._now = zone, now

    def read(self, ask: Ask) -> Reading:
        """Whether it is now, and until when."""
        now = self._now()
        for one in self._windows:
            if (end := one.until(now, self._zone)) is not None:
                words = f"{self.name}: {one.text}, until {end.astimezone(self._zone):%a %H:%M %Z}"
                return Reading(self.name, "red", 1, 0, words)
        return Reading(self.name, "green", 0, 0, f"{self.name}: none now")


class Operator:
    """What a person wants: a pause, or another speed. `order` may ask a database: it never holds up a batch."""

    name, hard, every = "operator", True, 0.5

    def __init__(self, order: Callable[[], Order]) -> None:
        self._order = order
        self.speed = 1.0

    def read(self, ask: Ask) -> Reading:
        """Whether it is paused."""
        order = self._order()
        if not order.speed > 0:
            raise ValueError(f"a speed of {order.speed} is none: pause instead")
        self.speed = order.speed
        words = f"{self.name}: {'paused' if order.paused else f'speed {order.speed:g}'}"
        return Reading(self.name, "red" if order.paused else "green", 1 if order.paused else 0, 0, words)
