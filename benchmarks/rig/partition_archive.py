"""What an archive costs: both formats written, downloaded again, loaded and compared, against COPY alone.

python -m benchmarks.rig.partition_archive [--rows N] [--pairs N] [--major N]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.rig.ground import BUCKET, Ground, ground
from benchmarks.rig.measure import print_header, print_row, wait_until_idle
from pgops.partitions.archive import Subject, archive, verify
from pgops.partitions.manifest import archives_of, remove_folder
from pgops.postgres import Dsn, client_program
from pgops.storage import Bucket

_TABLE = """
CREATE TABLE public.history (
    id bigint NOT NULL, user_id bigint NOT NULL, changed_at timestamptz NOT NULL, key text NOT NULL, old text, new jsonb
);
INSERT INTO public.history
SELECT n, n % 50000, '2024-01-01 00:00:00+00'::timestamptz + n * interval '1 second', 'setting ' || n % 40,
       md5(n::text), jsonb_build_object('theme', CASE n % 3 WHEN 0 THEN 'dark' ELSE 'light' END, 'n', n)
  FROM generate_series(1, {rows}) n;
VACUUM ANALYZE public.history;
CHECKPOINT
"""


def archive_vs_copy(made: Ground, rows: int, pairs: int) -> tuple[list[float], list[float]]:
    """Seconds of COPY alone and of the whole archive, in turns."""
    dsn = Dsn("127.0.0.1", made.server.port, "postgres", "postgres", made.server.password)
    for statement in _TABLE.format(rows=rows).split(";\n"):
        made.server.execute(statement)
    bucket = Bucket(made.client(), BUCKET)
    ((oid,),) = made.server.execute("SELECT 'public.history'::regclass::oid::bigint")
    subject = Subject(int(str(oid)), "public", "history", "public", "history_of_all", "FOR VALUES FROM (1) TO (2)")
    copies, archives = [], []
    for _ in range(pairs):
        wait_until_idle()
        copies.append(_copy_alone(dsn))
        wait_until_idle()
        started = time.monotonic()
        verify(bucket, archive(bucket, "bench", dsn, subject, "benchmark"), dsn)
        archives.append(time.monotonic() - started)
        for one in archives_of(bucket, "bench"):
            remove_folder(bucket, one.folder(bucket))
    return copies, archives


def _copy_alone(dsn: Dsn) -> float:
    psql = client_program("psql", 150000)
    argv = [str(psql), "-X", "-q", "-d", dsn.conninfo(), "-c", "COPY public.history TO STDOUT"]
    started = time.monotonic()
    with Path(os.devnull).open("wb") as nowhere:
        subprocess.run(argv, env={**os.environ, "PGPASSWORD": dsn.password}, stdout=nowhere, check=True)
    return time.monotonic() - started


def main(arguments: list[str] | None = None) -> None:
    """Print a table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--major", type=int, default=None)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    with ground(options.rows / 5e6 + 0.2, options.major) as made:
        copies, archives = archive_vs_copy(made, options.rows, options.pairs)
    print_header(f"archive of {options.rows} rows, seconds")
    print_row("COPY alone", copies)
    print_row("archived and proven", archives)
    ratio = statistics.median(ours / bare for ours, bare in zip(archives, copies, strict=True))
    print(json.dumps({"archive_vs_copy": round(ratio, 2), "rows": options.rows}))


if __name__ == "__main__":
    main()
