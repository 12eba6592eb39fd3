"""From the ids of Airflow connections to what the capabilities take. Heavy imports stay inside the functions."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from pgops.errors import Refused
from pgops.fleet import (
    BackfillPolicy,
    Database,
    DeployPolicy,
    HealthPolicy,
    MigrationPolicy,
    PartitionPolicies,
    PhysicalPolicy,
    PrivacyPolicy,
    QueryPolicy,
    Server,
    Settings,
    TuningPolicy,
)
from pgops.operators.base import run_name

if TYPE_CHECKING:
    from pgops.catalog import Catalog
    from pgops.ledger import Lease, Ledger
    from pgops.partitions.place import Place
    from pgops.physical.engines import Source
    from pgops.physical.host import LocalHost, SshAddress, SshHost
    from pgops.physical.nightly import NightlyEngine
    from pgops.physical.store import Store
    from pgops.postgres import Dsn
    from pgops.privacy import Secret
    from pgops.storage import Bucket

_SPARE_SECONDS = 1800
_Policy = TypeVar("_Policy")

# What libpq takes; everything else in a connection's extras is for the provider's hook.
_LIBPQ = (
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslcrl",
    "sslcrldir",
    "sslsni",
    "ssl_min_protocol_version",
    "require_auth",
    "channel_binding",
    "gssencmode",
    "connect_timeout",
    "keepalives_idle",
    "target_session_attrs",
    "options",
)


def connection(connection_id: str) -> Any:
    """An Airflow connection.

    Raises:
        Refused: there is none of this id.
    """
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        return Connection.get(connection_id)
    except AirflowNotFoundException as error:
        raise Refused(
            f"There is no Airflow connection {connection_id!r}",
            where="the fleet file names it",
            remedy="Add it under Admin > Connections or in the secrets backend, or correct include/fleet.yaml",
        ) from error


def dsn(connection_id: str) -> Dsn:
    """How to reach the database of a connection."""
    from pgops.postgres import Dsn

    found = connection(connection_id)
    extras = found.extra_dejson
    return Dsn(
        host=found.host or "localhost",
        port=found.port or 5432,
        dbname=found.schema or "postgres",
        user=found.login or "",
        password=found.password or "",
        options={name: str(extras[name]) for name in _LIBPQ if name in extras},
    )


def bucket(settings: Settings) -> Bucket:
    """The bucket of the fleet file, reached as the amazon provider reaches it (roles, profiles, endpoints).

    The key of prune_connection is fetched only by a task that has something to delete.
    """
    from pgops.storage import Bucket, Custody, Lock

    storage = settings.storage
    lock = storage.object_lock
    custody = Custody(storage.sse, storage.kms_key_id, Lock(lock.mode, lock.days) if lock else None)
    pruner = storage.prune_connection
    remover = None if pruner is None else lambda: _s3_client(pruner)
    client = _s3_client(storage.connection)
    return Bucket(client, storage.bucket, storage.prefix, custody=custody, remover=remover)


def _s3_client(connection_id: str) -> Any:
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    connection(connection_id)  # the hook would fall back to the worker's own credentials
    return S3Hook(aws_conn_id=connection_id).get_conn()


def catalog(settings: Settings, database: str) -> Catalog:
    """The backups of one database."""
    from pgops.catalog import Catalog

    return Catalog(bucket(settings), database, lambda: identities(settings))


def identities(settings: Settings) -> tuple[str, ...]:
    """The secret keys that open encrypted dumps; several during a rotation.

    Raises:
        Refused: the fleet file does not say where they are, or there is none.
    """
    from pgops.storage.encryption import identities_of

    connection_id = settings.storage.identity_connection
    if connection_id is None:
        raise Refused(
            "Nobody here can open an encrypted dump",
            where="include/fleet.yaml, storage",
            remedy="Add identity_connection, or let nights only prove what is stored: encryption.verify: stored",
        )
    found = identities_of(connection(connection_id).password or "")
    if not found:
        raise Refused(
            f"The connection {connection_id!r} holds no identity",
            where="Admin > Connections",
            remedy="Put what age-keygen printed into its password: one AGE-SECRET-KEY-1... a line",
        )
    return found


def ledger(settings: Settings) -> Ledger:
    """The operations database."""
    from pgops.ledger import Ledger

    return Ledger(dsn(settings.ledger.connection))


def backup_lease(settings: Settings, database: str, context: Mapping[str, Any]) -> Lease:
    """The right to write a database's backups; it belongs to the DAG run, so a retry goes on with it."""
    from pgops.ledger import Lease

    return Lease(ledger(settings), f"backup/{database}", run_name(context))


