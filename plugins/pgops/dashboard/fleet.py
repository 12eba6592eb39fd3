"""What the fleet page shows of each database: how bad it is, and what is behind it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import IntEnum
from functools import cached_property
from typing import Any, TypeVar

from pgops.dashboard.charts import Trend
from pgops.dashboard.read import Reader
from pgops.dashboard.words import title, unit_of
from pgops.fleet import Fleet

SIZE, CONNECTIONS = "database_size", "connections_used"
TREND_DAYS = 30
FINDINGS_SHOWN = 2
DAGS = ("nightly_backup", "restore_drill", "daily_health_check", "partition_maintenance", "configuration_review")
_CHECKED_DAILY = timedelta(hours=26)  # a daily check, and two hours for being late


class Level(IntEnum):
    """How soon a person should look."""

    OK = 0
    INFO = 1
    UNKNOWN = 2
    WARN = 3
    CRIT = 4

    @property
    def word(self) -> str:
        """As the ledger writes it."""
        return self.name.lower()


@dataclass(frozen=True)
class Grade:
    """The newest health check."""

    database: str
    grade: str
    at: datetime
    counts: Mapping[str, int]
    has_report: bool
    run_id: str

    @property
    def level(self) -> Level:
        """As a level."""
        return Level[self.grade.upper()]


@dataclass(frozen=True)
class Finding:
    """An open finding; `until` is set while it is muted. crit, warn, info and muted count those of its database."""

    database: str
    fingerprint: str
    check_name: str
    object: str
    status: str
    title: str
    value: float | None
    unit: str
    says: str
    mend: str
    risk: str
    first_seen: datetime
    last_seen: datetime
    reason: str | None
    muted_by: str | None
    until: datetime | None
    crit: int
    warn: int
    info: int
    muted: int


@dataclass(frozen=True)
class Backup:
    """The newest proven backup, and since when there are older ones."""

    database: str
    backup_id: str
    started_at: datetime
    finished_at: datetime
    bytes: int
    seconds: float
    verification: str
    oldest_at: datetime


@dataclass(frozen=True)
class Drill:
    """The newest restore drill, and the newest that proved its backup."""

    database: str
    backup_id: str
    started_at: datetime
    passed: bool
    proven_backup_id: str | None
    proven_at: datetime | None
    rto_seconds: float | None
    proven_bytes: int | None


@dataclass(frozen=True)
class Deployment:
    """The newest migration."""

    database: str
    run_id: str
    version: str
    state: str
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class Backfill:
    """A backfill that is not finished."""

    database: str
    job: int
    table_name: str
    status: str
    desired: str
    percent: float
    rows_per_second: float | None
    eta_p50: float | None
    error: str
    dag_run: str
    created_at: datetime
    recorded_at: datetime


@dataclass(frozen=True)
class Horizon:
    """How far ahead the partitions of a table exist."""

    database: str
    object: str
    seconds: float
    at: datetime


@dataclass(frozen=True)
class Retiring:
    """Old partitions on their way out."""

    database: str
    waiting: int
    under_way: int
    changed_at: datetime


@dataclass(frozen=True)
class Requests:
    """Requests about one person's data that wait for somebody."""

    database: str
    open: int
    oldest_at: datetime


@dataclass(frozen=True)
class Configuration:
    """The newest review of the server's settings; `unfinished` counts changes that nobody has seen done."""

    server: str
    at: datetime
    run_id: str
    counts: Mapping[str, int]
    has_report: bool
    dangerous: Sequence[str]
    advice: Sequence[str]
    unfinished: int

    @property
    def level(self) -> Level:
        """How soon a person should look."""
        return Level.WARN if self.dangerous or self.unfinished else Level.INFO if self.advice else Level.OK


