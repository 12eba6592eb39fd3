"""Changes rows: a batch and its checkpoint commit together; a few rows one by one when one of them is bad."""

from __future__ import annotations

import logging
import time

import psycopg2
from psycopg2.extras import Json

from pgops.backfill.failure import meaning, said
from pgops.backfill.hand import Hand
from pgops.backfill.job import as_json
from pgops.backfill.statements import Position, Statements
from pgops.backfill.walk import BadRow, Walk

log = logging.getLogger(__name__)

KEPT_BATCHES = 200


def no_answer(hand: Hand, walk: Walk, error: psycopg2.Error, rows: str = "") -> BadRow:
    """The error that says that the predicate itself fails on a row: nobody can tell whether that one is done."""
    return BadRow(
        f"The predicate fails on a row{rows}: SQLSTATE {error.pgcode}: {said(error)}",
        where=f"{hand.dsn.where}, {walk.statements.part.title}",
        remedy="Mend the row, or cancel the backfill and begin one whose predicate has an answer for every row",
    )


class Batches:
    """The batches of one worker, whichever range they belong to."""

    def __init__(self, hand: Hand) -> None:
        self._hand = hand
        self._wal = 0
        self._stalled = False  # the job, when the newest checkpoint was written

    def next(self, walk: Walk) -> bool:
        """One batch with its checkpoint; whether the range ends with it."""
        hand = self._hand
        upto, units, ended = self._bound(walk)
        with hand.transaction():
            rows = walk.statements.between(walk.begin, upto)
            unlocked = walk.unlocked
            update = walk.statements.update_unlocked(rows) if unlocked else walk.statements.update(rows)
            begun = time.perf_counter()
            changed = hand.run(update).rowcount
            ms = 1000 * (time.perf_counter() - begun)
            kept = 0
            written = 0
            if walk.pass_ == 0 or changed or unlocked or ended:
                walked = units if walk.pass_ == 0 else 0
                kept, written = self._checkpoint(walk, upto, changed, walked, ms, unlocked)
        if kept:
            walk.known = upto  # only now: a deferred constraint refuses rows at the commit
        ms = 1000 * (time.perf_counter() - begun)
        walk.unlocked = False
        walk.left_behind |= unlocked
        walk.dense &= changed == units  # else look where the next batch ends: a gap may be as wide as a billion
        self._moved(walk, upto, changed)
        if not ended:
            walk.steering.took(ms)
        hand.sleep_after(walk, changed, ms, written)
        if kept % 100 == 99:
            hand.ask("job/prune.sql", n=walk.n, before=kept - KEPT_BATCHES)
        return ended

    def one_by_one(self, walk: Walk) -> None:
        """A few rows, each in a transaction of its own: those that cannot be changed are named."""
        hand = self._hand
        upto, units, _ = self._bound(walk)
        rows = walk.statements.between(walk.begin, upto)
        try:
            pending = hand.run(walk.statements.pending(rows, 2_000)).fetchall()
        except psycopg2.Error as error:
            if meaning(error, hand.connection) != "row":
                raise
            raise no_answer(hand, walk, error, f" after {walk.begin} up to {upto}") from error
        for row in pending:
            self._one(walk, row["ctid"], tuple(row["identity"]))
        with hand.transaction():
            self._checkpoint(walk, upto, 0, units if walk.pass_ == 0 else 0)
        walk.known = upto
        self._moved(walk, upto, 0)

    # --- where it ends ---

    def _bound(self, walk: Walk) -> tuple[Position | None, int, bool]:
        """Where the next batch ends, how many rows or pages it has, and whether the range ends with it."""
        state, count = walk.state, walk.steering.rows
        if state.kind == "keys":
            counted = walk.counted(count)
            if walk.dense and counted is not None:
                self._wal = self._hand.ask("work/wal.sql")[0]["wal"]
                return counted, count, False
            rows = walk.statements.between(walk.begin, state.hi)
            found = self._hand.run(walk.statements.bound(rows, count)).fetchone()
            if found is None:
                return state.hi, 0, True
            self._wal = found["wal"]
            walk.dense = counted == tuple(found["key"])
            return tuple(found["key"]), count, False
        end = state.hi if isinstance(state.hi, int) else self._pages(walk)
        begin = walk.begin if isinstance(walk.begin, int) else 0
        upto = min(begin + max(1, int(count / walk.rows_per_unit)), end)
        return max(upto, begin), max(0, upto - begin), upto >= end

    def _pages(self, walk: Walk) -> int:
        """The end of a sweep: the table's end when the pass began; later rows are new."""
        if walk.pages is None:
            walk.pages = int(self._hand.run(walk.statements.pages()).fetchall()[0]["pages"])
        return walk.pages

    # --- what the database knows of it ---

    def _checkpoint(
        self, walk: Walk, upto: Position | None, rows: int, units: int, ms: float = 0.0, left: bool = False
    ) -> tuple[int, int]:
        """Returns the number of the batch, and the WAL written since the bound was found."""
        count = self._hand.count
        row = self._hand.ask_owned(
            "work/checkpoint.sql",
            walk,
            before=as_json(walk.known),
            last=as_json(upto),
            rows=rows,
            units=units,
            retries=walk.retries,
            left=left,
            ms=ms,
            waited=1000 * count.unsaved_wait,
            reason=count.reason,
        )
        self._hand.obey(row)
        self._stalled = row["stalled"]
        written, self._wal = max(0, row["wal"] - self._wal) if self._wal else 0, row["wal"]
        return row["batches"], written

    def _moved(self, walk: Walk, upto: Position | None, rows: int) -> None:
        """What was committed."""
        hand = self._hand
        walk.last = upto
        walk.retries = 0
        walk.pass_rows += rows
        hand.count.unsaved_wait, hand.count.reason = 0.0, ""
        hand.count.since_vacuum += rows
        if rows or (walk.pass_ == 0 and walk.state.kind != "rest"):
            hand.progressed()
        hand.watch.moved(hand.connection, self._stalled)

    # --- one row ---

    def _one(self, walk: Walk, ctid: str, identity: tuple[str, ...]) -> None:
        hand = self._hand
        try:
            with hand.transaction():
                changed = hand.run(walk.statements.update(walk.statements.one(ctid, identity))).rowcount
                self._checkpoint(walk, walk.known, changed, 0)
            walk.pass_rows += changed
            walk.retries = 0
        except psycopg2.Error as error:
            if meaning(error, hand.connection) != "row":
                raise
            self._bad(walk, identity, error)

    def _bad(self, walk: Walk, identity: tuple[str, ...], error: psycopg2.Error) -> None:
        hand, part = self._hand, walk.statements.part
        names = [column.name for column in part.key] or ["ctid"]
        row = ", ".join(f"{name} = {value}" for name, value in zip(names, identity, strict=False))
        if hand.options.on_error == "stop":
            raise BadRow(
                f"Row {row} cannot be changed: SQLSTATE {error.pgcode}: {said(error)}",
                where=f"{hand.dsn.where}, {part.title}",
                remedy="Mend the row, or let the policy skip such rows; the backfill goes on from its checkpoint",
            ) from error
        log.warning("Skipped %s, row %s: SQLSTATE %s: %s", part.title, row, error.pgcode, said(error))
        hand.ask(
            "work/skip.sql",
            n=walk.n,
            part=part.oid,
            key=Json(list(identity)),
            sqlstate=error.pgcode or "",
            message=said(error),
        )
        walk.statements = Statements(part, hand.job.spec, hand.id)
