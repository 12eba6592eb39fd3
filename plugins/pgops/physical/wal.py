"""Positions in the WAL: LSNs, names of segments, and the timelines that a position may lie on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pgops.errors import Refused

_LSN = re.compile(r"^([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})$")
_HISTORY = re.compile(r"^\s*(\d+)\s+([0-9A-Fa-f]+/[0-9A-Fa-f]+)")


@dataclass(frozen=True)
class Branch:
    """A timeline as far as another one has it in common: from `begins` up to `ends` (None: its own end)."""

    timeline: int
    begins: int
    ends: int | None


def is_lsn(text: str) -> bool:
    """Whether this is how PostgreSQL writes an LSN."""
    return bool(_LSN.match(text))


def lsn(text: str) -> int:
    """The number of an LSN such as 0/3000060."""
    found = _LSN.match(text)
    if found is None:
        raise ValueError(f"{text!r} is no LSN")
    return int(found[1], 16) << 32 | int(found[2], 16)


def lsn_text(number: int) -> str:
    """An LSN as PostgreSQL writes it."""
    return f"{number >> 32:X}/{number & 0xFFFFFFFF:X}"


def segment(timeline: int, number: int, segment_bytes: int) -> str:
    """The name of a timeline's segment."""
    per_id = (1 << 32) // segment_bytes
    return f"{timeline:08X}{number // per_id:08X}{number % per_id:08X}"


def number_of(name: str, segment_bytes: int) -> int:
    """A segment's number: how many lie before it since the beginning of the WAL."""
    return int(name[8:16], 16) * ((1 << 32) // segment_bytes) + int(name[16:24], 16)


def timeline_of(name: str) -> int:
    """The timeline that a segment's name tells."""
    return int(name[:8], 16)


def branches(timeline: int, histories: Mapping[int, str]) -> tuple[Branch, ...]:
    """What a timeline consists of, its oldest ancestor first; its history file says where each was left.

    Raises:
        Refused: the history file is not one.
    """
    found: list[Branch] = []
    begins = 0
    for line in histories.get(timeline, "").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parsed = _HISTORY.match(line)
        if parsed is None:
            raise Refused(
                f"The history of timeline {timeline} has a line that cannot be read: {line.strip()!r}",
                where=f"{timeline:08X}.history in the WAL archive",
                remedy="Compare it with the server's own file in pg_wal, and archive that one",
            )
        ends = lsn(parsed[2])
        found.append(Branch(int(parsed[1]), begins, ends))
        begins = ends
    return (*found, Branch(timeline, begins, None))
