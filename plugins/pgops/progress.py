"""Progress lines with percent, rate and ETA for anything that may take longer than ten seconds."""

from __future__ import annotations

import logging
import threading
import time

from pgops import units

log = logging.getLogger(__name__)


class Progress:
    """Counts bytes and logs a line every `every` seconds.

    Args:
        what: the work, in the words of a log line, such as "dump app".
        total: expected bytes, an estimate; 0 when nobody knows (then no percent and no ETA are claimed).
        every: seconds between lines.
    """

    def __init__(self, what: str, total: int = 0, every: float = 10.0) -> None:
        self.what, self.total, self.every = what, total, every
        self.done = 0
        self._started = self._last = time.monotonic()
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """Count `count` more bytes."""
        with self._lock:
            self.done += count
            now = time.monotonic()
            if now - self._last < self.every:
                return
            self._last = now
        log.info("%s", self.line(now))

    def line(self, now: float | None = None) -> str:
        """The line as it would be logged now."""
        elapsed = max((now or time.monotonic()) - self._started, 1e-6)
        rate = self.done / elapsed
        line = f"{self.what}: {units.size(self.done)} at {units.rate(rate)} after {units.duration(elapsed)}"
        if self.total and rate:
            # The total is an estimate: never claim more than 99 percent before the end.
            percent = min(99, int(100 * self.done / self.total))
            left = max(self.total - self.done, 0) / rate
            line += f", about {percent} % of {units.size(self.total)}, ETA {units.duration(left)}"
        return line
