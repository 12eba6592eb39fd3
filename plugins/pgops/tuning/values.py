"""Values of settings as people write them and as the server counts them: '8GB' is 1048576 blocks of 8 kB."""

from __future__ import annotations

import re

_BYTES = {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_WRITTEN = re.compile(r"\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z]*)\s*")
_TRUE, _FALSE = ("on", "true", "yes", "1"), ("off", "false", "no", "0")

KB, MB, GB = 1024, 1024**2, 1024**3


def base_of(unit: str) -> float | None:
    """Bytes or seconds in one of a setting's unit ('8kB', 'ms'); None where it has none."""
    found = re.fullmatch(r"(\d*)(\w+)", unit)
    if found is None:
        return None
    one = _BYTES.get(found[2]) or _SECONDS.get(found[2])
    return one * int(found[1] or 1) if one else None


def number(written: str, unit: str = "") -> float | None:
    """A value in bytes or seconds where the setting has a unit, else the plain number; None for what is no number.

    Args:
        written: as in a configuration file, such as '8GB', '1048576' or '0.9'.
        unit: of the setting; a bare number counts in it.
    """
    found = _WRITTEN.fullmatch(written)
    if found is None:
        return None
    plain, given = float(found[1]), found[2]
    one = base_of(unit)
    if not given:
        # -1 and 0 mean "none" or "automatic" for most settings, whatever the unit.
        return plain if one is None or plain < 0 else plain * one
    one_given = (_BYTES if unit.endswith("B") else _SECONDS).get(given)
    return plain * one_given if one is not None and one_given is not None else None


def same(one: str, other: str, vartype: str, unit: str = "") -> bool:
    """Whether two written values mean the same."""
    if vartype == "bool":
        return switched(one) == switched(other)
    if vartype in ("integer", "real"):
        left, right = number(one, unit), number(other, unit)
        if left is None or right is None:
            return one.strip() == other.strip()
        return abs(left - right) <= max(abs(left), abs(right)) * 1e-9 or _steps(left, unit) == _steps(right, unit)
    if vartype == "enum":
        return one.strip().lower() == other.strip().lower()
    return elements(one) == elements(other)


def _steps(amount: float, unit: str) -> float:
    """The server keeps whole blocks, kB or ms: '10ms' of a setting in seconds is no half."""
    one = base_of(unit)
    return round(amount / one) if one and amount >= 0 else amount


def switched(written: str) -> bool | None:
    """A boolean; None for what is none."""
    low = written.strip().lower()
    return True if low in _TRUE else False if low in _FALSE else None


def elements(written: str) -> list[str]:
    """The elements of a list, such as that of libraries."""
    return [part.strip().strip('"') for part in written.split(",") if part.strip()]


def sized(amount: float, unit: str) -> str:
    """Bytes as a configuration file says them: the largest unit that leaves a whole number."""
    for name in ("TB", "GB", "MB"):
        if amount >= _BYTES[name] and amount % _BYTES[name] == 0:
            return f"{int(amount // _BYTES[name])}{name}"
    return f"{round(amount / 1024)}kB" if unit != "B" else f"{round(amount)}B"


def timed(amount: float) -> str:
    """Seconds as a configuration file says them."""
    for name in ("d", "h", "min", "s"):
        if amount >= _SECONDS[name] and amount % _SECONDS[name] == 0:
            return f"{int(amount // _SECONDS[name])}{name}"
    return f"{round(amount * 1000)}ms"


def shown(written: str, unit: str = "") -> str:
    """A value as people read it; 16384 of 8kB is 128MB."""
    amount = number(written, unit)
    if amount is None or not unit or amount <= 0 or base_of(unit) is None:
        return written
    return sized(amount, unit) if unit.endswith("B") else timed(amount)


def base_units(written: str, unit: str, vartype: str) -> str:
    """A written value as the server counts it: parameter groups take no units."""
    one, amount = base_of(unit), number(written, unit)
    if one is None or amount is None or amount < 0:
        return written
    return f"{amount / one:g}" if vartype == "real" else str(round(amount / one))


def rounded(amount: float) -> float:
    """Bytes cut to what people write: two leading binary digits, from whole MB on (3.2 GB becomes 3 GB)."""
    if amount < MB:
        return float(max(int(amount // KB), 1) * KB)
    step = 2 ** max(int(amount).bit_length() - 3, 20)
    return float(max(int(amount // step), 1) * step)
