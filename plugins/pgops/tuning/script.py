"""Scripts for people, exactly what the project itself would do, and lists of parameters for managed services."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from psycopg2 import sql

from pgops.include import query
from pgops.tuning import values
from pgops.tuning.clashes import OF_STANDBYS
from pgops.tuning.model import Change, Facts, Verdict

# ALTER SYSTEM takes these as a list of names: one string with commas in it would be one name.
_LISTS = (
    "shared_preload_libraries",
    "session_preload_libraries",
    "local_preload_libraries",
    "search_path",
    "temp_tablespaces",
    "unix_socket_directories",
)
_APPLIES = {
    "rds": ("immediate", "pending-reboot"),
    "cloudsql": ("dynamic", "restarts the instance"),
    "azure": ("dynamic", "static"),
    "none": ("reload", "restart"),
}


def statement(setting: str, value: str | None) -> sql.Composed:
    """ALTER SYSTEM SET or RESET, to be executed."""
    name = sql.Identifier(*setting.split("."))
    if value is None:
        return query("tuning/reset.sql", setting=name)
    parts = [sql.Literal(part) for part in _parts(setting, value)]
    return query("tuning/set.sql", setting=name, value=sql.SQL(", ").join(parts))


def text(setting: str, value: str | None) -> str:
    """The same for people."""
    if value is None:
        return f"ALTER SYSTEM RESET {setting};"
    parts = ", ".join(_quoted(part) for part in _parts(setting, value))
    return f"ALTER SYSTEM SET {setting} = {parts};"


def forward(changes: Sequence[Change]) -> str:
    """What is applied."""
    lines = [
        f"{text(one.setting, one.value)}  -- {_line(f'{one.shown_before} before. {one.says}')}".rstrip(". ")
        for one in changes
    ]
    return "\n".join([*lines, "SELECT pg_reload_conf();"]) if changes else ""


def reverse(changes: Sequence[Change]) -> str:
    """What takes it back, in the other order: postgresql.auto.conf is then as it was."""
    lines = [text(one.setting, one.auto_before) for one in reversed(changes)]
    return "\n".join([*lines, "SELECT pg_reload_conf();"]) if changes else ""


def ticket(facts: Facts, verdicts: Sequence[Verdict]) -> str:
    """What needs a restart, for a person and a maintenance window: with its own way back."""
    waiting = [one for one in verdicts if one.action == "restart"]
    if not waiting or facts.machine.managed != "none":
        return ""
    return "\n".join(_ticket_lines(facts, waiting))


def _ticket_lines(facts: Facts, waiting: Sequence[Verdict]) -> Iterator[str]:
    yield "-- In a maintenance window; a restart ends all sessions."
    for one in waiting:
        yield f"{text(one.setting, one.value)}  -- {_line(f'{one.now} now. {one.says}')}"
    yield "-- Then restart the server. To take it back, and restart again:"
    for one in reversed(waiting):
        yield f"-- {text(one.setting, facts.auto(one.setting))}"
    shared = [one.setting for one in waiting if one.setting in OF_STANDBYS]
    if shared:
        yield f"-- {', '.join(shared)}: raised on the standbys first, lowered on the primary first."


def parameters(facts: Facts, verdicts: Sequence[Verdict]) -> Iterator[Mapping[str, str]]:
    """Name, value and apply type for the service's parameter group; values in the server's own units."""
    now, later = _APPLIES[facts.machine.managed]
    for one in verdicts:
        if not one.wanted or one.why_not:
            continue
        setting = facts.settings[one.setting]
        wanted = setting.boot_val if one.value is None else one.value
        switched = values.switched(wanted) if facts.machine.managed == "rds" and setting.vartype == "bool" else None
        yield {
            "name": one.setting,
            # Parameter groups of RDS know 0 and 1 only.
            "value": str(int(switched))
            if switched is not None
            else values.base_units(wanted, setting.unit, setting.vartype),
            "shown": one.wanted,
            "apply": later if setting.restart else now,
        }


def _parts(setting: str, value: str) -> list[str]:
    return values.elements(value) or [""] if setting in _LISTS else [value]


def _line(words: str) -> str:
    """A reason of several lines must not leave its comment."""
    return " ".join(words.split())


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
