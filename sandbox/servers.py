"""The sandbox's PostgreSQL servers and S3: what each is for, how it is set, and who may log in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2
import yaml
from psycopg2 import sql

from pgops.errors import PgOpsError, Refused
from pgops.physical.store import Store
from sandbox import barman, sample, settings
from sandbox.objectstore import S3Server
from sandbox.postgres import Binaries, PostgresServer, Standby, pick, stop_servers_in
from sandbox.state import PROJECT, State, is_free

ROLES = PROJECT / "include" / "sql" / "roles"
# Which file of include/sql/roles is run where: (server, database).
ROLE_FILES = {
    ("primary", "postgres"): ("physical.sql", "recovery.sql"),
    ("primary", "app"): ("backup.sql", "monitor.sql", "monitor_more.sql", "migrate.sql", "tuner.sql"),
    ("primary", "billing"): ("backup.sql",),
    ("primary", "crm"): ("backup.sql",),
    ("staging", "template1"): ("drill.sql",),
    ("operations", "ledger"): ("ledger.sql",),
}
S3_HOST = "s3:8333"
# The command is known when the address of S3 is.
ARCHIVING = {"wal_level": "replica", "archive_mode": "on", "archive_timeout": "60s"}


class Servers:
    """Primary with its standby, staging, operations, and the S3 server.

    Args:
        state: where ports and passwords are remembered.
        major: the PostgreSQL version; None takes the one that the sandbox has, or the machine's best.
        connections: the settings file whose logins the servers accept.
    """

    def __init__(self, state: State, major: int | None, connections: settings.Settings) -> None:
        self.state = state
        self.connections = connections
        binaries = pick(self._major(major))
        folder = state.folder / "postgres"

        def server(name: str, **parameters: str) -> PostgresServer:
            parameters = {**_common(binaries), **parameters}
            return PostgresServer(name, binaries, folder / name, state.port(name), state.secret(name), parameters)

        self.primary = server("primary", **ARCHIVING)
        self.standby = Standby("standby", self.primary, folder / "standby", state.port("standby"))
        self.staging = server("staging", max_wal_size="2GB")
        self.operations = server("operations", max_connections="200")
        keys = _s3_keys(connections)
        self.s3 = S3Server(state.folder / "s3", state.port("s3"), *keys)

    @property
    def postgres(self) -> tuple[PostgresServer, ...]:
        """All PostgreSQL servers, in the order in which they are best stopped."""
        return (self.standby, self.primary, self.staging, self.operations)

    def up(self) -> None:
        """Start what does not run; ports that somebody else took meanwhile are changed."""
        for server in self._all():
            if not server.running() and not is_free(server.port):
                server.port = self.state.move_port(server.name)
        self._up_s3()  # before the primary: an archiver that failed tries again only after a minute
        with ThreadPoolExecutor() as pool:
            jobs = [pool.submit(job) for job in (self._up_pair, self._up_staging, self._up_operations)]
            for job in jobs:
                job.result()
        self.state.put("postgres", "major", self.primary.binaries.major)

    def load_sample(self, scale: float) -> list[str]:
        """Fill the primary's databases and let the project's roles in; return the databases that were filled."""
        filled = sample.load(self.primary, scale)
        # In no sample database: then it would be in their backups, and every server for copies would need it.
        if "shared_preload_libraries" in self.primary.settings:
            self.primary.execute("create extension if not exists pg_stat_statements")
        self._admit("primary")
        return filled

    def down(self) -> None:
        """Stop everything, copies that were recovered too."""
        copies = self.state.folder / "recoveries"
        stop_servers_in(copies.resolve())
        with ThreadPoolExecutor() as pool:
            jobs = [pool.submit(server.stop) for server in self._all()]
            for job in jobs:
                job.result()

    def addresses(self) -> dict[str, str]:
        """Return the address book: where the hosts of airflow_settings.yaml are on this machine."""
        book = {f"{server.name}:5432": f"127.0.0.1:{server.port}" for server in self.postgres}
        return {**book, S3_HOST: f"127.0.0.1:{self.s3.port}"}

    def metadata_url(self) -> str:
        """Return where Airflow keeps its metadata."""
        return f"postgresql+psycopg2://airflow:{self.state.secret('airflow')}@127.0.0.1:{self.operations.port}/airflow"

    def store(self) -> Store:
        """Return the bucket as programs reach it."""
        bucket, prefix = _bucket() or ("pgops-backups", "")
        s3 = self.s3
        return Store(bucket, prefix, s3.endpoint, "us-east-1", s3.access_key, s3.secret_key, path_style=True)

    def _all(self) -> tuple[PostgresServer | S3Server, ...]:
        return (*self.postgres, self.s3)

    def _major(self, wanted: int | None) -> int | None:
        made_with = self.state.get("postgres", "major")
        if wanted and made_with and wanted != made_with:
            raise Refused(
                f"The sandbox's servers were made with PostgreSQL {made_with}",
                where=str(self.state.folder),
                remedy=f"Remove them with ./dev down --purge, then ./dev up --postgres {wanted}.",
            )
        return wanted or made_with

    def _up_pair(self) -> None:
        primary = self.primary
        primary.settings["archive_command"] = barman.archive_command(primary.home, self.store(), primary.identity)
        if primary.running():
            primary.create()  # the address of S3 may be another one now
            primary.execute("select pg_reload_conf()")
        _up(primary)
        if not self.standby.running():
            _up(self.standby)

    def _up_staging(self) -> None:
        _up(self.staging)
        self._admit("staging")

    def _up_operations(self) -> None:
        _up(self.operations)
        if not self.operations.execute("select 1 from pg_roles where rolname = 'airflow'"):
            self.operations.execute("create role airflow login")
        _set_password(self.operations, "airflow", self.state.secret("airflow"))
        _ensure_database(self.operations, "airflow", owner="airflow")
        _ensure_database(self.operations, "ledger")
        self._admit("operations")

    def _up_s3(self) -> None:
        self.s3.start()
        (self.s3.data / self.store().bucket).mkdir(exist_ok=True)

    def _admit(self, name: str) -> None:
        """Run the role files of a server and give the logins the passwords that Airflow's connections have."""
        server = next(server for server in self.postgres if server.name == name)
        for (host, database), files in ROLE_FILES.items():
            if host == name:
                for file in files:
                    server.execute((ROLES / file).read_text(), database)
        for connection in self.connections.connections:
            if connection.type == "postgres" and connection.host == name and connection.login and connection.password:
                _set_password(server, connection.login, connection.password)


