"""Autovacuum: often and little, rather than rarely and long."""

from __future__ import annotations

from pgops.tuning.model import Facts, Rule, Setting, Wish
from pgops.tuning.rules.write import DOCS, PGTUNE, count, fixed, must_be, time

_VACUUM = f"{DOCS}runtime-config-vacuum.html"


def _workers(facts: Facts, setting: Setting) -> Wish:
    slots = facts.value("autovacuum_worker_slots")  # from 18 on: as many as a reload can give
    target = max(3, min(int(facts.machine.cpus / 4) + 1, 8))
    if slots > 0:
        target = min(target, int(slots))
    return count(target, 3, max(10, facts.machine.cpus), f"{facts.machine.cpus:g} CPUs")


RULES = (
    Rule(
        "autovacuum",
        must_be("on", "nothing is vacuumed until transaction ids run out"),
        "on",
        "Dead rows stay, statistics grow old, and in the end the server stops for want of transaction ids.",
        f"{_VACUUM}#GUC-AUTOVACUUM",
        "on",
    ),
    Rule(
        "autovacuum_max_workers",
        _workers,
        "CPUs / 4 + 1, 3 to 8; left alone up to 10",
        "They share one cost limit: more of them are not faster, only fairer to many tables.",
        f"{_VACUUM}#GUC-AUTOVACUUM-MAX-WORKERS; {PGTUNE}",
        "4",
    ),
    Rule(
        "autovacuum_naptime",
        fixed(time("30s", "5s", "1min")),
        "30s; left alone from 5s to 1min",
        "How often each database is looked at.",
        f"{_VACUUM}#GUC-AUTOVACUUM-NAPTIME",
        "30s",
    ),
    Rule(
        "autovacuum_vacuum_threshold",
        fixed(count(50, 0, 1000)),
        "50",
        "Matters to small tables only.",
        f"{_VACUUM}#GUC-AUTOVACUUM-VACUUM-THRESHOLD",
        "50",
    ),
    Rule(
        "autovacuum_vacuum_scale_factor",
        fixed(count(0.1, 0.01, 0.1)),
        "0.1; left alone from 0.01",
        "A fifth of a large table is too much to be dead. Lower it further by table.",
        f"{_VACUUM}#GUC-AUTOVACUUM-VACUUM-SCALE-FACTOR",
        "0.1",
    ),
    Rule(
        "autovacuum_analyze_threshold",
        fixed(count(50, 0, 1000)),
        "50",
        "Matters to small tables only.",
        f"{_VACUUM}#GUC-AUTOVACUUM-ANALYZE-THRESHOLD",
        "50",
    ),
    Rule(
        "autovacuum_analyze_scale_factor",
        fixed(count(0.05, 0.005, 0.05)),
        "0.05; left alone from 0.005",
        "Plans follow statistics: those of a growing table must keep up.",
        f"{_VACUUM}#GUC-AUTOVACUUM-ANALYZE-SCALE-FACTOR",
        "0.05",
    ),
)
