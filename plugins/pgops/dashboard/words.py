"""Figures and times as people read them on a page."""

from __future__ import annotations

from datetime import UTC, datetime

from pgops import units

_UNITS = {"database_size": "bytes", "connections_used": "percent", "cache_hit_ratio": "percent"}


def unit_of(name: str, told: str | None = None) -> str:
    """The unit of a figure: what was told with it, else what its name is known for."""
    return told or _UNITS.get(name, "")


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
