"""A site whose server archives its WAL with the tests' plain engine, and may be recovered."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2

from pgops.operators import resources
from pgops.operators.recovery import ApproveRecoveryOperator
from pgops.physical.state import Place
from sandbox.postgres import PostgresServer
from tests import servers
from tests.dags.conftest import Site
from tests.physical.recovery.sources import CONTENT, Source, archiving_source, backed_up, run_as

READER = {"login": "pgops_backup", "password": "of-the-tests-reader"}


@contextmanager
def recoverable_source() -> Iterator[Source]:
    """A server with a base backup, and the roles of the site's connections."""
    with archiving_source(servers.MAJORS[0]) as source:
        admit(source.server)
        backed_up(source)
        yield source


def admit(server: PostgresServer) -> None:
    """The roles of the site's connections."""
    server.execute("alter role postgres password 'of-the-tests-superuser'")
    server.password = "of-the-tests-superuser"
    server.execute("create role pgops_backup login password 'of-the-tests-reader'")
    server.execute("grant pg_read_all_data to pgops_backup")


def lead_to(site: Site, source: Source, **policy: Any) -> None:
    """The site's first database is on that server, which the tests' plain engine archives."""
    connect(site, source.server)
    site.monkeypatch.setattr(resources, "engine", lambda settings, found: source.engine)
    site.monkeypatch.setattr(resources, "physical_host", lambda found: source.place.host)
    recovered_at(site, source.place, source.server, **policy)


def connect(site: Site, server: PostgresServer) -> None:
    """Lead the site's connections to a server."""
    superuser = {"host": "127.0.0.1", "port": server.port, "login": "postgres", "password": server.password}
    site.connect("pg_app_owner", **superuser, schema="postgres")
    site.connect("pg_app", **superuser | READER, schema="postgres")


def recovered_at(
    site: Site, place: Place, server: PostgresServer, engine: str = "barman", key: str = "", **policy: Any
) -> None:
    """A fleet file with that one database, whose server is recovered in that place; `key` names the archive's."""

    def physical(fleet: dict[str, Any]) -> None:
        fleet["servers"][0]["physical"] = {
            "engine": engine,
            "connection": "pg_app_owner",
            "host": "local",
            **({"encryption_connection": key} if key else {}),
            "recovery": {
                "connection": "pg_app_owner",
                "directory": str(place.base),
                "ports": list(place.ports),
                "programs": str(place.bindir),
                "run_as": list(run_as(server.identity)),
                "in_place": {"approvers": ["op"]},
                "patience_minutes": 0,
                **policy,
            },
        }
        fleet["databases"] = fleet["databases"][:1]
        fleet["databases"][0]["drill"]["canaries"] = [
            {"name": "items are there", "sql": "SELECT count(*) > 0 FROM items", "expect": True}
        ]

    site.fleet(physical)


def destroyed(server: PostgresServer) -> tuple[str, str]:
    """A destructive statement; the instant before it, and the content then."""
    server.execute(
        "drop table if exists items; create table items (id int primary key, word text);"
        " insert into items select n, 'kept' from generate_series(1, 3000) n"
    )
    time.sleep(0.002)
    [(at,)] = server.execute("select clock_timestamp()")
    time.sleep(0.002)
    [(content,)] = server.execute(CONTENT)
    server.execute("delete from items where id < 1000; insert into items values (70000, 'too late')")
    return at.isoformat(), str(content)


def asked(address: str, question: str = CONTENT) -> tuple[Any, ...]:
    """What a copy answers to somebody who was let in."""
    reach = {"host": "127.0.0.1", "port": int(address.rpartition(":")[2]), "dbname": "postgres"}
    connection = psycopg2.connect(**reach, user=READER["login"], password=READER["password"])
    with closing(connection), connection.cursor() as cursor:
        cursor.execute(question)
        return tuple(cursor.fetchone())


def answer_approvals(site: Site, approver: str = "op") -> list[str]:
    """Approve what is asked for at once; return the questions as they come."""
    asked: list[str] = []
    ask = ApproveRecoveryOperator.execute

    def answered(task: ApproveRecoveryOperator, context: Any) -> Any:
        if context["params"]["mode"] != "in_place":
            return ask(task, context)
        asked.append(task.question(context, ""))
        return {"approved_by": approver, "at": "now"}

    site.monkeypatch.setattr(ApproveRecoveryOperator, "execute", answered)
    return asked
