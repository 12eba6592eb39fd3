"""The throttle of a backfill: it watches what a backfill can harm, and slows it down before people notice."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from zoneinfo import ZoneInfo

from pgops.backfill.pace import Go, Pace, Stop, Wait
from pgops.backfill.throttle.board import Board
from pgops.backfill.throttle.control import Controller, Law
from pgops.backfill.throttle.people import Blackout, Operator
from pgops.backfill.throttle.poll import Poller, asking, session
from pgops.backfill.throttle.readings import Ask, Order, Reading, Signal
from pgops.backfill.throttle.replication import Slots, StandbyLag
from pgops.backfill.throttle.server import PgWal, WalRate, Wraparound
from pgops.backfill.throttle.sessions import BlockedSessions, Connections, OldSnapshots
from pgops.backfill.throttle.table import Autovacuum, CanaryLatency, TableSize
from pgops.errors import Refused
from pgops.fleet.backfills import BackfillPolicy
from pgops.postgres import Dsn

log = logging.getLogger(__name__)

_BASELINE_EVERY = 0.05
_NEWS_SECONDS = 10.0
# Reads count as usual again when no batch has run for so long.
_IDLE_SECONDS = 2.0
# The server cuts off what is longer.
_NAME_LENGTH = 63


class Throttle(Pace):
    """A Pace that listens to the database, its standbys, the calendar and the operator. Use it in a `with` block.

    Entering it asks everything once, so that what cannot be asked is an error before anything is touched, and measures
    what is usual; then threads of its own go on looking.

    Args:
        dsn: the primary, as a role that is a member of pg_monitor and may read the table.
        relation: oid of the table.
        policy: the limits.
        timezone: of the blackouts.
        workers: how the application_name of every session of the backfill begins.
        order: what the operator wants now, where the engine does not know it; asked every half second in a thread.
        stop: whether whoever waits for the baseline should give up.
        clock: seconds.
        now: the time of day, in UTC.
    """

    def __init__(
        self,
        dsn: Dsn,
        relation: int,
        policy: BackfillPolicy,
        timezone: str = "UTC",
        *,
        workers: str = "pgops.backfill",
        order: Callable[[], Order] = Order,
        stop: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._dsn, self._policy, self._stop, self._clock = dsn, policy, stop, clock
        if not workers:
            raise ValueError("without a name every session would be a worker of the backfill")
        workers = workers[:_NAME_LENGTH]
        self._operator = Operator(order)
        self._lag = StandbyLag(policy.max_lag_mb, policy.critical_lag_mb, policy.standbys)
        latency = policy.latency
        self._canary = CanaryLatency(relation, latency.factor, latency.floor_ms, self._is_idle)
        lets_wait: list[Signal] = [Autovacuum(relation, workers, hard=True), Wraparound()]
        lets_wait += [Slots(policy.max_slot_mb), PgWal(policy.max_pg_wal_mb)]
        if policy.max_table_gb is not None:
            lets_wait.append(TableSize(relation, policy.max_table_gb))
        slows: list[Signal] = [
            Autovacuum(relation, workers, hard=False),
            Connections(policy.max_connections_share),
            OldSnapshots(policy.max_transaction_minutes, workers),
        ]
        # One thread each: a look that takes long, as a canary that waits for a lock, must not keep the others waiting.
        people: list[Signal] = [self._operator, Blackout(policy.blackouts, ZoneInfo(timezone), now)]
        quick: list[Signal] = [self._lag, BlockedSessions(policy.max_blocked_sessions, workers)]
        rate: list[Signal] = [] if policy.max_wal_mb_s is None else [WalRate(policy.max_wal_mb_s, clock)]
        canary: list[Signal] = [self._canary]
        self._groups: list[tuple[list[Signal], Dsn | None]] = [
            (people, None),
            (quick + rate, dsn),
            (lets_wait + slows, dsn),
            (canary, dsn),
        ]
        # The first red one is the reason that people read.
        self._signals = [*people, *lets_wait[:2], *quick, *lets_wait[2:], *canary, *rate, *slows]
        self._board = Board(self._signals, policy.max_blind_seconds, clock)
        self._controller = Controller(
            Law(policy.min_sleep_ratio, policy.max_sleep_ratio, policy.min_rows_per_second),
            self._board.observed,
            clock,
            speed=lambda: self._operator.speed,
            lag_limit=lambda: self._lag.limit if self._lag.followed else None,
            lag_name=self._lag.name,
        )
        self._pollers: list[Poller] = []

    def __enter__(self) -> Throttle:
        with session(self._dsn) as connection:
            ask = asking(connection)
            self._preflight(ask)
            self._measure_usual(ask)
            for signal in self._signals:
                self._board.put(signal, signal.read(ask))
        self._pollers = [Poller(signals, self._board, dsn, self._clock) for signals, dsn in self._groups]
        for poller in self._pollers:
            poller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for poller in self._pollers:
            poller.stop()

    def before_batch(self) -> Go | Wait | Stop:
        """Whether the next batch may run now."""
        return self._controller.before_batch()

    def after_batch(self, rows: int, ms: float, wal_bytes: int) -> float:
        """How many seconds to sleep after a batch."""
        return self._controller.after_batch(rows, ms, wal_bytes)

    def reasons(self) -> dict[str, float]:
        """Seconds that batches were held up, by the signal that was the reason; the longest first."""
        return self._controller.reasons()

    def readings(self) -> list[Reading]:
        """All signals as they were last read."""
        return [one.reading for one in self._board.observed()]

    @property
    def ratio(self) -> float:
        """The sleep as a multiple of a batch's time, now."""
        return self._controller.ratio

    def _preflight(self, ask: Ask) -> None:
        row = ask("preflight")[0]
        if row["in_recovery"]:
            raise Refused("This is a standby", where=self._dsn.where, remedy="Name the primary: backfill.connection")
        if not row["sees_all"]:
            raise Refused(
                f"The role {row['user']} does not see standbys, vacuums and other sessions: a throttle would be blind",
                where=self._dsn.where,
                remedy=f"GRANT pg_monitor TO {row['user']}",
            )

    def _measure_usual(self, ask: Ask) -> None:
        """Look at how long reads take before anything runs."""
        seconds = self._policy.latency.baseline_seconds
        started = told = time.monotonic()
        while (elapsed := time.monotonic() - started) < seconds and not self._stop():
            self._canary.measure_usual(ask)
            if time.monotonic() - told >= _NEWS_SECONDS:
                told = time.monotonic()
                log.info("measuring what is usual: %.0f of %.0f s", elapsed, seconds)
            time.sleep(min(_BASELINE_EVERY, seconds - elapsed))
        self._canary.measure_usual(ask)
        log.info(
            "a read usually takes %.1f ms (p95); the limit is %.1f ms", self._canary.usual_ms, self._canary.limit_ms
        )

    def _is_idle(self) -> bool:
        return self._controller.idle_seconds() > _IDLE_SECONDS
