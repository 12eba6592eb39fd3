"""What a change did: what the server counted in an hour before it, and since, side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg2.extras import RealDictCursor

from pgops import units
from pgops.include import sql_text
from pgops.ledger import Ledger
from pgops.postgres import Dsn
from pgops.tuning.facts import session
from pgops.tuning.model import Plan

_LEAST_SECONDS = 1.0
# What is counted, as people call it, and its unit; each is shown for an hour.
_PER_HOUR = {
    "checkpoints_requested": ("forced checkpoints", ""),
    "checkpoints_timed": ("timed checkpoints", ""),
    "temp_bytes": ("temporary files", "bytes"),
    "wal_bytes": ("WAL", "bytes"),
    "commits": ("commits", ""),
}


@dataclass(frozen=True)
class Figure:
    """One figure before and after; None where it is not known."""

    name: str
    unit: str
    before: float | None
    after: float | None

    @property
    def shown(self) -> str:
        """For people."""
        parts = [units.ABSENT if one is None else units.shown(one, self.unit) for one in (self.before, self.after)]
        return f"{self.name}: {parts[0]} before, {parts[1]} after"


@dataclass(frozen=True)
class Effect:
    """What the figures say of a plan.

    Attributes:
        settings: those of it that are in place.
        notes: why a figure is not known.
    """

    plan: str
    settings: tuple[str, ...]
    applied_at: datetime
    hours: float
    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """For people: the figures, what is not known, and what to do if they are worse."""
        back = f"If that is worse: mode reverse with change {self.plan} takes it back"
        return (*(figure.shown for figure in self.figures), *self.notes, back)


def counters(dsn: Dsn) -> dict[str, Any]:
    """The server's counters now, as JSON values."""
    with session(dsn) as connection:
        name = "figures.17" if connection.server_version >= 170000 else "figures"
        with connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(sql_text(f"tuning/{name}.sql"))
            row = dict(cursor.fetchone())
    return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in row.items()}


def begin_effect(dsn: Dsn, ledger: Ledger, plan: Plan, now: datetime) -> None:
    """Keep the counters as they are before the first change; a second try leaves those of the first."""
    ledger.rows("begin_config_effect", plan_id=plan.id, server=plan.server, at=now, baseline=json.dumps(counters(dsn)))


def measure_effects(
    ledger: Ledger, server: str, present: Mapping[str, Any], now: datetime, after_hours: float
) -> tuple[Effect, ...]:
    """Compare, for each plan that is in place long enough; each is measured once."""
    found = []
    until = now - timedelta(hours=after_hours)
    for row in ledger.rows("open_config_effects", server=server, until=until):
        before = ledger.rows("config_review_before", server=server, before=row["applied_at"])
        earlier = before[0]["figures"] if before else None
        effect = compare(row["plan_id"], row["settings"], row["applied_at"], earlier, row["baseline"], present)
        ledger.rows("record_config_effect", plan_id=effect.plan, at=now, effect=json.dumps(_plain(effect)))
        found.append(effect)
    return tuple(found)


def compare(
    plan: str,
    settings: list[str],
    applied_at: datetime,
    earlier: Mapping[str, Any] | None,
    baseline: Mapping[str, Any],
    present: Mapping[str, Any],
) -> Effect:
    """Rates from the review before until the change, beside those from the change until now.

    Where no review came before, what the server has counted since its counters began stands for it.
    """
    notes: list[str] = []
    before = _rates(earlier or _beginning(baseline), baseline)
    if before is None:
        notes.append("before: the counters began anew, so there is nothing to compare with")
    after = _rates(baseline, present)
    if after is None:
        notes.append("after: the counters began anew since")
    figures = [
        Figure(f"{label} an hour", unit, _of(before, name), _of(after, name))
        for name, (label, unit) in _PER_HOUR.items()
    ]
    figures.append(Figure("cache hit", "percent", _of(before, "hit"), _of(after, "hit")))
    hours = _seconds(baseline, present) / 3600
    return Effect(plan, tuple(settings), applied_at, hours, tuple(figures), tuple(notes))


def _rates(begin: Mapping[str, Any], end: Mapping[str, Any]) -> dict[str, float | None] | None:
    """Per hour; None when something was reset, so that differences mean nothing."""
    seconds = _seconds(begin, end)
    if seconds < _LEAST_SECONDS or begin["started"] != end["started"] or begin["since"] != end["since"]:
        return None
    grown = {
        name: float(end[name] or 0) - float(begin[name] or 0) for name in (*_PER_HOUR, "blocks_hit", "blocks_read")
    }
    if any(value < 0 for value in grown.values()):  # a database was dropped, and its counters with it
        return None
    looked = grown["blocks_hit"] + grown["blocks_read"]
    rates: dict[str, float | None] = {name: grown[name] / seconds * 3600 for name in _PER_HOUR}
    return {**rates, "hit": 100 * grown["blocks_hit"] / looked if looked else None}


def _of(rates: Mapping[str, float | None] | None, name: str) -> float | None:
    return rates.get(name) if rates else None


def _beginning(end: Mapping[str, Any]) -> dict[str, Any]:
    """All counters at zero, at the moment at which they last began."""
    began = max(str(end["since"] or end["started"]), str(end["started"]))
    zero = dict.fromkeys((*_PER_HOUR, "blocks_hit", "blocks_read"), 0.0)
    return {**zero, "at": began, "started": end["started"], "since": end["since"]}


def _seconds(begin: Mapping[str, Any], end: Mapping[str, Any]) -> float:
    return (datetime.fromisoformat(str(end["at"])) - datetime.fromisoformat(str(begin["at"]))).total_seconds()


def _plain(effect: Effect) -> dict[str, Any]:
    return {
        "settings": list(effect.settings),
        "hours": effect.hours,
        "notes": list(effect.notes),
        "figures": [[one.name, one.unit, one.before, one.after] for one in effect.figures],
    }
