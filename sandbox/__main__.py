"""The commands of `./dev`, once Python and the dependencies are there."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from pgops.errors import PgOpsError, Refused
from sandbox.state import PROJECT

CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("lint-imports",),
)
# Most of a test's time is waiting: two processes, in the order of tests/conftest.py.
SIDE_BY_SIDE = ("--numprocesses=3", "--no-loadscope-reorder")
# Commands that hand words on to a program, and how many they take themselves.
HANDS_ON = {"test": 0, "freshness": 0, "lock": 0, "bench": 1}
RUN_SECONDS = 7200.0
# Who has set one of these means a store of their own; the sandbox's answer would be a false all-clear.
ANOTHER_STORE = ("AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; an error that people should read is one line, not a traceback."""
    own, passed_on = _split(list(sys.argv[1:] if argv is None else argv))
    arguments = _parser().parse_args(own, argparse.Namespace(args=passed_on))
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except PgOpsError as error:
        print(f"dev: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:  # a full disk, a folder of somebody else: its text names both
        print(f"dev: {error}. Mend that and call ./dev {own[0]} again.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("dev: interrupted", file=sys.stderr)
        return 130


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """Divide the words into ours, and those that a command hands on as they are."""
    takes = HANDS_ON.get(words[0]) if words else None
    if takes is None or words[1:2] in (["-h"], ["--help"]):
        return words, []
    return words[: takes + 1], words[takes + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev", description="Drives this project: sandbox, DAGs, tests, benchmarks.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], int], help: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=help, description=help)
        one.set_defaults(command=command)
        return one

    for name, command, text in (
        ("demo", demo, "start the sandbox, back up the sample fleet, say what was proven"),
        ("up", up, "start the sandbox with Airflow; harmless when it runs"),
    ):
        one = add(name, command, text)
        one.add_argument("--scale", type=_positive, default=1.0, help="size of the sample data (1: a few megabytes)")
        one.add_argument("--postgres", type=int, metavar="MAJOR", help="PostgreSQL version (15 if installed, else 18)")
    add("test", test, "run all tests and checks; with arguments: pytest with them")
    add("down", down, "stop the sandbox; leaves no process").add_argument(
        "--purge", action="store_true", help="remove its data too"
    )
    add("status", status, "what runs, where, and the logins")
    run_parser = add("run", run, "trigger a DAG and follow it; the last line is one JSON object")
    run_parser.add_argument("dag", metavar="DAG")
    run_parser.add_argument("--conf", type=_json_object, default={}, metavar="JSON", help="the run's params")
    run_parser.add_argument("--approve", action="store_true", help="approve what the run asks for")
    run_parser.add_argument(
        "--load", action="store_true", help="pgbench on the run's table meanwhile; prints latencies"
    )
    run_parser.add_argument("--timeout", type=_positive, default=RUN_SECONDS, metavar="SECONDS")
    add("pictures", pictures, "photograph the running sandbox's pages into docs/pictures")
    add("freshness", freshness, "is every newest proven backup young enough? reads the bucket alone")
    bench_parser = add("bench", bench, "run a benchmark; the last line is one JSON object")
    bench_parser.add_argument("name", metavar="NAME")
    add("lock", lock, "compile the lock files anew (--upgrade: newest versions)")
    return parser


def up(arguments: argparse.Namespace) -> int:
    """Start the sandbox and print where it is."""
    from sandbox.lifecycle import Sandbox

    sandbox = Sandbox(arguments.postgres)
    sandbox.up(arguments.scale, _say)
    for line in sandbox.where_to_look():
        _say(line)
    return 0


def down(arguments: argparse.Namespace) -> int:
    """Stop the sandbox."""
    from sandbox.lifecycle import Sandbox

    Sandbox().down(arguments.purge)
    _say("The sandbox is down")
    return 0


def status(arguments: argparse.Namespace) -> int:
    """Print a table of the parts; exit code 1 unless all are up."""
    from sandbox.lifecycle import Sandbox

    sandbox = Sandbox()
    rows = sandbox.status()
    for name, state, address, pid in [("PART", "STATE", "ADDRESS", "PID"), *rows]:
        _say(f"{name:<22} {state:<9} {address:<26} {pid}".rstrip())
    if all(state == "down" for _, state, _, _ in rows):
        _say("Start it: ./dev up")
        return 1
    for line in sandbox.where_to_look():
        _say(line)
    if all(state == "up" for _, state, _, _ in rows):
        return 0
    _say("Start what is down: ./dev up")
    return 1


