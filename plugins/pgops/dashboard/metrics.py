"""The dashboard's figures for Prometheus: those who have Grafana need no second collector."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric, StateSetMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from pgops.dashboard.fleet import CONNECTIONS, SIZE, Level, Row
from pgops.dashboard.read import Reader

_DAYS = 2  # an older figure is no figure of today
Measure = Callable[[Row], float | None]


def _seconds(at: datetime | None) -> float | None:
    return at.timestamp() if at else None


_GAUGES: dict[str, tuple[str, Measure]] = {
    "pgops_health_check_timestamp_seconds": (
        "When the newest health check ended.",
        lambda row: _seconds(row.grade.at) if row.grade else None,
    ),
    "pgops_backup_timestamp_seconds": (
        "When the newest proven backup began: the state that can be brought back.",
        lambda row: _seconds(row.backup.started_at) if row.backup else None,
    ),
    "pgops_backup_oldest_timestamp_seconds": (
        "When the oldest kept backup began.",
        lambda row: _seconds(row.backup.oldest_at) if row.backup else None,
    ),
    "pgops_backup_size_bytes": (
        "Stored size of the newest proven backup.",
        lambda row: row.backup.bytes if row.backup else None,
    ),
    "pgops_backup_duration_seconds": (
        "How long the newest proven backup took.",
        lambda row: row.backup.seconds if row.backup else None,
    ),
    "pgops_backup_rpo_seconds": (
        "The newest proven backup may be no older.",
        lambda row: row.rpo_hours * 3600 if row.rpo_hours else None,
    ),
    "pgops_restore_proven_timestamp_seconds": (
        "When a backup was last restored and found equal.",
        lambda row: _seconds(row.drill.proven_at) if row.drill else None,
    ),
    "pgops_restore_duration_seconds": (
        "How long that restore took.",
        lambda row: row.drill.rto_seconds if row.drill else None,
    ),
    "pgops_restore_drill_passed": (
        "Whether the newest restore drill passed.",
        lambda row: float(row.drill.passed) if row.drill else None,
    ),
    "pgops_partition_horizon_seconds": (
        "How far ahead partitions exist, of the table for which they end first.",
        lambda row: row.horizon.seconds if row.horizon else None,
    ),
    "pgops_migration_failed": (
        "Whether the newest migration failed.",
        lambda row: float(row.deployment.state == "failed") if row.deployment else None,
    ),
    "pgops_settings_dangerous": (
        "Dangerous settings of its server, by the newest review.",
        lambda row: len(row.configuration.dangerous) if row.configuration else None,
    ),
    "pgops_subject_requests_open": (
        "Requests about one person's data that wait.",
        lambda row: row.requests.open if row.requests else None,
    ),
}


@dataclass(frozen=True)
class Restorable:
    """Of a server: the newest interval any instant of which can be restored, and how many gaps there are."""

    begins_at: datetime | None
    ends_at: datetime | None
    gaps: int


_INTERVALS: dict[str, tuple[str, Callable[[Restorable], float | None]]] = {
    "pgops_restorable_begin_timestamp_seconds": (
        "From when on any instant of the server can be restored, by base backup and WAL without a gap.",
        lambda one: _seconds(one.begins_at),
    ),
    "pgops_restorable_end_timestamp_seconds": (
        "Until when; nothing after it is in the archive.",
        lambda one: _seconds(one.ends_at),
    ),
    "pgops_restorable_gaps": (
        "Where WAL is missing amid the archive: no instant from there to the next base backup can be restored.",
        lambda one: one.gaps,
    ),
}


class _Fleet(Collector):
    """One answer to one scrape."""

    def __init__(
        self,
        rows: Sequence[Row],
        figures: Mapping[tuple[str, str], float],
        intervals: Mapping[str, Restorable],
        missing: Sequence[str],
        up: bool,
    ):
        self.rows, self.figures, self.intervals, self.missing, self.up = rows, figures, intervals, missing, up

    def collect(self) -> Iterator[Metric]:
        """Every family; those without a value are left out, not zero."""
        yield GaugeMetricFamily("pgops_ledger_up", "Whether the ledger answered.", value=float(self.up))
        if not self.up:
            return
        unread = GaugeMetricFamily("pgops_ledger_area_missing", "Areas that could not be read.", labels=["area"])
        for area in self.missing:
            unread.add_metric([area], 1)
        yield unread
        for name, (help_text, measure) in _GAUGES.items():
            family = GaugeMetricFamily(name, help_text, labels=["database"])
            for row in self.rows:
                value = measure(row)
                if value is not None:
                    family.add_metric([row.name], value)
            yield family
        yield from self._restorable()
        yield from self._health()
        yield self._backfills()

    def _restorable(self) -> Iterator[Metric]:
        for name, (help_text, measure) in _INTERVALS.items():
            family = GaugeMetricFamily(name, help_text, labels=["server"])
            for server, one in self.intervals.items():
                value = measure(one)
                if value is not None:
                    family.add_metric([server], value)
            yield family

    def _health(self) -> Iterator[Metric]:
        grade = StateSetMetricFamily("pgops_health_grade", "The newest health check's grade.", labels=["database"])
        open_ones = GaugeMetricFamily("pgops_health_findings", "Open findings.", labels=["database", "status"])
        for row in self.rows:
            if row.grade:
                grade.add_metric([row.name], {level.word: row.grade.level == level for level in Level})
                for status in ("crit", "warn", "info", "muted"):
                    open_ones.add_metric([row.name, status], row.count(status))
        yield grade
        yield open_ones
        for figure, metric, help_text, factor in (
            (SIZE, "pgops_database_size_bytes", "Size of the database.", 1),
            (CONNECTIONS, "pgops_connections_used_ratio", "Connections in use, of those there may be.", 0.01),
        ):
            family = GaugeMetricFamily(metric, help_text, labels=["database"])
            for row in self.rows:
                if (row.name, figure) in self.figures:
                    family.add_metric([row.name], self.figures[row.name, figure] * factor)
            yield family

    def _backfills(self) -> Metric:
        labels = ["database", "table", "job"]
        progress = GaugeMetricFamily("pgops_backfill_progress_ratio", "How much is done.", labels=labels)
        for row in self.rows:
            for one in row.backfills:
                progress.add_metric([row.name, one.table_name, str(one.job)], one.percent / 100)
        return progress


def newest_figures(reader: Reader, names: Sequence[str]) -> dict[tuple[str, str], float]:
    """The newest value of each figure that is exported, by database and figure."""
    rows = reader.rows("figures", databases=list(names), names=[SIZE, CONNECTIONS], days=_DAYS)
    return {(row["database"], row["name"]): row["value"] for row in rows}  # the newest day comes last


def restorable(reader: Reader, servers: Iterable[str]) -> dict[str, Restorable]:
    """What backup_watch saw of these servers' archives last, by server."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in reader.rows("restorable", servers=sorted(set(servers))):
        found[row["server"]].append(row)
    newest_first = found.items()
    return {
        server: Restorable(rows[0]["begins_at"], rows[0]["ends_at"], sum(row["gap"] for row in rows))
        for server, rows in newest_first
    }


def exposition(
    accept: str,
    rows: Sequence[Row],
    figures: Mapping[tuple[str, str], float],
    intervals: Mapping[str, Restorable],
    missing: Sequence[str],
    *,
    up: bool = True,
) -> tuple[bytes, str]:
    """The text and its content type: OpenMetrics for those who ask for it, else Prometheus' older format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Fleet(rows, figures, intervals, missing, up))
    encoder, content_type = choose_encoder(accept)
    return encoder(registry), content_type
