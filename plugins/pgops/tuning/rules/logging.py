"""What the log must say so that the next incident leaves evidence."""

from __future__ import annotations

from pgops.tuning import values
from pgops.tuning.model import Facts, Rule, Setting, Wish
from pgops.tuning.rules.write import DOCS, fixed, switch, time

_LOG = f"{DOCS}runtime-config-logging.html"
_OF_18 = {"receipt", "authentication", "authorization"}


def _min_duration(facts: Facts, setting: Setting) -> Wish:
    wish = time("1s", "100ms", "5s", "with log_parameter_max_length, if literals may not stand in the log")
    if setting.number() == 0:
        return time("1s", "100ms", "5s", "0 logs every statement, with all literals")
    return wish


def _connections(facts: Facts, setting: Setting) -> Wish:
    """A switch until 17; from 18 on a list, of which 'on' means the first three."""
    if setting.vartype == "bool":
        return switch("on")
    has = set(values.elements(setting.value.lower()))
    whole = values.switched(setting.value) or "all" in has or has >= _OF_18
    return Wish("on", among=(setting.value,) if whole else ("on",), says="from 18 on a list; 'on' is its first three")


def _autovacuum(facts: Facts, setting: Setting) -> Wish:
    wish = time("1min", "0s", "10min")
    return wish if setting.number() >= 0 else Wish("1min", wish.least, wish.most, says="-1 logs none of them")


def _temp_files(facts: Facts, setting: Setting) -> Wish:
    return Wish("10MB", 0, 100 * values.MB, says="queries that spill are named in the log")


RULES = (
    Rule(
        "log_min_duration_statement",
        _min_duration,
        "1s; left alone from 100ms to 5s",
        "Slow statements with their values, as they happened.",
        f"{_LOG}#GUC-LOG-MIN-DURATION-STATEMENT",
        "1000",
    ),
    Rule(
        "log_checkpoints",
        fixed(switch("on")),
        "on",
        "What checkpoints cost, and what forced them; the default since 15.",
        f"{_LOG}#GUC-LOG-CHECKPOINTS",
        "on",
    ),
    Rule(
        "log_connections",
        _connections,
        "on",
        "Who came from where. Where sessions last a second it fills the log: then"
        " write the other value down as deliberate.",
        f"{_LOG}#GUC-LOG-CONNECTIONS",
        "on",
    ),
    Rule(
        "log_disconnections",
        fixed(switch("on")),
        "on",
        "How long they stayed.",
        f"{_LOG}#GUC-LOG-DISCONNECTIONS",
        "on",
    ),
    Rule(
        "log_lock_waits",
        fixed(switch("on")),
        "on",
        "Who waited for whom.",
        f"{_LOG}#GUC-LOG-LOCK-WAITS",
        "on",
    ),
    Rule(
        "log_autovacuum_min_duration",
        _autovacuum,
        "0 to 10min",
        "What autovacuum did and could not do; 0 logs every run.",
        f"{_LOG}#GUC-LOG-AUTOVACUUM-MIN-DURATION",
        "0",
    ),
    Rule(
        "log_temp_files",
        _temp_files,
        "10MB; left alone up to 100MB",
        "Sorts that do not fit into work_mem.",
        f"{_LOG}#GUC-LOG-TEMP-FILES",
    ),
    Rule(
        "track_io_timing",
        fixed(switch("on")),
        "on",
        "Whether a slow query waited for the disk.",
        f"{DOCS}runtime-config-statistics.html#GUC-TRACK-IO-TIMING",
    ),
)
