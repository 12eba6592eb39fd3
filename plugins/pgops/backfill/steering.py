"""How many rows the next batch takes: as many as fit a time, because a row stays locked as long as its batch lasts."""

from __future__ import annotations

from dataclasses import dataclass

MEMORY = 0.4  # weight of the newest batch
SLOWEST, FASTEST = 0.5, 1.2  # how fast the size may shrink and grow


@dataclass
class Steering:
    """Steers towards `target_ms` a batch.

    Attributes:
        size: rows of the next batch.
        narrowed: the size to go back to once a bad row is found; None while nothing is wrong.
    """

    target_ms: float
    size: float
    least: int
    most: int
    average: float | None = None
    narrowed: float | None = None

    @property
    def rows(self) -> int:
        """Rows of the next batch."""
        return max(1, int(self.size))

    def took(self, ms: float) -> None:
        """A batch of full size took that long."""
        if self.narrowed is not None:
            return
        if self.size < self.least:  # after a trouble: back to the least size first
            self.size = min(self.size * 2, self.least)
            return
        self.average = ms if self.average is None else MEMORY * ms + (1 - MEMORY) * self.average
        factor = min(max(self.target_ms / max(self.average, 0.01), SLOWEST), FASTEST)
        self.size = min(max(self.size * factor, self.least), self.most)

    def halve(self) -> None:
        """A batch failed: try with less."""
        self.size = max(1.0, self.size / 2)

    def narrow(self) -> None:
        """A row in the batch is bad: come closer to it."""
        if self.narrowed is None:
            self.narrowed = self.size
        self.size = max(1.0, self.size / 2)

    def found(self) -> None:
        """The bad row is found: go on as before."""
        if self.narrowed is not None:
            self.size, self.narrowed = self.narrowed, None
