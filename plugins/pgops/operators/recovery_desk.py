"""From the fleet file to what a recovery takes: policy, engine, hosts and the place for copies."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from pgops.errors import PgOpsError, Refused
from pgops.fleet import Database, Fleet, RecoveryPolicy, Server, Settings, StandbyPolicy
from pgops.operators import resources
from pgops.operators.base import run_name

if TYPE_CHECKING:
    from pgops.ledger import Lease, Ledger
    from pgops.physical.in_place import Site
    from pgops.physical.model import Engine, Host
    from pgops.physical.needs import Needs
    from pgops.physical.recoverability import WalReader
    from pgops.physical.standbys import Standby
    from pgops.physical.state import Place
    from pgops.postgres import Dsn

# Longer than a task waits for a worker between two steps of a run; a running step renews it.
LEASE_SECONDS = 900.0


@dataclass(frozen=True)
class Desk:
    """All that the recovery of one server needs."""

    settings: Settings
    server: Server
    policy: RecoveryPolicy
    engine: Engine
    host: Host
    source: Dsn

    def ledger(self) -> Ledger:
        """The operations database."""
        return resources.ledger(self.settings)

    def major(self) -> int:
        """The server's major version; of its newest base backup where it does not answer."""
        from pgops.physical.needs import ask_needs

        try:
            return ask_needs(self.source).server_version // 10000
        except PgOpsError:
            backups = self.engine.backups()
            if not backups:
                raise
            return backups[-1].server_version // 10000

    def place(self) -> Place:
        """Where copies are recovered."""
        from pgops.physical.state import Place

        policy = self.policy
        return Place(
            host=self.host,
            base=PurePosixPath(policy.place),
            bindir=self.bindir(self.host, policy.host),
            ports=policy.ports,
            superuser=policy.superuser,
            settings=policy.settings,
            listen=policy.listen,
            networks=policy.networks,
        )

    def bindir(self, host: Host, where: str, programs: str | None = None) -> PurePosixPath:
        """PostgreSQL's programs on a host; on this machine also those that the client programs are taken from."""
        from pgops.physical.cluster import find_bindir
        from pgops.postgres.programs import folders

        if configured := programs or self.policy.programs:
            return find_bindir(host, self.major(), PurePosixPath(configured))
        also = [PurePosixPath(folder) for folder in folders()] if where == "local" else []
        return find_bindir(host, self.major(), also=also)

    def site(self, data: str | None = None) -> Site:
        """The server itself, to be recovered over.

        Args:
            data: its data directory, as it said while it was alive.

        Raises:
            Refused: the fleet file does not allow it, or its host cannot be reached.
        """
        from pgops.physical.in_place import Site

        if self.policy.in_place is None:
            raise Refused(
                f"{self.server.name} is not recovered in place",
                where=f"include/fleet.yaml, servers, {self.server.name}, physical.recovery",
                remedy="Recover it side by side; or add in_place: with approvers",
            )
        host = resources.physical_host(self.server)
        where = resources.physical_policy(self.server).host or ""
        return Site(
            host=host,
            data=PurePosixPath(data) if data else self._directory(),
            bindir=self.bindir(host, where),
            dsn=self.source,
            superuser=self.policy.superuser,
            stop=self.policy.in_place.stop,
            start=self.policy.in_place.start,
        )

    def standby(self, policy: StandbyPolicy) -> Standby:
        """A standby of the server, to be seeded anew.

        Raises:
            PgOpsError: its host cannot be reached, or lacks the programs.
        """
        from pgops.physical.standbys import Standby

        host = resources.host(policy.host, policy.run_as)
        return Standby(
            host=host,
            data=PurePosixPath(policy.data_directory),
            bindir=self.bindir(host, policy.host, policy.programs),
            name=policy.name,
            slot=policy.slot,
            stop=policy.stop,
            start=policy.start,
        )

    def _directory(self) -> PurePosixPath:
        try:
            return resources.physical_directory(self.settings, self.server)
        except PgOpsError as error:
            raise Refused(
                f"The server does not say where its data lies: {error.what}",
                where=error.where,
                remedy="Set physical.data_directory in include/fleet.yaml, as it is not running; nothing was touched",
            ) from error

    def reader(self, place: Place) -> WalReader:
        """Reads the archive's last segments."""
        from pgops.physical.recoverability import WalReader

        folder = place.base / f".wal-{hashlib.sha256(str(datetime.now(UTC)).encode()).hexdigest()[:8]}"
        return WalReader(place.host, place.bindir, self.engine.restore_command(place.host), folder)

    def needs(self, databases: Sequence[Database] = ()) -> Needs | None:
        """What a host must have, for these databases too; where the server is silent, as the ledger has it."""
        from pgops.physical.needs import ask_needs, needs_from_json, together

        sources = [self.source, *(resources.dsn(database.connection) for database in databases)]
        try:
            return together([ask_needs(source) for source in sources])
        except PgOpsError:
            known = self.ledger().rows("restorable", server=self.server.name)
            return needs_from_json(known[0]["needs"]) if known and known[0]["needs"] else None

    def lease(self, what: str, context: Mapping[str, Any]) -> Lease:
        """The right to recover into one place."""
        from pgops.ledger import Lease

        return Lease(self.ledger(), f"recovery/{what}", run_name(context), LEASE_SECONDS)


def desk(fleet: Fleet, database: Database) -> Desk:
    """The desk of a database's server."""
    return server_desk(fleet, database.server)


def server_desk(fleet: Fleet, name: str) -> Desk:
    """The desk of a server.

    Raises:
        Refused: the fleet file does not say how it is backed up or recovered.
    """
    settings = fleet.checked_settings()
    server = next((one for one in fleet.servers if one.name == name), None)
    policy = recovery_policy(server)
    if server is None or policy is None:
        raise Refused(
            f"{name} has no recovery policy",
            where=f"include/fleet.yaml, servers, {name}",
            remedy="Add physical: with an engine, and recovery: with connection and directory",
        )
    return Desk(
        settings=settings,
        server=server,
        policy=policy,
        engine=resources.engine(settings, server),
        host=resources.host(policy.host, policy.run_as),
        source=resources.dsn(policy.connection),
    )


def recovery_policy(server: Server | None) -> RecoveryPolicy | None:
    """How a server is recovered; None where the fleet file does not say."""
    physical = server.physical if server else None
    return physical.recovery if physical else None


def recoverable(fleet: Fleet) -> list[str]:
    """Names of the databases whose server can be recovered."""
    servers = {server.name for server in fleet.servers if recovery_policy(server)}
    return [database.name for database in fleet.databases if database.server in servers]


def recoverable_servers(fleet: Fleet) -> list[str]:
    """Names of the servers that can be recovered."""
    return [server.name for server in fleet.servers if recovery_policy(server)]


def recovery_id(server: str, context: Mapping[str, Any]) -> str:
    """Names a recovery and its folder: the same for every try of a run."""
    begun = context["dag_run"].run_after or datetime.now(UTC)
    digest = hashlib.sha256(f"{run_name(context)}/{server}".encode()).hexdigest()[:6]
    return f"{server[:40]}-{begun.astimezone(UTC):%Y%m%dT%H%M%SZ}-{digest}"
