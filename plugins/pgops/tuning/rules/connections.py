"""How many sessions there may be."""

from __future__ import annotations

import math

from pgops.tuning.model import Facts, Rule, Setting, Wish
from pgops.tuning.rules.write import DOCS, count, fixed

_CONNECTION = f"{DOCS}runtime-config-connection.html"


def _max_connections(facts: Facts, setting: Setting) -> Wish:
    wanted = facts.machine.connections
    reserved = facts.value("superuser_reserved_connections") + max(facts.value("reserved_connections"), 0)
    target = math.ceil((1.25 * wanted + reserved) / 10) * 10
    danger = ""
    if setting.number() - reserved < facts.server.sessions:
        danger = f"{facts.server.sessions} sessions are there now: the next one is turned away"
    says = f"{wanted} sessions at the peak, {reserved:g} reserved"
    return count(max(target, 20), wanted + reserved, max(4 * target, 200), says, danger)


RULES = (
    Rule(
        "max_connections",
        _max_connections,
        "expected sessions * 1.25 + the reserved ones; left alone up to 4 times that",
        "Each takes memory and makes every snapshot dearer: more than a few hundred belong behind a pooler.",
        f"{_CONNECTION}#GUC-MAX-CONNECTIONS",
        "200",
    ),
    Rule(
        "superuser_reserved_connections",
        fixed(count(3, 2, 20)),
        "3",
        "Somebody must get in when all others are taken.",
        f"{_CONNECTION}#GUC-SUPERUSER-RESERVED-CONNECTIONS",
        "3",
    ),
)
