"""The project's own DAGs, run in process against real servers: a source, a drill server and a ledger (one PostgreSQL
server is all three), an S3 server and a Slack inbox. The connections are those of airflow_settings.yaml."""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from pgops.backup import commit, dump, sources, verify
from pgops.catalog import Catalog, Manifest, new_backup_id
from pgops.errors import PgOpsError
from pgops.fleet import load_fleet
from pgops.ledger import Lease, Ledger
from pgops.postgres import Dsn
from pgops.storage import Bucket
from sandbox import sample, settings
from sandbox.objectstore import S3Server
from sandbox.postgres import PostgresServer
from sandbox.servers import ROLE_FILES, ROLES
from tests import servers
from tests.inbox import RunningInbox, running_inbox

ROOT = Path(__file__).parents[2]
DATABASES = sample.DATABASES


@dataclass
class Stand:
    """What runs for the whole session."""

    postgres: PostgresServer
    s3: S3Server
    inbox: RunningInbox
    connections: dict[str, settings.Connection]

    def secrets(self) -> set[str]:
        """Everything that must not show anywhere."""
        return {str(one.password) for one in self.connections.values()} | {self.postgres.password}


@pytest.fixture(scope="session")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """The servers, with sample data and the project's roles."""
    data = tmp_path_factory.mktemp("inbox") / "messages.jsonl"
    with (
        servers.running_postgres(servers.MAJORS[0], shared_preload_libraries="pg_stat_statements") as postgres,
        servers.running_s3() as s3,
        running_inbox(data) as inbox,
    ):
        sample.load(postgres, 0.02)
        postgres.execute("create extension pg_stat_statements")
        postgres.execute("create database ledger")
        for (_, database), files in ROLE_FILES.items():
            for file in files:
                postgres.execute((ROLES / file).read_text(), database)
        connections = _connections(postgres, s3, inbox)
        for one in connections.values():
            if one.type == "postgres":
                postgres.execute(f"alter role {one.login} password '{one.password}'")
        yield Stand(postgres, s3, inbox, connections)


def _connections(postgres: PostgresServer, s3: S3Server, inbox: RunningInbox) -> dict[str, settings.Connection]:
    """The connections of airflow_settings.yaml, led to the test's servers, each role with a password of its own."""
    here = f"127.0.0.1:{postgres.port}"
    book = {f"{host}:5432": here for host in ("primary", "standby", "staging", "operations")}
    book |= {"s3:8333": f"127.0.0.1:{s3.port}", "slack-inbox:8085": inbox.url.removeprefix("http://").rstrip("/")}
    found = settings.resolve(settings.load(ROOT / "airflow_settings.yaml"), book).connections
    passwords: dict[str | None, str] = {"aws": servers.SECRET_KEY, "slack": f"xoxb-1-{secrets.token_hex(12)}"}

    def own(one: settings.Connection) -> settings.Connection:
        who = one.login if one.type == "postgres" else one.type
        password = passwords.setdefault(who, f"p@ss/{secrets.token_hex(12)}")
        return replace(one, password=password, login=servers.ACCESS_KEY if one.type == "aws" else one.login)

    return {one.id: own(one) for one in found}


