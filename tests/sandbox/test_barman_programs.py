"""The sandbox's archive_command finds its Python under whatever identity PostgreSQL runs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pgops.physical.store import Store
from sandbox.account import account, nobody
from sandbox.barman import PROGRAMS, archive_command, programs

STORE = Store("bucket", "prefix", "http://127.0.0.1:9", "us-east-1", "access", "the-secret-key", path_style=True)


def test_the_programs_run_under_the_servers_identity() -> None:
    for name in PROGRAMS:
        done = account().run(programs(account()) / name, "--version")
        assert (done.returncode, done.stdout.split()[0]) == (0, name), done.stdout


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_another_user_gets_programs_of_its_own_where_the_clone_is_closed(tmp_path: Path) -> None:
    place = programs(nobody())
    try:
        for name in PROGRAMS:
            done = nobody().run(place / name, "--version")
            assert (done.returncode, done.stdout.split()[0]) == (0, f"{PROGRAMS[name]}.py"), done.stdout
        home = nobody().folder(tmp_path / "home")
        command = archive_command(home, STORE, nobody())
        assert "the-secret-key" not in command
        done = nobody().run("sh", "-c", command.replace("%p", "/nowhere/000000010000000000000001"))
        assert done.returncode == 4 and "No such file" in done.stdout, "it got as far as reading the segment"
    finally:
        shutil.rmtree(place, ignore_errors=True)
