"""What is loaded, and what protects data from the server's own mistakes."""

from __future__ import annotations

from pgops.tuning import values
from pgops.tuning.model import Facts, Rule, Setting, Wish
from pgops.tuning.rules.write import DOCS, must_be

_STATEMENTS = "pg_stat_statements"


def _preload(facts: Facts, setting: Setting) -> Wish:
    loaded = values.elements(setting.value)
    if _STATEMENTS in loaded or _STATEMENTS not in facts.server.extensions:
        return Wish(setting.value, among=(setting.value,), says="" if loaded else f"{_STATEMENTS} is not in this build")
    return Wish(", ".join([*loaded, _STATEMENTS]), says="without it nobody knows which statements cost the time")


RULES = (
    Rule(
        "shared_preload_libraries",
        _preload,
        "with pg_stat_statements, where the build has it",
        "query_review and every other look at statements needs it.",
        f"{DOCS}runtime-config-client.html#GUC-SHARED-PRELOAD-LIBRARIES; {DOCS}pgstatstatements.html",
    ),
    Rule(
        "track_counts",
        must_be("on", "autovacuum does not know where to go"),
        "on",
        "Autovacuum and all statistics live of it.",
        f"{DOCS}runtime-config-statistics.html#GUC-TRACK-COUNTS",
    ),
    Rule(
        "zero_damaged_pages",
        must_be("off", "damaged pages are emptied without an error"),
        "off",
        "It is for a rescue, not for every day.",
        f"{DOCS}runtime-config-developer.html#GUC-ZERO-DAMAGED-PAGES",
    ),
)
