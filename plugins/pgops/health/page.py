"""A look as one HTML file that needs nothing else: no script, no picture, no address, its style in its head."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import jinja2

from pgops import units
from pgops.health.compare import Changes
from pgops.health.model import Report, Status

_CHANGES = ("new", "worse", "better", "same", "unseen")


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
    return environment.get_template("report.html")


def html_page(report: Report, changes: Changes, *, compared: bool = True) -> str:
    """The report of a look; every name in it is only text.

    Args:
        report: what was seen.
        changes: beside the run before.
        compared: whether the run before is known.
    """
    found = [(one, change) for change in _CHANGES for one in getattr(changes, change)]
    return _template().render(
        report=report,
        findings=sorted(
            ((one, change) for one, change in found if one.status is not Status.OK),
            key=lambda pair: -pair[0].status.rank,
        ),
        resolved=[one for one in changes.resolved if one.status is not Status.OK],
        muted=changes.muted,
        counts=sorted(report.counts.items(), key=lambda item: -item[0].rank),
        checks={outcome.check.name: outcome.check for outcome in report.outcomes},
        compared=compared,
    )


def _stamp(at: datetime | None) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if at else units.ABSENT
