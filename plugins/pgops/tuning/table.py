"""A review as lines of text, for the task log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgops.tuning.model import Verdict
    from pgops.tuning.review import Reviewed

_WIDTHS = (10, 33, 12, 22, 12, 12)


def table(reviewed: Reviewed) -> Iterator[str]:
    """Every setting with its verdict, those to look at first; then scripts, effects and what could not be seen."""
    counts = ", ".join(f"{number} {grade}" for grade, number in reviewed.counts.items())
    yield f"{reviewed.server} (PostgreSQL {reviewed.version // 10000}): {len(reviewed.verdicts)} settings: {counts}"
    yield from lines(reviewed.verdicts)
    plan = reviewed.plan
    for title, text in (
        (f"script of {plan.id}", plan.forward),
        ("what takes it back", plan.reverse),
        ("for a maintenance window", plan.ticket),
    ):
        if text:
            yield from (f"{title}:", *(f"    {line}" for line in text.splitlines()))
    for parameter in plan.parameters:
        yield f"parameter {parameter['name']} = {parameter['value']} ({parameter['shown']}), {parameter['apply']}"
    for effect in reviewed.effects:
        yield f"effect of {effect.plan} ({', '.join(effect.settings)}), {effect.hours:.1f} h:"
        yield from (f"    {line}" for line in effect.lines)
    yield from (f"since the last review: {one}" for one in reviewed.news)
    yield from (f"unfinished: {one}" for one in reviewed.unfinished)


def lines(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """The verdicts as a table; `*` marks those of the source document's postgresql.conf."""
    yield _line(("verdict", "setting", "value", "from", "wanted", "how"), "why")
    for one in verdicts:
        name = f"{one.setting}{'*' if one.document else ''}"
        how = "" if not one.wanted else "not applied" if one.why_not else one.action
        why = "; ".join(filter(None, (one.says or one.reason, one.why_not, *one.overrides)))
        yield _line((one.grade, name, one.now, one.origin, one.wanted, how), why)


def _line(cells: Sequence[str], why: str) -> str:
    shown = (f"{_cut(cell, width):<{width}}" for cell, width in zip(cells, _WIDTHS, strict=True))
    return f"{' '.join(shown)} {why}".rstrip()


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
