"""How fast to go: the sleep after a batch grows fast while anything is red, and melts slowly while nothing is."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pgops import units
from pgops.backfill.pace import Go, Pace, Stop, Wait
from pgops.backfill.throttle.board import Observed
from pgops.backfill.throttle.readings import Reading

log = logging.getLogger(__name__)

_UP, _DOWN = 1.5, 0.92
_ASK_AGAIN = 0.25
_TELL_SECONDS = 10.0


def next_ratio(ratio: float, red: bool, floor: float, ceiling: float) -> float:
    """The sleep after the next batch, as a multiple of the batch's own time."""
    return max(floor, min(ratio * (_UP if red else _DOWN), ceiling))


def sleep_seconds(rows: int, ms: float, ratio: float, min_rows_per_second: float) -> float:
    """How long to sleep after a batch; never so long that the rate falls below the floor of progress."""
    busy = ms / 1000
    sleep = ratio * busy
    if rows and min_rows_per_second:
        sleep = min(sleep, max(rows / min_rows_per_second - busy, 0.0))
    return sleep


def at_speed(ms: float, sleep: float, speed: float) -> float:
    """The sleep that makes batch and sleep together take 1/speed of what they would."""
    busy = ms / 1000
    return max((busy + sleep) / speed - busy, 0.0)


@dataclass(frozen=True)
class Law:
    """The numbers of the controller, from the policy."""

    min_sleep_ratio: float
    max_sleep_ratio: float
    min_rows_per_second: float


class Controller(Pace):
    """Decides before and after each batch. Any signal may speak against it; the first red one is the reason.

    Args:
        law: its numbers.
        observe: all signals as they were last read, in the order in which their reasons count.
        clock: seconds.
        speed: what the operator wants.
        lag_limit: bytes that a standby may be behind; None while nobody follows.
        lag_name: the signal that measures it.
    """

    def __init__(
        self,
        law: Law,
        observe: Callable[[], Sequence[Observed]],
        clock: Callable[[], float],
        *,
        speed: Callable[[], float] = lambda: 1.0,
        lag_limit: Callable[[], float | None] = lambda: None,
        lag_name: str = "standby lag",
    ) -> None:
        self._law, self._observe, self._clock = law, observe, clock
        self._speed, self._lag_limit, self._lag_name = speed, lag_limit, lag_name
        self._lock = threading.Lock()
        self._ratio = law.min_sleep_ratio
        self._reasons: dict[str, float] = {}
        self._waiting: tuple[str, float] | None = None
        self._written: deque[tuple[float, int]] = deque(maxlen=10_000)
        self._newest = 0  # bytes of WAL of the last batch
        self._working, self._worked = False, clock()
        self._told: dict[str, float] = {}

    @property
    def ratio(self) -> float:
        """The sleep as a multiple of the batch's time, now."""
        return self._ratio

    def idle_seconds(self) -> float:
        """How long no batch has run."""
        with self._lock:
            return 0.0 if self._working else self._clock() - self._worked

    def reasons(self) -> dict[str, float]:
        """Seconds that batches were held up, by the signal that was the reason; the longest first."""
        with self._lock:
            self._count_waiting(still=True)
            return dict(sorted(self._reasons.items(), key=lambda item: -item[1]))

    def before_batch(self) -> Go | Wait | Stop:
        """Whether the next batch may run now."""
        observed = self._observe()
        for one in observed:
            if one.reading.level == "critical":
                return Stop(one.reading.words)
        held = next((one.reading for one in observed if one.hard and one.reading.level == "red"), None)
        held = held or self._projected_lag(observed)
        with self._lock:
            began = self._waiting is None
            self._count_waiting(still=held is not None)
            if held is None:
                self._working = True
                return Go()
            self._working = False
            self._waiting = (held.name, self._clock())
            if began:
                self._ratio = self._next_ratio(red=True)
            self._tell(held)
        return Wait(held.words, _ASK_AGAIN)

    def after_batch(self, rows: int, ms: float, wal_bytes: int) -> float:
        """How many seconds to sleep after a batch."""
        red = next((one.reading for one in self._observe() if one.reading.level != "green"), None)
        with self._lock:
            self._working, self._worked = False, self._clock()
            self._written.append((self._worked, wal_bytes))
            self._newest = wal_bytes
            self._ratio = self._next_ratio(red=red is not None)
            sleep = sleep_seconds(rows, ms, self._ratio, self._law.min_rows_per_second)
            sleep = at_speed(ms, sleep, self._speed())
            if red is not None:
                self._reasons[red.name] = self._reasons.get(red.name, 0.0) + sleep
                self._tell(red)
        return sleep

    def _next_ratio(self, red: bool) -> float:
        return next_ratio(self._ratio, red, self._law.min_sleep_ratio, self._law.max_sleep_ratio)

    def _projected_lag(self, observed: Sequence[Observed]) -> Reading | None:
        """A standby that stands still is as far behind as it was, and all that was written since: no look is needed.

        The next batch, which writes about as much as the last one, has to fit too; half the limit is free for it, so
        that batches larger than the limit come to their turn once the standby is near.
        """
        limit = self._lag_limit()
        lag = next((one for one in observed if one.reading.name == self._lag_name), None)
        if limit is None or lag is None:
            return None
        with self._lock:
            while self._written and self._written[0][0] < lag.asked:
                self._written.popleft()
            since, batch = sum(count for _, count in self._written), self._newest
        projected = lag.reading.figure + since
        if projected + min(batch, limit / 2) <= limit:
            return None
        seen = f"{units.size(lag.reading.figure)} at the last look, {units.size(since)} written since"
        words = f"{lag.reading.name}: {seen}, a batch writes {units.size(batch)}; the limit is {units.size(limit)}"
        return Reading(lag.reading.name, "red", projected, limit, words)

    def _count_waiting(self, *, still: bool) -> None:
        if self._waiting is None:
            return
        name, since = self._waiting
        now = self._clock()
        self._reasons[name] = self._reasons.get(name, 0.0) + now - since
        self._waiting = (name, now) if still else None

    def _tell(self, reading: Reading) -> None:
        now = self._clock()
        if now - self._told.get(reading.name, now - _TELL_SECONDS) >= _TELL_SECONDS:
            self._told[reading.name] = now
            log.info("throttle: %s", reading.words)
