"""A review as one HTML file that needs nothing else: no script, no picture, no address, its style in its head."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from pgops import units
from pgops.queries.review import milliseconds

if TYPE_CHECKING:
    from pgops.queries.daily import Whole


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "duration": units.duration,
        "milliseconds": milliseconds,
        "size": units.size,
        "count": lambda number: f"{number:,.0f}",
        "percent": lambda number: units.ABSENT if number is None else f"{number:.1f} %",
    }
    return environment.get_template("review.html")


def html_page(whole: Whole) -> str:
    """The report of a review; every text in it is only text."""
    tops = (
        ("Ten slowest by mean time", whole.review.by_mean),
        ("Ten that took most time", whole.review.by_total),
        ("Ten with the lowest cache hit", whole.review.by_hit),
    )
    return _template().render(whole=whole, review=whole.review, tops=tops)
