"""barman-cloud in the sandbox: the primary archives its WAL with it, as a production server would."""

from __future__ import annotations

import shutil
import sys
import sysconfig
from pathlib import Path, PurePosixPath

from pgops.physical.engines import BarmanEngine, Source
from pgops.physical.host import LocalHost
from pgops.physical.store import Secrets, Store
from pgops.postgres import Dsn
from pgops.storage import Bucket
from sandbox.account import Account, relocated

PROGRAMS = {
    "barman-cloud-backup": "cloud_backup",
    "barman-cloud-backup-delete": "cloud_backup_delete",
    "barman-cloud-restore": "cloud_restore",
    "barman-cloud-wal-archive": "cloud_walarchive",
    "barman-cloud-wal-restore": "cloud_walrestore",
}
PACKAGES = ("barman", "boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "psycopg2")
SERVICES = ("s3", "sts", "sso", "sso-oidc")  # of botocore's several hundred


def programs(identity: Account) -> Path:
    """Return a folder with barman-cloud's programs that this identity can execute.

    Another user cannot enter the clone, so it gets copies: of these packages, and of the Python that runs them where
    that lies in somebody's home. (In a user namespace everything stays where it is.)
    """
    own = Path(sys.executable).parent
    if not identity.relocates:
        return own
    place = relocated(own / "barman-cloud")
    ready = place / ".complete"
    if not ready.exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(mode=0o755)
        _copy_packages(place / "site")
        python = _reachable_python(place)
        for name, module in PROGRAMS.items():
            script = place / name
            found = f"PYTHONPATH={place}/site LD_LIBRARY_PATH={place}/python/lib"  # the latter: libpython of the copy
            script.write_text(f'#!/bin/sh\n{found} exec {python} -m barman.clients.{module} "$@"\n', encoding="utf-8")
        _open_up(place)
        for name in PROGRAMS:
            (place / name).chmod(0o755)
        ready.touch()
    return place


def archive_command(home: Path, store: Store, identity: Account) -> str:
    """Return the primary's archive_command; the store's key goes into a file of `home` that only its owner can read."""
    source = Source(
        server="primary",
        dsn=Dsn("127.0.0.1", 0, "postgres", "postgres"),  # archiving needs no session
        programs=PurePosixPath(programs(identity)),
        secrets=Secrets(PurePosixPath(home / "archive")),
    )
    command = BarmanEngine(source, store, Bucket(None, store.bucket, store.prefix)).archive_command(LocalHost())
    for path in (home / "archive", *(home / "archive").iterdir()):
        identity.give(path)
    return command


def _copy_packages(site: Path) -> None:
    library = Path(sysconfig.get_path("purelib"))
    unwanted = shutil.ignore_patterns("__pycache__", "tests")

    def ignored(folder: str, names: list[str]) -> set[str]:
        skipped = set(unwanted(folder, names))
        if Path(folder) == library / "botocore" / "data":
            skipped |= {
                name for name in names if (library / "botocore" / "data" / name).is_dir() and name not in SERVICES
            }
        return skipped

    for package in PACKAGES:
        shutil.copytree(library / package, site / package, ignore=ignored)
    for beside in (library / "six.py", *library.glob("psycopg2_binary.libs"), *library.glob("barman-*.dist-info")):
        copy = shutil.copytree if beside.is_dir() else shutil.copy
        copy(beside, site / beside.name)


def _reachable_python(place: Path) -> Path:
    """Return this Python where everybody may execute it, else a copy."""
    python = Path(sys.executable).resolve()
    if all(parent.stat().st_mode & 0o001 for parent in python.parents):
        return python
    base, version = Path(sys.base_prefix), f"python{sys.version_info.major}.{sys.version_info.minor}"
    target = place / "python"
    unwanted = shutil.ignore_patterns("__pycache__", "test", "tests", "site-packages", "idlelib", "tkinter", "config-*")
    shutil.copytree(base / "lib" / version, target / "lib" / version, ignore=unwanted)
    for library in (base / "lib").glob("libpython*.so*"):
        shutil.copy(library, target / "lib" / library.name)
    (target / "bin").mkdir()
    shutil.copy(python, target / "bin" / version)
    return target / "bin" / version


def _open_up(place: Path) -> None:
    for path in (place, *place.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (mode & 0o500) >> 3 | (mode & 0o500) >> 6)  # whatever root's umask was
