"""A recovery's two modes behind one face, for the operators. How far it is stands on its host, not in Airflow."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from pgops.errors import Refused
from pgops.fleet import Database, Fleet
from pgops.operators import resources
from pgops.operators.recovery_desk import Desk

if TYPE_CHECKING:
    from pgops.ledger import Lease
    from pgops.physical.cluster import Cluster
    from pgops.physical.plan import RecoveryPlan
    from pgops.physical.standbys import Named
    from pgops.physical.state import Reached, Recovery

log = logging.getLogger(__name__)


# An unfinished copy is somebody's work for as long as its tasks may take; nobody needs it afterwards.
_UNFINISHED = timedelta(days=2)


@dataclass(frozen=True)
class Progressed:
    """How far a recovery is, whatever its mode; `plan` is the one that it was begun with, `standbys` in words."""

    plan: RecoveryPlan
    fetch_seconds: float
    replay_seconds: float
    reached: Reached | None
    address: str
    until: datetime | None
    commands: tuple[str, ...]
    standbys: tuple[str, ...] = ()


class Job(ABC):
    """One recovery.

    Args:
        desk: of its server.
        database: which was asked for; None in a drill, to which nobody is let in.
        recovery_id: its name.
        plan: what is recovered.
    """

    mode: str

    def __init__(self, desk: Desk, database: Database | None, recovery_id: str, plan: RecoveryPlan) -> None:
        self.desk, self.database, self.id, self.plan = desk, database, recovery_id, plan

    @property
    def patience_seconds(self) -> float:
        """How long the archive may be away."""
        return self.desk.policy.patience_minutes * 60

    @abstractmethod
    def lease(self, context: Mapping[str, Any]) -> Lease:
        """The right to work in its place."""

    @abstractmethod
    def restore(self) -> None:
        """Fetch the base backup."""

    @abstractmethod
    def recover(self) -> None:
        """Replay the WAL and promote."""

    @abstractmethod
    def cluster(self) -> Cluster:
        """The recovered server, to which nobody is let in yet."""

    @abstractmethod
    def hand_over(self) -> None:
        """Let people in."""

    @abstractmethod
    def progress(self) -> Progressed | None:
        """How far it is; None before anything was done."""

    def admit(self, roles: Sequence[str]) -> None:
        """Let a role in for a moment, from where this process is."""
        from pgops.physical.configure import write_hba

        cluster = self.cluster()
        write_hba(cluster, roles, self.desk.policy.networks)
        cluster.ask("SELECT pg_catalog.pg_reload_conf()")


class Beside(Job):
    """A recovery side by side.

    Args:
        keep: how long its copy stays up once people were let in.
    """

    mode = "side by side"

    def __init__(self, *given: Any, keep: timedelta) -> None:
        super().__init__(*given)
        self.keep = keep
        self.place = self.desk.place()

    def lease(self, context: Mapping[str, Any]) -> Lease:
        """Of its folder."""
        return self.desk.lease(self.place.where(self.id), context)

    def restore(self) -> None:
        """Fetch, into a folder of its own; those whose time is over make room first."""
        from pgops.physical import recover, state

        now = datetime.now(UTC)
        state.sweep(self.place, now)
        recovery = recover.prepare(self.place, self.id, self.plan, now, _UNFINISHED)
        recover.restore(self.place, recovery, self.desk.engine)

    def recover(self) -> None:
        """Replay, on its own port."""
        from pgops.physical import recover

        recover.recover(self.place, self._state(), self.desk.engine, patience_seconds=self.patience_seconds)

    def cluster(self) -> Cluster:
        """On the recovery host."""
        from pgops.physical import recover

        return recover.running(self.place, self._state())

    def hand_over(self) -> None:
        """Let the operator's roles in, with the source's passwords."""
        from pgops.physical import recover

        recover.let_in(self.place, self._state(), self._roles(), datetime.now(UTC) + self.keep)

    def progress(self) -> Progressed | None:
        """As its file has it."""
        from pgops.physical import recover, state

        found = state.read(self.place, self.id)
        if found is None:
            return None
        is_open = self.database is not None and found.phase == "open"
        return Progressed(
            plan=found.plan,
            fetch_seconds=found.fetch_seconds,
            replay_seconds=found.replay_seconds,
            reached=found.reached,
            address=recover.address(self.place, found) if is_open else "",
            until=found.until,
            commands=self._looks(found) if is_open else (),
        )

    def _looks(self, recovery: Recovery) -> tuple[str, ...]:
        from pgops.physical import recover

        assert self.database is not None
        dbname = resources.dsn(self.database.connection).dbname
        return recover.looks(self.place, recovery, self._roles()[0], dbname)

    def _roles(self) -> tuple[str, ...]:
        assert self.database is not None
        return self.desk.policy.roles or (resources.dsn(self.database.connection).user,)

    def _state(self) -> Any:
        from pgops.physical import state

        found = state.read(self.place, self.id)
        if found is None:
            raise Refused("The recovery is gone", where=self.place.where(self.id), remedy="Trigger it again")
        return found


class Over(Job):
    """A recovery in place.

    Args:
        started_at: when it was asked for.
        data: the data directory; None asks the server, which is possible only before it is stopped.
    """

    mode = "in place"

    def __init__(self, *given: Any, started_at: datetime, data: str | None) -> None:
        super().__init__(*given)
        self.started_at = started_at
        self.site = self.desk.site(data)

    def lease(self, context: Mapping[str, Any]) -> Lease:
        """Of the data directory."""
        return self.desk.lease(self.site.where, context)

    def way_back(self) -> tuple[str, ...]:
        """The commands that undo it."""
        from pgops.physical import in_place

        known = in_place.read(self.site)
        kept = known.kept if known and known.id == self.id else self.site.kept_name(self.started_at)
        return self.site.way_back(kept)

    def standbys(self) -> Named:
        """Those that the fleet file names."""
        policy = self.desk.policy.in_place
        assert policy is not None
        return {one.name: partial(self.desk.standby, one) for one in policy.standbys}

    def seed(self) -> None:
        """Seed them anew from the server, which serves again."""
        from pgops.physical import standbys

        standbys.seed_all(self.site, self._state(), self.standbys())

    def restore(self) -> None:
        """Stop the server, keep its files, fetch. Before that: the way back."""
        from pgops.physical import in_place

        state = in_place.begin(self.site, self.id, self.plan, self.started_at)
        for line in self.way_back():
            log.info("the way back: %s", line)
        state = in_place.set_aside(self.site, state)
        in_place.restore(self.site, state, self.desk.engine)

    def recover(self) -> None:
        """Replay, with nobody let in."""
        from pgops.physical import in_place

        in_place.recover(self.site, self._state(), self.desk.engine, patience_seconds=self.patience_seconds)

    def cluster(self) -> Cluster:
        """The server in its own place."""
        return self.site.cluster

    def hand_over(self) -> None:
        """Start it as it always was; slots and a new base backup."""
        from pgops.physical import in_place

        state = in_place.serve(self.site, self._state())
        in_place.finish(self.site, state, self.desk.engine)

    def progress(self) -> Progressed | None:
        """As its file has it."""
        from pgops.physical import in_place, standbys

        found = in_place.read(self.site)
        if found is None or found.id != self.id:
            return None
        named = self.standbys()
        return Progressed(
            plan=found.plan,
            fetch_seconds=found.fetch_seconds,
            replay_seconds=found.replay_seconds,
            reached=found.reached,
            address=self.site.dsn.where if found.phase in ("serving", "done") else "",
            until=None,
            commands=(
                *standbys.commands(self.site, found, named),
                "# the way back:",
                *self.site.way_back(found.kept),
            ),
            standbys=standbys.told(found, named),
        )

    def _state(self) -> Any:
        from pgops.physical import in_place

        found = in_place.read(self.site)
        if found is None or found.id != self.id:
            raise Refused("The recovery is gone", where=self.site.where, remedy="Trigger it again")
        return found


def databases_on(fleet: Fleet, server: str) -> list[Database]:
    """All databases of a server: a recovery brings back every one of them."""
    return [database for database in fleet.databases if database.server == server]
