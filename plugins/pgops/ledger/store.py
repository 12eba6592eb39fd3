"""Reads and writes of the ledger: one short session each, so nothing is held while work is being done."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from pgops.include import sql_text
from pgops.postgres import Dsn, Limits, connect

log = logging.getLogger(__name__)
_current: set[str] = set()
NEWEST = "0012"  # the version of the schema that this code was written for


@dataclass(frozen=True)
class Figure:
    """Something that was measured of a database; `object` is empty when it is about the whole of it.

    Attributes:
        facts: its unit, and whatever a later measurement needs.
    """

    name: str
    object: str
    value: float | None
    facts: Mapping[str, Any] = field(default_factory=dict)


class Ledger:
    """The ledger at `dsn`; its schema is brought up to date when it is first used."""

    def __init__(self, dsn: Dsn) -> None:
        self.dsn = dsn

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """A session in autocommit mode."""
        with connect(self.dsn, "pgops.ledger", Limits(statement=30)) as connection:
            if self.dsn.where not in _current:
                self._bring_up_to_date(connection)
                _current.add(self.dsn.where)
            yield connection

    def _bring_up_to_date(self, connection: Connection) -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql_text("ledger/has_version.sql"))
            version = None
            if cursor.fetchone() == (True,):
                cursor.execute(sql_text("ledger/version.sql"))
                (version,) = cursor.fetchone() or (None,)
        if version == NEWEST:
            return
        from pgops.ledger import schema  # Alembic takes a third of a second to load, and is needed once a release

        if version is not None and version not in schema.versions():
            # A newer release upgraded it. Its migrations only add, so this code can go on.
            log.warning("the ledger at %s has version %s, newer than this code", self.dsn.where, version)
            return
        log.info("upgrading the ledger at %s from %s", self.dsn.where, version)
        schema.upgrade(schema.url(self.dsn))

    def rows(self, name: str, /, **parameters: Any) -> list[dict[str, Any]]:
        """Run include/sql/ledger/<name>.sql and return its rows."""
        with self.session() as connection:
            return _rows(connection, name, parameters)

    @contextmanager
    def transaction(self) -> Iterator[Callable[..., list[dict[str, Any]]]]:
        """`rows` for several queries that count together or not at all."""
        with self.session() as connection, connection:
            yield lambda name, /, **parameters: _rows(connection, name, parameters)

    def record_backup(self, facts: Mapping[str, Any]) -> None:
        """Record a committed backup; doing so twice is harmless."""
        self.rows("record_backup", **facts)

    def record_pruned(self, database: str, backup_ids: Sequence[str]) -> None:
        """Record that backups were pruned."""
        self.rows("record_pruned", database=database, backup_ids=list(backup_ids))

    def record_drill(
        self, database: str, backup_id: str, started_at: datetime, finished_at: datetime, report: Mapping[str, Any]
    ) -> None:
        """Record a drill; `report` holds `passed` and `rto_seconds`."""
        self.rows(
            "record_drill",
            database=database,
            backup_id=backup_id,
            started_at=started_at,
            finished_at=finished_at,
            passed=report["passed"],
            rto_seconds=report["rto_seconds"],
            report=json.dumps(report),
        )

    def record_run(self, dag_id: str, run_id: str, database: str, state: str, detail: Mapping[str, Any]) -> None:
        """Record what a run came to for one database."""
        self.rows("record_run", dag_id=dag_id, run_id=run_id, database=database, state=state, detail=json.dumps(detail))

    def record_backfill(self, facts: Mapping[str, Any]) -> None:
        """Record how far a backfill is; there is one row for each."""
        self.rows("record_backfill", **facts)

    def claim_alert(self, key: str) -> bool:
        """Whether this is the first time that anybody asks for this alert."""
        return bool(self.rows("claim_alert", key=key))

    def record_alert(self, kind: str, message: str, error: str | None) -> None:
        """Record an alert; `error` says why it could not be sent."""
        self.rows("record_alert", kind=kind, message=message, error=error)

    def record_figures(self, database: str, at: datetime, figures: Sequence[Figure]) -> None:
        """Keep what was measured at a time."""
        self.rows("record_figures", database=database, at=at, figures=figures_json(figures))


def figures_json(figures: Sequence[Figure]) -> str:
    """Figures, as record_figures.sql takes them."""
    return json.dumps([asdict(one) for one in figures])


def _rows(connection: Connection, name: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(sql_text(f"ledger/{name}.sql"), parameters)
        return [dict(row) for row in cursor.fetchall()] if cursor.description else []
