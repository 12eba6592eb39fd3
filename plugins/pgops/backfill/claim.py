"""Takes a range that is not done: it belongs to the session that holds its advisory lock."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pgops.backfill.check import part_of
from pgops.backfill.hand import Hand
from pgops.backfill.job import RangeState
from pgops.backfill.statements import Statements
from pgops.backfill.steering import Steering
from pgops.backfill.walk import Ended, Walk
from pgops.errors import PgOpsError, Refused

GHOST_SECONDS = 60


def claim(hand: Hand, only: Sequence[int] | None) -> Walk | None:
    """A range that is not done and that nobody else owns; None if there is none.

    Args:
        only: the numbers of the ranges that may be taken; None for any.
    """
    deadline = time.monotonic() + GHOST_SECONDS
    while True:
        ranges = hand.ranges()
        mine = [one for one in ranges if not one.done and _may_take(one, ranges, only)]
        for one in mine:
            if hand.ask("work/claim.sql", n=one.n)[0]["mine"]:
                fresh = next(again for again in hand.ranges() if again.n == one.n)
                if fresh.done:
                    release(hand, one.n)
                    continue
                hand.ask("work/claimed.sql", n=one.n, worker=hand.name)
                hand.count.before.setdefault(one.n, fresh)
                return _walk_of(hand, fresh)
        if hand.stop():
            raise Ended("stopped")
        # A session that died, perhaps this worker's own before its connection was lost, may own its range for a while.
        expected = [one for one in mine if one.worker == hand.name or (only is not None and one.n in only)]
        if not expected:
            return None
        if time.monotonic() > deadline:
            raise Refused(
                f"Range {expected[0].n} of backfill {hand.id} is worked on by {expected[0].worker}",
                where=hand.dsn.where,
                remedy="Let that worker finish, or end it",
                retry=True,
            )
        hand.nap(0.5)


def release(hand: Hand, n: int) -> None:
    """Let another worker have the range."""
    hand.ask("work/release.sql", n=n)


def statements_of(hand: Hand, state: RangeState) -> Statements:
    """The statements of a range, with the name that its table has now."""
    part = part_of(hand.connection, state.part, hand.job.keys[state.part])
    if part is None:
        raise PgOpsError(
            f"{hand.job.table} (or a partition of it, oid {state.part}) was dropped while it was backfilled",
            where=hand.dsn.where,
            remedy=f"Cancel backfill {hand.id}; begin again if there is a new table",
        )
    return Statements(part, hand.job.spec, hand.id if state.skipped or state.pass_ else None)


def _may_take(one: RangeState, ranges: Sequence[RangeState], only: Sequence[int] | None) -> bool:
    if one.kind == "rest":
        return all(other.done for other in ranges if other.part == one.part and other.kind == "pages")
    return only is None or one.n in only


def _walk_of(hand: Hand, state: RangeState) -> Walk:
    options = hand.options
    rows_per_unit = 1.0
    if state.kind != "keys":
        pages = sum(one.size for one in hand.ranges() if one.kind == "pages")
        rows_per_unit = max(1.0, hand.job.rows_estimate / max(1, pages))
    return Walk(
        state=state,
        statements=statements_of(hand, state),
        steering=Steering(options.target_ms, options.first_batch, options.least_batch, options.most_batch),
        rows_per_unit=rows_per_unit,
        last=state.last,
        known=state.last,
        pass_=state.pass_,
        pass_rows=state.pass_rows,
        left_behind=state.left_behind,
    )
