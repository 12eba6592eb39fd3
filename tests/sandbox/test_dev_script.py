"""`./dev` on a machine that lacks something: one clear line with the remedy, and nothing half done stays."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("bash", "cat", "mkdir", "rm", "flock", "dirname")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone whose dependencies are none, so that making its environment is quick."""
    clone = tmp_path / "a clone"
    (clone / "sandbox").mkdir(parents=True)
    shutil.copy(ROOT / "dev", clone)
    (clone / "requirements-dev.lock").write_text("# nothing\n")
    (clone / "sandbox" / "__main__.py").write_text("import sys; print('handed over', sys.argv[1:])\n")
    return clone


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A PATH with a few tools and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        if found := shutil.which(tool):
            (folder / tool).symlink_to(found)
    return folder


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def dev(clone: Path, path: Path | None = None, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHON", "PYTHONPATH")}
    environment = {**kept, **({"PATH": str(path)} if path else {}), **variables}
    return subprocess.run(
        [shutil.which("bash") or "bash", str(clone / "dev"), *arguments],
        env=environment,
        capture_output=True,
        text=True,
    )


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a failed ./dev says, beside what it was doing."""
    assert done.returncode == 2
    assert done.stdout == ""
    [line] = [line for line in done.stderr.splitlines() if "installing" not in line]
    assert line.startswith("dev: ")
    return line


def test_without_python(clone: Path, path: Path) -> None:
    assert "apt-get install python3 python3-venv" in complaint(dev(clone, path))


def test_with_an_old_python_or_a_shim_that_does_not_work(clone: Path, path: Path) -> None:
    program(path, "python3", "exit 1")
    program(path, "python3.12", "echo 'pyenv: python3.12: command not found' >&2; exit 127")
    assert "Python 3.11 or newer is not on PATH" in complaint(dev(clone, path))


def test_without_the_venv_module(clone: Path, path: Path) -> None:
    program(path, "python3", f'case "$2" in *ensurepip*) exit 1;; esac; exec {sys.executable} "$@"')
    assert "apt-get install python3-venv" in complaint(dev(clone, path))


def test_without_a_lock_file(clone: Path) -> None:
    (clone / "requirements-dev.lock").unlink()
    assert "git checkout" in complaint(dev(clone))


@pytest.mark.slow
def test_without_a_package_registry(clone: Path) -> None:
    nowhere = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/",
        "PIP_FIND_LINKS": "",
        "PIP_RETRIES": "0",
        "PIP_NO_CACHE_DIR": "1",
    }
    assert "is the package registry reachable? See .sandbox/install.log" in complaint(
        dev(clone, None, "status", PYTHON=sys.executable, **nowhere)
    )


@pytest.mark.slow
def test_an_environment_is_made_once_and_a_broken_or_half_made_one_again(clone: Path) -> None:
    def handed_over() -> bool:
        """Return whether it installed anything on the way."""
        done = dev(clone, None, "run", "a b", PYTHON=sys.executable)
        assert done.stdout == "handed over ['run', 'a b']\n", done.stderr
        return "installing" in done.stderr

    assert handed_over()
    assert not handed_over()

    (clone / ".venv" / "bin" / "python").unlink()  # the Python that it was made of is gone
    assert handed_over()

    (clone / ".venv" / ".lock-hash").unlink()  # killed while it installed
    (clone / ".venv" / "left").touch()
    assert handed_over()
    assert not (clone / ".venv" / "left").exists()

    (clone / "requirements-dev.lock").write_text("# another\n")
    assert handed_over()
    assert not handed_over()
