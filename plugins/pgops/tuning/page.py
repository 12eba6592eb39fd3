"""A review as one HTML file that needs nothing else: no script, no picture, no address, its style in its head."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from pgops import units

if TYPE_CHECKING:
    from pgops.tuning.review import Reviewed


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"stamp": _stamp, "duration": units.duration}
    return environment.get_template("review.html")


def html_page(reviewed: Reviewed) -> str:
    """The report of a review; every value in it is only text."""
    return _template().render(one=reviewed)


def _stamp(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
