"""Databases that this project makes and drops on servers that hold nothing but copies."""

from __future__ import annotations

from typing import Any

from psycopg2 import sql

from pgops.include import query, sql_text


def create_database(cursor: Any, dbname: str, encoding: str) -> None:
    """An empty database, as template1 is; from template0 where that has another encoding.

    Args:
        cursor: of the maintenance database, in autocommit mode; rows may be tuples or mappings.
    """
    cursor.execute(sql_text("postgres/template_encoding.sql"))
    row = cursor.fetchone()
    default = row["encoding"] if isinstance(row, dict) else row[0]
    template: sql.Composable = sql.SQL("")
    if default != encoding:
        template = sql.SQL("TEMPLATE template0 ENCODING {} LOCALE 'C'").format(sql.Literal(encoding))
    cursor.execute(query("postgres/create_database.sql", database=sql.Identifier(dbname), template=template))


def drop_database(cursor: Any, dbname: str) -> None:
    """Drop a database with whoever is on it; harmless when it is gone."""
    cursor.execute(query("postgres/drop_database.sql", database=sql.Identifier(dbname)))
