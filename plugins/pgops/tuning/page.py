"""A review as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pgops.pages import page

if TYPE_CHECKING:
    from pgops.tuning.review import Reviewed


def html_page(reviewed: Reviewed) -> str:
    """The report of a review; every value in it is only text."""
    return page(Path(__file__).parent / "templates", "review.html", one=reviewed)
