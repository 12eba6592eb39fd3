"""A look as lines of text, for the task log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pgops import units
from pgops.health.compare import Changes
from pgops.health.model import Report, Status

_WIDTHS = (7, 8, 28, 40, 9, 6)
_TOLD = ("new", "worse", "better", "same", "unseen", "resolved", "retired")


def table(report: Report, changes: Changes) -> Iterator[str]:
    """What is open or just gone, the worst first; then what could not be seen, by reason."""
    counts = ", ".join(f"{number} {status}" for status, number in sorted(report.counts.items(), key=_worst))
    yield (
        f"{report.target} on {report.server} (PostgreSQL {report.version or 'unknown'}): {report.grade}; "
        f"{len(report.outcomes)} checks in {units.duration(report.seconds)}: {counts}"
    )
    yield _line("status", "change", "check", "object", "value", "for")
    found = [(one, change) for change in _TOLD for one in getattr(changes, change)]
    found += [(one, "muted") for one, _ in changes.muted]
    for one, change in sorted(found, key=lambda pair: -pair[0].status.rank):
        age = units.duration((report.at - one.since).total_seconds()) if one.since else units.ABSENT
        yield _line(one.status, change, one.check, one.object, one.shown, age)
    for why, number in Counter(one.why or "not all of it could be seen" for one in report.blind).most_common():
        yield f"not seen: {number} check{'s' if number > 1 else ''}: {why}"


def _worst(item: tuple[Status, int]) -> int:
    return -item[0].rank


def _line(*cells: str) -> str:
    return " ".join(
        f"{_cut(' '.join(cell.split()), width):<{width}}" for cell, width in zip(cells, _WIDTHS, strict=True)
    ).rstrip()


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