def drill_lease(settings: Settings, database: str, context: Mapping[str, Any]) -> Lease:
    """The right to use a database's scratch database."""
    from pgops.ledger import Lease
    from pgops.recovery.scratch import LEASE_SECONDS

    owner = run_name(context)
    return Lease(ledger(settings), f"drill/{database}", owner, LEASE_SECONDS)


def deploy_lease(settings: Settings, database: Database, context: Mapping[str, Any]) -> Lease:
    """The right to deploy into a database, for the whole window; it belongs to the DAG run."""
    from pgops.ledger import Lease

    owner = run_name(context)
    return Lease(ledger(settings), f"deploy/{database.name}", owner, deploy_window_seconds(database))


def deploy_window_seconds(database: Database) -> float:
    """Longer than a deployment, its watch and its rollback take; what it holds or mutes ends by itself then."""
    policy, budget = deploy_policy(database), migration_policy(database).budget_seconds
    return policy.watch.baseline_seconds + 2 * budget + policy.watch.minutes * 60 + _SPARE_SECONDS


def _given(policy: _Policy | None, of: Database | Server, name: str, remedy: str) -> _Policy:
    """A policy that a database or server need not have, where it must.

    Raises:
        Refused: the fleet file does not say.
    """
    if policy is None:
        where = f"include/fleet.yaml, {'servers' if isinstance(of, Server) else 'databases'}, {of.name}"
        raise Refused(f"{of.name} has no {name}", where=where, remedy=remedy)
    return policy


def drill_server(database: Database) -> Dsn:
    """The maintenance database of the server for drills.

    Raises:
        Refused: the fleet file names none for this database.
    """
    remedy = "Add drill.connection: the server on which its backups may be restored"
    return dsn(_given(database.drill, database, "drill policy", remedy).connection)


def migration_policy(database: Database) -> MigrationPolicy:
    """How a database's migrations are rehearsed.

    Raises:
        Refused: the fleet file does not say.
    """
    remedy = "Add migrations: with folder (or alembic) and connection"
    return _given(database.migrations, database, "migrations", remedy)


def deploy_policy(database: Database) -> DeployPolicy:
    """How a database's migrations get into production.

    Raises:
        Refused: the fleet file does not say.
    """
    policy = migration_policy(database).deploy
    if policy is None:
        raise Refused(
            f"Nothing of {database.name} is deployed",
            where=f"include/fleet.yaml, databases, {database.name}, migrations",
            remedy="Add deploy: with connection, and who approves",
        )
    return policy


def backfill_policy(database: Database) -> BackfillPolicy:
    """How rows of a database may be changed while it is in use.

    Raises:
        Refused: the fleet file does not say.
    """
    remedy = "Add backfill: with connection, the role that may update the tables"
    return _given(database.backfill, database, "backfill policy", remedy)


def health_policy(database: Database) -> HealthPolicy:
    """How a database's health is looked at.

    Raises:
        Refused: the fleet file does not say.
    """
    remedy = "Add health: with connection, the role pgops_monitor in this database"
    return _given(database.health, database, "health policy", remedy)


