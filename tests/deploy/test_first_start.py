"""The scripts that fill the servers of docker-compose.yaml do so on real ones."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from pgops.errors import PgOpsError
from sandbox import settings
from sandbox.postgres import PostgresServer, free_port, pick

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "sandbox" / "compose"
PASSWORDS = {
    "PGOPS_BACKUP_PASSWORD": "the backup's",
    "PGOPS_DRILL_PASSWORD": "the drill's",
    "PGOPS_MIGRATE_PASSWORD": "the deployments'",
    "PGOPS_MONITOR_PASSWORD": "the monitor's",
    "PGOPS_PHYSICAL_PASSWORD": "the physical's",
    "PGOPS_LEDGER_PASSWORD": "the ledger's",
    "REPLICATION_PASSWORD": "the standby's",
    "AIRFLOW_DATABASE_PASSWORD": "Airflow's",
}


def fifteen():
    try:
        return pick(15)
    except PgOpsError:
        return None


pytestmark = pytest.mark.skipif(fifteen() is None, reason="docker-compose.yaml runs PostgreSQL 15, which is not here")


def environment(server: PostgresServer, **extra: str) -> dict[str, str]:
    return {
        "PATH": f"{server.binaries.bindir}:{os.environ['PATH']}",
        "PROJECT": str(ROOT),
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port),
        "PGPASSWORD": server.password,
        "PGDATA": str(server.data),
        **PASSWORDS,
        **extra,
    }


@pytest.fixture(scope="module", params=["primary", "staging", "operations"])
def filled(request, tmp_path_factory):
    made = PostgresServer(
        f"compose-{request.param}",
        pick(15),
        tmp_path_factory.mktemp(request.param),
        free_port(),
        "the superuser's",
        {"log_statement": "all", "shared_preload_libraries": "pg_stat_statements"},
    )
    try:
        made.create()
        made.start()
        done = subprocess.run(
            ["bash", str(COMPOSE / "first-start.sh")],
            env=environment(made, PGOPS_SERVER=request.param),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        yield request.param, made
    finally:
        made.destroy()


def test_every_connection_of_this_server_works(filled):
    name, server = filled
    ours = [c for c in settings.load(ROOT / "airflow_settings.yaml").connections if c.host == name]
    assert ours
    for connection in ours:
        password = PASSWORDS[f"{connection.login.upper()}_PASSWORD"]
        with closing(psycopg2.connect(server.dsn(connection.schema, connection.login, password))) as opened:
            opened.cursor().execute("SELECT 1")


def test_no_password_is_in_the_servers_log(filled):
    _, server = filled
    log = server.log.read_text()
    assert not [value for value in PASSWORDS.values() if value.replace("'", "''") in log or value in log]


def test_the_primary_holds_the_sample_fleet_and_lets_a_standby_follow(filled, tmp_path):
    name, server = filled
    if name != "primary":
        pytest.skip("for the primary")
    assert server.execute("SELECT count(*) FROM users", "app")[0][0] > 0
    assert server.execute("SELECT count(*) FROM orders", "app")[0][0] > 0
    assert server.execute("SELECT count(*) FROM pg_extension WHERE extname = 'pg_stat_statements'", "app") == [(1,)]
    server.execute("SELECT pg_reload_conf()")  # the image restarts the server after its scripts

    # What standby.sh hands over to: here it only tells that it was reached.
    entrypoint = tmp_path / "bin" / "docker-entrypoint.sh"
    entrypoint.parent.mkdir()
    entrypoint.write_text('#!/bin/bash\necho "entrypoint $*"\n')
    entrypoint.chmod(entrypoint.stat().st_mode | stat.S_IXUSR)
    data = tmp_path / "standby"
    data.with_suffix(".new").mkdir()
    (data.with_suffix(".new") / "left over from a clone that was interrupted").touch()
    environ = environment(server, PRIMARY_HOST="127.0.0.1", PGDATA=str(data), PGPASSWORD="the standby's")
    environ["PATH"] = f"{entrypoint.parent}:{environ['PATH']}"
    for _ in range(2):  # the second start clones nothing
        done = subprocess.run(
            ["bash", str(COMPOSE / "standby.sh"), "-chot_standby_feedback=on"],
            env=environ,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == "entrypoint postgres -chot_standby_feedback=on\n"
    assert (data / "standby.signal").exists()
    assert "primary_slot_name = 'standby'" in (data / "postgresql.auto.conf").read_text()
    shutil.rmtree(data)


def test_the_sample_data_gets_every_setting_that_it_reads():
    read = set()
    for script in (ROOT / "sandbox" / "sql").glob("*.sql"):
        read |= set(re.findall(r"current_setting\('(sample\.\w+)'\)", script.read_text()))
    assert read
    given = set(re.findall(r"-c (sample\.\w+)=", (COMPOSE / "first-start.sh").read_text()))
    assert read <= given


def test_an_unknown_server_is_refused():
    done = subprocess.run(
        ["bash", str(COMPOSE / "first-start.sh")],
        env={"PATH": os.environ["PATH"], "PGOPS_SERVER": "primry"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "primry" in done.stderr
