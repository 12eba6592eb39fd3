"""Reads include/sql/health/: one check a file, all that is said about it in the file's header."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

from pgops.errors import PgOpsError, Refused
from pgops.health.model import LIMIT, Check, Dimension, Kind, Level, Scope, Threshold, Where
from pgops.include import include_folder

_REQUIRED = (
    *("Title", "Scope", "Kind", "Versions", "Privileges", "Cost"),
    *("Warn", "Crit", "Source", "Mend", "Risk", "Purpose"),
)
_OPTIONAL = ("Info", "Unit", "On", "Least", "Facts", "Extension", "From", "Note")
_OF_A_VARIANT = ("Versions", "Note")

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_LINE = re.compile(r"-- ([A-Za-z]+):(?: +(.*))?")
_MORE = re.compile(r"--  +(.*)")
_THRESHOLD = re.compile(r"([<>])(=?) *([0-9][0-9_.]*) *([A-Za-z%]*)")
_UNITS: dict[str, tuple[Dimension, float]] = {
    "": ("count", 1),
    "%": ("percent", 1),
    "s": ("seconds", 1),
    "min": ("seconds", 60),
    "h": ("seconds", 3600),
    "d": ("seconds", 86400),
    "B": ("bytes", 1),
    "KiB": ("bytes", 2**10),
    "MiB": ("bytes", 2**20),
    "GiB": ("bytes", 2**30),
}


def checks(folder: Path | None = None) -> tuple[Check, ...]:
    """Every check of a folder, include/sql/health/ by default, in the order of their names.

    Raises:
        PgOpsError: a file's header is not whole; names file and line.
    """
    folder = folder or include_folder() / "sql" / "health"
    files = sorted(folder.glob("*.sql"))
    bases = {path.stem: path for path in files if "." not in path.stem}
    variants: dict[str, list[Path]] = {name: [] for name in bases}
    for path in files:
        base, _, version = path.stem.partition(".")
        if not version:
            continue
        if base not in bases or not version.isdigit():
            raise _wrong(path, 1, "It is a variant of no check", f"Name it <check>.<version>.sql, beside {base}.sql")
        variants[base].append(path)
    return tuple(_check(name, path, variants[name]) for name, path in bases.items())


def with_thresholds(found: Sequence[Check], given: Mapping[str, Mapping[Level, str]]) -> tuple[Check, ...]:
    """The checks, some with other thresholds than their files'.

    Args:
        found: the checks.
        given: by check: "info", "warn" or "crit", and what it is, as in a header.

    Raises:
        Refused: there is no such check, or a threshold is not one, or is in another unit.
    """
    known = {one.name: one for one in found}
    for name, levels in given.items():
        if name not in known:
            near = ", ".join(difflib.get_close_matches(name, known)) or "one of include/sql/health/"
            raise Refused(f"There is no check '{name}'", where=f"health.thresholds, {name}", remedy=f"Write {near}")
        for level, text in levels.items():
            where = f"health.thresholds, {name}.{level}"
            try:
                threshold, dimension = _threshold(text)
            except ValueError as error:
                raise Refused(f"'{text}' is no threshold", where=where, remedy=str(error)) from None
            if dimension not in (None, known[name].dimension):
                remedy = f"Write it in the unit of {name}.sql: {known[name].dimension}"
                raise Refused(f"'{text}' is in another unit", where=where, remedy=remedy)
            changed: dict[str, Any] = {level: threshold}
            known[name] = replace(known[name], **changed)
    return tuple(known.values())


def _threshold(text: str) -> tuple[Threshold | None, Dimension | None]:
    """What `> 75 %` says; its error is the remedy."""
    if text == "never":
        return None, None
    found = _THRESHOLD.fullmatch(text)
    if found is None or found[4] not in _UNITS:
        allowed = ", ".join(unit for unit in _UNITS if unit)
        raise ValueError(f"Write 'never' or such as '> 75 %'; units: {allowed}, or none")
    dimension, factor = _UNITS[found[4]]
    return Threshold(above=found[1] == ">", inclusive=found[2] == "=", limit=_digits(found[3]) * factor), dimension


def _digits(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("Write digits") from None


class _File:
    """One file: its header lines with their numbers, and its query."""

    def __init__(self, path: Path, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
        self.path = path
        self._said: dict[str, tuple[int, str]] = {}
        lines = path.read_text(encoding="utf-8").splitlines()
        name, number = "", 0
        for number, line in enumerate(lines, 1):
            if not line.startswith("--"):
                break
            if begun := _LINE.fullmatch(line):
                name, text = begun[1], begun[2] or ""
                if name not in required + optional:
                    raise _wrong(path, number, f"The header line '{name}' is not known", _known(required, optional))
                if name in self._said:
                    raise _wrong(path, number, f"The header line '{name}' is there twice", "Remove one")
                self._said[name] = (number, text.strip())
            elif name and (more := _MORE.fullmatch(line)):
                at, text = self._said[name]
                self._said[name] = (at, f"{text} {more[1].strip()}".strip())
            else:
                raise _wrong(
                    path, number, "This is not a header line", "Write '-- Name: text', longer texts indented below"
                )
        for name in required:
            if not self.text(name):
                at = self._said.get(name, (1, ""))[0]
                raise _wrong(path, at, f"The header line '{name}' is missing or empty", _known(required, optional))
        self.query = "\n".join(lines[number - 1 :]).strip().removesuffix(";")
        if not self.query or self.query.startswith("--"):
            raise _wrong(path, len(lines), "There is no query below the header", "Write one SELECT")

    def text(self, name: str) -> str:
        return self._said.get(name, (1, ""))[1]

    def wrong(self, name: str, what: str, remedy: str) -> PgOpsError:
        return _wrong(self.path, self._said.get(name, (1, ""))[0], what, remedy)

    def choice(self, name: str, allowed: tuple[str, ...], default: str = "") -> str:
        text = self.text(name) or default
        if text not in allowed:
            raise self.wrong(name, f"{name} is '{text}'", f"Write one of: {', '.join(allowed)}")
        return text

    def words(self, name: str) -> tuple[str, ...]:
        return tuple(word.strip() for word in self.text(name).split(",") if word.strip())

    def versions(self) -> tuple[int, int]:
        found = re.fullmatch(r"(\d+)-(\d+)", self.text("Versions"))
        if found is None or int(found[1]) > int(found[2]):
            raise self.wrong("Versions", f"Versions is '{self.text('Versions')}'", "Write first-last, such as 15-18")
        return int(found[1]), int(found[2])

    def threshold(self, name: str) -> tuple[Threshold | None, Dimension | None]:
        try:
            return _threshold(self.text(name) or "never")
        except ValueError as error:
            raise self.wrong(name, f"{name} is '{self.text(name)}'", str(error)) from None

    def unit(self) -> Dimension | None:
        """For a check that only measures."""
        text = self.text("Unit")
        if text and text not in _UNITS and text != "count":
            raise self.wrong("Unit", f"Unit is '{text}'", f"Write one of: count, {', '.join(filter(None, _UNITS))}")
        return _UNITS["" if text == "count" else text][0] if text else None

    def number(self, name: str) -> float:
        try:
            return _digits(self.text(name) or "0")
        except ValueError as error:
            raise self.wrong(name, f"'{self.text(name)}' is not a number", str(error)) from None


def _check(name: str, path: Path, variants: list[Path]) -> Check:
    if not _NAME.fullmatch(name):
        raise _wrong(path, 1, f"'{name}' is no name of a check", "Use small letters, digits and _")
    file = _File(path, _REQUIRED, _OPTIONAL)
    kind = cast(Kind, file.choice("Kind", get_args(Kind)))
    (info, a), (warn, b), (crit, c) = (file.threshold(one) for one in ("Info", "Warn", "Crit"))
    dimensions = {one for one in (a, b, c, file.unit()) if one is not None}
    if len(dimensions) != 1:
        remedy = "Write them all in one unit; where all are never, write the line Unit"
        raise file.wrong("Warn", "Info, Warn and Crit have no unit in common", remedy)
    (dimension,) = dimensions
    if kind == "forecast" and dimension != "seconds":
        raise file.wrong("Warn", "A forecast is an amount of time", "Write such as '< 14 d'")
    scope = cast(Scope, file.choice("Scope", get_args(Scope)))
    on = cast(Where, file.choice("On", get_args(Where), default="primary"))
    if on != "primary" and (scope != "database" or kind != "state"):
        raise file.wrong("On", f"On is '{on}'", "Only a state of a database can be asked on a standby as well")
    return Check(
        name=name,
        title=file.text("Title"),
        purpose=file.text("Purpose"),
        scope=scope,
        kind=kind,
        versions=_queries([file, *(_File(variant, ("Versions",), _OF_A_VARIANT) for variant in variants)]),
        privileges=tuple(one for one in file.words("Privileges") if one != "none"),
        heavy=file.choice("Cost", ("cheap", "heavy")) == "heavy",
        dimension=dimension,
        info=info,
        warn=warn,
        crit=crit,
        source=file.text("Source"),
        mend=file.text("Mend"),
        risk=file.text("Risk"),
        on=on,
        least=file.number("Least"),
        facts=file.words("Facts"),
        extension=file.text("Extension"),
    )


def _queries(files: list[_File]) -> tuple[tuple[int, int, str], ...]:
    queries: list[tuple[int, int, str]] = []
    for file in files:
        first, last = file.versions()
        if any(first <= other_last and other_first <= last for other_first, other_last, _ in queries):
            raise file.wrong("Versions", f"{first}-{last} overlaps another file of this check", "Give each its own")
        queries.append((first, last, _query(file)))
    return tuple(sorted(queries))


def _query(file: _File) -> str:
    """The file's query, with all rows of the check that it reads from, listed there or not, under that check's name."""
    name = file.text("From")
    if not name:
        return file.query
    path = file.path.with_name(f"{name}.sql")
    if not path.is_file():
        raise file.wrong("From", f"There is no check '{name}'", "Name a file of this folder")
    other = _File(path, _REQUIRED, _OPTIONAL)
    if other.versions() != file.versions() or other.text("From"):
        raise file.wrong("From", f"{name} has other versions, or a From itself", "Write the query without it")
    return f"WITH {name} AS (\n{LIMIT.sub('', other.query)}\n)\n{file.query}"


def _known(required: tuple[str, ...], optional: tuple[str, ...]) -> str:
    return f"Needed: {', '.join(required)}. Possible: {', '.join(one for one in optional if one not in required)}"


def _wrong(path: Path, line: int, what: str, remedy: str) -> PgOpsError:
    return PgOpsError(what, where=f"{path}:{line}", remedy=remedy)
