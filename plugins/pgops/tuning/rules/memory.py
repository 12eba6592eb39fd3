"""Memory: the server's own, and what each session takes beside it."""

from __future__ import annotations

from pgops.tuning.model import Facts, Rule, Setting, Wish
from pgops.tuning.rules.write import DOCS, PGTUNE, amount, count, fixed, size
from pgops.tuning.values import GB, MB

_RESOURCE = f"{DOCS}runtime-config-resource.html"


def _shared_buffers(facts: Facts, setting: Setting) -> Wish:
    memory = facts.machine.memory
    # A database that fits into less needs no more.
    least = min(0.15 * memory, max(1.2 * facts.server.databases_bytes, 128 * MB))
    danger = ""
    if setting.number() > 0.75 * memory:
        danger = (
            f"{setting.shown} of {amount(memory)} leave nothing for sessions and the system: the kernel will kill it"
        )
    return size(memory / 4, least, 0.4 * memory, f"a quarter of {amount(memory)}", danger)


def _effective_cache_size(facts: Facts, setting: Setting) -> Wish:
    memory = facts.machine.memory
    return size(0.75 * memory, 0.5 * memory, 0.85 * memory, f"three quarters of {amount(memory)}")


def work_mem_target(facts: Facts) -> float:
    """What a node of a plan may take so that all sessions at once do not use up the memory."""
    memory, shared = facts.machine.memory, min(facts.value("shared_buffers"), facts.machine.memory / 2)
    sessions = _sessions(facts)
    target = (memory - shared) / (sessions * 3)
    if facts.machine.workload in ("dw", "mixed"):
        target /= 2
    most = GB if facts.machine.workload == "dw" else 256 * MB
    return max(4 * MB, min(target, most))


def _sessions(facts: Facts) -> float:
    """As many as there may be, or will be once max_connections is what it should be."""
    return max(facts.value("max_connections"), facts.machine.connections) + facts.value("max_worker_processes")


def _work_mem(facts: Facts, setting: Setting) -> Wish:
    target = work_mem_target(facts)
    says = f"({amount(facts.machine.memory)} - shared_buffers) / ({_sessions(facts):g} sessions and workers * 3)"
    return size(target, target / 2, target * 2, says)


def _maintenance_work_mem(facts: Facts, setting: Setting) -> Wish:
    memory = facts.machine.memory
    target = min(max(memory / (8 if facts.machine.workload == "dw" else 16), 64 * MB), 2 * GB)
    return size(
        target, target / 2, max(2 * target, 2 * GB) if memory > 16 * GB else 2 * target, f"a part of {amount(memory)}"
    )


def _autovacuum_work_mem(facts: Facts, setting: Setting) -> Wish:
    share = facts.machine.memory / 8
    workers = max(facts.value("autovacuum_max_workers"), 1)
    own = setting.number() if setting.number() >= 0 else facts.value("maintenance_work_mem")
    if own * workers <= share:
        return Wish(None, among=(setting.value,), says=f"{workers:g} workers take at most {amount(own * workers)}")
    target = max(min(share / workers, GB), 16 * MB)
    return size(target, 0, share / workers, f"an eighth of the memory for {workers:g} workers")


def _wal_buffers(facts: Facts, setting: Setting) -> Wish:
    automatic = min(max(facts.value("shared_buffers") / 32, 64 * 1024), facts.server.wal_segment_bytes)
    return Wish(None, 0.9 * automatic, 256 * MB, says="the server's own choice, 1/32 of shared_buffers up to 16MB")


def _huge_pages(facts: Facts, setting: Setting) -> Wish:
    status = facts.text("huge_pages_status")
    danger = ""
    if setting.value == "on" and status == "off":
        danger = "the server runs without huge pages: it will not start again with 'on'"
    return Wish("try", among=("try", "on"), says="'on' only where the kernel's pages are reserved", danger=danger)


RULES = (
    Rule(
        "shared_buffers",
        _shared_buffers,
        "memory / 4; left alone from 15 % (or the databases' size) to 40 %",
        "The server's own cache; what is over that is better left to the kernel's.",
        f"{_RESOURCE}#GUC-SHARED-BUFFERS; {PGTUNE}",
        "8GB",
    ),
    Rule(
        "effective_cache_size",
        _effective_cache_size,
        "memory * 3/4; left alone from 50 % to 85 %",
        "The planner's idea of what is cached: too small and it avoids indexes. It takes no memory.",
        f"{DOCS}runtime-config-query.html#GUC-EFFECTIVE-CACHE-SIZE; {PGTUNE}",
        "24GB",
    ),
    Rule(
        "work_mem",
        _work_mem,
        "(memory - shared_buffers) / ((max_connections + max_worker_processes) * 3), half of it for dw and mixed;"
        " 4MB to 256MB (dw: 1GB); left alone from half to twice that",
        "Each sort and hash of each session may take it, several of them in one query, and hashes twice"
        " (hash_mem_multiplier): RAM / max_connections / 4 forgets that.",
        f"{_RESOURCE}#GUC-WORK-MEM; {PGTUNE}",
        "64MB",
    ),
    Rule(
        "maintenance_work_mem",
        _maintenance_work_mem,
        "memory / 16 (dw: / 8), 64MB to 2GB",
        "VACUUM and CREATE INDEX do fewer passes; few of them run at a time.",
        f"{_RESOURCE}#GUC-MAINTENANCE-WORK-MEM; {PGTUNE}",
        "2GB",
    ),
    Rule(
        "autovacuum_work_mem",
        _autovacuum_work_mem,
        "autovacuum_max_workers * this <= memory / 8",
        "Without it every autovacuum worker may take maintenance_work_mem.",
        f"{_RESOURCE}#GUC-AUTOVACUUM-WORK-MEM",
    ),
    Rule(
        "hash_mem_multiplier",
        fixed(count(2, 1, 4)),
        "2; left alone from 1 to 4",
        "Hashes spill worse than sorts, so they may take twice work_mem; four times is enough.",
        f"{_RESOURCE}#GUC-HASH-MEM-MULTIPLIER",
    ),
    Rule(
        "wal_buffers",
        _wal_buffers,
        "-1: shared_buffers / 32, at most 16MB",
        "The automatic choice is the same as 16MB from shared_buffers = 512MB on.",
        f"{DOCS}runtime-config-wal.html#GUC-WAL-BUFFERS",
        "16MB",
    ),
    Rule(
        "huge_pages",
        _huge_pages,
        "try, or on where pages are reserved",
        "With 'on' a server whose kernel has none reserved does not start.",
        f"{_RESOURCE}#GUC-HUGE-PAGES",
    ),
)
