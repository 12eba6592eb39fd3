"""Partition bounds as the catalog writes them, and as statements need them.

They are read under TimeZone UTC and DateStyle ISO, which every session of this package sets.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from psycopg2 import sql

from pgops.partitions.model import Edge, KeyKind, Parent, Range

# By the type's name in the catalog. Of numeric, whole numbers only.
KINDS: dict[str, KeyKind] = {
    "timestamptz": "timestamptz",
    "timestamp": "timestamp",
    "date": "date",
    "int2": "integer",
    "int4": "integer",
    "int8": "integer",
    "numeric": "integer",
    "uuid": "uuidv7",
}
GREATEST_NUMBER = {"int2": 2**15 - 1, "int4": 2**31 - 1, "int8": 2**63 - 1}
LAST_INSTANT = datetime.max.replace(tzinfo=UTC)

_RANGE = re.compile(r"^FOR VALUES FROM \(('?)([^',]+)\1\) TO \(('?)([^',]+)\3\)$")
_TAIL_BITS = 80


class Unreadable(ValueError):
    """A bound that this package cannot plan with."""


def parse(text: str, kind: KeyKind) -> Range | None:
    """The range of one column that `pg_get_expr(relpartbound)` describes; None is DEFAULT.

    Raises:
        Unreadable: more than one column, or a value that is no instant or whole number.
    """
    if text == "DEFAULT":
        return None
    match = _RANGE.match(text)
    if match is None:
        raise Unreadable(text)
    return Range(_edge(match[2], kind, upper=False), _edge(match[4], kind, upper=True))


def tail(text: str) -> int:
    """The 80 bits after the instant of a uuid bound, its lower one if it has one."""
    match = _RANGE.match(text)
    for value in (match[2], match[4]) if match else ():
        if value not in ("MINVALUE", "MAXVALUE"):
            return int(value.replace("-", ""), 16) & ((1 << _TAIL_BITS) - 1)
    return 0


def literal(edge: Edge, parent: Parent) -> sql.Composable:
    """A value of the parent's key, for a bound or a condition."""
    return sql.Literal(str(edge) if isinstance(edge, int) else _instant(edge, parent))


def clause(bounds: Range, parent: Parent) -> sql.Composable:
    """FOR VALUES FROM ... TO ..."""
    lower = sql.SQL("MINVALUE") if bounds.lower is None else literal(bounds.lower, parent)
    upper = sql.SQL("MAXVALUE") if bounds.upper is None else literal(bounds.upper, parent)
    return sql.SQL("FOR VALUES FROM ({}) TO ({})").format(lower, upper)


def condition(bounds: Range, parent: Parent) -> sql.Composable:
    """The rows of a range, by the key column's name alone."""
    key = sql.Identifier(parent.key)
    parts: list[sql.Composable] = [sql.SQL("{} IS NOT NULL").format(key)]
    if bounds.lower is not None:
        parts.append(sql.SQL("{} >= {}").format(key, literal(bounds.lower, parent)))
    if bounds.upper is not None:
        parts.append(sql.SQL("{} < {}").format(key, literal(bounds.upper, parent)))
    return sql.SQL(" AND ").join(parts)


def text(edge: Edge | None) -> str:
    """As people read it: 2026-03-01, 2026-03-01 14:30 UTC, 1000000."""
    if edge is None:
        return "without end"
    if isinstance(edge, int):
        return str(edge)
    if edge == LAST_INSTANT:
        return "the end of time"
    if (edge.hour, edge.minute, edge.second, edge.microsecond) == (0, 0, 0, 0):
        return f"{edge:%Y-%m-%d}"
    return (
        f"{edge:%Y-%m-%d %H:%M} UTC"
        if (edge.second, edge.microsecond) == (0, 0)
        else f"{edge:%Y-%m-%d %H:%M:%S.%f} UTC"
    )


def _edge(value: str, kind: KeyKind, *, upper: bool) -> Edge | None:
    if value in ("MINVALUE", "MAXVALUE"):
        # A range from MAXVALUE, or up to MINVALUE, is empty: the server refuses it.
        return None
    try:
        if kind == "integer":
            return int(value)
        if kind == "uuidv7":
            return _from_milliseconds(int(value.replace("-", ""), 16) >> _TAIL_BITS)
        if value == ("infinity" if upper else "-infinity") or (value.endswith(" BC") and not upper):
            return None
        read = datetime.fromisoformat(value)
    except (ValueError, OverflowError):
        if upper and kind != "integer":  # beyond the year 9999
            return None
        raise Unreadable(value) from None
    return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)


def _from_milliseconds(count: int) -> datetime:
    return datetime.fromtimestamp(count // 1000, UTC).replace(microsecond=count % 1000 * 1000)


def _instant(edge: datetime, parent: Parent) -> str:
    if parent.kind == "timestamptz":
        return f"{edge:%Y-%m-%d %H:%M:%S.%f}+00"
    if parent.kind == "timestamp":
        return f"{edge:%Y-%m-%d %H:%M:%S.%f}"
    if parent.kind == "date":
        return f"{edge:%Y-%m-%d}"
    count = int(edge.timestamp()) * 1000 + edge.microsecond // 1000
    digits = f"{(count << _TAIL_BITS) | parent.uuid_tail:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