def _common(binaries: Binaries) -> dict[str, str]:
    parameters = {
        "shared_buffers": "64MB",
        "max_locks_per_transaction": "256",
        "track_io_timing": "on",
        "log_min_duration_statement": "1s",
        "log_lock_waits": "on",
    }
    if any(binaries.bindir.parent.glob("lib/**/pg_stat_statements.*")):
        parameters["shared_preload_libraries"] = "pg_stat_statements"
    return parameters


def _up(server: PostgresServer) -> None:
    if not server.running():
        server.create()
        server.start()


def _ensure_database(server: PostgresServer, name: str, owner: str = "postgres") -> None:
    if not server.execute(f"select 1 from pg_database where datname = '{name}'"):
        server.execute(f"create database {name} owner {owner}")


def _set_password(server: PostgresServer, role: str, password: str) -> None:
    with closing(psycopg2.connect(server.dsn())) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(password)),
        )


def _s3_keys(connections: settings.Settings) -> tuple[str, str]:
    for connection in connections.connections:
        if S3_HOST in str(connection.extra.get("endpoint_url", "")) and connection.login and connection.password:
            return connection.login, connection.password
    raise PgOpsError(
        f"No connection of type aws has the endpoint http://{S3_HOST}",
        where="airflow_settings.yaml",
        remedy="Add one with conn_login and conn_password: they are the keys of the sandbox's S3 server.",
    )


def _bucket() -> tuple[str, str] | None:
    """Return the fleet file's bucket and prefix; its mistakes are for the DAGs to report, not for the sandbox."""
    try:
        document = yaml.safe_load((PROJECT / "include" / "fleet.yaml").read_text())
        return str(document["storage"]["bucket"]), str(document["storage"].get("prefix") or "").strip("/")
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return None