@dataclass(frozen=True)
class Row:
    """One database."""

    name: str
    server: str
    rpo_hours: float | None
    now: datetime
    problem: str = ""
    grade: Grade | None = None
    findings: tuple[Finding, ...] = ()
    backup: Backup | None = None
    drill: Drill | None = None
    deployment: Deployment | None = None
    configuration: Configuration | None = None
    backfills: tuple[Backfill, ...] = ()
    horizon: Horizon | None = None
    retiring: Retiring | None = None
    requests: Requests | None = None
    runs: Mapping[str, str] = field(default_factory=dict)
    trends: Mapping[str, Trend] = field(default_factory=dict)

    def count(self, status: str) -> int:
        """How many findings of a status (or "muted") are open."""
        return int(getattr(self.findings[0], status)) if self.findings else 0

    @property
    def more(self) -> int:
        """Open findings that are not among those shown."""
        shown = sum(1 for finding in self.worst)
        return sum(self.count(status) for status in ("crit", "warn", "info")) - shown

    @property
    def worst(self) -> tuple[Finding, ...]:
        """The findings to show: never a muted one."""
        return tuple(finding for finding in self.findings if finding.until is None)

    @property
    def check_is_old(self) -> bool:
        """Whether the newest health check is too old to believe."""
        return self.grade is not None and self.now - self.grade.at > _CHECKED_DAILY

    @property
    def backup_is_old(self) -> bool:
        """Whether the newest proven backup is older than its RPO; it counts from its start, as backup_watch does."""
        if self.backup is None or self.rpo_hours is None:
            return False
        return self.now - self.backup.started_at > timedelta(hours=self.rpo_hours)

    @cached_property
    def level(self) -> Level:
        """The worst of all that is known; what is not known is not good."""
        found = [self.grade.level if self.grade and not self.check_is_old else Level.UNKNOWN]
        if self.grade:
            found.append(self.grade.level)
        if self.problem or self.backup is None:
            found.append(Level.UNKNOWN)
        if self.backup_is_old or (self.drill and not self.drill.passed):
            found.append(Level.CRIT)
        if any(one.status == "failed" for one in self.backfills):
            found.append(Level.WARN)
        if self.deployment and self.deployment.state == "failed":
            found.append(Level.CRIT)
        if self.configuration and self.configuration.level is Level.WARN:
            found.append(Level.WARN)
        return max(found)


_Record = TypeVar("_Record")
_ByName = Mapping[str, list[_Record]]


def fleet_rows(fleet: Fleet, reader: Reader, now: datetime, names: Sequence[str] = ()) -> list[Row]:
    """Every database that the fleet file names (or these), the worst first: all that the order depends on."""
    homes = dict(fleet.names)
    wanted = list(names or homes)
    policies = {database.name: database for database in fleet.databases}
    problems = {problem.database: f"{problem.what}. {problem.remedy}" for problem in fleet.problems}
    grades = _records(reader, Grade, "grades", wanted)
    findings = _records(reader, Finding, "findings", wanted, most=FINDINGS_SHOWN)
    backups = _records(reader, Backup, "backups", wanted)
    drills = _records(reader, Drill, "drills", wanted)
    deployments = _records(reader, Deployment, "deployments", wanted)
    backfills = _records(reader, Backfill, "backfills", wanted)
    servers = sorted({homes[name] for name in wanted if name in homes})
    settings = {one["server"]: Configuration(**one) for one in reader.rows("configurations", servers=servers)}
    rows = [
        Row(
            name=name,
            server=homes.get(name, ""),
            rpo_hours=policies[name].backup.rpo_hours if name in policies else None,
            now=now,
            problem=problems.get(name, ""),
            grade=_first(grades, name),
            findings=tuple(findings.get(name, ())),
            backup=_first(backups, name),
            drill=_first(drills, name),
            deployment=_first(deployments, name),
            configuration=settings.get(homes.get(name, "")),
            backfills=tuple(backfills.get(name, ())),
        )
        for name in wanted
    ]
    return sorted(rows, key=lambda row: (-row.level, -row.count("crit"), -row.count("warn"), row.name))


def with_details(reader: Reader, rows: Sequence[Row]) -> list[Row]:
    """The same rows with what a page shows beside: asked only for those that are on it."""
    names = [row.name for row in rows]
    horizons = _records(reader, Horizon, "horizons", names)
    retiring = _records(reader, Retiring, "partitions", names)
    requests = _records(reader, Requests, "requests", names)
    runs: dict[str, dict[str, str]] = defaultdict(dict)
    for found in reader.rows("runs", databases=names, dags=list(DAGS)):
        runs[found["database"]][found["dag_id"]] = found["run_id"]
    return [
        replace(
            row,
            horizon=_first(horizons, row.name),
            retiring=_first(retiring, row.name),
            requests=_first(requests, row.name),
            runs=runs.get(row.name, {}),
        )
        for row in rows
    ]


def with_trends(reader: Reader, rows: Sequence[Row]) -> list[Row]:
    """The same rows with the last month of what the fleet page draws."""
    points: dict[tuple[str, str], list[tuple[datetime, float]]] = defaultdict(list)
    drawn = [SIZE, CONNECTIONS]
    for found in reader.rows("figures", databases=[row.name for row in rows], names=drawn, days=TREND_DAYS):
        points[found["database"], found["name"]].append((found["day"], found["value"]))

    def trends(name: str) -> dict[str, Trend]:
        return {
            figure: Trend(title(figure), unit_of(figure), tuple(points[name, figure]))
            for figure in drawn
            if (name, figure) in points
        }

    return [replace(row, trends=trends(row.name)) for row in rows]


def _records(reader: Reader, kind: type[_Record], query: str, names: Sequence[str], **more: Any) -> _ByName[_Record]:
    found: dict[str, list[_Record]] = defaultdict(list)
    for row in reader.rows(query, databases=names, **more):
        found[row["database"]].append(kind(**row))
    return found


def _first(records: _ByName[_Record], name: str) -> _Record | None:
    return records[name][0] if name in records else None
