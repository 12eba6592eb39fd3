"""A database as it was at one moment, in words: what rollbacks and production are measured against."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from psycopg2.extensions import connection as Connection

from pgops.include import sql_text

# One query each; together they are every kind of object that a migration can make, change or leave behind.
CATALOG = (
    "schemas",
    "relations",
    "tablespaces",
    "columns",
    "column_order",
    "indexes",
    "constraints",
    "triggers",
    "policies",
    "functions",
    "sequences",
    "types",
    "owners",
    "privileges",
    "extensions",
    "publications",
    "settings",
    "roles",
    "event_triggers",
    "comments",
    "statistics",
    "foreign_servers",
    "others",
)


@dataclass(frozen=True)
class Snapshot:
    """What a database consists of. Plain texts by name, so that it travels as JSON.

    Attributes:
        server_version: as server_version_num.
        schema: pg_dump's objects, by "TYPE schema.name".
        catalog: the system catalogs' view, by "kind schema.object[.column]".
        data: fingerprints of rows, by "schema.table".
        columns: which columns of a table its fingerprint covers.
        conditions: what the schema review would say already now, by "rule object".
    """

    server_version: int = 0
    schema: Mapping[str, str] = field(default_factory=dict)
    catalog: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    conditions: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """For another machine."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Snapshot:
        """From another machine."""
        read = json.loads(text)
        read["columns"] = {table: tuple(columns) for table, columns in read["columns"].items()}
        return cls(**read)


def read_catalog(connection: Connection) -> dict[str, str]:
    """Everything that the system catalogs know, in one transaction. The session must use system names only."""
    found: dict[str, str] = {}
    with connection.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        for kind in CATALOG:
            cursor.execute(sql_text(f"migration/snapshot/{kind}.sql"))
            found.update((what, definition or "") for what, definition in cursor.fetchall())
        cursor.execute("COMMIT")
    return found
