"""The dashboard's part of `./dev bench health`: how long its first byte takes, and what parsing a DAG file costs."""

from __future__ import annotations

from pathlib import Path

from pgops.ledger import Ledger
from pgops.postgres import Dsn, Limits, connect

_HISTORY = Path(__file__).with_name("history.sql")


def fill(ledger: Dsn, databases: int, days: int) -> None:
    """Write the history of so many databases, db_000 and on, into an empty ledger."""
    Ledger(ledger).rows("has_version")  # which makes its schema
    with connect(ledger, "pgops.bench", Limits(statement=0)) as session, session.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('bench.databases', %s, false), set_config('bench.days', %s, false)",
            (str(databases), str(days)),
        )
        cursor.execute(_HISTORY.read_text(encoding="utf-8"))
