"""How rules write what they want."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pgops.tuning import values
from pgops.tuning.model import Facts, Setting, Wish

Wants = Callable[[Facts, Setting], Wish | None]
DOCS = "https://www.postgresql.org/docs/current/"
PGTUNE = "https://github.com/le0pard/pgtune"


def size(target: float, least: float, most: float, says: str, danger: str = "") -> Wish:
    """So many bytes, cut to what people write; between least and most it is left alone."""
    wanted = values.rounded(target)
    return Wish(values.sized(wanted, "kB"), min(least, wanted), max(most, wanted), says=says, danger=danger)


def count(target: float, least: float, most: float, says: str = "", danger: str = "") -> Wish:
    """A plain number."""
    return Wish(f"{target:g}", least, most, says=says, danger=danger)


def time(target: str, least: str, most: str, says: str = "", danger: str = "") -> Wish:
    """A duration, each as a configuration file says it."""
    low, high = values.number(least, "s"), values.number(most, "s")
    return Wish(target, low, high, says=says, danger=danger)


def switch(wanted: str, says: str = "") -> Wish:
    """On or off."""
    return Wish(wanted, among=(wanted,), says=says)


def must_be(wanted: str, danger: str) -> Wants:
    """On or off, and the other one is a danger."""
    return lambda facts, setting: replace(switch(wanted), danger="" if setting.same(wanted) else danger)


def fixed(wish: Wish) -> Wants:
    """The same on every machine."""
    return lambda facts, setting: wish


def amount(value: float) -> str:
    """Bytes, for a sentence."""
    return values.sized(round(value / values.MB) * values.MB or value, "kB")
