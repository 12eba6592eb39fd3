"""What a run came to, in two lines for each database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pgops import units


def report_lines(result: Any) -> list[str]:
    """The lines for what a report task returned; what is not known here is shown as it is."""
    if isinstance(result, Mapping) and isinstance(result.get("databases"), Mapping):
        lines = [line for name, outcome in result["databases"].items() for line in backup_lines(name, outcome)]
        return lines + [base_line(name, outcome) for name, outcome in result.get("servers", {}).items()]
    if isinstance(result, Mapping) and "grades" in result:
        return health_lines(result)
    if isinstance(result, Mapping) and "passed" in result and "failures" in result:
        return drill_lines(result)
    return [result] if isinstance(result, str) else json.dumps(result, indent=1, default=str).splitlines()


def backup_lines(name: str, outcome: Mapping[str, Any]) -> list[str]:
    """One database of a nightly report."""
    backup = outcome["backup"]
    if not outcome["ok"] or not backup:
        return [f"{name}: FAILED", f"    {outcome['error']}"]
    rate = backup["raw_bytes"] / max(backup["seconds"], 1e-6)
    return [
        f"{name}: {backup['backup_id']}, read back and proven to {backup['level']}",
        f"    {units.size(backup['bytes'])}, {backup['rows']} rows in {backup['tables']} tables, "
        f"{units.rate(rate)} from the {backup['taken_from']}",
    ]


def base_line(server: str, outcome: Mapping[str, Any]) -> str:
    """One server's base backup."""
    backup = outcome["backup"]
    if not outcome["ok"] or not backup:
        return f"base backup of {server}: FAILED: {outcome['error']}"
    kind = f"{backup['kind']} {backup['backup_id']}, {units.size(backup['bytes'])}"
    return f"base backup of {server}: {kind}, read back with its WAL"


def health_lines(result: Mapping[str, Any]) -> list[str]:
    """One morning's health: grades, what changed with the worst first, and what was not whole."""
    changed = [*result["changed"], *result["better"]] or ["no change"]
    grades = ", ".join(f"{name} {grade}" for name, grade in result["grades"].items())
    return [grades, *(f"    {line}" for line in [*changed, *result["notes"]])]


def drill_lines(drill: Mapping[str, Any]) -> list[str]:
    """One drill."""
    title = f"{drill['database']}: {drill['backup_id']}"
    if not drill["passed"]:
        return [f"{title} NOT proven", f"    {'; '.join(drill['failures'])}"]
    checks = (
        f"{check['name']} {'skipped: ' + check['skipped'] if check['skipped'] else 'ok: ' + check['summary']}"
        for check in drill["checks"]
    )
    measured, allowed = units.duration(drill["rto_seconds"]), units.duration(drill["rto_limit_seconds"])
    return [f"{title} restored in {measured} (allowed {allowed})", f"    {', '.join(checks)}"]
