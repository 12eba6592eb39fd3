"""Asks squawk, the linter, about many scripts in one call.

What it prints is read, its exit code is not: that is 1 for a finding, for a typo in an option and for no files alike.
Its files are written here under names of our own, so that no name of a migration ever gets near a command line, and
with BEGIN and COMMIT where the script will run in a transaction: so it judges every statement as it will be run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pgops.errors import PgOpsError, Refused
from pgops.migration.model import Direction, Level, Script

# Rules that are not listed are warnings. What is off is the runner's own business (timeouts) or contradicts it.
LEVELS: dict[str, Level | str] = {
    "adding-field-with-default": "error",
    "adding-foreign-key-constraint": "error",
    "adding-not-nullable-field": "error",
    "adding-required-field": "error",
    "adding-serial-primary-key-field": "error",
    "ban-concurrent-index-creation-in-transaction": "error",
    "ban-drop-column": "error",
    "ban-drop-database": "error",
    "ban-drop-table": "error",
    "ban-truncate-cascade": "error",
    "changing-column-type": "error",
    "constraint-missing-not-valid": "error",
    "disallowed-unique-constraint": "error",
    "renaming-column": "error",
    "renaming-table": "error",
    "require-concurrent-index-creation": "error",
    "require-concurrent-index-deletion": "error",
    "require-concurrent-partition-detach": "error",
    "require-concurrent-reindex": "error",
    "ban-disable-trigger": "error",
    "prefer-robust-stmts": "off",
    "require-lock-timeout": "off",
    "require-statement-timeout": "off",
    "require-timeout-settings": "off",
    "unused-ignore": "off",
    # The parser of the server has the last word about syntax.
    "syntax-error": "off",
}
OPT_IN = ("ban-disable-trigger",)
# Taking something back is what a rollback is for; whether that loses data is another rule's question.
ONLY_APPLY = (
    "adding-not-nullable-field",
    "ban-char-field",
    "ban-drop-",
    "changing-column-type",
    "prefer-",
    "renaming-",
)
# Said of the same statement by a rule that knows more.
_SAID_TWICE = {"constraint-missing-not-valid": {"adding-foreign-key-constraint", "disallowed-unique-constraint"}}
# Where squawk itself gives no help.
_HELP = {
    "renaming-column": "Add the new column, fill it, let the application move over, then drop the old one",
    "renaming-table": "Rename it and leave a view with the old name, in one transaction, until nobody uses that",
    "ban-drop-column": "Deploy the application without it first; then allow it here: -- pgops: allow ban-drop-column",
    "ban-drop-table": "Deploy the application without it first; then allow it here: -- pgops: allow ban-drop-table",
    "changing-column-type": "Add a column of the new type, fill it in batches and swap them; where the type only grows "
    "(varchar(100) to text) nothing is rewritten: allow it in the file: -- pgops: allow changing-column-type",
    "ban-disable-trigger": "Leave the triggers on: what they keep right would silently go wrong",
}
_UNKNOWN_RULE = re.compile(r"invalid rule name (\S+)")
_TIMEOUT = 60


@dataclass(frozen=True)
class Remark:
    """What squawk said of one script; `index` is its place among those that were asked about."""

    index: int
    rule: str
    line: int
    message: str
    help: str


def level(rule: str, direction: Direction) -> str:
    """The level of a rule where the policy says nothing."""
    if direction == "rollback" and rule.startswith(ONLY_APPLY):
        return "off"
    return LEVELS.get(rule, "warning")


def remarks(scripts: Sequence[Script], server_version: int, rules: Mapping[str, str]) -> list[Remark]:
    """What squawk says about the scripts.

    Args:
        scripts: any number; the program is started once.
        server_version: as the server's server_version_num, such as 150018.
        rules: levels by rule; what is not "off" is asked for even where squawk leaves it out by itself.

    Raises:
        Refused: squawk is not installed, or knows a rule by no such name.
    """
    if not scripts:
        return []
    with tempfile.TemporaryDirectory(prefix="pgops-squawk-", dir=_in_memory()) as name:
        folder = Path(name)
        for index, script in enumerate(scripts):
            (folder / f"{index}.sql").write_text(_as_it_runs(script), encoding="utf-8")
        (folder / "squawk.toml").write_text("", encoding="utf-8")  # else one of the machine would be found
        included = sorted({*OPT_IN, *(rule for rule, level in rules.items() if level != "off")})
        argv = [
            _program(),
            "--reporter=json",
            f"--pg-version={server_version // 10000}.{server_version % 10000}",
            f"--config={folder / 'squawk.toml'}",
            *(f"--include={rule}" for rule in included),
            *(f"--exclude={rule}" for rule, level in rules.items() if level == "off"),
            "*.sql",
        ]
        return _without_repetitions([_remark(item) for item in _answer(argv, folder)])


def _remark(item: Mapping[str, object]) -> Remark:
    rule = str(item["rule_name"])
    return Remark(
        index=int(Path(str(item["file"])).stem),
        rule=rule,
        line=int(str(item["line"])) + 1,  # it counts from 0
        message=str(item["message"]).strip(),
        help=_HELP.get(rule) or str(item["help"] or "").strip() or f"See https://squawkhq.com/docs/{rule}",
    )


def _without_repetitions(remarks: Sequence[Remark]) -> list[Remark]:
    said: dict[tuple[int, int], set[str]] = {}
    for remark in remarks:
        said.setdefault((remark.index, remark.line), set()).add(remark.rule)
    return [one for one in remarks if not _SAID_TWICE.get(one.rule, set()) & said[one.index, one.line]]


def _answer(argv: list[str], folder: Path) -> list[dict[str, object]]:
    try:
        done = subprocess.run(
            argv,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT,
        )
        found: list[dict[str, object]] = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        said = done.stderr.decode(errors="replace").strip() if isinstance(error, ValueError) else str(error)
        if unknown := _UNKNOWN_RULE.search(said):
            raise Refused(
                f"There is no rule {unknown[1]!r}",
                where="migrations.rules in the fleet file",
                remedy="Correct its name: https://squawkhq.com/docs/rules, and rules.py of this project",
            ) from None
        raise PgOpsError(
            f"squawk gave no answer: {said or 'it said nothing'}",
            where=argv[0],
            remedy="Try it by hand: squawk --version",
            retry=True,
        ) from error
    return found


def _in_memory() -> str | None:
    """Where many small files cost nothing, if the machine has such a place: on a disk they take longer than squawk."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else None


