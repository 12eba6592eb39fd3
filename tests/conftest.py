"""Airflow's settings for tests; they must stand before anything imports airflow."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pgops.ledger import Ledger
from pgops.postgres import Dsn
from pgops.storage import Bucket
from sandbox.objectstore import S3Server
from sandbox.postgres import PostgresServer
from tests import servers

ROOT = Path(__file__).parents[1]
_HOME = tempfile.TemporaryDirectory(prefix="pgops-airflow-", ignore_cleanup_errors=True)
os.environ |= {
    "AIRFLOW_HOME": _HOME.name,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME.name}/airflow.db",
    "AIRFLOW__API__BASE_URL": "http://airflow.test:8080",
}


# --- side by side: ./dev test runs three processes, since most of the time is spent waiting ---


def _together(nodeid: str) -> str:
    """What one process runs in one go: a file; and all tests of the running sandbox, for there is one of it."""
    return "sandbox" if nodeid.startswith("tests/sandbox_runs/") else nodeid.split("::")[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first."""
    items.sort(key=lambda item: _together(item.nodeid) != "sandbox")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Spread the tests over the processes, as _together says."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _together(nodeid)

    return Scheduling(config, log)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Which checks of health found their fault and are silent on a healthy server."""
    from tests.health.table import table

    lines = table(report for reports in terminalreporter.stats.values() for report in reports)
    if lines:
        terminalreporter.section("checks of health: fault found, healthy silent")
        terminalreporter.write("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """Airflow's metadata database, for tests that run DAGs in process."""
    from airflow.utils import db

    db.initdb()


@pytest.fixture
def run_dag(airflow_db: None) -> Callable[[Any], Any]:
    """Runs a DAG that a test has just written, in process; `DAG.test()` alone knows those of the DAG folder only."""

    def run(dag: Any, **conf: Any) -> Any:
        from airflow.dag_processing.bundles.manager import DagBundlesManager
        from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db

        DagBundlesManager().sync_bundles_to_db()
        bag = DagBag(os.devnull)
        bag.bag_dag(dag)
        sync_bag_to_db(bag, "dags-folder", None)
        return dag.test(run_conf=conf or None)

    return run


# --- real servers, shared by the whole session; every test gets a database and a bucket of its own ---


@pytest.fixture(scope="session")
def postgres_of() -> Iterator[Callable[[int], PostgresServer]]:
    """The session's server of a major version, started when it is first asked for."""
    with ExitStack() as stack:
        running: dict[int, PostgresServer] = {}

        def of(major: int) -> PostgresServer:
            if major not in running:
                running[major] = stack.enter_context(servers.running_postgres(major))
            return running[major]

        yield of


@pytest.fixture(scope="session", params=servers.MAJORS)
def each_postgres(request: pytest.FixtureRequest, postgres_of: Callable[[int], PostgresServer]) -> PostgresServer:
    """A server of each major version that the tests know."""
    return postgres_of(request.param)


@pytest.fixture(scope="session")
def postgres(postgres_of: Callable[[int], PostgresServer]) -> PostgresServer:
    """One server, where the version does not matter."""
    return postgres_of(servers.MAJORS[0])


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[Dsn]:
    """An empty database."""
    with servers.fresh_database(postgres) as dsn:
        yield dsn


@pytest.fixture
def each_database(each_postgres: PostgresServer) -> Iterator[Dsn]:
    """An empty database on a server of each version."""
    with servers.fresh_database(each_postgres) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """An S3 server."""
    with servers.running_s3() as server:
        yield server


@pytest.fixture
def bucket(s3: S3Server) -> Bucket:
    """An empty bucket."""
    client = servers.s3_client(s3.endpoint)
    name = f"tests-{secrets.token_hex(4)}"
    client.create_bucket(Bucket=name)
    return Bucket(client, name, "pre/fix")


@pytest.fixture(scope="session")
def ledger(postgres: PostgresServer) -> Iterator[Ledger]:
    """A ledger of the session's own."""
    with servers.fresh_database(postgres, "ledger") as dsn:
        yield Ledger(dsn)
