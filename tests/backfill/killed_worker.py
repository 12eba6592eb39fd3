"""A worker in a process of its own, to be killed: python -m tests.backfill.killed_worker <dsn as JSON> <job>."""

from __future__ import annotations

import json
import sys

from pgops import backfill
from pgops.postgres import Dsn

if __name__ == "__main__":
    facts, job = json.loads(sys.argv[1]), int(sys.argv[2])
    options = backfill.Options(
        target_ms=5, first_batch=100, most_batch=200, lock_timeout=0.05, on_error="stop", vacuum_dead_share=None
    )

    class Slowly(backfill.Unthrottled):
        """Leaves time for thirty kills."""

        def after_batch(self, rows: int, ms: float, wal_bytes: int) -> float:
            return 0.03

    print("begun", flush=True)
    worked = backfill.work(Dsn(**facts), job, None, Slowly(), options=options)
    print(worked.outcome, flush=True)
