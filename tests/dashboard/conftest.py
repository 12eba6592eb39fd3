"""The dashboard as Airflow's API server serves it: the real application, the real login, a real ledger."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from psycopg2.extensions import connection as Connection
from starlette.testclient import TestClient

from pgops.ledger import Ledger, store
from pgops.postgres import Dsn, connect
from pgops.storage import Bucket
from sandbox.objectstore import S3Server
from tests import servers

USERS = {"viewer": "viewer-of-the-tests", "admin": "admin-of-the-tests"}


@pytest.fixture(scope="session")
def airflow_app(airflow_db: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Airflow's own application with the plugin in it, and the login that the sandbox uses."""
    with pytest.MonkeyPatch.context() as patch:
        passwords = tmp_path_factory.mktemp("login") / "passwords.json"
        passwords.write_text(json.dumps(USERS))
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", ",".join(f"{name}:{name}" for name in USERS))
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", str(passwords))
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "of-the-tests-" * 6)
        patch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
        from airflow.api_fastapi.app import create_app, purge_cached_app

        purge_cached_app()
        yield create_app(apps="core")
        purge_cached_app()


@dataclass
class Stand:
    """A dashboard, and what it reads."""

    app: Any
    folder: Path
    dsn: Dsn
    bucket: Bucket
    patch: pytest.MonkeyPatch

    def fleet(self, *names: str, **changes: Any) -> None:
        """Write the fleet file."""
        fleet: dict[str, Any] = {
            "storage": {"connection": "t_bucket", "bucket": self.bucket.name, "prefix": self.bucket.prefix},
            "ledger": {"connection": "t_ledger"},
            "servers": [{"name": "primary"}],
            "databases": [{"name": name, "server": "primary", "connection": "t_any"} for name in names],
        }
        (self.folder / "fleet.yaml").write_text(yaml.safe_dump(fleet | changes))

    def ledger_at(self, dsn: Dsn) -> None:
        """Lead the connection there."""
        uri = {"conn_type": "postgres", "host": dsn.host, "port": dsn.port, "schema": dsn.dbname}
        self.patch.setenv("AIRFLOW_CONN_T_LEDGER", json.dumps({**uri, "login": dsn.user, "password": dsn.password}))

    def record(self, *statements: str) -> None:
        """Write into the ledger, which has its schema."""
        store._current.clear()
        with Ledger(self.dsn).session() as session:
            for statement in statements:
                execute(session, statement)

    def visitor(self, user: str | None = "viewer") -> TestClient:
        """A browser; logged in as that user."""
        client = TestClient(self.app, base_url="http://airflow.test")
        if user:
            answer = client.post("/auth/token", json={"username": user, "password": USERS[user]})
            assert answer.status_code == 201, answer.text
            client.cookies.set("_token", answer.json()["access_token"])
        return client

    def page(self, path: str = "", status: int = 200, **headers: str) -> str:
        """A page as a viewer sees it."""
        answer = self.visitor().get(f"/fleet/{path}", headers=headers)
        assert answer.status_code == status, answer.text
        return answer.text


def execute(session: Connection, statement: str, parameters: Mapping[str, Any] | None = None) -> None:
    with session.cursor() as cursor:
        cursor.execute(statement, parameters)


@pytest.fixture
def stand(
    airflow_app: Any,
    database: Dsn,
    bucket: Bucket,
    s3: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Stand:
    """A fleet of two databases whose ledger is empty: not even its schema is there."""
    monkeypatch.setenv("PGOPS_FLEET", str(tmp_path / "fleet.yaml"))
    extra = {"endpoint_url": s3.endpoint, "region_name": "us-east-1"}
    aws = {"conn_type": "aws", "login": servers.ACCESS_KEY, "password": servers.SECRET_KEY, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_T_BUCKET", json.dumps(aws))
    made = Stand(airflow_app, tmp_path, database, bucket, monkeypatch)
    made.fleet("app", "crm")
    made.ledger_at(database)
    return made


@pytest.fixture
def ask(database: Dsn) -> Callable[[str], Any]:
    """Ask the ledger's database."""

    def ask(statement: str) -> Any:
        with connect(database, "tests") as session, session.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0]

    return ask
