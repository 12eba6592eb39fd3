"""A verdict for every setting that a rule or the fleet file speaks of; nothing is asked of the server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from pgops.tuning import values
from pgops.tuning.clashes import Clash, clashes, new_clashes
from pgops.tuning.model import EMPTY, OVER_FILES, RESET, Facts, FileEntry, Grade, Rule, Setting, Verdict, Wish
from pgops.tuning.rules import RULES

# What a managed service decides itself.
_OF_THE_SERVICE = {
    "archive_mode", "wal_level", "hot_standby", "fsync", "full_page_writes", "io_method", "io_workers", "huge_pages",
    "max_wal_senders", "superuser_reserved_connections", "zero_damaged_pages", "synchronous_standby_names",
}  # fmt: skip


@dataclass(frozen=True)
class _Opinion:
    """What is thought of a setting before it is known whether it can be changed."""

    grade: Grade
    says: str
    wanted: str | None = None
    reset: bool = False

    @property
    def written(self) -> str:
        if self.reset:
            return RESET
        return "" if self.wanted is None else self.wanted or EMPTY

    def value(self, setting: Setting) -> str:
        """What the server would have then."""
        return setting.boot_val if self.reset else self.wanted or ""


def verdicts(facts: Facts, rules: Sequence[Rule] = RULES) -> tuple[Verdict, ...]:
    """One for each rule whose setting this version has, and for each setting that the fleet file speaks of."""
    now = clashes(facts)
    # With what the script, and with what script and ticket together would change: rules build on those before them, so
    # that a second review has nothing to add.
    accepted, whole = facts, facts
    found = []
    for rule, setting in _judged(facts, rules):
        opinion = _opinion(accepted, rule, setting, now)
        verdict = _verdict(facts, rule, setting, opinion)
        if opinion.written:
            base = whole if setting.restart else accepted
            changed = base.with_values({setting.name: opinion.value(setting)})
            broken = breaks(base, changed, setting, opinion.wanted)
            if broken:
                verdict = replace(verdict, why_not=f"would break: {broken}")
            elif not verdict.why_not:
                whole = whole.with_values({setting.name: opinion.value(setting)})
                accepted = accepted if setting.restart else changed
        if verdict.why_not:
            verdict = replace(verdict, action="none")
        found.append(verdict)
    return tuple(found)


def breaks(facts: Facts, changed: Facts, setting: Setting, value: str | None) -> str:
    """Why a value must not be written; empty when it may."""
    invalid = invalid_value(setting, value)
    if invalid:
        return invalid
    wish = next(
        (rule.wants(changed, changed.settings[setting.name]) for rule in RULES if rule.setting == setting.name), None
    )
    dangers = [wish.danger] if wish and wish.danger else []
    return "; ".join([*dangers, *(clash.says for clash in new_clashes(facts, changed))])


def invalid_value(setting: Setting, value: str | None) -> str:
    """Why this server would not take a value; empty when it would."""
    if value is None:
        return ""
    if setting.fixed:
        return "it cannot be changed"
    if setting.vartype == "bool" and values.switched(value) is None:
        return f"{value!r} is neither on nor off"
    if setting.vartype == "enum" and value.lower() not in [one.lower() for one in setting.enumvals]:
        # pg_settings lists not every spelling: an enum may take on and off where it shows other words.
        return f"this build knows {', '.join(setting.enumvals)}, not {value}"
    if setting.vartype in ("integer", "real"):
        amount = values.number(value, setting.unit)
        if amount is None:
            return f"{value!r} is no number" + (f" of {setting.unit}" if setting.unit else "")
        steps = amount / (values.base_of(setting.unit) or 1) if amount >= 0 else amount
        least, most = float(setting.min_val or steps), float(setting.max_val or steps)
        if not least <= steps <= most:
            return f"{value} is outside of {setting.min_val} to {setting.max_val} {setting.unit}".rstrip()
    return ""


def _judged(facts: Facts, rules: Sequence[Rule]) -> Iterator[tuple[Rule, Setting]]:
    ruled = set()
    for rule in rules:
        ruled.add(rule.setting)
        setting = facts.get(rule.setting)
        if setting is not None:
            yield rule, setting
    for name in facts.machine.deliberate:
        setting = facts.get(name)
        if name not in ruled and setting is not None:
            yield Rule(name, lambda facts, setting: None, "as the fleet file says", "", "include/fleet.yaml"), setting


def _opinion(facts: Facts, rule: Rule, setting: Setting, now: Sequence[Clash]) -> _Opinion:
    wish = rule.wants(facts, setting) or Wish(setting.value, among=(setting.value,), says=rule.reason)
    danger = "; ".join(filter(None, [wish.danger, *(one.says for one in now if one.settings[0] == setting.name)]))
    line = facts.in_file(setting.name)
    if line is not None and line.broken:
        return _Opinion(Grade.DANGEROUS, f"{_place(line)} cannot be used: {line.error}; the next start fails")
    waiting = _waiting(facts, rule, setting, line)
    if waiting is not None:
        return waiting
    declared = facts.machine.deliberate.get(setting.name)
    if declared is not None:
        value, reason = declared
        if setting.same(value):
            return _Opinion(Grade.DELIBERATE, f"{reason}{f' (but: {danger})' if danger else ''}")
        return _Opinion(Grade.ADVICE, f"the fleet file means {value}: {reason}", value)
    good = _good_enough(wish, setting)
    if good and not danger:
        return _Opinion(Grade.OK, wish.says)
    grade = Grade.DANGEROUS if danger else Grade.ADVICE
    if wish.target is None:
        # RESET takes a line out of postgresql.auto.conf only: one that stands elsewhere is written over.
        if setting.source != "configuration file":
            return _Opinion(grade, danger or wish.says)
        resets = facts.only_in_auto(setting.name)
        return _Opinion(grade, danger or wish.says, None if resets else setting.boot_val, reset=resets)
    wanted = None if setting.same(wish.target) else wish.target
    return _Opinion(grade, danger or wish.says, wanted)


def _waiting(facts: Facts, rule: Rule, setting: Setting, line: FileEntry | None) -> _Opinion | None:
    """What the next start brings; ALTER SYSTEM takes a value that no server starts with."""
    if line is None or not setting.restart or setting.same(line.value) or setting.source in OVER_FILES:
        return None
    changed = facts.with_values({setting.name: line.value})
    wish = rule.wants(changed, changed.settings[setting.name])
    broken = breaks(facts, changed, setting, line.value)
    if broken:
        says = f"the next start takes {line.value} from {_place(line)}: {broken}"
        return _Opinion(Grade.DANGEROUS, says, setting.shown)
    if wish is None or _good_enough(wish, changed.settings[setting.name]):
        return _Opinion(Grade.OK, f"{line.value} in {_place(line)} waits for a restart")
    return None


def _good_enough(wish: Wish, setting: Setting) -> bool:
    if any(setting.same(one) for one in wish.among):
        return True
    if wish.least is None or wish.most is None:
        return False
    return wish.least <= setting.number() <= wish.most


def _verdict(facts: Facts, rule: Rule, setting: Setting, opinion: _Opinion) -> Verdict:
    return Verdict(
        setting=setting.name,
        grade=opinion.grade,
        now=setting.shown,
        origin=_origin(setting),
        says=opinion.says,
        wanted=opinion.written,
        action="none" if not opinion.written else "restart" if setting.restart else "reload",
        why_not=_why_not(facts, setting) if opinion.written else "",
        formula=rule.formula,
        reason=rule.reason,
        source=rule.source,
        document=rule.document,
        overrides=tuple(
            f"{one.of} has {one.value}" for one in facts.overrides_of(setting.name) if one.role != facts.server.role
        ),
    )


def _why_not(facts: Facts, setting: Setting) -> str:
    """Why this server, or this role, cannot be given the value through ALTER SYSTEM."""
    if facts.machine.managed != "none":
        return "the service decides it" if setting.name in _OF_THE_SERVICE else ""
    if setting.source in OVER_FILES:
        return f"it comes from the {setting.source}, which wins over files"
    if setting.restart:
        return ""
    if not facts.server.alter_system:
        return "allow_alter_system is off"
    if facts.files is None:
        return "the configuration files may not be read: run include/sql/roles/tuner.sql"
    broken = next((one for one in facts.files if one.broken), None)
    if broken:
        return f"a reload takes nothing while {_place(broken)} has an error: {broken.error}"
    if not setting.may_alter:
        return f"no privilege: GRANT ALTER SYSTEM ON PARAMETER {setting.name} TO {facts.server.role}"
    if not facts.server.may_reload:
        return f"no privilege: GRANT EXECUTE ON FUNCTION pg_reload_conf() TO {facts.server.role}"
    return ""


def _origin(setting: Setting) -> str:
    if setting.sourcefile:
        return f"{PurePosixPath(setting.sourcefile).name}:{setting.sourceline}"
    return setting.source


def _place(line: FileEntry) -> str:
    return f"{PurePosixPath(line.file).name}:{line.line}"
