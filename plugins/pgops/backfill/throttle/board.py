"""The newest reading of every signal, written by the threads that look and read by those that work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pgops import units
from pgops.backfill.throttle.readings import Level, Reading, Signal

# A reading is too old to be trusted after so many of its intervals, and never before so many seconds.
_INTERVALS = 5
_OLD_SECONDS = 3.0


@dataclass(frozen=True)
class Observed:
    """A reading, and whether it holds up batches while it is red; what happened since `asked` may not be in it yet."""

    reading: Reading
    hard: bool
    asked: float
    answered: float


class Board:
    """Where readings hang, in the order in which their reasons count."""

    def __init__(self, signals: Sequence[Signal], max_blind_seconds: float, clock: Callable[[], float]) -> None:
        self._signals = signals
        self._blind, self._clock = max_blind_seconds, clock
        self._lock = threading.Lock()
        self._last: dict[str, Observed] = {}
        self._seen = {signal.name: clock() for signal in signals}

    def put(self, signal: Signal, reading: Reading, asked: float | None = None) -> None:
        """A signal was read; `asked` is when that look began, if not just now."""
        with self._lock:
            now = self._clock()
            self._seen[signal.name] = now
            self._last[signal.name] = Observed(reading, signal.hard, now if asked is None else asked, now)

    def failed(self, signal: Signal, why: str) -> None:
        """A signal could not be read: that is red, and critical when it lasts."""
        with self._lock:
            now = self._clock()
            self._last[signal.name] = Observed(self._blindness(signal, now, why), True, now, now)

    def observed(self) -> list[Observed]:
        """All signals, in order. One that nobody has read for long speaks against the next batch."""
        now = self._clock()
        with self._lock:
            return [self._trusted(signal, now) for signal in self._signals]

    def _trusted(self, signal: Signal, now: float) -> Observed:
        last = self._last.get(signal.name)
        if last is None or now - last.answered > max(_OLD_SECONDS, _INTERVALS * signal.every):
            return Observed(self._blindness(signal, now, "it does not answer"), True, now, now)
        return last

    def _blindness(self, signal: Signal, now: float, why: str) -> Reading:
        seconds = now - self._seen[signal.name]
        words = f"{signal.name}: not read for {units.duration(seconds)}: {why}"
        level: Level = "critical" if seconds > self._blind else "red"
        return Reading(signal.name, level, seconds, self._blind, words)
