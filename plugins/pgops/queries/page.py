"""A review as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pgops import units
from pgops.pages import page
from pgops.queries.review import milliseconds

if TYPE_CHECKING:
    from pgops.queries.daily import Whole

_FILTERS = {
    "milliseconds": milliseconds,
    "size": units.size,
    "count": lambda number: f"{number:,.0f}",
    "percent": lambda number: units.ABSENT if number is None else f"{number:.1f} %",
}


def html_page(whole: Whole) -> str:
    """The report of a review; every text in it is only text."""
    tops = (
        ("Ten slowest by mean time", whole.review.by_mean),
        ("Ten that took most time", whole.review.by_total),
        ("Ten with the lowest cache hit", whole.review.by_hit),
    )
    templates = Path(__file__).parent / "templates"
    return page(templates, "review.html", _FILTERS, whole=whole, review=whole.review, tops=tops)
