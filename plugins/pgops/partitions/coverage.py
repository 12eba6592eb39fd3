"""What ranges cover, and what they leave open. Ranges of one parent never overlap: the server sees to that."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pgops.partitions.model import Edge, Range

# Edges of one parent are all instants or all numbers; the type checker cannot know.
_Key = Any


def missing(ranges: Iterable[Range], start: Edge, end: Edge, after: Callable[[Any], Edge]) -> list[Range]:
    """What has to be made so that [start, end) is covered, cut where the grid and where the ranges are cut."""
    there = _sorted(ranges)
    made: list[Range] = []
    position: _Key = start
    while position < end:
        holder = next((one for one in there if contains(one, position)), None)
        if holder is not None:
            if holder.upper is None:
                return made
            position = holder.upper
            continue
        edges: list[_Key] = [one.lower for one in there if one.lower is not None and one.lower > position]
        upper = min([after(position), end, *edges])
        made.append(Range(position, upper))
        position = upper
    return made


def covered_until(ranges: Iterable[Range], start: Edge, last: Edge) -> Edge | None:
    """Up to where there is no gap from `start` on; None when `start` is in one; `last` when it never ends."""
    position: _Key = start
    for one in _sorted(ranges):
        if contains(one, position):
            if one.upper is None:
                return last
            position = one.upper
    return None if position == start else position


def holes(ranges: Iterable[Range], before: Edge) -> list[Range]:
    """The gaps between ranges, and after the last, below `before`."""
    limit: _Key = before
    found: list[Range] = []
    end: _Key = None
    for one in _sorted(ranges):
        lower: _Key = one.lower
        if end is not None and lower is not None and end < lower and end < limit:
            found.append(Range(end, min(lower, limit)))
        if one.upper is None:
            return found
        end = one.upper
    if end is not None and end < limit:
        found.append(Range(end, limit))
    return found


def contains(one: Range, edge: Any) -> bool:
    """Whether a key of that value has its place there."""
    lower: _Key = one.lower
    upper: _Key = one.upper
    return (lower is None or lower <= edge) and (upper is None or edge < upper)


def overlap(one: Range, other: Range) -> bool:
    """Whether two ranges have a value in common."""
    lowers: list[_Key] = [one.lower, other.lower]
    uppers: list[_Key] = [other.upper, one.upper]
    return all(low is None or up is None or low < up for low, up in zip(lowers, uppers, strict=True))


def _sorted(ranges: Iterable[Range]) -> list[Range]:
    listed = list(ranges)
    unbounded = [one for one in listed if one.lower is None]
    bounded: list[_Key] = [one for one in listed if one.lower is not None]
    return unbounded + sorted(bounded, key=lambda one: one.lower)
