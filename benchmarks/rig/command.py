"""How a benchmark speaks on the command line."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable

from pgops.errors import PgOpsError

Say = Callable[[str], None]


def command(main: Callable[[], int]) -> Callable[[], int]:
    """An error of this project's is a line, not a traceback; so is Ctrl-C. Returns the code to exit with."""

    @functools.wraps(main)
    def wrapped() -> int:
        try:
            return main()
        except PgOpsError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130

    return wrapped


def clocked() -> Say:
    """Says lines, each with the seconds since now."""
    begun = time.monotonic()

    def say(line: str) -> None:
        print(f"[{time.monotonic() - begun:6.1f} s] {line}", flush=True)

    return say
