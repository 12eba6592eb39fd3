"""From what a server said to findings: thresholds, what happened since the last look, and how long things last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from statistics import linear_regression

from pgops import units
from pgops.health.ask import Answer, Row
from pgops.health.model import Check, Finding, Measure, Outcome, Sample, Snapshot, Status, fingerprint

DAY = 86400.0
WINDOWS = (timedelta(days=7), timedelta(days=28))
_LEAST_LOOKS = 3
_LEAST_SPAN = timedelta(days=1)


@dataclass(frozen=True)
class Place:
    """Which server answered, for which database (empty: the whole server), when, and who it was."""

    server: str
    database: str
    at: datetime
    identity: str = ""


@dataclass(frozen=True)
class Verdict:
    """A value, or why there is none (`why`), or that there is nothing to judge (neither)."""

    value: float | None = None
    says: str = ""
    why: str = ""


def judge(check: Check, answer: Answer, place: Place, history: Sequence[Snapshot]) -> Outcome:
    """The outcome of one check on one server.

    Args:
        check: what was asked.
        answer: what was said.
        place: by whom.
        history: earlier snapshots of the same target, oldest first.
    """
    if answer.missing is not None:
        return Outcome(check, place.server, place.database, answer.missing, answer.why, seconds=answer.seconds)
    verdicts = [(row, _verdict(check, row, place, history)) for row in answer.rows]
    each = [_finding(check, row, verdict, place) for row, verdict in verdicts]
    found = _one_each([one for one in each if one is not None])
    measures = tuple(Measure(row.object, verdict.value) for row, verdict in verdicts)
    status = found[0].status if found else Status.OK
    cut = len(each) == check.most and None not in each
    why = f"there may be more than the {check.most} that it lists" if cut else ""
    if status is Status.UNKNOWN:
        why = next(one.says for one in found if one.status is Status.UNKNOWN)
    return Outcome(check, place.server, place.database, status, why, tuple(found), measures, answer.seconds, cut)


def _one_each(findings: list[Finding]) -> list[Finding]:
    """The worst first, one for each object: sessions of one application are one finding, however many there are."""
    worst: dict[str, Finding] = {}
    more: Counter[str] = Counter()
    for one in sorted(findings, key=lambda one: -one.status.rank):
        if worst.setdefault(one.object, one) is not one:
            more[one.object] += 1
    return [
        replace(one, says=f"{one.says}; and {more[name]} more") if more[name] else one for name, one in worst.items()
    ]


def samples(check: Check, answer: Answer, server: str) -> list[Sample]:
    """What a later run needs of this answer."""
    if check.kind == "state":
        return []
    return [
        Sample(check.name, server, row.object, row.amount, row.other, row.since)
        for row in answer.rows
        if row.amount is not None
    ]


def _finding(check: Check, row: Row, verdict: Verdict, place: Place) -> Finding | None:
    if verdict.value is not None:
        status = check.level(verdict.value)
    else:
        status = Status.UNKNOWN if verdict.why else Status.OK
    if status is Status.OK:
        return None
    return Finding(
        check.name,
        fingerprint(place.server, place.database, check.name, row.object),
        check.title,
        status,
        place.server,
        place.database,
        row.object,
        verdict.value,
        check.dimension,
        verdict.why or "; ".join(part for part in (verdict.says, row.says) if part),
        row.mend or check.mend,
        check.risk,
    )


def _verdict(check: Check, row: Row, place: Place, history: Sequence[Snapshot]) -> Verdict:
    if row.amount is None:
        return Verdict(why=row.says or "the server does not tell")
    if check.kind == "delta":
        return _since_last_look(check, row, row.amount, place, history)
    if check.kind == "forecast":
        return _time_left(check, row, row.amount, place, history)
    return Verdict(row.amount)


def _since_last_look(check: Check, row: Row, amount: float, place: Place, history: Sequence[Snapshot]) -> Verdict:
    """What was counted since the last look, unless the counter began anew meanwhile."""
    if not history:
        return Verdict(why="first look: it is compared from the next run on")
    looks = ((one, _sample(one, check, row, place)) for one in reversed(history))
    last, before = next(((one, sample) for one, sample in looks if sample is not None), (None, None))
    if last is None or before is None:
        return Verdict(why="first look at this: it is compared from the next run on")
    if last.identity != place.identity:
        who = "another server answers than at the last look (a failover or a restore)"
        return Verdict(why=f"{who}: compared from the next run on")
    if before.since != row.since:
        reset = f" at {row.since:%Y-%m-%d %H:%M %Z}" if row.since else ""
        return Verdict(why=f"the statistics were reset{reset}, after the last look: compared from the next run on")
    counted = amount - before.amount
    total = None if row.other is None or before.other is None else row.other - before.other
    if counted < 0 or (total is not None and total < 0):
        return Verdict(why="the counters went back since the last look: compared from the next run on")
    seconds = max((place.at - last.at).total_seconds(), 1)
    span = f"in the {units.duration(seconds)} since the last look"
    if check.dimension == "percent":
        if not total or total < check.least:
            return Verdict()
        return Verdict(100 * counted / total, f"{counted:,.0f} of {total:,.0f} {span}")
    # A second look on the same day must not make a day of ten minutes.
    value = counted / max(seconds / DAY, 1)
    return Verdict(value, f"{units.shown(counted, check.dimension)} {span}")


def _time_left(check: Check, row: Row, amount: float, place: Place, history: Sequence[Snapshot]) -> Verdict:
    """Seconds until the amount reaches its ceiling, by the steeper of the last 7 and 28 days."""
    if row.other is None:
        return Verdict(why=row.says or "the server does not tell the ceiling")
    looks = [
        (snapshot.at, sample.amount)
        for snapshot in history
        if snapshot.at < place.at and (sample := _sample(snapshot, check, row, place)) is not None
    ]
    slopes = [
        (slope, basis)
        for window in WINDOWS
        if (found := _slope([*looks, (place.at, amount)], place.at - window)) is not None
        for slope, basis in [found]
    ]
    if not slopes:
        return Verdict(
            why=f"too little history: {len(looks)} earlier looks; a forecast needs {_LEAST_LOOKS} looks over a day"
        )
    slope, basis = max(slopes)
    if slope <= 0:
        return Verdict(says=basis)
    left = max(row.other - amount, 0) / slope
    return Verdict(left, f"{units.duration(left)} left at the pace of {basis}")


def _slope(looks: Sequence[tuple[datetime, float]], after: datetime) -> tuple[float, str] | None:
    """Growth per second by least squares, and what it stands on."""
    inside = [(at, amount) for at, amount in looks if at >= after]
    if len(inside) < _LEAST_LOOKS or inside[-1][0] - inside[0][0] < _LEAST_SPAN:
        return None
    start = inside[0][0]
    seconds = [(at - start).total_seconds() for at, _ in inside]
    slope = linear_regression(seconds, [amount for _, amount in inside]).slope
    return slope, f"the last {units.duration(seconds[-1])} ({len(inside)} looks)"


def _sample(snapshot: Snapshot, check: Check, row: Row, place: Place) -> Sample | None:
    key = (check.name, place.server, row.object)
    return next((one for one in snapshot.samples if (one.check, one.server, one.object) == key), None)
