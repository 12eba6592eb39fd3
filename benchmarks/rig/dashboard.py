"""The dashboard's part of `./dev bench health`: how long its first byte takes, and what parsing a DAG file costs.

The pages come from Airflow's own API server, with its login. Each is asked in turns with a file of the same server that
needs no work, so that a busy machine shows in both.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from benchmarks.rig.ground import BUCKET, Ground
from benchmarks.rig.measure import print_header, print_row
from pgops.errors import PgOpsError
from pgops.ledger import Ledger
from pgops.postgres import Dsn, Limits, connect
from sandbox.postgres import free_port

PROJECT = Path(__file__).parents[2]
DATABASES, DAYS, TURNS = 500, 365, 20
GOAL_MS, PARSE_GOAL_S = 300, 0.3
_HISTORY = Path(__file__).with_name("history.sql")
_START_SECONDS = 120
_USER, _TRIVIAL, _FLEET = "admin", "/fleet/static/fleet.js", "/fleet/"
_SERVE = """
import sys
from airflow.utils import db
db.initdb()
import uvicorn
from airflow.api_fastapi.app import create_app
uvicorn.run(create_app(apps="core"), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
"""
_PARSE = """
import json, sys, time
import airflow, airflow.sdk
from airflow.dag_processing.dagbag import DagBag
DagBag("/dev/null")
begun = time.process_time()
bag = DagBag(sys.argv[1])
print(json.dumps({"seconds": time.process_time() - begun, "dags": len(bag.dags), "errors": bag.import_errors}))
"""


def fill(ledger: Dsn, databases: int, days: int) -> None:
    """Write the history of so many databases, db_000 and on, into an empty ledger."""
    Ledger(ledger).rows("has_version")  # which makes its schema
    with connect(ledger, "pgops.bench", Limits(statement=0)) as session, session.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('bench.databases', %s, false), set_config('bench.days', %s, false)",
            (str(databases), str(days)),
        )
        cursor.execute(_HISTORY.read_text(encoding="utf-8"))


def measure(place: Ground) -> dict[str, float]:
    """Fill a ledger on the ground's server, ask for pages, parse every DAG file; print, and return the figures."""
    place.server.execute("create database ledger")
    ledger = Dsn("127.0.0.1", place.server.port, "ledger", "postgres", place.server.password)
    fill(ledger, DATABASES, DAYS)
    with _api_server(place, ledger) as (port, environment):
        pages = (_FLEET, "/fleet/database/db_001", "/fleet/metrics", _TRIVIAL)
        measured = _in_turns(port, environment["PGOPS_BENCH_PASSWORD"], pages)
        parsed = {file.stem: _parse_seconds(file, environment) for file in sorted((PROJECT / "dags").glob("*.py"))}
    print_header("first byte, ms")
    for page, seconds in measured.items():
        print_row(page, [one * 1000 for one in seconds], f"   goal {GOAL_MS}" if page == _FLEET else "")
    print(f"\n{'parsing beyond importing Airflow':<34}{'CPU s':>8}")
    for name, spent in parsed.items():
        print(f"{name:<34}{spent:8.2f}")
    return {
        "dashboard_first_byte_ms": round(statistics.median(measured[_FLEET]) * 1000, 1),
        "trivial_first_byte_ms": round(statistics.median(measured[_TRIVIAL]) * 1000, 1),
        "dag_parse_cpu_s_max": round(max(parsed.values()), 3),
    }


@contextmanager
def _api_server(place: Ground, ledger: Dsn) -> Iterator[tuple[int, dict[str, str]]]:
    """Airflow's API server, with a fleet file for the ledger's databases; its port, and its environment."""
    port, password, home = free_port(), secrets.token_hex(12), place.folder / "airflow"
    home.mkdir()
    (home / "passwords.json").write_text(json.dumps({_USER: password}))
    names = [f"db_{number:03d}" for number in range(DATABASES)]
    fleet = {
        "storage": {"connection": "bench_bucket", "bucket": BUCKET},
        "ledger": {"connection": "bench_ledger"},
        "servers": [{"name": "primary"}],
        "databases": [{"name": name, "server": "primary", "connection": "bench_ledger"} for name in names],
    }
    (home / "fleet.yaml").write_text(yaml.safe_dump(fleet))
    address = {"conn_type": "postgres", "host": ledger.host, "port": ledger.port, "schema": ledger.dbname}
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "PGOPS"))},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{_USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW_CONN_BENCH_LEDGER": json.dumps({**address, "login": ledger.user, "password": ledger.password}),
        "_AIRFLOW_PROCESS_CONTEXT": "server",
        "PYTHONPATH": str(PROJECT / "plugins"),
        "PGOPS_FLEET": str(home / "fleet.yaml"),
        "PGOPS_BENCH_PASSWORD": password,
    }
    with (home / "log").open("wb") as log:
        command = [sys.executable, "-c", _SERVE, str(port)]
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_until_served(server, port, home / "log")
        yield port, environment
    finally:
        server.terminate()
        server.wait()


def _wait_until_served(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            _first_byte(port, _TRIVIAL, {})
            return
        except OSError:
            time.sleep(0.2)
    said = log.read_text(errors="replace").strip()[-500:]
    raise PgOpsError("Airflow's API server does not start", where=str(log), remedy=f"It said: {said}")


def _in_turns(port: int, password: str, pages: tuple[str, ...]) -> dict[str, list[float]]:
    """Seconds until the first byte; the first round, which loads what the pages need, does not count."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    body = json.dumps({"username": _USER, "password": password})
    connection.request("POST", "/auth/token", body, {"Content-Type": "application/json"})
    token = json.loads(connection.getresponse().read())["access_token"]
    connection.close()
    rounds = [
        {page: _first_byte(port, page, {"Authorization": f"Bearer {token}"}) for page in pages}
        for _ in range(TURNS + 1)
    ]
    return {page: [one[page] for one in rounds[1:]] for page in pages}


def _first_byte(port: int, page: str, headers: dict[str, str]) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    begun = time.monotonic()
    connection.request("GET", page, headers=headers)
    answer = connection.getresponse()
    seconds = time.monotonic() - begun
    text = answer.read()
    connection.close()
    if answer.status != 200:
        raise PgOpsError(f"{page} answers {answer.status}", where=f"port {port}", remedy=f"It said: {text[:300]!r}")
    return seconds


def _parse_seconds(file: Path, environment: dict[str, str]) -> float:
    """CPU of one file in a fresh process, with Airflow imported before."""
    done = subprocess.run(
        [sys.executable, "-c", _PARSE, str(file)], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    read = json.loads(done.stdout.splitlines()[-1])
    if read["errors"] or not read["dags"]:
        raise PgOpsError(f"{file.name} has no DAG", where=str(file), remedy=f"It said: {read['errors']}")
    return float(read["seconds"])
