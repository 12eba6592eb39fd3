"""The review of a migrated schema: what a person would ask before letting it into production.

Only what the migration brought is a finding: a snapshot holds what the same questions found before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from pgops.fleet.migrations import MigrationPolicy
from pgops.include import query, sql_text
from pgops.migration.model import Finding, Level
from pgops.migration.proof.snapshot import Snapshot
from pgops.postgres import Dsn, Limits, connect

APPLICATION = "pgops.migration.proof.review"

WRITES_FAIL = "writes-fail"
# A rule is a query of include/sql/migration/review/ that returns object, message and remedy; the last one is asked by
# writing.
RULES: dict[str, Level] = {
    "invalid-index": "error",
    "unvalidated-constraint": "error",
    "foreign-key-without-index": "warning",
    "cascade-fan-out": "warning",
    "big-table-not-partitioned": "warning",
    "no-audit-trail": "warning",
    "retention-undefined": "warning",
    "redundant-index": "warning",
    "timestamp-without-time-zone": "warning",
    "small-key": "warning",
    "nullable-created-at": "warning",
    "missing-primary-key": "warning",
    WRITES_FAIL: "error",
}


@dataclass(frozen=True)
class Condition:
    """What one rule found of one object, whoever brought it."""

    rule: str
    where: str
    message: str
    remedy: str


def conditions(connection: Connection, big_table_mb: int) -> list[Condition]:
    """Everything that any rule finds. The session must use system names only."""
    found = []
    with connection.cursor() as cursor:
        for rule in (one for one in RULES if one != WRITES_FAIL):
            name = f"migration/review/{rule}.sql"
            parts = {"big_table_mb": sql.Literal(big_table_mb)} if rule == "big-table-not-partitioned" else {}
            cursor.execute(query(name, **parts) if parts else sql_text(name))
            found += [Condition(rule, *row) for row in sorted(cursor.fetchall())]
    return found


def failing_writes(before: Mapping[str, str], after: Mapping[str, str], policy: MigrationPolicy) -> list[Finding]:
    """Tables that took a write before the migration and take none after it; both by table, in the server's words."""
    level = policy.rules.get(WRITES_FAIL, RULES[WRITES_FAIL])
    if level == "off":
        return []
    return [
        Finding(
            WRITES_FAIL,
            level,
            table,
            0,
            f"Before it a row could be written as it is, after it that fails: {words}.",
            "Mend the trigger, rule or constraint that it brought: as it is the application's writes fail",
        )
        for table, words in after.items()
        if table not in before
    ]


def review(dsn: Dsn, before: Snapshot, policy: MigrationPolicy) -> list[Finding]:
    """What the migration brought into the schema and should not have, errors first.

    Args:
        dsn: the migrated copy.
        before: taken before the migration; what it shows already is not blamed on the migration.
        policy: levels of rules, and from which size on a table is big.
    """
    with connect(dsn, APPLICATION, Limits(statement=600), readonly=True, system_names=True) as connection:
        found = conditions(connection, policy.big_table_mb)
    findings = []
    for one in found:
        level = policy.rules.get(one.rule, RULES[one.rule])
        if level != "off" and f"{one.rule} {one.where}" not in before.conditions:
            findings.append(Finding(one.rule, level, one.where, 0, one.message, one.remedy))
    return sorted(findings, key=lambda finding: (finding.level, finding.rule, finding.where))
