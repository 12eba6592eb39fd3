"""Every check finds its fault, made for real, and is silent on a healthy server: the table at the end of the run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

import pytest

from pgops.health import Status, Target, checks, run
from pgops.ledger import Ledger
from tests import servers
from tests.health.scenes import FAULTS, Healthy, Scene, superuser

for module in sorted(servers.Path(__file__).parent.glob("faults_*.py")):
    __import__(f"tests.health.{module.stem}")

CHECKS = {check.name: check for check in checks()}


def test_every_check_has_a_fault_and_every_fault_a_check() -> None:
    assert set(FAULTS) == set(CHECKS)


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_the_fault_is_found_and_a_healthy_server_is_silent(
    name: str, healthy: Healthy, ledger: Ledger, record_property: Callable[[str, object], None]
) -> None:
    about_healthy = [one for one in healthy.report.outcomes if one.check.name == name]
    supported = CHECKS[name].query(healthy.major) is not None
    silent = bool(about_healthy) and all(
        one.status is (Status.OK if supported else Status.SKIPPED) for one in about_healthy
    )
    if not supported:
        assert silent, about_healthy
        return
    fault = FAULTS[name]
    with ExitStack() as stack:
        dsn = stack.enter_context(servers.fresh_database(healthy.primary))
        scene = Scene(
            healthy.primary,
            healthy.standby,
            dsn,
            superuser(healthy.standby, dsn.dbname),
            ledger.dsn,
            fault.lowered(CHECKS[name]),
            stack,
        )
        if fault.before is not None:
            fault.before(scene)
        scene.catch_up()
        before = run(scene.target, checks=[scene.check]).findings
        expected = stack.enter_context(fault.make(scene))
        scene.catch_up()
        finding = scene.finding(expected)
        mended = finding is not None and scene.mends(finding)
    record_property("health", [name, healthy.major, finding is not None, silent])
    assert finding is not None
    assert not [one for one in before if one.object == expected], "found before the fault was made"
    assert silent, about_healthy
    assert mended, finding.mend


def test_a_monitor_that_may_read_sees_what_a_superuser_sees(healthy: Healthy) -> None:
    healthy.primary.execute("CREATE ROLE watcher LOGIN PASSWORD 'w' IN ROLE pg_monitor, pg_read_all_data")
    healthy.standby.wait_until_caught_up()
    everything = Target("app", superuser(healthy.primary, "app"), {"s": superuser(healthy.standby, "app")})
    as_watcher = {"user": "watcher", "password": "w"}
    standbys = {name: replace(dsn, **as_watcher) for name, dsn in everything.standbys.items()}
    watched = replace(everything, dsn=replace(everything.dsn, **as_watcher), standbys=standbys)
    granted = [one for one in checks() if set(one.privileges) <= {"pg_monitor", "pg_read_all_data"}]
    try:
        seen, whole = (run(of, checks=granted).outcomes for of in (watched, everything))
    finally:
        healthy.primary.execute("DROP ROLE watcher")
    assert [(one.check.name, one.status, one.why) for one in seen] == [
        (one.check.name, one.status, one.why) for one in whole
    ]
