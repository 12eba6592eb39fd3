"""A look as one HTML file."""

from __future__ import annotations

from pathlib import Path

from pgops.health.compare import Changes
from pgops.health.model import Report, Status
from pgops.pages import page

_CHANGES = ("new", "worse", "better", "same", "unseen")
_TEMPLATES = Path(__file__).parent / "templates"


def html_page(report: Report, changes: Changes, *, compared: bool = True) -> str:
    """The report of a look; every name in it is only text.

    Args:
        report: what was seen.
        changes: beside the run before.
        compared: whether the run before is known.
    """
    found = [(one, change) for change in _CHANGES for one in getattr(changes, change)]
    return page(
        _TEMPLATES,
        "report.html",
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
