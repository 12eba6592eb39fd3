"""The static gate: what can be known of migrations before any of them runs.

Both directions are parsed, asked about with squawk and held against rules of our own. The policy decides what is an
error; a file may allow itself a rule with a comment, which is then reported:

    -- pgops: allow ban-drop-column, cascade-delete
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pgops.fleet.migrations import MigrationPolicy
from pgops.migration.gate import rules, squawk
from pgops.migration.model import Direction, Finding, Level, Migration, Source
from pgops.migration.scripts.statements import Parsed, Unreadable, acknowledges_destruction, read

_ALLOWED = re.compile(r"^[ \t]*--[ \t]*(?:pgops:[ \t]*allow|squawk-ignore(?:-file)?)[ \t]+([a-z, \t-]+)", re.MULTILINE)


@dataclass(frozen=True)
class _File:
    """One direction of one migration, parsed.

    Attributes:
        up: for a rollback what it takes back, if that could be read.
        allowed: the rules that its comments allow, and their lines.
        both: whether these comments are of both directions, as an Alembic revision's.
    """

    source: Source
    direction: Direction
    parsed: Parsed
    up: Parsed | None
    allowed: Mapping[str, int]
    both: bool


def check(
    migrations: Sequence[Migration], policy: MigrationPolicy, server_version: int, known: Collection[str] = ()
) -> list[Finding]:
    """Everything that is to be said about the migrations, in their order; an error refuses its migration.

    Args:
        migrations: any number of them; squawk is started once.
        policy: the levels of the rules.
        server_version: as the server's server_version_num, such as 150018.
        known: rules of other checks, which the policy may name too.

    Raises:
        Refused: the policy names a rule that does not exist, or squawk is not installed.
    """
    files: list[_File] = []
    findings: list[Finding] = []
    for migration in migrations:
        up: Parsed | None = None
        for source, direction in _directions(migration):
            try:
                parsed = read(source)
                files.append(_File(source, direction, parsed, up, _allowed(source), migration.origin == "alembic"))
                up = parsed
            except Unreadable as error:
                findings.append(Finding(error.rule, "error", error.name, error.line, f"{error.what}.", error.remedy))
        findings += _missing_rollback(migration, policy)
    findings += _judged(files, _hits(files, _of_squawk(policy, known), server_version), policy, known)
    order = {source.name: place for place, source in enumerate(_sources(migrations))}
    return sorted(findings, key=lambda finding: (order.get(finding.where, -1), finding.line, finding.rule))


def allowed_rules(migration: Migration) -> set[str]:
    """The rules that comments in either direction's file allow."""
    return {rule for source, _ in _directions(migration) for rule in _allowed(source)}


def refused(findings: Sequence[Finding], migration: Migration) -> bool:
    """Whether any of the findings is an error of this migration."""
    names = {source.name for source, _ in _directions(migration)}
    return any(finding.level == "error" and finding.where in names for finding in findings)


def _directions(migration: Migration) -> Iterator[tuple[Source, Direction]]:
    yield migration.up, "apply"
    if migration.down is not None:
        yield migration.down, "rollback"


def _sources(migrations: Sequence[Migration]) -> Iterator[Source]:
    for migration in migrations:
        for source, _ in _directions(migration):
            yield source


def _allowed(source: Source) -> dict[str, int]:
    found: dict[str, int] = {}
    if "allow" in source.text or "squawk-ignore" in source.text:
        for match in _ALLOWED.finditer(source.text):
            line = source.text.count("\n", 0, match.start()) + 1
            for rule in re.split(r"[,\s]+", match[1].strip(", \t")):
                found.setdefault(rule, line)
    return found


def _of_squawk(policy: MigrationPolicy, known: Collection[str]) -> dict[str, str]:
    """The levels of the rules that must be squawk's, since they are nobody else's."""
    return {rule: level for rule, level in policy.rules.items() if rule not in rules.LEVELS and rule not in known}


def _hits(files: Sequence[_File], of_squawk: Mapping[str, str], server_version: int) -> list[list[rules.Hit]]:
    """What is found in each file, of squawk and of our own rules."""
    found = [_own(file) for file in files]
    unread: set[int] = set()
    for remark in squawk.remarks([file.parsed.script for file in files], server_version, of_squawk):
        if remark.rule == "syntax-error":
            if remark.index not in unread:
                unread.add(remark.index)
                found[remark.index].append(_unread_by_squawk(remark))
            continue
        found[remark.index].append(rules.Hit(remark.rule, remark.line, remark.message, remark.help))
    return found


def _unread_by_squawk(remark: squawk.Remark) -> rules.Hit:
    return rules.Hit(
        "unread-by-squawk",
        remark.line,
        f"squawk does not understand this ({remark.message}), so its rules have not seen all of the file",
        "Nothing, if the statement is meant: the server's own parser accepts it",
    )


def _own(file: _File) -> list[rules.Hit]:
    found = rules.hits(file.parsed, file.direction, file.up)
    if file.direction == "apply" or acknowledges_destruction(file.source):
        return found
    if thrown := rules.destructive_statements(file.parsed):
        what = ", ".join(name for name, _ in thrown)
        found.append(
            rules.Hit(
                "destructive-rollback",
                thrown[0][1],
                f"The rollback throws away {what}, with all that was written there since",
                "If that is meant, say so in the file: -- rollback: destructive acknowledged",
            )
        )
    return found


def _judged(
    files: Sequence[_File], hits: list[list[rules.Hit]], policy: MigrationPolicy, known: Collection[str]
) -> Iterator[Finding]:
    for file, found in zip(files, hits, strict=True):
        silenced = dict.fromkeys(file.allowed, 0)
        for hit in found:
            level = _level(hit.rule, file.direction, policy)
            if level is None:
                continue
            if hit.rule in silenced:
                silenced[hit.rule] += 1
                continue
            yield Finding(hit.rule, level, file.source.name, hit.line, _sentence(hit.message), hit.remedy)
        for rule, count in silenced.items():
            if rule == "missing-rollback" or rule in known:  # said with the migration, or by another check
                continue
            line = file.allowed[rule]
            if count:
                message = f"A comment allows {rule}, which is there {count} time{'s' if count > 1 else ''}."
                yield Finding("allowed", "warning", file.source.name, line, message, "Nothing, if it is meant")
            elif not file.both and (level := _level("unused-allow", file.direction, policy)):
                message = f"A comment allows {rule}, which is not there."
                yield Finding("unused-allow", level, file.source.name, line, message, "Remove the comment")


def _missing_rollback(migration: Migration, policy: MigrationPolicy) -> Iterator[Finding]:
    level = _level("missing-rollback", "apply", policy)
    if migration.down is not None or level is None:
        return
    line = _allowed(migration.up).get("missing-rollback", 0)
    if line:
        yield Finding("allowed", "warning", migration.up.name, line, "A comment allows that there is no rollback.", "")
        return
    yield Finding(
        "missing-rollback",
        level,
        migration.up.name,
        0,
        "There is nothing that takes it back: if it fails in production, somebody has to find out how under pressure.",
        "Write the rollback beside it",
    )


def _level(rule: str, direction: Direction, policy: MigrationPolicy) -> Level | None:
    level = policy.rules.get(rule) or rules.LEVELS.get(rule) or squawk.level(rule, direction)
    if level == "error":
        return "error"
    return None if level == "off" else "warning"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
