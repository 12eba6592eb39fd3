"""The policy's option to keep some days of dumps on the worker's disk. The bucket's copy is the one that counts."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pgops.catalog import is_backup_id
from pgops.fleet import LocalCopy
from pgops.storage import Reader

log = logging.getLogger(__name__)

_PARTIAL = ".partial"


class _Tee:
    """Passes a stream on and writes it to a file; a full disk ends the file, never the stream."""

    def __init__(self, source: Reader, file: IO[bytes] | None, notes: tuple[str, ...]) -> None:
        self._source = source
        self.file = file
        self.notes = notes

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        if self.file is not None:
            try:
                self.file.write(data)
            except OSError as error:
                self.give_up(error)
        return data

    def give_up(self, error: OSError) -> None:
        log.warning("no local copy: %s", error)
        self.notes = (*self.notes, f"no local copy could be kept: {error.strerror}")
        if self.file is not None:
            with contextlib.suppress(OSError):
                self.file.close()
        self.file = None


@contextmanager
def copying_to(policy: LocalCopy | None, database: str, name: str, source: Reader) -> Iterator[_Tee]:
    """Copy what is read from `source` to <directory>/<database>/<name>; whole, or not there at all."""
    if policy is None:
        yield _Tee(source, None, ())
        return
    folder = Path(policy.directory) / database
    partial = folder / (name + _PARTIAL)
    tee = _Tee(source, None, ())
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_partials(folder)
        tee.file = partial.open("xb")
        partial.chmod(0o600)
    except OSError as error:
        tee.give_up(error)
    try:
        yield tee
        if tee.file is not None:
            try:
                tee.file.flush()
                os.fsync(tee.file.fileno())
                tee.file.close()
                partial.rename(folder / name)
                _remove_old(folder, policy.keep_days, newest=name)
            except OSError as error:
                tee.give_up(error)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _copies(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if is_backup_id(path.name.split(".")[0]) and ".dump" in path.name)


def _remove_partials(folder: Path) -> None:
    for path in list(_copies(folder)):
        if path.name.endswith(_PARTIAL):
            path.unlink()


def _remove_old(folder: Path, keep_days: int, newest: str) -> None:
    """Called only after tonight's copy is whole, so a night that fails removes nothing."""
    limit = time.time() - keep_days * 86400
    for path in list(_copies(folder)):
        if path.name != newest and path.stat().st_mtime < limit:
            log.info("removing the local copy %s, older than %s days", path, keep_days)
            path.unlink()
