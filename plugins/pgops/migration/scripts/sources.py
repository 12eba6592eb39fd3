"""Finds the migrations of a folder: pairs of SQL files, in the order of their versions.

Three ways of naming a pair are understood, and may be mixed:

    V001__add_phone.sql      V001__add_phone.rollback.sql   (or U001__add_phone.sql)
    001_add_phone.up.sql     001_add_phone.down.sql
    001_add_phone/up.sql     001_add_phone/down.sql

A version is a number, or several with dots (1.2; Flyway's 1_2 is the same; folders may have 2026-02-15-120000).
Other files than *.sql are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pgops.errors import Refused
from pgops.migration.model import Migration, Source

_FILE_NAMES = (
    re.compile(r"V(?P<version>\d+(?:[._]\d+)*)__(?P<name>.+?)(?:\.up|(?P<down>\.(?:rollback|undo|down)))?\.sql"),
    re.compile(r"(?P<down>U)(?P<version>\d+(?:[._]\d+)*)__(?P<name>.+)\.sql"),
    re.compile(r"(?P<version>\d+(?:\.\d+)*)_(?P<name>.+)\.(?:up|(?P<down>down))\.sql"),
)
_FOLDER_NAME = re.compile(r"(?P<version>\d+(?:[.-]\d+)*)_(?P<name>.+)")
_NAMED = 20

Key = tuple[int, ...]


@dataclass(frozen=True)
class _File:
    """One direction of one migration, found but not yet read."""

    path: Path
    shown: str
    version: str
    name: str
    down: bool

    @property
    def key(self) -> Key:
        """Versions in their order: 2 before 10, and 1.0 is 1."""
        numbers = [int(number) for number in re.split("[._-]", self.version)]
        while len(numbers) > 1 and numbers[-1] == 0:
            numbers.pop()
        return tuple(numbers)


def migrations_in(folder: Path) -> list[Migration]:
    """The migrations of a folder, in the order of their versions.

    Raises:
        Refused: the folder cannot be read or has none; a name is not understood; a version is there twice; a rollback
            belongs to nothing; a file is empty, is not UTF-8 or lies outside of the folder.
    """
    if not folder.is_dir():
        raise Refused(
            "There is no such folder of migrations", where=str(folder), remedy="Correct `folder` in the fleet file"
        )
    ups: dict[Key, _File] = {}
    downs: dict[Key, _File] = {}
    for file in _files(folder):
        others = downs if file.down else ups
        if file.key in others:
            raise Refused(
                f"{others[file.key].shown} and {file.shown} have the same version",
                where=str(folder),
                remedy="Give one of them another version",
            )
        others[file.key] = file
    for key, orphan in downs.items():
        if key not in ups:
            raise Refused(
                f"{orphan.shown} takes back a migration that is not there",
                where=str(folder),
                remedy=f"Add what applies version {orphan.version}, or delete this file",
            )
    if not ups:
        raise Refused(
            "There are no migrations in the folder",
            where=str(folder),
            remedy="Add a pair such as V001__create_it.sql and V001__create_it.rollback.sql",
        )
    return [_migration(folder, up, downs.get(key)) for key, up in sorted(ups.items())]


def chosen(migrations: Sequence[Migration], version: str) -> Migration:
    """The migration of that version. No path is ever made of it: it is only compared."""
    for migration in migrations:
        if migration.version == version:
            return migration
    known = [migration.version for migration in migrations]
    names = ", ".join(known[-_NAMED:]) or "none"
    if len(known) > _NAMED:
        names = f"the last {_NAMED} of {len(known)} are {names}"
    raise Refused(
        f"There is no migration of version {version!r}; known: {names}",
        where="migrations",
        remedy="Give one of them, exactly as it is written",
    )


def _files(folder: Path) -> Iterator[_File]:
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or entry.name == "__pycache__":
            continue
        if entry.is_dir():
            yield from _pair_in(folder, entry)
        elif entry.suffix.lower() == ".sql":
            yield _named(folder, entry)


def _named(folder: Path, path: Path) -> _File:
    for pattern in _FILE_NAMES:
        if match := pattern.fullmatch(path.name):
            return _File(path, path.name, match["version"], _words(match["name"]), bool(match["down"]))
    raise _not_understood(folder, path.name)


def _pair_in(folder: Path, inner: Path) -> Iterator[_File]:
    scripts = sorted(path for path in inner.iterdir() if path.suffix.lower() == ".sql")
    match = _FOLDER_NAME.fullmatch(inner.name)
    for path in scripts:
        shown = f"{inner.name}/{path.name}"
        if match is None or path.name not in ("up.sql", "down.sql"):
            raise _not_understood(folder, shown)
        yield _File(path, shown, match["version"], _words(match["name"]), path.name == "down.sql")


def _not_understood(folder: Path, name: str) -> Refused:
    return Refused(
        f"{name!r} is not named as a migration",
        where=str(folder),
        remedy="Name it like V001__name.sql and V001__name.rollback.sql, 001_name.up.sql and 001_name.down.sql, or "
        "001_name/up.sql and 001_name/down.sql; repeatable migrations are not supported",
    )


def _words(name: str) -> str:
    return re.sub(r"[_\s]+", " ", name).strip()


def _migration(folder: Path, up: _File, down: _File | None) -> Migration:
    return Migration(up.version, up.name, _read(folder, up), None if down is None else _read(folder, down))


def _read(folder: Path, file: _File) -> Source:
    where = str(folder / file.shown)
    if not file.path.resolve().is_relative_to(folder.resolve()):
        raise Refused("The file is a link out of the folder", where=where, remedy="Put the file itself there")
    if not file.path.is_file():
        raise Refused("It is not a file", where=where, remedy="Put a file of SQL there")
    try:
        text = file.path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused(
            f"The file is not UTF-8: byte {error.start} cannot be read", where=where, remedy="Save it as UTF-8"
        ) from None
    except OSError as error:
        raise Refused(
            f"The file cannot be read: {error.strerror}", where=where, remedy="Mend its permissions"
        ) from None
    if not text.strip():
        remedy = "Write what takes it back, or delete it" if file.down else "Write the migration, or delete the file"
        raise Refused("The file is empty", where=where, remedy=remedy)
    return Source(file.shown, text)
