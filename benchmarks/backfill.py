"""`./dev bench backfill`: the batched backfill beside the source document's loop, a single UPDATE and CREATE TABLE AS.

First by itself on tables of several sizes, then beside an application, then with a standby that stops replaying. Pairs
run in turns in one run, since a shared machine's speed changes from minute to minute: read the ratios.
"""

from __future__ import annotations

import argparse
import json
import operator
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.rig.backfills import MODES, STRATEGIES, Beside, Cost, Lag, Load, beside, cost, lag
from benchmarks.rig.command import Say, clocked, command
from benchmarks.rig.ground import Ground, ground
from benchmarks.rig.measure import print_header, print_row
from benchmarks.rig.people import SETTINGS, People

PARTS = ("alone", "beside", "lag")
MAIN_ROWS = 2_000_000
QUICK = ["--rows", "0.1", "0.2", "--rounds", "1", "--load-rows", "0.3", "--pairs", "1", "--seconds", "6"]
QUICK += ["--baseline", "2", "--settle", "0"]
# Bytes on disk for a row, with WAL and all copies.
_GIGABYTES_A_ROW = 0.5e-6

Round = dict[tuple[str, int], Cost]  # by strategy and rows
Pair = dict[str, Beside]  # by mode


@dataclass(frozen=True)
class Goal:
    """What a figure should be."""

    limit: float
    at_least: bool

    def said(self, figure: float) -> str:
        """For the table."""
        met = (operator.ge if self.at_least else operator.le)(figure, self.limit)
        return f"   {'at least' if self.at_least else 'at most'} {self.limit:.2f}: {'met' if met else 'MISSED'}"


GOALS = {
    "vs_source_loop": Goal(3, True),
    "vs_source_loop_no_sleep": Goal(1.4, True),
    "two_workers_vs_source_no_sleep": Goal(2, True),
    "vs_single_update": Goal(0.8, True),
    "two_workers": Goal(1.4, True),
    "buffers_flatness": Goal(0.05, False),
    "cpu_flatness": Goal(0.3, False),
    "rate_vs_source_under_load": Goal(1, True),
    "p99_vs_idle": Goal(1.5, False),
    "max_vs_source": Goal(1 / 3, False),
    "lag_overshoot": Goal(1.25, False),
}


def speeds(one: Round, rows: int) -> dict[str, float]:
    """How fast the engine was in one round, as multiples of what stood beside it."""

    def seconds(strategy: str) -> float:
        return one[strategy, rows].seconds

    ours, two = seconds("ours"), seconds("ours_two")
    return {
        "vs_source_loop": seconds("source") / ours,
        "vs_source_loop_no_sleep": seconds("source_no_sleep") / ours,
        "two_workers_vs_source_no_sleep": seconds("source_no_sleep") / two,
        "vs_single_update": seconds("single_update") / ours,
        "vs_single_update_no_vacuum": seconds("single_update") / seconds("ours_no_vacuum"),
        "two_workers": ours / two,
        "vs_create_table_as": seconds("create_table_as") / ours,
    }


def flatness(rounds: Sequence[Round], sizes: Sequence[int]) -> dict[str, float]:
    """How much more a row costs in one size of table than in another; 0 is: the same."""

    def spread(figure: Callable[[Cost], float]) -> float:
        medians = [statistics.median(figure(one["ours", rows]) for one in rounds) for rows in sizes]
        return max(medians) / min(medians) - 1

    buffers, cpu = spread(lambda one: one.buffers), spread(lambda one: one.cpu_us)
    return {"flatness": max(buffers, cpu), "buffers_flatness": buffers, "cpu_flatness": cpu}


def felt(pair: Pair) -> dict[str, float]:
    """What one pair under load came to."""
    idle, source, ours = (pair[mode] for mode in MODES)
    return {
        "rate_vs_source_under_load": ours.rate / source.rate,
        "p99_vs_idle": ours.p99 / idle.p99,
        "max_vs_source": ours.worst / source.worst,
        "source_p99_vs_idle": source.p99 / idle.p99,
    }