@dataclass
class Site:
    """One test's view: a fleet file, an empty bucket, an empty ledger, and the DAGs that were read with them."""

    stand: Stand
    bucket: Bucket
    fleet_file: Path
    monkeypatch: pytest.MonkeyPatch
    document: dict[str, Any]
    _seen: int = 0

    def fleet(self, change: Callable[[dict[str, Any]], None] = lambda document: None) -> None:
        """Write the fleet file; `change` gets the document first."""
        change(self.document)
        self.fleet_file.write_text(yaml.safe_dump(self.document, sort_keys=False))

    def connect(self, connection_id: str, **changes: Any) -> None:
        """Give Airflow a connection, or another one under the same id."""
        one = replace(self.stand.connections[connection_id], **changes)
        self.monkeypatch.setenv(
            f"AIRFLOW_CONN_{connection_id.upper()}",
            json.dumps(
                {
                    "conn_type": one.type,
                    "host": one.host,
                    "port": one.port,
                    "schema": one.schema,
                    "login": one.login,
                    "password": one.password,
                    "extra": dict(one.extra),
                }
            ),
        )

    def dag(self, dag_id: str) -> Any:
        """A DAG as it is read with today's fleet file; between its tries nothing is waited for."""
        dag = read_dags(dag_file(dag_id)).dags[dag_id]
        dag.deadline = None  # Airflow 3.3.2's dag.test() cannot end a run that has one
        for task in dag.tasks:
            if task.is_mapped:
                task.partial_kwargs["retry_delay"] = timedelta(0)
            else:
                task.retry_delay = timedelta(0)
        return dag

    def run(self, dag_id: str, **conf: Any) -> Run:
        """Run a DAG to its end."""
        with swiftly(dag_id):
            return self._ended(self.dag(dag_id).test(run_conf=conf or None))

    def clear(self, run: Run, *task_ids: str) -> Run:
        """Clear tasks of a run that has ended, as somebody does in Airflow's UI, and see it to its end again."""
        from airflow.models import dagrun
        from airflow.models.taskinstance import clear_task_instances
        from airflow.utils.state import DagRunState
        from sqlalchemy import select

        def cleared(*, session: Any, dag: Any, **given: Any) -> Any:
            found = session.scalar(select(dagrun.DagRun).filter_by(dag_id=run.dag_id, run_id=run.run_id))
            tasks = [ti for ti in found.get_task_instances(session=session) if ti.task_id in task_ids]
            clear_task_instances(tasks, session, DagRunState.RUNNING)
            session.commit()
            found.dag = dag
            return found

        with swiftly(run.dag_id), pytest.MonkeyPatch.context() as patch:
            patch.setattr(dagrun, "get_or_create_dagrun", cleared)
            return self._ended(self.dag(run.dag_id).test())

    @staticmethod
    def _ended(run: Any) -> Run:
        states = {
            f"{ti.task_id}[{ti.map_index}]".removesuffix("[-1]"): str(ti.state) for ti in run.get_task_instances()
        }
        return Run(str(run.state), run.dag_id, run.run_id, states)

    def error_of(self, dag_id: str, task_id: str) -> str:
        """What a task that depends on nothing says when it is executed."""
        with pytest.raises(PgOpsError) as raised:
            self.dag(dag_id).get_task(task_id).execute({})
        return str(raised.value)

    def dsn(self, connection_id: str) -> Dsn:
        one = self.stand.connections[connection_id]
        return Dsn(str(one.host), int(one.port or 0), str(one.schema), str(one.login), str(one.password))

    def back_up(self, database: str) -> Manifest:
        """Take and prove a backup without Airflow."""
        policy = load_fleet().database(database)
        catalog, ledger = self.catalog(database), Ledger(self.dsn("pgops_ledger"))
        lease = Lease(ledger, f"backup/{database}", "a test")
        found, notes = sources(self.dsn(policy.connection), None, policy.backup)
        made = dump(database, found, tuple(notes), policy.backup, catalog, lease)
        return catalog.manifest(commit(catalog, verify(catalog, made.backup_id, lease), ledger, lease).backup_id)

    def age(self, manifest: Manifest, hours: float) -> Manifest:
        """Make a backup older: its objects under an older id."""
        catalog = self.catalog(manifest.database)
        started_at = manifest.started_at - timedelta(hours=hours)
        older = replace(manifest, backup_id=new_backup_id(started_at), started_at=started_at)
        client, name = self.bucket.client, self.bucket.name
        known, _ = catalog.contents(manifest.backup_id)
        for key in known:
            target = key.replace(manifest.backup_id, older.backup_id)
            client.copy_object(Bucket=name, Key=target, CopySource={"Bucket": name, "Key": key})
        catalog.write_manifest(older)
        self.bucket.delete(known)
        return older

    def catalog(self, database: str) -> Catalog:
        return Catalog(self.bucket, database)

    def messages(self) -> list[dict[str, Any]]:
        """What came to Slack since the last call."""
        found = self.stand.inbox.messages()
        found.sort(key=lambda message: float(message["ts"]))
        new, self._seen = found[self._seen :], len(found)
        return new

    def ledger(self, statement: str) -> list[tuple[Any, ...]]:
        return self.stand.postgres.execute(statement, "ledger")

    def objects(self) -> dict[str, bytes]:
        """Everything in the bucket."""
        return {info.key: self.bucket.open([info.key]).read() for info in self.bucket.objects("")}


