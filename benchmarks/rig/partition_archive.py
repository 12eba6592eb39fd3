"""What an archive costs: both formats written, downloaded again, loaded and compared, against COPY alone."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.rig.ground import BUCKET, Ground
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
VACUUM ANALYZE public.history
"""


def make_history(place: Ground, rows: int) -> None:
    """The table to archive, in the database postgres."""
    for statement in _TABLE.format(rows=rows).split(";\n"):
        place.server.execute(statement)


def ways(place: Ground) -> list[Callable[[], dict[str, float]]]:
    """Seconds of COPY alone, and of the whole archive."""
    dsn = Dsn("127.0.0.1", place.server.port, "postgres", "postgres", place.server.password)
    bucket = Bucket(place.client(), BUCKET)
    ((oid,),) = place.server.execute("SELECT 'public.history'::regclass::oid::bigint")
    subject = Subject(int(str(oid)), "public", "history", "public", "history_of_all", "FOR VALUES FROM (1) TO (2)")

    def archived() -> dict[str, float]:
        started = time.monotonic()
        verify(bucket, archive(bucket, "bench", dsn, subject, "benchmark"), dsn)
        seconds = time.monotonic() - started
        for one in archives_of(bucket, "bench"):
            remove_folder(bucket, one.folder(bucket))
        return {"archive": seconds}

    return [lambda: {"copy": _copy_alone(dsn)}, archived]


def _copy_alone(dsn: Dsn) -> float:
    psql = client_program("psql", 150000)
    argv = [str(psql), "-X", "-q", "-d", dsn.conninfo(), "-c", "COPY public.history TO STDOUT"]
    started = time.monotonic()
    with Path(os.devnull).open("wb") as nowhere:
        subprocess.run(argv, env={**os.environ, "PGPASSWORD": dsn.password}, stdout=nowhere, check=True)
    return time.monotonic() - started
