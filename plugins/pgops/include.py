"""Where the project's files lie: include/ with the fleet file and one SQL query per file."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from psycopg2 import sql


def include_folder() -> Path:
    """The include/ folder: $PGOPS_INCLUDE, else the one beside plugins/."""
    configured = os.environ.get("PGOPS_INCLUDE")
    return Path(configured) if configured else Path(__file__).resolve().parents[2] / "include"


@cache
def sql_text(name: str) -> str:
    """The text of include/sql/<name>, such as "fingerprint/tables.sql"."""
    return (include_folder() / "sql" / name).read_text(encoding="utf-8")


def query(name: str, **parts: sql.Composable) -> sql.Composed:
    """A query file with its {placeholders} filled by composed identifiers and literals."""
    return sql.SQL(sql_text(name)).format(**parts)
