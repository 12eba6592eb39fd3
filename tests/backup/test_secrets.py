"""No password and no key is in a log line, a stored object or an argument list."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import psutil
import pytest

from pgops.errors import PgOpsError
from pgops.fleet import BackupPolicy
from pgops.recovery import compare, restore, run_amcheck
from tests.nights import SAMPLE, execute
from tests.servers import SECRET_KEY, SUPERUSER_PASSWORD


def arguments_of_children(seen: set[str], done: threading.Event) -> None:
    while not done.wait(0.002):
        for process in psutil.Process().children(recursive=True):
            try:
                seen.add(" ".join(process.cmdline()))
            except psutil.Error:
                continue


def test_the_whole_way_shows_no_secret(night, caplog, postgres):
    caplog.set_level(logging.DEBUG, logger="pgops")
    execute(night.dsn, *SAMPLE)
    night.policy = BackupPolicy(compression="none")
    seen: set[str] = set()
    done = threading.Event()
    watcher = threading.Thread(target=arguments_of_children, args=(seen, done))
    watcher.start()
    scratch = night.dsn.on(f"{night.dsn.dbname}_scratch")
    try:
        dumped = night.dump()
        stored = [(key, night.bucket.open([key]).read()) for key in night.stored()]
        committed = night.commit(night.verify(dumped.backup_id))
        stored += [(key, night.bucket.open([key]).read()) for key in night.stored()]
        postgres.execute(f"CREATE DATABASE {scratch.dbname}")
        restore(night.catalog, committed.backup_id, scratch, jobs=2)
        compare(night.catalog, committed.backup_id, scratch, jobs=2)
        run_amcheck(scratch, 1)
    finally:
        done.set()
        watcher.join()
        postgres.execute(f"DROP DATABASE IF EXISTS {scratch.dbname} WITH (FORCE)")
    programs = {Path(line.split(" ")[0]).name for line in seen if line}
    assert {"pg_dump", "pg_restore"} <= programs  # the watcher really saw them
    for secret in (SUPERUSER_PASSWORD, SECRET_KEY):
        assert secret not in "\n".join(seen)
        assert secret not in caplog.text
        assert secret not in f"{committed!r} {dumped!r}"
        for key, data in stored:
            assert secret.encode() not in data, key


@pytest.mark.parametrize("what", ["pg_dump", "connection", "store"])
def test_failures_show_no_secret(night, caplog, failing_pg_dump, what):
    caplog.set_level(logging.DEBUG, logger="pgops")
    if what == "pg_dump":
        with failing_pg_dump('$REAL "$@" --nonsense; exit 1'), pytest.raises(PgOpsError) as caught:
            night.dump()
    elif what == "connection":
        night.dsn = night.dsn.on("nowhere")
        with pytest.raises(PgOpsError) as caught:
            night.dump()
    else:
        night.bucket.name = "not-there"
        with pytest.raises(PgOpsError) as caught:
            night.dump()
    text = f"{caught.value} {caught.value!r} {caught.getrepr(showlocals=False)} {caplog.text}"
    assert SUPERUSER_PASSWORD not in text
    assert SECRET_KEY not in text
