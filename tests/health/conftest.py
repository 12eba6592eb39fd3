"""Healthy servers of each version with a standby."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from pgops.health import Target, run
from pgops.ledger import Ledger
from sandbox.postgres import Standby, free_port
from tests import servers
from tests.health.scenes import CONTENTS, FACTS, HEALTHY, Healthy, record_backup, record_drill, superuser


@pytest.fixture(scope="session", params=servers.MAJORS)
def healthy(request: pytest.FixtureRequest, ledger: Ledger) -> Iterator[Healthy]:
    with ExitStack() as stack:
        primary = stack.enter_context(servers.running_postgres(request.param, **HEALTHY))
        folder = stack.enter_context(servers.memory_folder("standby"))
        standby = Standby("standby", primary, folder / "standby", free_port(), {"hot_standby_feedback": "off"})
        stack.callback(standby.destroy)
        standby.create()
        standby.start()
        primary.execute("CREATE DATABASE app TEMPLATE template0")
        for statement in CONTENTS.split(";\n"):
            if statement.strip():
                primary.execute(statement, "app")
        standby.wait_until_caught_up()
        record_backup(ledger, "healthy", "newest")
        record_drill(ledger, "healthy", "newest")
        target = Target(
            "healthy",  # the ledger is shared: other tests back up an "app"
            superuser(primary, "app"),
            {"standby": superuser(standby, "app")},
            ledger.dsn,
            FACTS,
        )
        now = datetime.now(UTC)
        looks = []
        for days in (2, 1, 0):
            report = run(target, history=looks, now=now - timedelta(days=days))
            looks.append(report.snapshot)
        yield Healthy(request.param, primary, standby, report)
