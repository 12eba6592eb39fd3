"""What one database's page shows beside its row of the fleet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pgops.dashboard.charts import Trend
from pgops.dashboard.fleet import CONNECTIONS, SIZE, Finding, Row, fleet_rows, with_details
from pgops.dashboard.read import Reader
from pgops.dashboard.words import title, unit_of
from pgops.fleet import Fleet

_MOST_FINDINGS = 500
_MOST_CHARTS = 12
_LISTED = 20
_INTERVALS = 5

Record = Mapping[str, Any]


@dataclass(frozen=True)
class DatabasePage:
    """One database.

    Attributes:
        findings: all that are open and not muted, the worst first.
        restorable: any instant from begins_at to ends_at, by the server's base backups and WAL; without them one row
            says that there are none, and no row that nobody looked.
        queries: the newest review.
        resolved, backups, drills, deployments, validations, changes: rows of their queries, the newest first.
    """

    row: Row
    findings: tuple[Finding, ...]
    muted: tuple[Finding, ...]
    restorable: Sequence[Record]
    resolved: Sequence[Record]
    charts: tuple[Trend, ...]
    backups: Sequence[Record]
    drills: Sequence[Record]
    deployments: Sequence[Record]
    validations: Sequence[Record]
    changes: Sequence[Record]
    queries: Record | None


def database_page(fleet: Fleet, reader: Reader, name: str, now: datetime) -> DatabasePage:
    """Read all of it."""
    (row,) = with_details(reader, fleet_rows(fleet, reader, now, [name]))
    findings = [Finding(**one) for one in reader.rows("findings", databases=[name], most=_MOST_FINDINGS)]
    backups = reader.rows("backups_of_database", database=name)
    drills = reader.rows("drills_of_database", database=name)
    return DatabasePage(
        row=replace(row, findings=tuple(findings)),
        findings=tuple(one for one in findings if one.until is None),
        muted=tuple(one for one in findings if one.until is not None),
        restorable=reader.rows("restorable", servers=[row.server])[:_INTERVALS],
        resolved=reader.rows("resolved", database=name),
        charts=tuple(trend for trend in _measured(reader, name) + _proven(backups, drills) if len(trend.points) > 1),
        backups=backups[: -_LISTED - 1 : -1],
        drills=drills[: -_LISTED - 1 : -1],
        deployments=reader.rows("deployments_of_database", database=name),
        validations=reader.rows("validations_of_database", database=name),
        changes=reader.rows("changes_of_server", server=row.server),
        queries=next(iter(reader.rows("queries_of_database", database=name)), None),
    )


def _measured(reader: Reader, name: str) -> list[Trend]:
    points: dict[str, list[tuple[datetime, float]]] = defaultdict(list)
    units: dict[str, str] = {}
    for row in reader.rows("figures_of_database", database=name):
        points[row["name"]].append((row["day"], row["value"]))
        units[row["name"]] = unit_of(row["name"], row["unit"])
    known_first = sorted(points, key=lambda figure: (figure not in (SIZE, CONNECTIONS), figure != SIZE, figure))
    return [Trend(title(figure), units[figure], tuple(points[figure])) for figure in known_first[:_MOST_CHARTS]]


def _proven(backups: Sequence[Record], drills: Sequence[Record]) -> list[Trend]:
    return [
        Trend("Backup size", "bytes", tuple((row["started_at"], float(row["bytes"])) for row in backups)),
        Trend("Backup time", "seconds", tuple((row["started_at"], row["seconds"]) for row in backups)),
        Trend(
            "Restore time, proven",
            "seconds",
            tuple((row["started_at"], row["rto_seconds"]) for row in drills if row["passed"]),
        ),
    ]
