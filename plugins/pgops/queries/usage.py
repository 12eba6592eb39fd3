"""What queries cost within a window of time, from the ledger's deltas."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from typing import Any, NamedTuple

from pgops.ledger import Ledger

DAY = timedelta(days=1)
WEEK = timedelta(days=7)
WEEKS, DAYS = 4, 7
# A window of which less was seen proves nothing about a day.
LEAST_COVERED = 0.5


class QueryKey(NamedTuple):
    """A query as reviews know it: the same before and after an upgrade."""

    username: str
    fingerprint: str
    toplevel: bool


@dataclass(frozen=True)
class Usage:
    """What a query cost in a window, as a day's worth: blocks for hit, read and temp, bytes for wal."""

    calls: float = 0
    exec_ms: float = 0
    rows: float = 0
    hit: float = 0
    read: float = 0
    temp: float = 0
    read_ms: float = 0
    wal: float = 0

    @property
    def mean_ms(self) -> float:
        """Of a call."""
        return self.exec_ms / self.calls if self.calls else 0.0

    @property
    def blocks(self) -> float:
        """Touched, wherever they were."""
        return self.hit + self.read

    @property
    def hit_ratio(self) -> float | None:
        """In percent."""
        return 100 * self.hit / self.blocks if self.blocks else None

    def per_call(self, amount: float) -> float:
        """Of an amount of this usage."""
        return amount / self.calls if self.calls else 0.0


NOTHING = Usage()
_FIELDS = tuple(Usage.__dataclass_fields__)


@dataclass(frozen=True)
class Window:
    """One stretch of time.

    Attributes:
        covered: share that snapshots counted.
        notes: what these could not tell.
    """

    after: datetime
    upto: datetime
    covered: float
    usage: Mapping[QueryKey, Usage]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Past:
    """What was usual before.

    Attributes:
        windows: how many of them were seen well enough.
        same_weekday: False where there is no week of history yet, so that the days before stand in.
        usage: calls and times are medians over the windows; of a query that is too young for any, nothing.
    """

    windows: int
    same_weekday: bool
    usage: Mapping[QueryKey, Usage] = field(default_factory=dict)


def windows(
    ledger: Ledger, database: str, until: datetime, *, width: timedelta = DAY, step: timedelta = WEEK, earlier: int = 0
) -> list[Window]:
    """A window that ends at `until`, and earlier ones a step apart, the newest first.

    A delta that reaches beyond a window counts with the share that lies in it. What was counted in a part of the time
    is brought to all of it; of the newest window only if that was half of it: ten minutes say nothing about a day.
    """
    parameters = {"database": database, "until": until, "width": width, "step": step, "earlier": earlier}
    with ledger.transaction() as rows:
        seen = rows("query_windows", **parameters)
        used = rows("query_usage", **parameters)
    found: list[Window] = []
    for row in sorted(seen, key=lambda row: row["n"]):
        covered = min(1.0, row["covered"] / width.total_seconds())
        whole = 1 / covered if covered >= LEAST_COVERED or (row["n"] > 0 and covered) else 1.0
        usage = {
            QueryKey(one["username"], one["fingerprint"], one["toplevel"]): _scaled(one, whole * (DAY / width))
            for one in used
            if one["n"] == row["n"]
        }
        found.append(Window(row["after"], row["upto"], covered, usage, tuple(row["notes"])))
    return found


def _scaled(row: Mapping[str, Any], factor: float) -> Usage:
    return Usage(**{name: float(row[name]) * factor for name in _FIELDS})


def past(
    ledger: Ledger,
    database: str,
    until: datetime,
    before: Sequence[Window],
    keys: Collection[QueryKey],
    born: Mapping[tuple[str, str], datetime],
) -> Past:
    """What is usual: the same weekday over four weeks; without a week of history, the days before.

    Args:
        ledger: where it is kept.
        database: its name in the fleet file.
        until: the end of the window that is compared.
        before: the windows of the same weekday.
        keys: of the queries that are compared. One that is younger than a week has the days of its life.
        born: by user and fingerprint, when those were first seen that are younger than these windows.
    """
    seen = [one for one in before if one.covered >= LEAST_COVERED]
    usual = typical(seen, keys, born)
    young = [key for key in keys if key not in usual]
    if seen and not young:
        return Past(len(seen), True, usual)
    days = windows(ledger, database, until, step=DAY, earlier=DAYS)[1:]
    # The day on which counting began is seen in part, and is better than nothing.
    days = [one for one in days if one.covered >= LEAST_COVERED] or [one for one in days if one.covered > 0]
    return Past(len(seen or days), bool(seen), usual | typical(days, young, born))


def typical(
    seen: Sequence[Window], keys: Iterable[QueryKey], born: Mapping[tuple[str, str], datetime]
) -> dict[QueryKey, Usage]:
    """The median of each amount over the windows of a query's life; one without the query counts as none."""
    found: dict[QueryKey, Usage] = {}
    for key in keys:
        lived = [one.usage.get(key, NOTHING) for one in seen if one.after >= born.get(key[:2], one.after)]
        if lived:
            found[key] = Usage(**{name: median(getattr(one, name) for one in lived) for name in _FIELDS})
    return found
