"""The table of checks at the end of a run: was the fault found, and is a healthy server silent?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def table(reports: Iterable[Any]) -> list[str]:
    """Made from what tests/health/test_every_check.py recorded, in whichever process it ran."""
    rows: dict[str, dict[int, str]] = {}
    for report in reports:
        for name, value in getattr(report, "user_properties", ()):
            if name == "health" and report.when == "call":
                check, major, found, silent = value
                cell = f"{'found' if found else 'NOT FOUND'}, {'silent' if silent else 'NOISY'}"
                rows.setdefault(check, {})[major] = cell
    if not rows:
        return []
    majors = sorted({major for row in rows.values() for major in row})
    width = max(map(len, rows))
    head = f"{'check':<{width}}  " + "  ".join(f"{f'PostgreSQL {major}':<17}" for major in majors)
    return [
        head.rstrip(),
        *(
            f"{check:<{width}}  ".ljust(width) + "  ".join(f"{row.get(major, '-'):<17}" for major in majors).rstrip()
            for check, row in sorted(rows.items())
        ),
    ]