@command
def main() -> int:
    """Run the parts and print the tables and the line of JSON."""
    arguments = _arguments()
    most = max([*arguments.rows, arguments.load_rows])
    with ground(most * _GIGABYTES_A_ROW, arguments.postgres, SETTINGS, on_disk=arguments.disk) as place:
        return _measure(place, arguments, most)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench backfill", description=__doc__)
    parser.add_argument("--part", choices=PARTS, nargs="+", default=PARTS, help="what to measure (default: all)")
    sizes = [500_000, 1_000_000, MAIN_ROWS, 4_000_000]
    parser.add_argument(
        "--rows", type=_rows, metavar="MILLIONS", nargs="+", default=sizes, help="alone: sizes (default 0.5 1 2 4)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="alone: times that every strategy runs (default 3)")
    parser.add_argument(
        "--load-rows", type=_rows, metavar="MILLIONS", default=MAIN_ROWS, help="beside, lag: size (default 2)"
    )
    parser.add_argument("--pairs", type=int, default=5, help="beside: times that every mode runs (default 5)")
    parser.add_argument("--seconds", type=float, default=60, help="beside: of a mode (default 60)")
    parser.add_argument("--baseline", type=float, metavar="SECONDS", help="of the throttle (default: as in a policy)")
    parser.add_argument(
        "--settle", type=float, metavar="SECONDS", default=30, help="longest wait for an idle machine (default 30)"
    )
    parser.add_argument(
        "--disk", action="store_true", help="the server's files on a disk (default: in memory if they fit)"
    )
    parser.add_argument("--quick", action="store_true", help="small enough to see whether it works, too small to tell")
    parser.add_argument("--postgres", type=int, metavar="MAJOR", help="PostgreSQL version (15 if installed, else 18)")
    given = sys.argv[1:]
    arguments = parser.parse_args([*QUICK, *given] if "--quick" in given else given)
    if min(arguments.rounds, arguments.pairs) < 1 or arguments.seconds < 1:
        parser.error("--rounds, --pairs and --seconds must be at least 1")
    if arguments.baseline is not None and arguments.baseline <= 0:
        parser.error("--baseline must be greater than 0")
    arguments.rows = sorted(set(arguments.rows))
    return arguments


def _rows(text: str) -> int:
    rows = round(float(text) * 1e6)
    if not 50_000 <= rows <= 100_000_000:
        raise argparse.ArgumentTypeError(f"{text}: give 0.05 to 100 million rows")
    return rows


def _measure(place: Ground, arguments: argparse.Namespace, most: int) -> int:
    say = clocked()
    say(f"{place.described}: {place.folder.parent}")
    people = People(place.server)
    people.make(most)
    say(f"{most} rows are there to be copied")
    figures: dict[str, float] = {}
    if "alone" in arguments.part:
        figures |= _alone(place, people, arguments, say)
    if "beside" in arguments.part:
        figures |= _beside(place, people, arguments, say)
    if "lag" in arguments.part:
        figures |= _lag(place, people, arguments, say)
    _print_goals(figures)
    _print_json(figures, arguments, place.described)
    return 0


# --- the parts ---


def _alone(place: Ground, people: People, arguments: argparse.Namespace, say: Say) -> dict[str, float]:
    """Every strategy at every size; the order turns from round to round."""
    rounds: list[Round] = []
    for number in range(arguments.rounds):
        one: Round = {}
        for rows in arguments.rows:
            for strategy in STRATEGIES if number % 2 == 0 else reversed(STRATEGIES):
                one[strategy, rows] = found = cost(place, people, strategy, rows, arguments.settle)
                say(
                    f"round {number + 1}: {rows / 1e6:.1f} M {strategy:<16} {found.seconds:6.2f} s,"
                    f" {rows / found.seconds / 1000:4.0f} k rows/s; a row: {found.cpu_us:5.2f} us of processor,"
                    f" {found.buffers:5.2f} buffers"
                )
        rounds.append(one)
    for rows in arguments.rows:
        _print_costs(rounds, rows)
    main_rows = MAIN_ROWS if MAIN_ROWS in arguments.rows else arguments.rows[-1]
    for rows in arguments.rows:
        _print_rounds(f"ratios, {rows / 1e6:.1f} M rows", [speeds(one, rows) for one in rounds])
    flat = flatness(rounds, arguments.rows) if len(arguments.rows) > 1 else {}
    return _medians([speeds(one, main_rows) for one in rounds]) | flat


def _beside(place: Ground, people: People, arguments: argparse.Namespace, say: Say) -> dict[str, float]:
    """Every mode beside an application; the order turns from pair to pair."""
    load = Load(arguments.load_rows, arguments.seconds, arguments.baseline, arguments.settle)
    pairs: list[Pair] = []
    for number in range(arguments.pairs):
        pair: Pair = {}
        for mode in MODES if number % 2 == 0 else reversed(MODES):
            pair[mode] = one = beside(place, people, mode, load)
            held_up = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in one.held_up.items())
            say(
                f"pair {number + 1}: {mode:<7} {one.rate / 1000:6.1f} k rows/s in {one.turns} turns; writes p50"
                f" {one.p50:.2f}, p95 {one.p95:.2f}, p99 {one.p99:.2f}, max {one.worst:.1f} ms"
                + (f"; held up: {held_up}" if held_up else "")
            )
        pairs.append(pair)
    shown: dict[str, Callable[[Beside], float]] = {
        "1000 rows/s": lambda one: one.rate / 1000,
        "requests/s": lambda one: one.requests / one.seconds,
        "read p95 ms": lambda one: one.read_p95,
        "write p50 ms": lambda one: one.p50,
        "write p95 ms": lambda one: one.p95,
        "write p99 ms": lambda one: one.p99,
        "write max ms": lambda one: one.worst,
    }
    for name, figure in shown.items():
        print_header(name)
        for mode in MODES:
            print_row(mode, [figure(pair[mode]) for pair in pairs])
    _print_rounds("ratios beside an application", [felt(pair) for pair in pairs])
    return _medians([felt(pair) for pair in pairs])