@dataclass(frozen=True)
class Run:
    """What a run came to; states by task id, with the map index of a mapped task."""

    state: str
    dag_id: str
    run_id: str
    states: Mapping[str, str]

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """What a task left for the others."""
        return next(
            (value for *names, value in self.xcoms() if names == [task_id, map_index, key]),
            None,
        )

    def xcoms(self) -> list[tuple[str, int, str, Any]]:
        """Everything that the run's tasks left: task id, map index, key, value."""
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session
        from sqlalchemy import select

        with create_session() as session:
            rows = session.scalars(select(XComModel).filter_by(dag_id=self.dag_id, run_id=self.run_id)).all()
            return [(row.task_id, row.map_index, row.key, XComModel.deserialize_value(row)) for row in rows]


def read_dags(place: Path = ROOT / "dags") -> Any:
    """The DAG folder, or a file of it, read as the DAG processor reads it."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(place))


def dag_file(dag_id: str) -> Path:
    """The file of a DAG."""
    return ROOT / "dags" / f"{dag_id}.py"


@contextmanager
def swiftly(dag_id: str) -> Iterator[None]:
    """`DAG.test()` without its waste: it reads the whole DAG folder before each run, here that one file of it; and it
    waits a second whenever nothing can run, though a state that the next look passes on is all that is missing."""
    from airflow.dag_processing import dagbag

    whole, sleep = dagbag.BundleDagBag, time.sleep

    def sleep_less(seconds: float) -> None:
        in_test = sys._getframe(1).f_globals.get("__name__") == "airflow.sdk.definitions.dag"
        sleep(min(seconds, 0.02) if in_test else seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dagbag, "BundleDagBag", lambda **given: whole(**given | {"dag_folder": str(dag_file(dag_id))}))
        patch.setattr(time, "sleep", sleep_less)
        yield


@contextmanager
def fresh_site(stand: Stand, folder: Path) -> Iterator[Site]:
    """A site with the sample fleet."""
    client = servers.s3_client(stand.s3.endpoint)
    name = f"dags-{secrets.token_hex(4)}"
    client.create_bucket(Bucket=name)
    document = yaml.safe_load((ROOT / "include" / "fleet.yaml").read_text())
    document["storage"]["bucket"] = name
    for server in document["servers"]:
        server.pop("physical", None)  # this server archives no WAL
    for database in document["databases"]:
        database.get("backup", {}).pop("prefer_standby", None)  # there is none here
        database.pop("standby_connection", None)
    with pytest.MonkeyPatch.context() as monkeypatch:
        site = Site(stand, Bucket(client, name, "postgres"), folder / "fleet.yaml", monkeypatch, document)
        site.fleet()
        monkeypatch.setenv("PGOPS_FLEET", str(site.fleet_file))
        for connection_id in stand.connections:
            site.connect(connection_id)
        site.messages()
        stand.postgres.execute("drop schema if exists pgops cascade", "ledger")
        _forget_ledgers()
        yield site


@pytest.fixture
def site(stand: Stand, airflow_db: None, tmp_path: Path) -> Iterator[Site]:
    """A site of the test's own."""
    with fresh_site(stand, tmp_path) as site:
        yield site


def _forget_ledgers() -> None:
    """The process remembers which ledgers it has brought up to date; this one was emptied."""
    from pgops.ledger import store

    store._current.clear()
