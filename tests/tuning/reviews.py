"""What the tests of configuration reviews share."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pgops.ledger import Ledger
from pgops.postgres import Dsn
from pgops.storage import Bucket
from pgops.tuning import records
from pgops.tuning.apply import Applied, apply
from pgops.tuning.facts import read_facts
from pgops.tuning.model import Facts, Machine, Plan, Verdict
from pgops.tuning.review import Desk, Reviewed, Target, plan_reverse, review
from sandbox.postgres import PostgresServer
from tests.servers import eventually

GB = 1024**3


def machine(**changes: Any) -> Machine:
    """A machine for everyday use."""
    usual = Machine(memory=16 * GB, cpus=4, disk=200 * GB, connections=80, workload="oltp")
    return replace(usual, **changes)


@dataclass
class Stand:
    """A server, its machine, and where a review is kept."""

    server: PostgresServer
    dsn: Dsn
    ledger: Ledger
    bucket: Bucket
    machine: Machine

    @property
    def major(self) -> int:
        return self.server.binaries.major

    @property
    def name(self) -> str:
        """Of the server in the fleet: one for each port, since they share a ledger."""
        return f"server-{self.server.port}"

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """As superuser; each by itself, for ALTER SYSTEM stands in no transaction."""
        rows: list[tuple[Any, ...]] = []
        for statement in statements:
            rows = self.server.execute(statement)
        return rows

    def facts(self, **changes: Any) -> Facts:
        return read_facts(self.dsn, replace(self.machine, **changes), {})

    def look(self, only: tuple[str, ...] = (), standbys: Mapping[str, Dsn] | None = None, **changes: Any) -> Reviewed:
        """A review."""
        target = Target(self.name, self.dsn, replace(self.machine, **changes), standbys or {}, effect_hours=0)
        return review(self.desk(), target, f"plan-{secrets.token_hex(6)}", only)

    def desk(self) -> Desk:
        return Desk(self.ledger, self.bucket, f"run-{secrets.token_hex(6)}")

    def planned(self, *only: str, **changes: Any) -> Plan:
        """An approved plan."""
        return self.approved(self.look(only, **changes).plan)

    def approved(self, plan: Plan) -> Plan:
        records.record_plan(self.ledger, plan, "a run", "ann")
        records.approve(self.ledger, plan.id, "bob")
        return records.approved_plan(self.ledger, plan.id)

    def apply(self, plan: Plan, dsn: Dsn | None = None) -> Applied:
        return apply(dsn or self.dsn, plan, self.ledger, datetime.now(UTC))

    def planned_reverse(self, plan: Plan) -> Plan:
        """The approved plan that takes one back."""
        target = Target(self.name, self.dsn, self.machine)
        return self.approved(plan_reverse(self.desk(), target, plan.id, f"plan-{secrets.token_hex(6)}").plan)

    def value(self, name: str) -> str:
        return str(self.execute(f"SHOW {name}")[0][0])

    def eventually_has(self, name: str, value: str) -> bool:
        """A reload is asked for, and comes."""
        return eventually(lambda: self.value(name) == value)

    def auto_conf(self) -> list[str]:
        """The lines of postgresql.auto.conf."""
        lines = Path(self.server.data / "postgresql.auto.conf").read_text(encoding="utf-8").splitlines()
        return [line for line in lines if not line.startswith("#")]

    def states(self, plan: Plan) -> dict[str, str]:
        """What the ledger says of a plan's settings."""
        return {row["setting"]: row["state"] for row in records.changes(self.ledger, plan.id)}

    def restore(self) -> None:
        """Take back what a test did."""
        self.execute(
            "ALTER SYSTEM RESET ALL",
            "SELECT pg_reload_conf()",
            "ALTER ROLE pgops_tuner RESET ALL",
            "ALTER ROLE ALL RESET ALL",
        )
        assert eventually(
            lambda: self.execute("SELECT count(*) FROM pg_settings WHERE sourcefile ~ 'auto.conf'")[0][0] == 0
        )


def verdict(found: Reviewed | tuple[Verdict, ...], name: str) -> Verdict:
    verdicts = found.verdicts if isinstance(found, Reviewed) else found
    return next(one for one in verdicts if one.setting == name)