@cache
def _program() -> str:
    """The program of the squawk-cli wheel: beside the Python that runs this, else on PATH."""
    beside = Path(sys.executable).parent / "squawk"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("squawk")
    if found is None:
        raise Refused(
            "squawk, the linter of migrations, is not installed",
            where=f"{beside}, PATH",
            remedy="Install squawk-cli of requirements.txt on every Airflow worker",
        )
    return found


def _as_it_runs(script: Script) -> str:
    """The script with its transactions written out; every statement stays in its line."""
    lines = ""
    at = 1
    for segment in script.segments:
        for statement in segment.statements:
            text = statement.text.replace("squawk-ignore", "squawk ignored")  # the gate itself reads these, and says so
            before = text[: _first_word(text)].count("\n")
            opening = "BEGIN; " if segment.transactional and statement is segment.statements[0] else ""
            closing = " COMMIT;" if segment.transactional and statement is segment.statements[-1] else ""
            padding = "\n" * max(statement.line - before - at, 0)
            ending = "\n;" if "--" in text.rpartition("\n")[2] else ";"
            written = f"{padding}{opening}{text}{ending}{closing} "
            at += written.count("\n")
            lines += written
    return lines


_LEADING = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)


def _first_word(text: str) -> int:
    match = _LEADING.match(text)
    return match.end() if match else 0
