"""What a health check talks about: checks, what they found, and what could not be seen."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

from pgops import units
from pgops.postgres import Dsn

Scope = Literal["instance", "database", "standby", "ledger"]
Kind = Literal["state", "delta", "forecast"]
Where = Literal["primary", "any", "every"]
Dimension = Literal["percent", "seconds", "bytes", "count"]
Level = Literal["info", "warn", "crit"]

_BLIND_SHARE = 0.10
LIMIT = re.compile(r"\bLIMIT (\d+)\s*$")


class Status(StrEnum):
    """How a check ended. `unknown`: it could not be told this time. `skipped`: it cannot be told here at all."""

    OK = "ok"
    INFO = "info"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"
    WARN = "warn"
    CRIT = "crit"

    @property
    def rank(self) -> int:
        """The higher, the sooner a person should look."""
        return list(Status).index(self)


@dataclass(frozen=True)
class Threshold:
    """From where on a value is a finding."""

    above: bool
    inclusive: bool
    limit: float

    def crossed(self, value: float) -> bool:
        """Whether the value lies on the wrong side."""
        if value == self.limit:
            return self.inclusive
        return (value > self.limit) == self.above


@dataclass(frozen=True)
class Check:
    """One file of include/sql/health/, read. docs/health.md describes each part.

    Attributes:
        versions: first and last major version that the file knows, with the query for them.
        privileges: what the role must have: roles that it is a member of, "superuser", "select <relation>".
        least: a delta in percent of fewer than this is not judged.
        facts: what the caller must tell because the server cannot, as `pgops.<name>` settings.
        extension: must be installed; its schema stands for {schema} in the query.
    """

    name: str
    title: str
    purpose: str
    scope: Scope
    kind: Kind
    versions: tuple[tuple[int, int, str], ...]
    privileges: tuple[str, ...]
    heavy: bool
    dimension: Dimension
    info: Threshold | None
    warn: Threshold | None
    crit: Threshold | None
    source: str
    mend: str
    risk: str
    on: Where = "primary"
    least: float = 0
    facts: tuple[str, ...] = ()
    extension: str = ""

    def query(self, major: int) -> str | None:
        """The query for a major version."""
        return next((text for first, last, text in self.versions if first <= major <= last), None)

    @property
    def most(self) -> int | None:
        """The most rows that its query gives, where it ends with a LIMIT."""
        limit = LIMIT.search(self.versions[0][2]) if self.versions else None
        return int(limit[1]) if limit else None

    def level(self, value: float) -> Status:
        """What a value means."""
        for status, threshold in ((Status.CRIT, self.crit), (Status.WARN, self.warn), (Status.INFO, self.info)):
            if threshold is not None and threshold.crossed(value):
                return status
        return Status.OK


@dataclass(frozen=True)
class Target:
    """One database of the fleet, and where else its health shows.

    Attributes:
        name: in the fleet file.
        dsn: the primary.
        standbys: by name.
        ledger: where what this project did for the database is recorded.
        facts: what the server cannot know of itself (disk_bytes, ...): checks read current_setting('pgops.<name>').
        server: the stable name of the primary's server; host:port unless given.
    """

    name: str
    dsn: Dsn
    standbys: Mapping[str, Dsn] = field(default_factory=lambda: MappingProxyType({}))
    ledger: Dsn | None = None
    facts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    server: str = ""

    @property
    def server_name(self) -> str:
        """The server, as findings name it."""
        return self.server or f"{self.dsn.host}:{self.dsn.port}"


@dataclass(frozen=True)
class Budget:
    """Seconds that one check and a whole run may take of the servers, and that a query may wait for a lock."""

    check: float = 5
    run: float = 60
    lock: float = 0.2


@dataclass(frozen=True)
class Finding:
    """Something that a person should know about one object. `value` is None where it could not be told.

    Attributes:
        fingerprint: the same for the same trouble, however big it is by now.
        database: empty when it is about the whole server.
        object: stable name of what it is about; empty for the server or database itself.
        says: the evidence.
        mend: SQL or words.
        since: when it was first seen; `compare` knows.
    """

    check: str
    fingerprint: str
    title: str
    status: Status
    server: str
    database: str
    object: str
    value: float | None
    dimension: Dimension
    says: str
    mend: str
    risk: str
    since: datetime | None = None

    @property
    def shown(self) -> str:
        """The value as people read it."""
        return units.shown(self.value, self.dimension)


def fingerprint(server: str, database: str, check: str, about: str) -> str:
    """Of a finding about one object; `database` is empty for what is of the whole server."""
    return hashlib.sha256("\0".join((server, database, check, about)).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Measure:
    """A value that a check saw, finding or not: for charts and monitors. None where it could not be told."""

    object: str
    value: float | None


@dataclass(frozen=True)
class Outcome:
    """How one check ended on one server. `why` is never empty for unknown and skipped.

    Attributes:
        database: empty when it is about the whole server.
        cut: whether its query's LIMIT was filled by findings, so that there may be more.
    """

    check: Check
    server: str
    database: str
    status: Status
    why: str = ""
    findings: tuple[Finding, ...] = ()
    measures: tuple[Measure, ...] = ()
    seconds: float = 0
    cut: bool = False


@dataclass(frozen=True)
class Sample:
    """What a later run compares with: a cumulative counter with its companion, or an amount with its ceiling."""

    check: str
    server: str
    object: str
    amount: float
    other: float | None = None
    since: datetime | None = None


@dataclass(frozen=True)
class Snapshot:
    """The samples of one run. `identity`: of the primary that gave them; statistics do not follow a failover."""

    at: datetime
    identity: str
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class Report:
    """What one run saw of a target."""

    target: str
    server: str
    database: str
    at: datetime
    seconds: float
    version: str
    outcomes: tuple[Outcome, ...]
    snapshot: Snapshot

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Info, warn and crit: the worst first."""
        real = (one for outcome in self.outcomes for one in outcome.findings if one.status is not Status.UNKNOWN)
        return tuple(sorted(real, key=lambda one: (-one.status.rank, one.check, one.object)))

    @property
    def blind(self) -> tuple[Outcome, ...]:
        """What could not be seen, or not whole."""
        return tuple(
            one
            for one in self.outcomes
            if one.cut
            or one.status in (Status.UNKNOWN, Status.SKIPPED)
            or any(finding.status is Status.UNKNOWN for finding in one.findings)
        )

    @property
    def counts(self) -> Mapping[Status, int]:
        """How many checks ended how."""
        return Counter(one.status for one in self.outcomes)

    @property
    def grade(self) -> Status:
        """The worst that is known; never ok when more than a tenth is not."""
        worst = max((one.status for one in self.findings), key=lambda status: status.rank, default=Status.OK)
        if worst in (Status.WARN, Status.CRIT):
            return worst
        too_blind = len(self.blind) > _BLIND_SHARE * len(self.outcomes) or not self.outcomes
        return Status.UNKNOWN if too_blind else worst
