"""Makes workers to be killed: a process each, forked so that thirty of them start in no time.

python -m tests.backfill.killed_worker <dsn as JSON> <job>: for each line that it reads it forks a worker and says its
pid, then how it ended.
"""

from __future__ import annotations

import json
import os
import sys

from pgops import backfill
from pgops.postgres import Dsn


class Slowly(backfill.Unthrottled):
    """Leaves time for thirty kills."""

    def after_batch(self, rows: int, ms: float, wal_bytes: int) -> float:
        return 0.02


def work(dsn: Dsn, job: int) -> None:
    options = backfill.Options(
        target_ms=5, first_batch=100, most_batch=200, lock_timeout=0.05, on_error="stop", vacuum_dead_share=None
    )
    backfill.work(dsn, job, None, Slowly(), options=options)


if __name__ == "__main__":
    facts, job = json.loads(sys.argv[1]), int(sys.argv[2])
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                work(Dsn(**facts), job)
            finally:
                os._exit(0)
        print(child, flush=True)
        print(os.WTERMSIG(os.waitpid(child, 0)[1]), flush=True)
