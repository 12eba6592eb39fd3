"""What a configuration review works with: the machine, the settings as they are, verdicts, and changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from pgops.tuning import values

AUTO = "postgresql.auto.conf"
RESET, EMPTY = "RESET", "''"  # as a verdict says that it wants no line, or nothing in it
# pg_settings shows what the reviewing session has of these, which is not what the server has.
OF_THE_SESSION = ("client", "global", "user", "database", "database user", "session", "interactive", "test")
# What wins over any file, so ALTER SYSTEM would be for nothing.
OVER_FILES = ("command line", "environment variable", "override")


class Grade(StrEnum):
    """What a review says of a setting."""

    OK = "ok"
    DELIBERATE = "deliberate"
    ADVICE = "advice"
    DANGEROUS = "dangerous"

    @property
    def rank(self) -> int:
        """How soon a person should look."""
        return list(Grade).index(self)


@dataclass(frozen=True)
class Machine:
    """What the fleet file says of a server; sizes in bytes.

    Attributes:
        deliberate: setting to value and reason.
    """

    memory: int
    cpus: float
    disk: int
    connections: int
    disk_kind: str = "ssd"
    wal_disk: int | None = None
    workload: str = "mixed"
    managed: str = "none"
    deliberate: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def wal_volume(self) -> int:
        """The volume that fills when WAL is kept."""
        return self.wal_disk or self.disk


@dataclass(frozen=True)
class Setting:
    """A row of pg_settings.

    Attributes:
        value: in `unit`, as the server counts; of the server, not of the reviewing session.
        may_alter: whether the reviewing role may ALTER SYSTEM it.
    """

    name: str
    value: str
    unit: str
    vartype: str
    context: str
    min_val: str | None
    max_val: str | None
    enumvals: tuple[str, ...]
    boot_val: str
    source: str
    sourcefile: str | None
    sourceline: int | None
    pending_restart: bool
    may_alter: bool

    @property
    def restart(self) -> bool:
        """Whether a change waits for a restart."""
        return self.context == "postmaster"

    @property
    def fixed(self) -> bool:
        """Whether nobody can change it: it was decided when the server was built or made."""
        return self.context == "internal"

    @property
    def shown(self) -> str:
        """The value as people read it."""
        return values.shown(self.value, self.unit) or EMPTY

    def number(self, written: str | None = None) -> float:
        """This value, or a written one, in bytes, seconds or as it is; -1 for what is no number."""
        found = values.number(self.value if written is None else written, self.unit)
        return -1 if found is None else found

    def same(self, written: str) -> bool:
        """Whether the server has this value."""
        return values.same(self.value, written, self.vartype, self.unit)


@dataclass(frozen=True)
class FileEntry:
    """A line of a configuration file, as pg_file_settings shows it.

    Attributes:
        auto: whether it stands in postgresql.auto.conf.
        waits: whether its error is only that it needs a restart.
    """

    name: str
    value: str
    file: str
    line: int
    auto: bool
    error: str | None
    waits: bool

    @property
    def broken(self) -> bool:
        """Whether the server cannot use this line."""
        return self.error is not None and not self.waits


@dataclass(frozen=True)
class Override:
    """What ALTER ROLE or ALTER DATABASE says of a setting; empty means every one."""

    name: str
    value: str
    database: str
    role: str

    @property
    def of(self) -> str:
        """For whom."""
        parts = [f"role {self.role}" if self.role else "", f"database {self.database}" if self.database else ""]
        return " in ".join(part for part in parts if part)


@dataclass(frozen=True)
class Follower:
    """What a standby has of the settings of which it needs its primary's; `why` when it could not be asked."""

    name: str
    settings: Mapping[str, str]
    why: str = ""


@dataclass(frozen=True)
class Server:
    """The server's facts beside its settings.

    Attributes:
        senders: standbys and other receivers of WAL that are connected; `slotted` of them use a slot.
        extensions: what can be created; the libraries of those are there.
        databases_bytes: sum of all databases.
        wal_per_second: bytes, on average since its counter began; None when unknown.
        may_reload: whether the role may call pg_reload_conf().
        alter_system: whether the server allows ALTER SYSTEM at all.
        loaded: libraries that were there when it started.
    """

    version: int
    identifier: str
    in_recovery: bool
    senders: int
    slotted: int
    slots: int
    physical_slots: int
    sync_standbys: int
    sessions: int
    databases_bytes: int
    extensions: tuple[str, ...]
    wal_segment_bytes: int
    wal_per_second: float | None
    may_reload: bool
    alter_system: bool
    role: str
    loaded: tuple[str, ...] = ()

    @property
    def major(self) -> int:
        """Such as 18."""
        return self.version // 10000


