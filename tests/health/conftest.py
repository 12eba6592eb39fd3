"""Healthy servers of each version with a standby, and the table of checks at the end of the run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pgops.health import Target, run
from pgops.ledger import Ledger
from sandbox.postgres import Standby, free_port
from tests import servers
from tests.health.scenes import CONTENTS, HEALTHY, TABLE, Healthy, record_backup, record_drill, superuser


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
        record_backup(ledger, "app", "newest")
        record_drill(ledger, "app", "newest")
        target = Target(
            "app",
            superuser(primary, "app"),
            {"standby": superuser(standby, "app")},
            ledger.dsn,
            # Without `today` a server would become unhealthy with time.
            {"disk_bytes": str(2**40), "rpo_hours": "26", "today": "2025-12-01"},
        )
        now = datetime.now(UTC)
        looks = []
        for days in (2, 1, 0):
            report = run(target, history=looks, now=now - timedelta(days=days))
            looks.append(report.snapshot)
        yield Healthy(request.param, primary, standby, report)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not TABLE:
        return
    majors = sorted({major for row in TABLE.values() for major in row})
    width = max(map(len, TABLE))
    terminalreporter.section("checks of health: fault found, healthy silent")
    terminalreporter.write_line(f"{'check':<{width}}  " + "  ".join(f"{f'PostgreSQL {major}':<17}" for major in majors))
    for check, row in sorted(TABLE.items()):
        cells = (_cell(row.get(major)) for major in majors)
        terminalreporter.write_line(f"{check:<{width}}  " + "  ".join(f"{cell:<17}" for cell in cells).rstrip())


def _cell(seen: tuple[bool, bool] | None) -> str:
    if seen is None:
        return "not tried"
    found, silent = seen
    return f"{'found' if found else 'NOT FOUND'}, {'silent' if silent else 'NOISY'}"
