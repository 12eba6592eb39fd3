"""WAL and checkpoints: bounded by the volume that WAL lies on."""

from __future__ import annotations

from pgops.tuning.model import Facts, Rule, Setting, Wish
from pgops.tuning.rules.write import DOCS, PGTUNE, amount, count, must_be, size, time
from pgops.tuning.values import GB

_WAL = f"{DOCS}runtime-config-wal.html"
_BY_WORKLOAD = {"web": 4 * GB, "oltp": 8 * GB, "dw": 16 * GB, "mixed": 8 * GB}


def max_wal_target(facts: Facts) -> float:
    """WAL between two checkpoints, twice, and never more than 30 % of its volume."""
    written = (facts.server.wal_per_second or 0) * max(facts.value("checkpoint_timeout"), 900) * 2
    wanted = max(_BY_WORKLOAD[facts.machine.workload], written)
    return max(min(wanted, 0.3 * facts.machine.wal_volume), GB)


def _max_wal_size(facts: Facts, setting: Setting) -> Wish:
    volume, target = facts.machine.wal_volume, max_wal_target(facts)
    danger = ""
    if setting.number() > 0.6 * volume:
        danger = f"{setting.shown} on a volume of {amount(volume)}: WAL may fill it, and the server stops"
    return size(target, target / 2, max(0.3 * volume, target), f"at most 30 % of {amount(volume)}", danger)


def _min_wal_size(facts: Facts, setting: Setting) -> Wish:
    most = facts.value("max_wal_size")
    target = max(min(max_wal_target(facts), most) / 4, 5 * facts.server.wal_segment_bytes)
    return size(target, target / 4, most, "a quarter of max_wal_size: those files are reused, not made anew")


def _wal_compression(facts: Facts, setting: Setting) -> Wish:
    # Only what this build can do; 'pglz' is what 'on' means.
    best = next((one for one in ("lz4", "zstd", "pglz") if one in setting.enumvals), "on")
    return Wish(best, among=("lz4", "zstd", "pglz", "on"), says=f"this build has {', '.join(setting.enumvals)}")


def _completion(facts: Facts, setting: Setting) -> Wish:
    return count(0.9, 0.8, 0.95)


def _timeout(facts: Facts, setting: Setting) -> Wish:
    return time("30min", "15min", "1h") if facts.machine.workload == "dw" else time("15min", "10min", "30min")


def _archive_mode(facts: Facts, setting: Setting) -> Wish | None:
    command, library = facts.text("archive_command").strip(), facts.text("archive_library").strip()
    if setting.value == "off":
        return None  # whether WAL is archived is the backup's question
    danger = ""
    if not library and command in ("", "false", "/bin/false"):
        danger = f"archive_command is {command!r}: nothing is archived and WAL piles up until the volume is full"
    elif not library and command in ("true", "/bin/true", ":"):
        danger = "archive_command says that all is well and keeps nothing: there is no point-in-time recovery"
    return Wish(setting.value, among=(setting.value,), danger=danger)


def _slot_keep(facts: Facts, setting: Setting) -> Wish | None:
    volume = facts.machine.wal_volume
    if not facts.server.slots and setting.number() < 0:
        return Wish(None, among=("-1",), says="there is no slot")
    target = 0.3 * volume
    wish = size(target, GB, 0.5 * volume, f"30 % of {amount(volume)}; a slot that falls further behind is given up")
    return wish


RULES = (
    Rule(
        "checkpoint_completion_target",
        _completion,
        "0.9",
        "Checkpoints write evenly, not in bursts; the default since 14.",
        f"{_WAL}#GUC-CHECKPOINT-COMPLETION-TARGET",
        "0.9",
    ),
    Rule(
        "checkpoint_timeout",
        _timeout,
        "15min (dw: 30min); left alone from 10min to 30min",
        "After a checkpoint the first change of each page writes the whole page: fewer of them, less WAL. A crash then"
        " takes longer to recover.",
        f"{_WAL}#GUC-CHECKPOINT-TIMEOUT",
        "15min",
    ),
    Rule(
        "max_wal_size",
        _max_wal_size,
        "4GB web, 8GB oltp and mixed, 16GB dw, or WAL/s * checkpoint_timeout * 2; at most 30 % of the volume",
        "Too small and checkpoints are forced by WAL instead of time.",
        f"{_WAL}#GUC-MAX-WAL-SIZE; {PGTUNE}",
        "4GB",
    ),
    Rule(
        "min_wal_size",
        _min_wal_size,
        "max_wal_size / 4",
        "WAL files are recycled, not made anew after a quiet hour.",
        f"{_WAL}#GUC-MIN-WAL-SIZE; {PGTUNE}",
        "1GB",
    ),
    Rule(
        "wal_compression",
        _wal_compression,
        "lz4 where the build has it, else zstd, else pglz",
        "Whole pages in WAL shrink to a third; costs a little CPU.",
        f"{_WAL}#GUC-WAL-COMPRESSION; {PGTUNE}",
    ),
    Rule(
        "max_slot_wal_keep_size",
        _slot_keep,
        "30 % of the volume of WAL, where there are slots",
        "Without it a slot that nobody reads fills the disk and stops the server.",
        f"{DOCS}runtime-config-replication.html#GUC-MAX-SLOT-WAL-KEEP-SIZE",
    ),
    Rule(
        "archive_mode",
        _archive_mode,
        "a command that keeps files",
        "An archive that only pretends is found too late.",
        f"{_WAL}#GUC-ARCHIVE-COMMAND",
    ),
    Rule(
        "full_page_writes",
        must_be("on", "after a crash pages may be torn"),
        "on",
        "A page that was half written is whole again only from WAL.",
        f"{_WAL}#GUC-FULL-PAGE-WRITES",
    ),
    Rule(
        "fsync",
        must_be("on", "a crash of the machine may destroy the whole server"),
        "on",
        "What was committed must be on the disk.",
        f"{_WAL}#GUC-FSYNC",
    ),
)
