"""Windows of time as people write them: "Mon-Fri 09:00-17:00", "Sat,Sun 00:00-24:00", "22:30-01:00"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = "(?:" + "|".join(_DAYS) + ")"
_PATTERN = re.compile(
    rf"(?:(?P<days>{_DAY}(?:-{_DAY})?(?:,{_DAY}(?:-{_DAY})?)*)\s+)?(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)",
    re.IGNORECASE,
)
_EXAMPLES = '"Mon-Fri 09:00-17:00", "Sat,Sun 00:00-24:00" or "22:30-01:00"'
_DAY_MINUTES = 24 * 60


@dataclass(frozen=True)
class Window:
    """A window of time that comes again on some days of the week.

    Attributes:
        text: as it was written.
        days: on which it begins, Monday is 0.
        start: minutes after midnight.
        end: minutes after the midnight before its start: over 1440 when it ends on the next day.
    """

    text: str
    days: frozenset[int]
    start: int
    end: int

    def until(self, at: datetime, zone: ZoneInfo) -> datetime | None:
        """When the window ends that `at` lies in; None when it lies in none.

        In the nights when the clock changes, a window is as long as it can be read.
        """
        today = at.astimezone(zone).date()
        ends = [
            end
            for day in (today - timedelta(days=2), today - timedelta(days=1), today, today + timedelta(days=1))
            if day.weekday() in self.days
            for start, end in [(min(_instants(day, self.start, zone)), max(_instants(day, self.end, zone)))]
            if start <= at < end
        ]
        return max(ends, default=None)


def window(text: str) -> Window:
    """A window from its text.

    Raises:
        ValueError: it is not one; the message shows what one looks like.
    """
    found = _PATTERN.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no window of time, such as {_EXAMPLES}")
    start, end = _minutes(found["start"], text), _minutes(found["end"], text)
    if start in (_DAY_MINUTES, end):
        raise ValueError(f"{text!r} has no length; the whole day is 00:00-24:00")
    return Window(text.strip(), frozenset(_weekdays(found["days"])), start, end if end > start else end + _DAY_MINUTES)


def _minutes(clock: str, text: str) -> int:
    hours, minutes = (int(part) for part in clock.split(":"))
    total = hours * 60 + minutes
    if minutes > 59 or total > _DAY_MINUTES:
        raise ValueError(f"{text!r}: there is no {clock}; times go from 00:00 to 24:00")
    return total


def _weekdays(days: str | None) -> Iterator[int]:
    if days is None:
        yield from range(7)
        return
    for part in days.lower().split(","):
        first, _, last = part.partition("-")
        begin = _DAYS.index(first)
        length = (_DAYS.index(last or first) - begin) % 7 + 1
        yield from ((begin + step) % 7 for step in range(length))


def _instants(day: date, minutes: int, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """A time on the wall as instants: they differ when the clock shows it twice, or leaves it out."""
    at = datetime.combine(day + timedelta(days=minutes // _DAY_MINUTES), time(), zone)
    wall = at.replace(hour=minutes % _DAY_MINUTES // 60, minute=minutes % 60)
    return wall.replace(fold=0).astimezone(UTC), wall.replace(fold=1).astimezone(UTC)
