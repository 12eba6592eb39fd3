"""Partitioned tables to retire, and a place to do it in. As a module: advances one until it is killed.

python -m tests.partitions.retirements <facts as JSON>: the facts name the place, the oid and the step at which to die.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2

from pgops.fleet.partitions import PartitionPolicies, PartitionPolicy
from pgops.ledger import Ledger
from pgops.partitions import archive as archiving
from pgops.partitions import manifest, restore, retire, rewrite
from pgops.partitions.place import Place
from pgops.postgres import Dsn
from pgops.storage import Bucket
from tests import servers

ROOT = Path(__file__).parents[2]
POLICY = PartitionPolicy(parent="public.events", interval="month", retention="1 month", grace_days=7)
NO_GRACE = POLICY.model_copy(update={"grace_days": 0})
POLICIES = PartitionPolicies(
    connection="owner", first_lock_timeout_ms=50, last_lock_timeout_ms=200, lock_tries=3, parent_budget_seconds=5
)

EVENTS = """
CREATE TABLE public.events (
    id bigint NOT NULL, at timestamptz NOT NULL, what text, amount numeric(10,2), facts jsonb,
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE TABLE public.events_old PARTITION OF public.events
    FOR VALUES FROM ('2024-01-01 00:00:00+00') TO ('2024-02-01 00:00:00+00');
CREATE TABLE public.events_new PARTITION OF public.events
    FOR VALUES FROM ('2024-02-01 00:00:00+00') TO ('2024-03-01 00:00:00+00');
INSERT INTO public.events
SELECT n, '2024-01-01 00:00:00+00'::timestamptz + n * interval '1 minute', 'what ' || n || chr(10) || ',"', n / 3.0,
       jsonb_build_object('n', n)
  FROM generate_series(1, 1000) n;
COMMENT ON TABLE public.events_old IS 'January';
"""


def place(dsn: Dsn, bucket: Bucket, ledger: Ledger, database: str = "app") -> Place:
    return Place(database, dsn, dsn.on("postgres"), bucket, ledger, POLICIES, "test")


def run(dsn: Dsn, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(dsn.conninfo(), password=dsn.password)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def forget(ledger: Ledger) -> None:
    """The ledger is the session's: each test begins with an empty one."""
    with ledger.session() as connection, connection.cursor() as cursor:
        cursor.execute("TRUNCATE pgops.partition_states")


def oid_of(dsn: Dsn, table: str) -> int:
    ((oid,),) = run(dsn, "SELECT %s::regclass::oid::bigint", table)
    return int(oid)


def content(dsn: Dsn, table: str) -> list[tuple[Any, ...]]:
    return run(dsn, f"SELECT t::text FROM {table} t ORDER BY 1")


def later(days: float = 30) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


# --- killed at a step ---


def killed(at: Place, oid: int, step: str, call: int, after: bool) -> int:
    """Advance in a process that dies at the `call`-th call of a step; its exit code."""
    facts = {
        "source": servers.dsn_facts(at.source),
        "ledger": servers.dsn_facts(at.ledger.dsn),
        "endpoint": at.bucket.client.meta.endpoint_url,
        "bucket": at.bucket.name,
        "prefix": at.bucket.prefix,
        "database": at.database,
        "oid": oid,
        "step": step,
        "call": call,
        "after": after,
    }
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'plugins'}"}
    argv = [sys.executable, "-m", "tests.partitions.retirements", json.dumps(facts)]
    return subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, check=False).returncode


def die_at(step: str, call: int, after: bool) -> None:
    """Let this process die before or after the `call`-th time that a step is done."""
    holder, name = {
        "record": (retire, "record_partition_state"),
        "mark": (retire._Path, "mark"),
        "detach": (retire, "_execute"),
        "archive": (retire, "archive"),
        "verify": (retire, "verify"),
        "write_manifest": (archiving, "write_manifest"),
        "drop": (retire._Path, "drop_unless_changed"),
        "upload": (rewrite, "write_draft"),
        "remove": (rewrite, "remove_folder"),
        "load": (restore, "load"),
        "compare": (restore, "compare"),
        "note": (restore, "_record"),
        "attach": (restore, "with_ladder"),
    }[step]
    really, calls = getattr(holder, name), []

    def dying(*arguments: Any, **named: Any) -> Any:
        calls.append(step)
        if len(calls) == call and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = really(*arguments, **named)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(holder, name, dying)


def main(facts: dict[str, Any]) -> None:
    bucket = Bucket(servers.s3_client(facts["endpoint"]), facts["bucket"], facts["prefix"])
    at = place(Dsn(**facts["source"]), bucket, Ledger(Dsn(**facts["ledger"])), facts["database"])
    die_at(facts["step"].split()[-1], facts["call"], facts["after"])
    if facts["step"].startswith("rewrite"):
        (one,) = manifest.archives_of(bucket, at.database)
        rewrite.rewrite_archive(bucket, one, at.scratch, rewrite.RowsOf(("id",), "7"), "test")
    elif facts["step"].startswith("restore"):
        (one,) = manifest.archives_of(bucket, at.database)
        restore.restore_attached(at, one, later(3))
    else:
        retire.advance(replace(at, by="killed"), facts["oid"], NO_GRACE)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
