"""Reports as one HTML file that needs nothing else: no script, no picture, no address, its style in its head."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from pgops import units

_SHARED = Path(__file__).parent / "templates"


@cache
def _environment(folder: Path) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, _SHARED]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def page(folder: Path, name: str, filters: dict[str, Callable[[Any], str]] | None = None, /, **values: Any) -> str:
    """A page whose template extends page.html; every value in it is only text.

    Args:
        folder: of the template.
        name: of its file.
        filters: of its own, beside `stamp` and `duration`.
        values: what it shows.
    """
    environment = _environment(folder)
    environment.filters |= {"stamp": stamp, "duration": units.duration, **(filters or {})}
    return environment.get_template(name).render(**values)


def stamp(at: datetime | None) -> str:
    """An instant for people, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if at else units.ABSENT