def _lag(place: Ground, people: People, arguments: argparse.Namespace, say: Say) -> dict[str, float]:
    one: Lag = lag(place, people, arguments.load_rows, arguments.baseline)
    say(
        f"lag: at most {one.most_mb:.1f} MB, {one.overshoot:.3f} of the limit; {one.rows_before} rows before the pause,"
        f" {one.rows_in_pause} in it, {one.rows_after} after it; caught up {one.catch_up:.2f} s later"
    )
    return {"lag_overshoot": one.overshoot}


# --- what is printed ---


def _medians(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def _print_costs(rounds: Sequence[Round], rows: int) -> None:
    shown: dict[str, Callable[[Cost], float]] = {
        "us/row": lambda one: one.cpu_us,
        "buffers/row": lambda one: one.buffers,
        "WAL MB": lambda one: one.wal_mb,
        "table MB": lambda one: one.table_mb,
        "prepare s": lambda one: one.prepared,
    }
    print_header(f"{rows / 1e6:.1f} M rows, seconds", "".join(f"{name:>12}" for name in shown))
    for strategy in STRATEGIES:
        costs = [one[strategy, rows] for one in rounds]
        more = "".join(f"{statistics.median(map(figure, costs)):12.2f}" for figure in shown.values())
        print_row(strategy, [one.seconds for one in costs], more)


def _print_rounds(title: str, rounds: Sequence[dict[str, float]]) -> None:
    print_header(title, "   round by round")
    for name in rounds[0]:
        values = [one[name] for one in rounds]
        print_row(name, values, "   " + " ".join(f"{value:.2f}" for value in values))


def _print_goals(figures: dict[str, float]) -> None:
    print(f"\n{'figures':<34}{'':>8}   goal")
    for name, figure in figures.items():
        print(f"{name:<34}{figure:8.3f}{GOALS[name].said(figure) if name in GOALS else ''}")


def _print_json(figures: dict[str, float], arguments: argparse.Namespace, server: str) -> None:
    line = {
        **{name: round(figure, 3) for name, figure in figures.items()},
        "rows": arguments.rows,
        "rounds": arguments.rounds,
        "load_rows": arguments.load_rows,
        "pairs": arguments.pairs,
        "seconds": arguments.seconds,
        "server": server,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    sys.exit(main())
