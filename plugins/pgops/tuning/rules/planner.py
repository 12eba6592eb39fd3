"""The planner's costs and its workers, by the kind of disk and the number of CPUs."""

from __future__ import annotations

from pgops.tuning.model import Facts, Rule, Setting, Wish
from pgops.tuning.rules.write import DOCS, PGTUNE, count

_QUERY, _RESOURCE = f"{DOCS}runtime-config-query.html", f"{DOCS}runtime-config-resource.html"
_READS = {"ssd": 200, "hdd": 2, "network": 300}


def _statistics(facts: Facts, setting: Setting) -> Wish:
    return count(500, 100, 1000) if facts.machine.workload == "dw" else count(100, 100, 500)


def _random_page_cost(facts: Facts, setting: Setting) -> Wish:
    if facts.machine.disk_kind == "hdd" and facts.server.databases_bytes > facts.machine.memory:
        return count(4, 2, 4, "a disk that must move its head")
    return count(1.1, 1, 1.5, "a random page costs hardly more than the next one")


def _io_concurrency(facts: Facts, setting: Setting) -> Wish:
    most = float(setting.max_val or 1000)
    wanted = min(_READS[facts.machine.disk_kind], most)
    if facts.server.major >= 18:  # reads are asynchronous then, and 16 at a time are its makers' choice
        return count(max(wanted, 16), 16, most, "from 18 on, 16 or more")
    return count(wanted, min(wanted, 100), most, f"reads at a time that a {facts.machine.disk_kind} serves")


def _workers(facts: Facts, setting: Setting) -> Wish:
    least = max(8, facts.machine.cpus)
    return count(least, min(8, facts.machine.cpus), 4 * max(facts.machine.cpus, 8), f"{facts.machine.cpus:g} CPUs")


def _parallel(facts: Facts, setting: Setting) -> Wish:
    limit = max(facts.value("max_worker_processes"), 1)
    target = min(max(8, facts.machine.cpus), limit)
    return count(target, min(facts.machine.cpus, limit, 8), limit, f"within max_worker_processes {limit:g}")


def _per_gather(facts: Facts, setting: Setting) -> Wish:
    half = max(int(facts.machine.cpus / 2), 1)
    target = half if facts.machine.workload == "dw" else min(4, half)
    return count(max(target, 2), 0, max(half, 4), f"half of {facts.machine.cpus:g} CPUs")


def _maintenance_workers(facts: Facts, setting: Setting) -> Wish:
    half = max(int(facts.machine.cpus / 2), 2)
    return count(min(4, half), 1, max(half, 4))


def _jit(facts: Facts, setting: Setting) -> Wish | None:
    if facts.machine.workload == "dw":
        return None
    return Wish("off", among=("off",), says=f"{facts.machine.workload} statements are over before they are compiled")


def _io_method(facts: Facts, setting: Setting) -> Wish:
    best = "io_uring" if "io_uring" in setting.enumvals else "worker"
    return Wish(best, among=("worker", "io_uring"), says=f"this build has {', '.join(setting.enumvals)}")


def _io_workers(facts: Facts, setting: Setting) -> Wish | None:
    if facts.text("io_method") != "worker":
        return None
    return count(max(3, min(int(facts.machine.cpus / 4), 32)), 3, max(3, facts.machine.cpus))


RULES = (
    Rule(
        "default_statistics_target",
        _statistics,
        "100 (dw: 500)",
        "More makes better estimates of odd columns, and slower plans and ANALYZE: raise it by column.",
        f"{_QUERY}#GUC-DEFAULT-STATISTICS-TARGET",
        "100",
    ),
    Rule(
        "random_page_cost",
        _random_page_cost,
        "1.1; 4 on a hdd with more data than memory",
        "With 4 on a SSD the planner reads whole tables instead of their indexes.",
        f"{_QUERY}#GUC-RANDOM-PAGE-COST; {PGTUNE}",
        "1.1",
    ),
    Rule(
        "effective_io_concurrency",
        _io_concurrency,
        "ssd 200, network 300, hdd 2; left alone from 100 (18: from 16)",
        "How many pages bitmap scans ask for ahead.",
        f"{_RESOURCE}#GUC-EFFECTIVE-IO-CONCURRENCY; {PGTUNE}",
        "200",
    ),
    Rule(
        "max_worker_processes",
        _workers,
        "CPUs, never less than 8",
        "Parallel queries, replication and extensions share"
        " them. max_worker_processes = CPUs would lower the default on a small machine.",
        f"{_RESOURCE}#GUC-MAX-WORKER-PROCESSES; {PGTUNE}",
    ),
    Rule(
        "max_parallel_workers",
        _parallel,
        "CPUs, never less than 8, at most max_worker_processes",
        "Of those, for parallel queries.",
        f"{_RESOURCE}#GUC-MAX-PARALLEL-WORKERS; {PGTUNE}",
    ),
    Rule(
        "max_parallel_workers_per_gather",
        _per_gather,
        "CPUs / 2, 2 to 4 (dw: CPUs / 2)",
        "One query must not take all CPUs.",
        f"{_RESOURCE}#GUC-MAX-PARALLEL-WORKERS-PER-GATHER; {PGTUNE}",
    ),
    Rule(
        "max_parallel_maintenance_workers",
        _maintenance_workers,
        "CPUs / 2, 2 to 4",
        "CREATE INDEX and VACUUM.",
        f"{_RESOURCE}#GUC-MAX-PARALLEL-MAINTENANCE-WORKERS; {PGTUNE}",
    ),
    Rule(
        "jit",
        _jit,
        "off for web, oltp and mixed",
        "Compiling takes longer than what it saves on short statements.",
        f"{_QUERY}#GUC-JIT; {PGTUNE}",
    ),
    Rule(
        "io_method",
        _io_method,
        "io_uring where the build has it, else worker (from 18 on)",
        "Reads that are asked for ahead come in beside the work.",
        f"{_RESOURCE}#GUC-IO-METHOD",
    ),
    Rule(
        "io_workers",
        _io_workers,
        "CPUs / 4, 3 to 32, with io_method = worker",
        "They read for all sessions.",
        f"{_RESOURCE}#GUC-IO-WORKERS; {PGTUNE}",
    ),
)
