"""airflow_settings.yaml is read as the Astro CLI reads it, refused where it is wrong, and loaded without surprises."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pgops.errors import Refused
from sandbox import settings

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "airflow_settings.yaml"


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "settings.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def one_connection(body: str) -> str:
    return "airflow:\n  connections:\n    - " + body.replace("\n", "\n      ") + "\n"


def test_the_file_names_what_the_workflows_use():
    loaded = settings.load(FILE)
    assert {c.id for c in loaded.connections} == {
        "pg_app", "pg_app_owner", "pg_billing", "pg_crm", "pg_app_standby", "pg_drill", "pgops_ledger", "aws_backups",
        "slack_default", "pgops_privacy", "pg_app_monitor", "pg_billing_monitor", "pg_crm_monitor",
        "pg_tuner",
        "pg_primary_physical",
    }  # fmt: skip
    assert {p.name: p.slots for p in loaded.pools} == {"pg_primary": 2, "pg_staging": 1}


def test_sources_are_read_by_the_backup_and_monitor_roles_and_changed_by_deployments_alone():
    on_sources = [c for c in settings.load(FILE).connections if c.host in ("primary", "standby")]
    kinds = ("_owner", "_monitor", "_tuner", "_physical")
    assert {c.login for c in on_sources if not c.id.endswith(kinds)} == {"pgops_backup"}
    assert {c.login for c in on_sources if c.id.endswith("_physical")} == {"pgops_physical"}
    assert {c.login for c in on_sources if c.id.endswith("_tuner")} == {"pgops_tuner"}
    assert {c.login for c in on_sources if c.id.endswith("_monitor")} == {"pgops_monitor"}
    assert {c.login for c in on_sources if c.id.endswith("_owner")} == {"pgops_migrate"}


def test_every_password_of_the_file_says_that_it_is_local():
    passwords = [c.password for c in settings.load(FILE).connections if c.password]
    assert passwords
    assert all("local-only-" in p for p in passwords)


@pytest.mark.parametrize(
    ("text", "what", "where"),
    [
        (one_connection("conn_type: postgres"), "conn_id is missing", "airflow.connections[0]"),
        (one_connection("conn_id: a"), "conn_type is missing", "airflow.connections[0] (a)"),
        (one_connection("conn_id: a\nconn_type: postgres\nconn_hots: h"), "Unknown key 'conn_hots'", "(a)"),
        (one_connection("conn_id: a\nconn_type: postgres\nconn_port: 0"), "conn_port is 0", "(a)"),
        (one_connection("conn_id: a\nconn_type: postgres\nconn_port: '5432'"), "conn_port is '5432'", "(a)"),
        (one_connection("conn_id: a\nconn_type: postgres\nconn_port: true"), "conn_port is True", "(a)"),
        (one_connection("conn_id: a\nconn_type: postgres\nconn_password: 0123"), "conn_password is not text", "(a)"),
        (one_connection("conn_id: a\nconn_type: aws\nconn_extra: nonsense"), "conn_extra", "(a)"),
        (one_connection("conn_id: a\nconn_uri: postgres://h"), "conn_uri is not supported", "(a)"),
        (one_connection("conn_id: 'a b'\nconn_type: aws"), "conn_id 'a b' is no valid id", "(a b)"),
        (one_connection("conn_id: a\nconn_type: aws") + "    - conn_id: a\n      conn_type: aws\n", "twice", "[1] (a)"),
        ("airflow:\n  connections: {}\n  pool: []\n", "Unknown key 'pool'", "airflow"),
        ("airflow:\n  connections: {a: b}\n", "connections is not a list", "airflow.connections"),
        ("airflow:\n  pools:\n    - pool_name: p\n", "pool_slot is None", "airflow.pools[0] (p)"),
        ("airflow:\n  pools:\n    - pool_name: p\n      pool_slot: -1\n", "pool_slot is -1", "(p)"),
        ("airflow:\n  variables:\n    - variable_value: v\n", "variable_name is missing", "airflow.variables[0]"),
        ("airflow:\n  connections: [\n", "not YAML", "line 3"),
        ("", "the document is not a map", "settings.yaml"),
    ],
)
def test_a_mistake_is_refused_with_its_place_and_remedy(write, text, what, where):
    path = write(text)
    with pytest.raises(Refused) as refusal:
        settings.load(path)
    assert what in refusal.value.what
    assert str(path) in refusal.value.where
    assert where in refusal.value.where or where in refusal.value.what
    assert refusal.value.remedy


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(Refused, match="cannot be read"):
        settings.load(tmp_path / "none.yaml")


def test_extras_may_be_a_map_or_json_text_as_in_the_astro_cli(write):
    as_map = settings.load(write(one_connection("conn_id: a\nconn_type: aws\nconn_extra: {region_name: x}")))
    as_text = settings.load(write(one_connection('conn_id: a\nconn_type: aws\nconn_extra: \'{"region_name": "x"}\'')))
    assert as_map == as_text
    assert as_map.connections[0].extra == {"region_name": "x"}


def test_a_password_is_in_no_representation():
    loaded = settings.load(FILE)
    assert not [c.id for c in loaded.connections if c.password and c.password in repr(loaded)]


def test_the_address_book_moves_hosts_and_the_urls_of_extras():
    book = {"primary:5432": "127.0.0.1:21001", "s3:8333": "127.0.0.1:21002", "slack-inbox:8085": "127.0.0.1:21003"}
    moved = {c.id: c for c in settings.resolve(settings.load(FILE), book).connections}
    assert (moved["pg_app"].host, moved["pg_app"].port) == ("127.0.0.1", 21001)
    assert (moved["pg_drill"].host, moved["pg_drill"].port) == ("staging", 5432)
    assert moved["aws_backups"].extra["endpoint_url"] == "http://127.0.0.1:21002"
    assert moved["aws_backups"].extra["config_kwargs"] == {"s3": {"addressing_style": "path"}}
    assert moved["slack_default"].extra == {"base_url": "http://127.0.0.1:21003/api/", "timeout": 5}


def test_the_environment_stands_before_the_file():
    environ = {"PGOPS_CONN_PASSWORD_PG_APP": "theirs", "PGOPS_CONN_LOGIN_AWS_BACKUPS": "key", "UNRELATED": "x"}
    loaded = {c.id: c for c in settings.override(settings.load(FILE), environ).connections}
    assert loaded["pg_app"].password == "theirs"
    assert loaded["pg_billing"].password == "local-only-backup"
    assert loaded["aws_backups"].login == "key"


@pytest.mark.parametrize(
    "environ", [{"PGOPS_CONN_PASSWORD_PG_APQ": "x"}, {"PGOPS_CONN_LOGIN_NONE": "x"}, {"PGOPS_CONN_PASSWORD_PG_APP": ""}]
)
def test_an_override_that_would_change_nothing_is_refused(environ):
    with pytest.raises(Refused, match=f"environment: {next(iter(environ))}"):
        settings.override(settings.load(FILE), environ)


class Metadata:
    """A real Airflow metadata database, and the importer run against it as a command."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.database = home / "airflow.db"
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")]),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__FERNET_KEY": "bG9jYWwtb25seS1mZXJuZXQta2V5LTMyLWJ5dGVzISE=",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.database}",
        }

    def python(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments], env=self.environ | environ, cwd=self.home, capture_output=True, text=True
        )

    def load(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return self.python("-m", "sandbox.settings", *arguments, **environ)

    def rows(self, sql: str) -> list[tuple]:
        with sqlite3.connect(self.database) as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture(scope="module")
def metadata(tmp_path_factory):
    metadata = Metadata(tmp_path_factory.mktemp("airflow"))
    done = metadata.python("-m", "airflow", "db", "migrate")
    assert done.returncode == 0, done.stderr[-2000:]
    return metadata


CONNECTIONS = "SELECT conn_id, conn_type, host, port, schema, login FROM connection ORDER BY conn_id"
READ_BACK = """
import json, sys
from airflow.models.connection import Connection
from airflow.utils.session import create_session
from sqlalchemy import select
with create_session() as session:
    rows = session.scalars(select(Connection)).all()
    sys.stdout.write(json.dumps({r.conn_id: [r.password, r.extra_dejson] for r in rows}))
"""


@pytest.mark.slow
def test_loading_twice_is_loading_once_and_updates_what_changed(metadata, tmp_path):
    book = tmp_path / "addresses.json"
    book.write_text(json.dumps({"primary:5432": "127.0.0.1:21001"}))

    first = metadata.load("--file", str(FILE))
    assert first.returncode == 0, first.stderr[-2000:]
    assert "15 connections, 2 pools and 0 variables" in first.stdout
    after_first = metadata.rows(CONNECTIONS)
    assert ("pg_app", "postgres", "primary", 5432, "app", "pgops_backup") in after_first
    assert len(after_first) == 15

    changed = tmp_path / "settings.yaml"
    changed.write_text(
        FILE.read_text()
        .replace("pool_slot: 2", "pool_slot: 3")
        .replace("variables: []", "variables: [{variable_name: v, variable_value: {a: 1}}]")
    )
    second = metadata.load(
        "--file", str(changed), "--addresses", str(book), PGOPS_CONN_PASSWORD_PG_APP="from-the-environment"
    )
    assert second.returncode == 0, second.stderr[-2000:]
    after_second = metadata.rows(CONNECTIONS)
    assert len(after_second) == 15
    assert ("pg_app", "postgres", "127.0.0.1", 21001, "app", "pgops_backup") in after_second
    pools = metadata.rows("SELECT pool, slots FROM slot_pool WHERE pool LIKE 'pg%' ORDER BY pool")
    assert pools == [("pg_primary", 3), ("pg_staging", 1)]
    assert metadata.rows("SELECT key FROM variable") == [("v",)]

    read = json.loads(metadata.python("-c", READ_BACK).stdout.splitlines()[-1])
    assert read["pg_app"][0] == "from-the-environment"
    assert read["pg_drill"][0] == "local-only-drill"
    assert read["slack_default"][1]["base_url"] == "http://slack-inbox:8085/api/"
    stored = metadata.rows("SELECT password FROM connection WHERE conn_id = 'pg_drill'")
    assert "local-only" not in stored[0][0], "passwords are encrypted with the Fernet key"


@pytest.mark.slow
def test_a_refused_file_changes_nothing_and_is_told_in_one_line(metadata, write):
    before = metadata.rows(CONNECTIONS)
    refused = metadata.load("--file", str(write(one_connection("conn_id: new\nconn_type: aws\nconn_port: x"))))
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "conn_port is 'x'" in refused.stderr
    assert metadata.rows(CONNECTIONS) == before


@pytest.mark.parametrize("book", ["[]", "{", '{"primary": "127.0.0.1:1"}', '{"primary:5432": 21001}'])
def test_a_wrong_address_book_is_refused(tmp_path, capsys, book):
    path = tmp_path / "book.json"
    path.write_text(book)
    assert settings.main(["--file", str(FILE), "--addresses", str(path)]) == 2
    assert str(path) in capsys.readouterr().err
