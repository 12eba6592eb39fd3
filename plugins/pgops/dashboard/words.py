"""Figures and times as people read them on a page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pgops import units

_UNITS = {"database_size": "bytes", "connections_used": "percent", "cache_hit_ratio": "percent"}
_SECONDS = ("seconds", "s")


def unit_of(name: str, told: str | None = None) -> str:
    """The unit of a figure: what was told with it, else what its name is known for."""
    return told or _UNITS.get(name, "")


def shown(value: Any, unit: str = "") -> str:
    """A value with its unit."""
    if value is None:
        return units.ABSENT
    number = float(value)
    if unit == "bytes":
        return units.size(number)
    if unit in _SECONDS:
        return units.duration(number)
    if unit in ("percent", "%"):
        return f"{units.short(number)} %"
    plain = f"{number:,.0f}" if number == int(number) or abs(number) >= 1000 else units.short(number)
    return plain if unit in ("", "count") else f"{plain} {unit}"


def title(name: str) -> str:
    """A figure's name as a heading: "database_size" is "Database size"."""
    return name.replace("_", " ").capitalize()


def ago(at: datetime, now: datetime) -> str:
    """How long ago, or in how long."""
    seconds = (now - at).total_seconds()
    if abs(seconds) < 60:
        return "now"
    return f"{units.duration(seconds)} ago" if seconds > 0 else f"in {units.duration(-seconds)}"


def age(at: datetime, now: datetime) -> str:
    """How long it has been so."""
    return units.duration(max((now - at).total_seconds(), 0))


def stamp(at: datetime) -> str:
    """An instant, to the minute, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
