"""A site whose server archives its WAL with the tests' plain engine, and may be recovered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pgops.operators import resources
from pgops.operators.recovery import ApproveRecoveryOperator
from tests import servers
from tests.dags.conftest import Site
from tests.physical.recovery.sources import Source, archiving_source, run_as


@contextmanager
def recoverable_site(site: Site, **policy: Any) -> Iterator[Source]:
    """The site's first database on a server of its own that is archived."""
    with archiving_source(servers.MAJORS[0]) as source:
        server = source.server
        server.execute("alter role postgres password 'of-the-tests-superuser'")
        server.password = "of-the-tests-superuser"
        superuser = {"host": "127.0.0.1", "port": server.port, "login": "postgres", "password": server.password}
        server.execute(
            "create role pgops_backup login password 'of-the-tests-reader'; grant pg_read_all_data to pgops_backup"
        )
        site.connect("pg_app_owner", **superuser, schema="postgres")
        site.connect(
            "pg_app", **superuser | {"login": "pgops_backup", "password": "of-the-tests-reader"}, schema="postgres"
        )
        site.monkeypatch.setattr(resources, "engine", lambda settings, found: source.engine)
        site.monkeypatch.setattr(resources, "physical_host", lambda found: source.place.host)

        def physical(fleet: dict[str, Any]) -> None:
            fleet["servers"][0]["physical"] = {
                "connection": "pg_app_owner",
                "host": "local",
                "recovery": {
                    "connection": "pg_app_owner",
                    "directory": str(source.place.base),
                    "ports": list(source.place.ports),
                    "programs": str(source.place.bindir),
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
        yield source


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