def query_policy(database: Database) -> QueryPolicy:
    """How a database's queries are looked at.

    Raises:
        Refused: the fleet file does not say.
    """
    remedy = "Add queries: with connection, the role pgops_monitor in this database"
    return _given(database.queries, database, "query policy", remedy)


def partition_policies(database: Database) -> PartitionPolicies:
    """How a database's partitions are looked after.

    Raises:
        Refused: the fleet file does not say.
    """
    remedy = "Add partitions: with connection, the role that owns the tables, and tables"
    return _given(database.partitions, database, "partition policies", remedy)


def partition_place(settings: Settings, database: Database, context: Mapping[str, Any]) -> Place:
    """Where a database's partitions are retired and restored, and their archives looked into."""
    from pgops.partitions.place import Place

    policies = partition_policies(database)
    scratch = policies.scratch_connection
    return Place(
        database=database.name,
        source=dsn(policies.connection),
        scratch=dsn(scratch) if scratch else drill_server(database),
        bucket=bucket(settings),
        ledger=ledger(settings),
        policies=policies,
        by=run_name(context),
    )


def tuning_policy(server: Server) -> TuningPolicy:
    """What a server's machine is and who may change its settings.

    Raises:
        Refused: the fleet file does not say.
    """
    remedy = "Add tuning: with connection, memory, cpus, disk, connections and approvers"
    return _given(server.tuning, server, "tuning policy", remedy)


def privacy_policy(database: Database) -> PrivacyPolicy:
    """How a person's data in a database is exported and erased.

    Raises:
        Refused: the fleet file does not say.
    """
    remedy = "Add privacy: with connection, subject, key, secret_connection and approvers"
    return _given(database.privacy, database, "privacy policy", remedy)


def privacy_secrets(policy: PrivacyPolicy) -> tuple[Secret, ...]:
    """The secret that keys the hashes of subjects, and those before it (the connection's extra "previous")."""
    from pgops.privacy import Secret

    found = connection(policy.secret_connection)
    previous = found.extra_dejson.get("previous", [])
    return tuple(Secret(str(one)) for one in (found.password or "", *previous))


def physical_policy(server: Server) -> PhysicalPolicy:
    """How a server's base backups and WAL are kept.

    Raises:
        Refused: the fleet file does not say.
    """
    remedy = "Add physical: with engine, connection and host"
    return _given(server.physical, server, "base backups", remedy)


def host(name: str, run_as: Sequence[str] = ()) -> LocalHost | SshHost:
    """A host of the fleet file: "local", or an Airflow connection of type ssh.

    $PGOPS_LOCAL_RUN_AS is what goes before commands on this machine where the policy does not say.
    """
    from pgops.physical.host import LocalHost, SshHost

    if name == "local":
        return LocalHost(run_as=run_as or shlex.split(os.environ.get("PGOPS_LOCAL_RUN_AS", "")))
    return SshHost(ssh_address(name), run_as)


def ssh_address(connection_id: str) -> SshAddress:
    """A connection of type ssh, with the extras that Airflow's SSH provider knows.

    Unlike there, an unknown host key is refused unless the connection says no_host_key_check.
    """
    from pgops.physical.host import SshAddress

    found = connection(connection_id)
    if not found.host:
        raise Refused(
            f"The connection {connection_id!r} names no host",
            where="Admin > Connections",
            remedy="Set host and login, and in the extra: private_key or key_file, and host_key",
        )
    extras = found.extra_dejson
    unchecked = str(extras.get("no_host_key_check", "false")).lower() == "true" and not extras.get("host_key")
    return SshAddress(
        host=found.host,
        port=found.port or 22,
        user=found.login or "",
        password="" if extras.get("private_key") or extras.get("key_file") else found.password or "",
        private_key=extras.get("private_key") or "",
        key_file=extras.get("key_file") or "",
        passphrase=extras.get("private_key_passphrase") or "",
        host_key=extras.get("host_key") or "",
        check_host_key=not unchecked,
        timeout=float(extras.get("conn_timeout") or 15),
    )


