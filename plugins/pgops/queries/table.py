"""A review as lines of text, for the task log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pgops import units
from pgops.queries.daily import Whole, deployment_line
from pgops.queries.review import Query, milliseconds
from pgops.queries.text import one_line

_WIDTHS = (10, 10, 9, 7, 7, 12)


def table(whole: Whole) -> Iterator[str]:
    """What got worse, the worst first; what is new; the top tens; advice; what could not be told."""
    found = whole.review
    usual = (
        f"compared with {found.past_windows} {'same weekdays' if found.same_weekday else 'days'} before"
        if found.past_windows
        else "not compared"
    )
    yield (
        f"{found.database}: {found.queries} queries took {units.duration(found.seconds)} of the day until"
        f" {found.at:%Y-%m-%d %H:%M %Z}; {usual}"
    )
    if whole.blind:
        yield f"NOT COUNTED: {whole.blind}"
    yield f"--- regressions ({len(found.regressions)})"
    for one in found.regressions[:10]:
        yield f"{one.cause}: +{one.added:,.1f} s a day: {one.query.key.username}: {one_line(one.query.text)}"
        for part in one.parts:
            yield f"    {part.cause}{f' +{part.seconds:,.1f} s' if part.seconds else ''}: {part.says}"
    for title, queries in (
        ("new", found.new),
        ("ten slowest by mean time", found.by_mean),
        ("ten that took most time", found.by_total),
        ("ten with the lowest cache hit", found.by_hit),
    ):
        yield f"--- {title} ({len(queries)})"
        yield from _queries(queries)
    for deployment in found.deployments:
        yield f"--- deployment {deployment_line(deployment)}"
    yield f"--- index advice ({len(whole.advice)})"
    for advice in whole.advice:
        size = f", {units.size(advice.bytes)}" if advice.bytes is not None else ""
        writes = f", {advice.writes:,.0f} entries a day to write" if advice.writes is not None else ""
        proof = f", {advice.proof}" if advice.proof else ""
        yield f"{advice.kind}: {advice.object}{size}{writes}{proof}: {one_line(advice.says, 300)}"
        for statement in advice.apply:
            yield f"    {statement};"
    for pair in whole.pairs:
        yield f"--- {pair.file}"
        yield from pair.up.splitlines()
        yield f"--- {pair.rollback_file}"
        yield from pair.down.splitlines()
    for why, number in whole.without_plan.items():
        yield f"no plan of {number} quer{'y' if number == 1 else 'ies'}: {why}"
    for note in whole.notes:
        yield f"note: {note}"


def _queries(queries: Sequence[Query]) -> Iterator[str]:
    if queries:
        yield _line("mean", "time a day", "calls", "share", "hit", "user", "query")
    for one in queries:
        yield _line(
            milliseconds(one.usage.mean_ms),
            units.duration(one.usage.exec_ms / 1000),
            f"{one.usage.calls:,.0f}",
            f"{one.share:.1f} %",
            units.ABSENT if one.usage.hit_ratio is None else f"{one.usage.hit_ratio:.1f} %",
            one.key.username,
            one_line(one.text),
        )


def _line(*cells: str) -> str:
    *fixed, text = cells
    return " ".join([*(f"{cell[:width]:<{width}}" for cell, width in zip(fixed, _WIDTHS, strict=True)), text])
