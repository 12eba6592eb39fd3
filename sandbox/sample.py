"""Sample data for the sandbox: three databases of a small business, the same bytes at every run.

`scale` 1 is a few megabytes; size grows linearly. Everything random is md5 of a row's number.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psycopg2
from psycopg2 import sql

from sandbox.postgres import PostgresServer

SCRIPTS = {
    "app": ("init-db.sql", "seed-data.sql"),
    "billing": ("billing.sql",),
    "crm": ("crm.sql",),
}
DATABASES = tuple(SCRIPTS)
_FOLDER = Path(__file__).parent / "sql"

# What a script reads with current_setting(). The data's clock stands still: now() would make every run different.
ROWS_AT_SCALE_1 = {"sample.users": 2_000, "sample.invoices": 5_000, "sample.contacts": 1_000}
TODAY = "2026-02-15 12:00:00+00"


def load(server: PostgresServer, scale: float) -> list[str]:
    """Create and fill the sample databases that are missing or empty; return the names of those that it filled.

    What is there stays as it is: somebody may have changed it on purpose.
    """
    return [name for name in DATABASES if _fill(server, name, scale)]


def _fill(server: PostgresServer, name: str, scale: float) -> bool:
    if not server.execute(f"select 1 from pg_database where datname = '{name}'"):
        server.execute(f'create database "{name}"')
    with closing(psycopg2.connect(server.dsn(name))) as connection:
        with connection, connection.cursor() as cursor:
            # The comment commits together with the data: a killed load leaves neither.
            cursor.execute("select shobj_description(oid, 'pg_database') from pg_database where datname = %s", [name])
            if cursor.fetchone() != (None,):
                return False
            for setting, rows in ROWS_AT_SCALE_1.items():
                cursor.execute("select set_config(%s, %s, true)", [setting, str(max(1, int(rows * scale)))])
            cursor.execute("select set_config('sample.today', %s, true)", [TODAY])
            for script in SCRIPTS[name]:
                cursor.execute((_FOLDER / script).read_text(encoding="utf-8"))
            note = sql.Literal(f"sample data, scale {scale:g}")
            cursor.execute(sql.SQL("comment on database {} is {}").format(sql.Identifier(name), note))
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("vacuum analyze")
    return True
