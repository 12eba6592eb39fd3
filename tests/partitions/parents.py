"""Partitioned tables to plan for, and what tests of them ask."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import psycopg2

from pgops.fleet.partitions import PartitionPolicies
from pgops.partitions import Created, ParentPlan, Plan, create, plan
from pgops.partitions.bounds import text
from pgops.postgres import Dsn

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)


def run(dsn: Dsn, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements in autocommit; the rows of the last."""
    with closing(connected(dsn)) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def connected(dsn: Dsn) -> Any:
    """A session in autocommit, as an application has one."""
    connection = psycopg2.connect(dsn.conninfo(), password=dsn.password)
    connection.autocommit = True
    return connection


def policies(*tables: dict[str, Any], **more: Any) -> PartitionPolicies:
    """Policies of a database; a table's interval is a month."""
    listed = [{"parent": "public.events", "interval": "month"} | table for table in tables]
    return PartitionPolicies.model_validate({"connection": "app", "tables": listed} | more)


def planned(dsn: Dsn, policies_: PartitionPolicies, now: datetime = NOW, parent: str = "public.events") -> ParentPlan:
    """The plan of one parent."""
    (only,) = plan(dsn, policies_, now, only=parent).parents
    return only


def made(dsn: Dsn, policies_: PartitionPolicies, now: datetime = NOW, parent: str = "public.events") -> Created:
    """Plan and create for one parent."""
    return create(dsn, planned(dsn, policies_, now, parent), policies_, now=now)


def news(plan_: ParentPlan) -> list[tuple[str, str, str]]:
    """Name and range of what is to be created, as people read them."""
    return [(new.name, text(new.range.lower), text(new.range.upper)) for new in plan_.create]


def edges(plan_: ParentPlan) -> list[str]:
    """The lower bounds of what is to be created, and the last upper one."""
    ranges = [new.range for new in plan_.create]
    return [text(one.lower) for one in ranges] + [text(ranges[-1].upper)] if ranges else []


def findings(plan_: ParentPlan | Plan) -> str:
    """All findings in one text."""
    return "\n".join(one.what for one in plan_.findings)


def partitions(dsn: Dsn, parent: str = "events") -> dict[str, str]:
    """Bounds by the partition's name, as the catalog has them."""
    return dict(
        run(
            dsn,
            "SET TimeZone = 'UTC'",
            "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid)"
            " FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            f" WHERE i.inhparent = '{parent}'::regclass ORDER BY 1",
        )
    )
