"""A database's whole night, as a test drives it: dump, verify, commit, prune."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pgops.backup import Committed, Dump, Pruned, Verified, commit, dump, preflight, prune, sources, verify
from pgops.catalog import Catalog
from pgops.fleet import BackupPolicy, Retention
from pgops.ledger import Lease, Ledger
from pgops.postgres import Dsn, Limits, connect
from pgops.storage import Bucket


@dataclass
class Night:
    """Everything a night needs. `owner` is who runs it: another run has another one."""

    dsn: Dsn
    bucket: Bucket
    ledger: Ledger
    policy: BackupPolicy = field(default_factory=BackupPolicy)
    standby: Dsn | None = None
    name: str = "app"
    owner: str = field(default_factory=lambda: f"run-{secrets.token_hex(4)}")
    lease_seconds: float = 120.0

    @property
    def catalog(self) -> Catalog:
        return Catalog(self.bucket, self.name)

    @property
    def lease(self) -> Lease:
        return Lease(self.ledger, f"backup/{self.bucket.name}/{self.name}", self.owner, self.lease_seconds)

    def preflight(self):
        found, notes = sources(self.dsn, self.standby, self.policy)
        return preflight(self.name, found, notes, self.bucket, self.lease)

    def dump(self) -> Dump:
        found, notes = sources(self.dsn, self.standby, self.policy)
        checked = preflight(self.name, found, notes, self.bucket, self.lease)
        return dump(self.name, found, checked.notes, self.policy, self.catalog, self.lease)

    def verify(self, backup_id: str) -> Verified:
        return verify(self.catalog, backup_id, self.lease)

    def commit(self, verified: Verified) -> Committed:
        return commit(self.catalog, verified, self.ledger, self.lease)

    def backup(self) -> Committed:
        """Dump, verify and commit."""
        return self.commit(self.verify(self.dump().backup_id))

    def prune(self, tonight: str, retention: Retention, now: datetime | None = None, dry_run: bool = False) -> Pruned:
        return prune(
            self.catalog, retention, self.ledger, self.lease, now or datetime.now(UTC), tonight=tonight, dry_run=dry_run
        )

    def stored(self) -> list[str]:
        """Everything in the bucket."""
        return [info.key for info in self.bucket.objects("")]

    def incomplete(self) -> list[str]:
        """Objects of backups that have no manifest. (An empty folder is rclone's way to remember an aborted upload.)"""
        complete = set(self.catalog.backups())
        prefix = self.bucket.key(self.name) + "/"
        return [key for key in self.stored() if key.startswith(prefix) and key.split("/")[-2] not in complete]

    def sessions(self) -> list[tuple]:
        """This project's sessions on the database, and the advisory locks there."""
        with connect(self.dsn.on("postgres"), "watcher", Limits()) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT application_name, query FROM pg_stat_activity"
                " WHERE datname = %(name)s AND application_name LIKE 'pgops.%%' AND pid <> pg_backend_pid()"
                " UNION ALL SELECT 'advisory lock', objid::text"
                " FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
                " WHERE l.locktype = 'advisory' AND d.datname = %(name)s",
                {"name": self.dsn.dbname},
            )
            return cursor.fetchall()


def execute(dsn: Dsn, *statements: str) -> list[tuple]:
    """Run statements one by one in autocommit; the last one's rows, if any."""
    with connect(dsn, "the.tests", Limits(statement=120)) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


# A little of everything that makes dumps go wrong.
SAMPLE = (
    "CREATE TABLE orders (id bigserial PRIMARY KEY, note text, total numeric(12,2), at timestamptz)",
    r"INSERT INTO orders (note, total, at) SELECT E'\\.\n\t\\N ' || md5(g::text), g * 1.25, '2026-01-01'::timestamptz"
    " + g * interval '1 minute' FROM generate_series(1, 3000) g",
    'CREATE SCHEMA "Odd ""Schema"" ü"',
    'CREATE TABLE "Odd ""Schema"" ü"."line\nbreak. (x)" ("a b" int, "c,""d" text, pgops_row int, t text)',
    'INSERT INTO "Odd ""Schema"" ü"."line\nbreak. (x)" VALUES (1, \'x\', 2, \'y\'), (2, NULL, 3, \'ü\n\')',
    "CREATE TABLE no_columns ()",
    "INSERT INTO no_columns DEFAULT VALUES",
    "CREATE TABLE no_rows (x int)",
    "CREATE TABLE parted (day date, v int) PARTITION BY RANGE (day)",
    "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
    "CREATE TABLE parted_2 PARTITION OF parted DEFAULT",
    "INSERT INTO parted SELECT date '2026-01-20' + g, g FROM generate_series(1, 30) g",
    "CREATE TABLE parent (a int)",
    "CREATE TABLE child (b int) INHERITS (parent)",
    "INSERT INTO parent VALUES (1)",
    "INSERT INTO child VALUES (2, 3), (4, 5)",
    "CREATE TABLE computed (a int, b int GENERATED ALWAYS AS (a * 2) STORED, i int GENERATED ALWAYS AS IDENTITY)",
    "INSERT INTO computed (a) SELECT generate_series(1, 9)",
    "CREATE TABLE only_computed (g int GENERATED ALWAYS AS (1) STORED)",
    "INSERT INTO only_computed DEFAULT VALUES",
    "CREATE UNLOGGED TABLE unlogged (x int)",
    "INSERT INTO unlogged VALUES (1)",
    "CREATE TABLE secured (x int)",
    "ALTER TABLE secured ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE secured FORCE ROW LEVEL SECURITY",
    "INSERT INTO secured VALUES (1), (2)",
    "CREATE POLICY nobody ON secured USING (false)",
    "CREATE VIEW v AS SELECT count(*) FROM orders",
    "CREATE MATERIALIZED VIEW mv AS SELECT note FROM orders LIMIT 3",
    "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT E'COPY public.fake (x) FROM stdin;\n1\n' $$",
    "CREATE INDEX orders_at ON orders (at)",
    "CREATE EXTENSION pg_trgm",
    "SELECT lo_from_bytea(4711, 'a large object'), lo_from_bytea(4712, ''), lo_from_bytea(4713, 'sparse')",
    "SELECT lo_put(4713, 900000, 'far away')",
)
