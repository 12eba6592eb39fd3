"""Takes a snapshot: what every statement of a database did since the one before, into the ledger.

Statistics are never reset: other tools look at them too. The row of the database in the ledger is locked meanwhile, so
two snapshots never count the same; all of one is written or nothing, so whoever dies is as if they had not been there.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pgops.errors import PgOpsError
from pgops.ledger import Ledger
from pgops.postgres import DatabaseError, Dsn
from pgops.queries.counters import Counter, Counts, Difference, Key, Known, Origin, difference
from pgops.queries.read import reader
from pgops.queries.text import Text

log = logging.getLogger(__name__)

_NO_PARTITION = "23514"
Rows = Callable[..., list[dict[str, Any]]]


@dataclass(frozen=True)
class Snapshot:
    """What a snapshot came to.

    Attributes:
        since: from when on it counts; None where it only begins to.
        statements: how many the server knows.
        moved: how many of them did something.
        new: how many were seen for the first time.
        notes: what it could not tell.
    """

    database: str
    at: datetime
    since: datetime | None
    statements: int
    moved: int
    new: int
    seconds: float
    notes: tuple[str, ...]


def take_snapshot(ledger: Ledger, database: str, dsn: Dsn, server: str = "") -> Snapshot:
    """Count what was done since the last snapshot.

    Args:
        ledger: where it is kept.
        database: its name in the fleet file.
        dsn: the role that may look at statistics, in this database.
        server: its name in the fleet file.

    Raises:
        Refused: pg_stat_statements is not there, not loaded, or hidden from the role.
        PgOpsError: the ledger has no partition for now, or a server does not answer.
    """
    begun = time.monotonic()
    try:
        with ledger.transaction() as rows:
            return _taken(rows, database, dsn, server, begun)
    except DatabaseError as error:
        if error.sqlstate != _NO_PARTITION:
            raise
        raise PgOpsError(
            "The ledger has no partition of pgops.query_deltas for now",
            where=ledger.dsn.where,
            remedy="Run the DAG partition_maintenance; nothing is lost, the next snapshot counts it",
        ) from error


def _taken(rows: Rows, database: str, dsn: Dsn, server: str, begun: float) -> Snapshot:
    before = _before(rows, database)
    with reader(dsn) as target:
        now, counters = target.counters()
        if before is not None and now.at <= before.at:
            raise PgOpsError(
                f"The server's clock went back: it says {now.at}, and the last snapshot is of {before.at}",
                where=dsn.where,
                remedy="Set the server's clock right; snapshots go on once it is past that time",
            )
        known = _known(rows, database, now.major)
        texts = target.texts(counters.keys() - known.keys())
    counted = {key: one for key, one in counters.items() if key in known or key in texts}
    found = difference(before, known, now, counted)
    ids = {key: one.id for key, one in known.items()} | _register(rows, database, now, before, texts)
    seconds = time.monotonic() - begun
    since = before.at if before is not None and found.counted else None
    _write(rows, database, now, since, counted, found, ids, known, seconds)
    _keep_origin(rows, database, server, now)
    return Snapshot(
        database, now.at, since, len(counters), len(found.added), len(texts), time.monotonic() - begun, found.notes
    )


def _before(rows: Rows, database: str) -> Origin | None:
    rows("begin_query_snapshot", database=database)
    (row,) = rows("query_source", database=database)
    if row["at"] is None:
        return None
    return Origin(row["at"], row["major"], row["identity"], row["started_at"], row["stats_reset"], row["dealloc"])


def _known(rows: Rows, database: str, major: int) -> dict[Key, Known]:
    return {
        Key(row["username"], row["queryid"], row["toplevel"]): Known(
            row["id"], Counter(Counts(*(row[name] for name in Counts._fields)), row["since"]), row["present"]
        )
        for row in rows("query_known", database=database, major=major)
    }


def _register(
    rows: Rows, database: str, now: Origin, before: Origin | None, texts: Mapping[Key, Text]
) -> dict[Key, int]:
    if not texts:
        return {}
    unique = {one.fingerprint: one for one in texts.values()}
    rows(
        "record_query_texts",
        texts=json.dumps(
            [{"fingerprint": one.fingerprint, "text": one.text, "whole": one.whole} for one in unique.values()]
        ),
    )
    statements = [{**key._asdict(), "fingerprint": text.fingerprint} for key, text in texts.items()]
    recorded = rows(
        "record_query_statements",
        database=database,
        major=now.major,
        at=now.at,
        statements=json.dumps(statements),
    )
    return {Key(row["username"], row["queryid"], row["toplevel"]): row["id"] for row in recorded}


def _write(
    rows: Rows,
    database: str,
    now: Origin,
    since: datetime | None,
    counters: Mapping[Key, Counter],
    found: Difference,
    ids: Mapping[Key, int],
    known: Mapping[Key, Known],
    seconds: float,
) -> None:
    rows(
        "record_query_snapshot",
        database=database,
        at=now.at,
        since=since,
        statements=len(counters),
        moved=len(found.added),
        seconds=seconds,
        notes=list(found.notes),
    )
    if found.added:
        added = json.dumps([{"statement": ids[key], **counts._asdict()} for key, counts in found.added.items()])
        rows("record_query_deltas", at=now.at, deltas=added)
        rows("add_query_days", at=now.at, deltas=added)
    changed = [key for key, one in counters.items() if key not in known or not _same(known[key], one)]
    if changed:
        rows("record_query_counters", counters=json.dumps([_counter(ids[key], counters[key]) for key in changed]))
    _forget(rows, database, now, found.gone)


def _forget(rows: Rows, database: str, now: Origin, gone: Collection[int]) -> None:
    rows("query_counters_gone", database=database, major=now.major, gone=list(gone))


def _same(known: Known, counter: Counter) -> bool:
    return known.present and known.counter == counter


def _counter(statement: int, counter: Counter) -> dict[str, Any]:
    since = counter.since.isoformat() if counter.since else None
    return {"statement": statement, "since": since, **counter.counts._asdict()}


def _keep_origin(rows: Rows, database: str, server: str, now: Origin) -> None:
    rows(
        "record_query_source",
        database=database,
        server=server,
        at=now.at,
        major=now.major,
        identity=now.identity,
        started_at=now.started_at,
        stats_reset=now.stats_reset,
        dealloc=now.dealloc,
    )
