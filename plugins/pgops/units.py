"""Numbers as people read them: 34.5 GiB, 12 min, +8 %."""

from __future__ import annotations

ABSENT = "-"


def size(count: float | None) -> str:
    """Bytes in the binary unit that leaves one to three digits; never longer than seven characters below a PiB."""
    if count is None:
        return ABSENT
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" or abs(count) >= 9.95 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB" if abs(count) < 9.95 else f"{count:.0f} TiB"


def duration(seconds: float | None) -> str:
    """Seconds below 100 s, minutes below 100 min, then hours and days."""
    if seconds is None:
        return ABSENT
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    for unit, length, until in (("s", 1, 99.5), ("min", 60, 99.5 * 60), ("h", 3600, 99.5 * 3600)):
        if seconds < until:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def moment(seconds: float) -> str:
    """As duration, but with milliseconds below a second: for locks and stalls."""
    return f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else duration(seconds)


def short(number: float) -> str:
    """One decimal below 10, none above."""
    return f"{number:.1f}" if abs(number) < 9.95 else f"{number:.0f}"


def rate(bytes_per_second: float | None) -> str:
    """Throughput, as a size per second."""
    return ABSENT if bytes_per_second is None else f"{size(bytes_per_second)}/s"


def change(percent: float | None) -> str:
    """A signed percentage; what would not fit a table is cut off."""
    if percent is None:
        return ABSENT
    rounded = round(percent)
    return ">999%" if rounded > 999 else f"{rounded:+d}%" if rounded else "0%"


def shown(value: float | None, unit: str = "") -> str:
    """A value with its unit: bytes, seconds, percent, count (or none), or any other word."""
    if value is None:
        return ABSENT
    if unit == "bytes":
        return size(value)
    if unit == "seconds":
        return duration(value)
    if unit == "percent":
        return f"{short(value)} %"
    plain = f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else short(value)
    return plain if unit in ("", "count") else f"{plain} {unit}"
