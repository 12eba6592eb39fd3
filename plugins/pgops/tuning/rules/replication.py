"""Replication: what standbys, archives and slots need."""

from __future__ import annotations

from pgops.tuning.model import Facts, Rule, Setting, Wish
from pgops.tuning.rules.write import DOCS, amount, count, size, switch
from pgops.tuning.values import GB

_REPLICATION = f"{DOCS}runtime-config-replication.html"


def _wal_level(facts: Facts, setting: Setting) -> Wish:
    danger = "no archive, no standby and no point-in-time recovery" if setting.value == "minimal" else ""
    return Wish("replica", among=("replica", "logical"), danger=danger)


def _senders(facts: Facts, setting: Setting) -> Wish:
    # A base backup takes two, and a standby that lost its connection is for a while there twice.
    needed = max(facts.server.senders, facts.server.physical_slots) * 2 + 2
    danger = ""
    if setting.number() < facts.server.senders + 1:
        danger = f"{facts.server.senders} are connected: no backup and no other standby gets in"
    return count(max(10, needed), needed, max(50, 2 * needed), f"{facts.server.senders} connected", danger)


def _slots(facts: Facts, setting: Setting) -> Wish:
    needed = facts.server.slots + 2
    return count(max(10, 2 * needed), needed, max(100, 4 * needed), f"{facts.server.slots} slots")


def _keep(facts: Facts, setting: Setting) -> Wish:
    volume = facts.machine.wal_volume
    danger = f"{setting.shown} of a volume of {amount(volume)}" if setting.number() > 0.5 * volume else ""
    bare = facts.server.senders - facts.server.slotted
    if not facts.server.senders:
        return Wish("0", 0, 0.2 * volume, says="no standby is connected", danger=danger)
    if not bare:
        return Wish("0", 0, 0.2 * volume, says="all standbys have slots, which keep what they need", danger=danger)
    target = min(10 * GB, 0.1 * volume)
    return size(target, min(GB, target), 0.2 * volume, f"{bare} standbys without a slot", danger)


def _synchronous(facts: Facts, setting: Setting) -> Wish | None:
    if not setting.value.strip():
        return None
    # 'on' and stronger wait for a standby: without one every commit hangs.
    waits = facts.text("synchronous_commit") not in ("local", "off")
    danger = ""
    if waits and not facts.server.sync_standbys:
        danger = f"{setting.value!r} is awaited and no such standby is connected: every commit hangs"
    return Wish(None if danger else setting.value, among=() if danger else (setting.value,), danger=danger)


RULES = (
    Rule(
        "wal_level",
        _wal_level,
        "replica or logical",
        "Archives, standbys and base backups need it.",
        f"{DOCS}runtime-config-wal.html#GUC-WAL-LEVEL",
        "replica",
    ),
    Rule(
        "max_wal_senders",
        _senders,
        "twice the connected ones + 2, 10 at least when it is changed",
        "Base backups and standbys that come back need free ones.",
        f"{_REPLICATION}#GUC-MAX-WAL-SENDERS",
        "10",
    ),
    Rule(
        "max_replication_slots",
        _slots,
        "existing slots + 2",
        "A new standby needs a free one.",
        f"{_REPLICATION}#GUC-MAX-REPLICATION-SLOTS",
    ),
    Rule(
        "wal_keep_size",
        _keep,
        "0 where all standbys have slots; else 10GB, at most 10 % of the volume",
        "A standby without a slot must find its WAL after an outage; with one, max_slot_wal_keep_size is the limit.",
        f"{_REPLICATION}#GUC-WAL-KEEP-SIZE",
        "10GB",
    ),
    Rule(
        "hot_standby",
        lambda facts, setting: switch("on"),
        "on",
        "Standbys answer queries, and can be looked at.",
        f"{_REPLICATION}#GUC-HOT-STANDBY",
        "on",
    ),
    Rule(
        "synchronous_standby_names",
        _synchronous,
        "only names of standbys that are connected",
        "A reload is enough to make every commit wait for a standby that is not there.",
        f"{_REPLICATION}#GUC-SYNCHRONOUS-STANDBY-NAMES",
    ),
)
