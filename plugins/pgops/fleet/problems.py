"""What is wrong in a fleet file, kept until somebody asks for what it concerns."""

from __future__ import annotations

from dataclasses import dataclass

from pgops.errors import Refused


@dataclass(frozen=True)
class FleetProblem:
    """Something wrong in the fleet file.

    It concerns a database, or one policy of a server, or (both are None) the whole file.
    """

    database: str | None
    file: str
    key: str
    what: str
    remedy: str
    server: str | None = None
    policy: str = ""

    def refusal(self) -> Refused:
        """The problem as the error that people read."""
        return Refused(self.what, where=f"{self.file}, {self.key}", remedy=self.remedy)
