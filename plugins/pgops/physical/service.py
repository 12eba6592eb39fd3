"""A server whose data directory gives way to another: looked at first, stopped within a bound, kept by a dated name."""

from __future__ import annotations

import logging
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from typing import ClassVar

from pgops import units
from pgops.errors import Refused
from pgops.physical.cluster import Cluster
from pgops.physical.model import Host

log = logging.getLogger(__name__)

STOP_SECONDS = 120
_SPARE_BYTES = 256 << 20
_KEPT = ".before-recovery-"


@dataclass(frozen=True)
class Service(ABC):
    """A server as a service of its host.

    Attributes:
        data: its data directory.
        stop, start: how its service is stopped and started; pg_ctl when empty.
    """

    host: Host
    data: PurePosixPath
    bindir: PurePosixPath
    stop: tuple[str, ...] = field(default=(), kw_only=True)
    start: tuple[str, ...] = field(default=(), kw_only=True)

    settings: ClassVar[str]  # the key of the fleet file with stop and start
    otherwise: ClassVar[str]  # what a person can do where it is refused

    @property
    @abstractmethod
    def cluster(self) -> Cluster:
        """Its server."""

    @property
    def folder(self) -> PurePosixPath:
        """Where the recovery keeps what is its own, on the same volume."""
        return self.data.with_name(f"{self.data.name}.pgops-recovery")

    @property
    def where(self) -> str:
        """As errors name it."""
        return f"{self.host.name}:{self.data}"

    def kept_name(self, at: datetime) -> str:
        """The dated name of the old data directory."""
        return str(self.data.with_name(f"{self.data.name}{_KEPT}{at:%Y%m%dT%H%M%SZ}"))

    def way_back(self, kept: str) -> tuple[str, ...]:
        """The commands that undo it, for its host. Somebody reads them before anything is touched.

        Carried out twice they do no harm: a directory is never moved into another.
        """
        data, given_up = str(self.data), kept.replace(_KEPT, ".given-up-")
        stop = self.stop or (f"{self.bindir}/pg_ctl", "stop", "-m", "fast", "-D", data)
        start = self.start or (f"{self.bindir}/pg_ctl", "start", "-D", data, "-l", f"{self.folder}/back.log")
        return tuple(map(shlex.join, (stop, ("mv", "-T", data, given_up), ("mv", "-T", kept, data), start)))

    def refuse_unfit(self, bytes_: int) -> None:
        """Look whether its data directory can give way to another of that size.

        Raises:
            Refused: it cannot; nothing was touched.
        """
        if not self.host.exists(self.data / "global" / "pg_control"):
            raise Refused("There is no data directory", where=self.where, remedy="Correct it in the fleet file")
        if not self.start and not self.host.exists(self.data / "postgresql.conf"):
            raise Refused(
                "postgresql.conf is not in the data directory, so pg_ctl cannot start this server as it was",
                where=self.where,
                remedy=f"Set stop and start of {self.settings} in the fleet file to the commands of its service, such"
                " as [systemctl, start, postgresql@15-main]; nothing was touched",
            )
        mounted = self.host.run(["mountpoint", "-q", str(self.data)], check=False).code == 0
        if mounted or self.host.run(["test", "-w", str(self.data.parent)], check=False).code != 0:
            raise Refused(
                "The data directory cannot be renamed: "
                + ("it is a volume of its own" if mounted else "not writable above"),
                where=self.where,
                remedy=f"Move the data one folder deeper, or {self.otherwise}",
            )
        free, wanted = self.host.free_bytes(self.data.parent), bytes_ + _SPARE_BYTES
        if free < wanted:
            raise Refused(
                f"{units.size(wanted)} are needed beside the old files, and the volume has {units.size(free)} left",
                where=self.where,
                remedy=f"Free space there, or {self.otherwise}; nothing was touched",
            )

    def set_aside(self, kept: PurePosixPath, watch: Callable[[str], None] = log.info) -> None:
        """Stop the server within a bound, and give its data directory the dated name."""
        if self.host.exists(kept):
            return
        if self.cluster.running():
            self._halt(watch)
        self.host.run(["mv", "-T", "--", str(self.data), str(kept)])
        watch(f"the old data directory is {kept}")

    def _halt(self, watch: Callable[[str], None]) -> None:
        if self.stop:
            self.host.run(["timeout", str(STOP_SECONDS), *self.stop], check=False)
        if self.cluster.running() and not self.cluster.stop(STOP_SECONDS):
            watch("the server did not stop by itself, so it was stopped at once: it recovers when it is started again")

    def copy_configuration(self, kept: PurePosixPath, data: PurePosixPath) -> None:
        """Give a data directory the configuration of the old one."""
        copy = 'for file in "$1"/*.conf; do [ ! -e "$file" ] || cp -p -- "$file" "$2"/; done'
        self.host.run(["sh", "-c", copy, "sh", str(kept), str(data)])

    def launch(self) -> None:
        """Start it as it always was."""
        if self.start:
            self.host.run(list(self.start))
        else:
            self.cluster.start({})