@dataclass(frozen=True)
class Facts:
    """All that a review knows.

    Attributes:
        files: lines of the configuration files, in the order in which they are read; None where they may not be read.
    """

    machine: Machine
    server: Server
    settings: Mapping[str, Setting]
    files: tuple[FileEntry, ...] | None
    overrides: tuple[Override, ...] = ()
    followers: tuple[Follower, ...] = ()

    def get(self, name: str) -> Setting | None:
        """A setting, where this version has it."""
        return self.settings.get(name)

    def value(self, name: str) -> float:
        """A setting's number in bytes, seconds or as it is; -1 where there is none."""
        found = self.settings.get(name)
        return found.number() if found else -1

    def text(self, name: str) -> str:
        """A setting's value; empty where there is none."""
        found = self.settings.get(name)
        return found.value if found else ""

    def auto(self, name: str) -> str | None:
        """What postgresql.auto.conf says of a setting."""
        found = [one.value for one in self.files or () if one.auto and one.name == name]
        return found[-1] if found else None

    def only_in_auto(self, name: str) -> bool:
        """Whether the server's own choice comes back when postgresql.auto.conf says nothing more."""
        lines = [one for one in self.files or () if one.name == name]
        return bool(lines) and all(one.auto for one in lines)

    def in_file(self, name: str) -> FileEntry | None:
        """The line that counts: the last one."""
        found = [one for one in self.files or () if one.name == name]
        return found[-1] if found else None

    def overrides_of(self, name: str) -> tuple[Override, ...]:
        """Roles and databases with a value of their own."""
        return tuple(one for one in self.overrides if one.name == name)

    def with_values(self, changed: Mapping[str, str]) -> Facts:
        """The same server as it would be with other values."""
        settings = {name: replace(self.settings[name], value=value) for name, value in changed.items()}
        return replace(self, settings={**self.settings, **settings})


@dataclass(frozen=True)
class Wish:
    """What a rule wants on a machine: the value to write, and what is good enough to be left alone.

    Attributes:
        target: as a configuration file has it; None leaves it to the server (RESET).
        least, most: in bytes, seconds or as it is; what lies between is good enough.
        among: or one of these.
        says: why this value on this machine.
        danger: what is so wrong with the value that the server has; empty when nothing is.
    """

    target: str | None
    least: float | None = None
    most: float | None = None
    among: tuple[str, ...] = ()
    says: str = ""
    danger: str = ""


@dataclass(frozen=True)
class Rule:
    """How one setting is judged.

    Attributes:
        wants: what it should be; None where the rule has nothing to say of this server.
        formula: the same for people.
        document: its value in the source document's postgresql.conf, where it is one of those.
    """

    setting: str
    wants: Callable[[Facts, Setting], Wish | None]
    formula: str
    reason: str
    source: str
    document: str = ""


@dataclass(frozen=True)
class Verdict:
    """What is said of one setting.

    Attributes:
        now: the server's value, as people read it; `origin` says where it comes from.
        wanted: the value to write; empty for nothing, "RESET" for the server's own.
        action: reload, restart or none; `why_not` says why a wanted value is not in the script.
        overrides: roles and databases for which another value wins.
    """

    setting: str
    grade: Grade
    now: str
    origin: str
    says: str
    wanted: str = ""
    action: str = "none"
    why_not: str = ""
    formula: str = ""
    reason: str = ""
    source: str = ""
    document: str = ""
    overrides: tuple[str, ...] = ()

    @property
    def value(self) -> str | None:
        """What ALTER SYSTEM is given; None for RESET."""
        return None if self.wanted == RESET else "" if self.wanted == EMPTY else self.wanted


@dataclass(frozen=True)
class Change:
    """One setting to be changed, with all that is needed to see whether it is still as planned, and to take it back.

    Attributes:
        value: to write; None for RESET.
        before: the server's value when it was planned, as the server counts; `source` where it came from.
        auto_before: what postgresql.auto.conf said; None for nothing.
        undoes: the setting's change that this one takes back.
    """

    setting: str
    value: str | None
    before: str
    source: str
    auto_before: str | None
    unit: str
    vartype: str
    shown_before: str
    says: str = ""
    undoes: str = ""


@dataclass(frozen=True)
class Plan:
    """What may be applied to a server, after somebody said yes.

    Attributes:
        id: names it in the ledger: a change can be taken back by it.
        forward, reverse: scripts.
        tickets: what needs a restart, for a person, with its own script.
        parameters: of a managed service, instead of scripts.
    """

    id: str
    server: str
    at: datetime
    identifier: str
    changes: tuple[Change, ...] = ()
    forward: str = ""
    reverse: str = ""
    ticket: str = ""
    parameters: tuple[Mapping[str, str], ...] = ()
    undoes: str = ""