def run(arguments: argparse.Namespace) -> int:
    """Trigger a DAG and follow the run."""
    from sandbox.follow import Follower
    from sandbox.lifecycle import Sandbox
    from sandbox.load import load_of
    from sandbox.report import report_lines
    from sandbox.sample import DATABASES

    sandbox = Sandbox()
    sandbox.require_up()
    # Whoever asks for a deployment may not approve it.
    approver = sandbox.airflow.api("op") if arguments.approve else None
    follower = Follower(sandbox.airflow.api(), arguments.dag, _say, approver)
    load = load_of(sandbox.servers.primary, arguments.conf, DATABASES[0]) if arguments.load else None
    with load or nullcontext():
        outcome = follower.run(arguments.conf, arguments.timeout)
    if load is not None:
        _say("--- pgbench beside it")
        for line in load.lines():
            _say(line)
    if outcome.result is not None:
        _say("--- report")
        for line in report_lines(outcome.result):
            _say(line)
    _say(outcome.line())
    return 0 if outcome.state == "success" else 1


def demo(arguments: argparse.Namespace) -> int:
    """Start the sandbox, back up the sample fleet, prove it, and say where to look."""
    from sandbox import demo as shown
    from sandbox.lifecycle import Sandbox

    sandbox = Sandbox(arguments.postgres)
    sandbox.up(arguments.scale, _say)
    return 0 if shown.demo(sandbox, RUN_SECONDS, _say) else 1


def pictures(arguments: argparse.Namespace) -> int:
    """Photograph what people see."""
    from sandbox import pictures as camera
    from sandbox.lifecycle import Sandbox

    sandbox = Sandbox()
    sandbox.require_up()
    camera.take(sandbox, PROJECT / "docs" / "pictures", _say)
    return 0


def freshness(arguments: argparse.Namespace) -> int:
    """Ask the bucket whether the newest backups are young enough."""
    from sandbox.lifecycle import Sandbox

    named = [name for name in ANOTHER_STORE if os.environ.get(name)]
    if named:
        raise Refused(
            "This asks the sandbox's bucket, and another one is named",
            where=f"environment: {', '.join(named)}",
            remedy="Ask that one: PYTHONPATH=plugins .venv/bin/python -m pgops.backup.freshness.",
        )
    sandbox = Sandbox()
    if not sandbox.servers.s3.running():
        raise PgOpsError("The sandbox is not running", where=str(sandbox.folder), remedy="Start it: ./dev up.")
    return _python("pgops.backup.freshness", arguments.args, sandbox.environment())


def bench(arguments: argparse.Namespace) -> int:
    """Run one benchmark."""
    if not (PROJECT / "benchmarks" / f"{arguments.name}.py").exists():
        there = ", ".join(sorted(path.stem for path in (PROJECT / "benchmarks").glob("[a-z]*.py"))) or "none"
        raise PgOpsError(
            f"There is no benchmark {arguments.name!r}", where="benchmarks/", remedy=f"Take one of: {there}."
        )
    return _python(f"benchmarks.{arguments.name}", arguments.args, dict(os.environ))


def test(arguments: argparse.Namespace) -> int:
    """Run the tests, and without arguments every check; one that fails does not hide the next."""
    results = {} if arguments.args else {"collection": _tool("pytest", "--collect-only", "-qqq")}
    results["pytest"] = _tool("pytest", *(arguments.args or SIDE_BY_SIDE))
    if results["pytest"] == 1 and os.environ.get("PGOPS_CI"):
        _say("once more, what failed: a test that passes now is unstable, and wants mending")
        results["pytest"] = _tool("pytest", "-rA", "--last-failed", "--last-failed-no-failures=none")
    if not arguments.args:
        for check in CHECKS:
            results[" ".join(check)] = _tool(*check)
    failed = [name for name, code in results.items() if code != 0]
    _say(f"failed: {', '.join(failed)}" if failed else f"passed: {', '.join(results)}")
    return 1 if failed else 0


def lock(arguments: argparse.Namespace) -> int:
    """Compile all lock files, for every platform and from the oldest Python that the project supports."""
    os.environ["UV_SYSTEM_CERTS"] = "true"
    overrides = ("--overrides", "requirements-overrides.txt")
    flags = ("--quiet", "--universal", "--no-header", "--python-version", "3.11", *overrides, *arguments.args)
    codes = [
        _tool("uv", "pip", "compile", *flags, *annotated, f"{name}.txt", "-o", f"{name}.lock")
        for name, annotated in (
            ("requirements", ()),
            ("requirements-dev", ()),
            ("requirements-celery", ("--no-annotate",)),  # has the first one's versions as its constraints
        )
    ]
    return max(codes)


def _python(module: str, arguments: Sequence[str], environment: dict[str, str]) -> int:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], env=environment, cwd=PROJECT, check=False
    ).returncode


def _tool(name: str, *arguments: str) -> int:
    """Run a program of the environment in the project's folder."""
    program = Path(sys.executable).with_name(name)
    return subprocess.run([program, *arguments], cwd=PROJECT, check=False).returncode


def _say(line: object) -> None:
    print(line, flush=True)


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("must be greater than 0")
    return number


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError('must be a JSON object such as {"database": "app"}')
    return value


if __name__ == "__main__":
    sys.exit(main())
