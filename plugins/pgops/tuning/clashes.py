"""What settings do to each other, to the machine and to the standbys. The server accepts all of it without a word."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pgops.tuning import values
from pgops.tuning.model import Facts
from pgops.tuning.rules.write import amount

# Libraries that are in every build with contrib, though CREATE EXTENSION does not know them.
_WITHOUT_EXTENSION = {"auto_explain", "auth_delay", "passwordcheck", "basic_archive", "sepgsql", "test_decoding"}
_OPERATIONS_FACTOR = 1.5  # most sessions sort or hash once, some do so twice
# A standby with less than its primary pauses or refuses to start.
OF_STANDBYS = (
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
)


@dataclass(frozen=True)
class Clash:
    """Something that breaks.

    Attributes:
        settings: those that take part; the first is the one to change.
        by: how bad it is, so that worse can be told from what is there already.
    """

    key: str
    settings: tuple[str, ...]
    says: str
    by: float = 0


def clashes(facts: Facts) -> tuple[Clash, ...]:
    """All that clash with these values; also used for values that a server does not have yet."""
    return tuple(
        clash
        for check in (_memory, _wal_volume, _wal_sizes, _wal_level, _reserved, _standbys, _libraries)
        for clash in check(facts)
    )


def new_clashes(facts: Facts, changed: Facts) -> tuple[Clash, ...]:
    """Those that changed values would bring, or make worse."""
    before = {clash.key: clash.by for clash in clashes(facts)}
    return tuple(clash for clash in clashes(changed) if clash.by > before.get(clash.key, -1))


def memory_sum(facts: Facts) -> float:
    """What the server may take at its worst that is likely: every session at work, and all autovacuum workers."""
    own = facts.value("autovacuum_work_mem")
    vacuum = own if own >= 0 else facts.value("maintenance_work_mem")
    return (
        facts.value("shared_buffers")
        + facts.value("max_connections") * facts.value("work_mem") * _OPERATIONS_FACTOR
        + facts.value("autovacuum_max_workers") * vacuum
        + max(facts.value("wal_buffers"), 0)
    )


def _memory(facts: Facts) -> Iterator[Clash]:
    needed, memory = memory_sum(facts), facts.machine.memory
    if needed > memory:
        yield Clash(
            "memory",
            ("work_mem", "max_connections", "shared_buffers", "maintenance_work_mem", "autovacuum_work_mem"),
            f"shared_buffers + max_connections * work_mem * {_OPERATIONS_FACTOR:g} + autovacuum's memory ="
            f" {amount(needed)}, more than the machine's"
            f" {amount(memory)}",
            needed,
        )


def _wal_volume(facts: Facts) -> Iterator[Clash]:
    volume = facts.machine.wal_volume
    kept = max(facts.value("wal_keep_size"), facts.value("max_slot_wal_keep_size"), 0)
    needed = facts.value("max_wal_size") + kept
    if needed > 0.9 * volume:
        yield Clash(
            "wal volume",
            ("max_wal_size", "wal_keep_size", "max_slot_wal_keep_size"),
            f"max_wal_size and the WAL that is kept come to {amount(needed)} on a volume of"
            f" {amount(volume)}: full, the server stops",
            needed,
        )


def _wal_sizes(facts: Facts) -> Iterator[Clash]:
    least, segment = 2 * facts.server.wal_segment_bytes, facts.server.wal_segment_bytes
    for name in ("min_wal_size", "max_wal_size"):
        if 0 <= facts.value(name) < least:
            yield Clash(f"{name} too small", (name,), f"{name} is less than two WAL files of {segment} bytes")
    if facts.value("min_wal_size") > facts.value("max_wal_size"):
        yield Clash("min over max", ("min_wal_size", "max_wal_size"), "min_wal_size is above max_wal_size")


def _wal_level(facts: Facts) -> Iterator[Clash]:
    if facts.text("wal_level") != "minimal":
        return
    if facts.value("max_wal_senders") > 0:
        says = "wal_level minimal with max_wal_senders above 0: the server does not start"
        yield Clash("minimal with senders", ("wal_level", "max_wal_senders"), says)
    if facts.text("archive_mode") not in ("off", ""):
        says = "wal_level minimal with archive_mode on: the server does not start"
        yield Clash("minimal with archive", ("wal_level", "archive_mode"), says)


def _reserved(facts: Facts) -> Iterator[Clash]:
    reserved = facts.value("superuser_reserved_connections") + max(facts.value("reserved_connections"), 0)
    if reserved >= facts.value("max_connections"):
        says = "all connections are reserved: the server does not start"
        yield Clash("all reserved", ("superuser_reserved_connections", "max_connections"), says)


def _standbys(facts: Facts) -> Iterator[Clash]:
    for follower in facts.followers:
        for name in OF_STANDBYS:
            theirs = follower.settings.get(name)
            if theirs is not None and float(theirs) < facts.value(name):
                yield Clash(
                    f"{follower.name} {name}",
                    (name,),
                    f"the standby {follower.name} has {theirs}, less than the primary's {facts.value(name):g}: it stops"
                    " replaying; raise it there first",
                    facts.value(name),
                )


def _libraries(facts: Facts) -> Iterator[Clash]:
    known = {*facts.server.loaded, *facts.server.extensions, *_WITHOUT_EXTENSION}
    for library in values.elements(facts.text("shared_preload_libraries")):
        if library.rpartition("/")[2].removesuffix(".so") not in known:
            says = f"nobody knows whether this build has the library {library}: without it the server does not start"
            yield Clash(f"library {library}", ("shared_preload_libraries",), says)