def physical_host(server: Server) -> LocalHost | SshHost:
    """Where a server's files are.

    Raises:
        Refused: nobody can log in there.
    """
    policy = physical_policy(server)
    if policy.host is None:
        raise Refused(
            f"Nobody can log in to the host of {server.name}",
            where=f"include/fleet.yaml, servers, {server.name}, physical.host",
            remedy="Set it to local or to an Airflow connection of type ssh",
        )
    return host(policy.host, policy.run_as)


def physical_directory(settings: Settings, server: Server) -> PurePosixPath:
    """Where a server keeps its data; asked from it unless the fleet file says."""
    return physical_source(server).directory()


def physical_source(server: Server) -> Source:
    """A server as an engine's programs reach it."""
    from pgops.physical.engines import Source
    from pgops.physical.store import Secrets

    policy = physical_policy(server)
    return Source(
        server=server.name,
        dsn=dsn(policy.connection),
        host=None if policy.host is None else host(policy.host, policy.run_as),
        data_directory=_path(policy.data_directory),
        programs=_path(policy.programs),
        secrets=Secrets(_path(policy.recovery.place if policy.recovery else None), _path(policy.envdir)),
        full_every_days=policy.full_every_days,
        max_deltas=policy.max_deltas,
    )


def _path(text: str | None) -> PurePosixPath | None:
    return None if text is None else PurePosixPath(text)


def store(settings: Settings) -> Store:
    """The bucket of the fleet file, for programs outside of this process.

    Keys of the connection are handed on; where it has none (roles, profiles) the hosts have their own.
    """
    return _store(settings, settings.storage.connection)


def _store(settings: Settings, connection_id: str) -> Store:
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    from pgops.physical.store import Store

    connection(connection_id)
    found = S3Hook(aws_conn_id=connection_id).conn_config
    s3 = (found.extra_config.get("config_kwargs") or {}).get("s3") or {}
    return Store(
        bucket=settings.storage.bucket,
        prefix=settings.storage.prefix,
        endpoint=found.get_service_endpoint_url("s3") or "",
        region=found.region_name or "",
        access_key=found.aws_access_key_id or "",
        secret_key=found.aws_secret_access_key or "",
        session_token=found.aws_session_token or "",
        path_style=s3.get("addressing_style") == "path",
        sse=settings.storage.sse,
        kms_key_id=settings.storage.kms_key_id,
    )


def engine(settings: Settings, server: Server) -> NightlyEngine:
    """The engine that keeps a server's base backups and WAL."""
    from pgops.physical.engines import BarmanEngine, WalgEngine

    policy = physical_policy(server)
    pruner = settings.storage.prune_connection
    pruning = None if pruner is None else lambda: _store(settings, pruner)
    given = physical_source(server), store(settings), bucket(settings)
    if policy.engine == "walg":
        return WalgEngine(*given, settings=policy.settings, key=openpgp_key(policy), pruning=pruning)
    return BarmanEngine(*given, compression=policy.compression, jobs=policy.jobs, pruning=pruning)


def openpgp_key(policy: PhysicalPolicy) -> str:
    """The secret key that WAL-G encrypts with; empty where the policy asks for none.

    Raises:
        Refused: the connection holds something else.
    """
    if policy.encryption_connection is None:
        return ""
    key = (connection(policy.encryption_connection).password or "").strip()
    if not key.startswith("-----BEGIN PGP PRIVATE KEY BLOCK-----"):
        raise Refused(
            f"The connection {policy.encryption_connection!r} holds no OpenPGP secret key",
            where="Admin > Connections",
            remedy="Put what gpg --armor --export-secret-keys printed into its password",
        )
    return key


def physical_lease(settings: Settings, server: str, context: Mapping[str, Any]) -> Lease:
    """The right to write a server's base backups; it belongs to the DAG run."""
    from pgops.ledger import Lease

    return Lease(ledger(settings), f"physical/{server}", run_name(context))
