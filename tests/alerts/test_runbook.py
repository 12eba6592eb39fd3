"""Every alert leads to a section of the runbook that exists and tells what to do, with commands that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pgops.alerts.runbook import _BY_STEP, SECTIONS, section_for
from pgops.errors import LostOwnership, Refused

RUNBOOK = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")
PARTS = ("What it means", "How bad", "First command", "How to fix", "How to confirm")
DEV_COMMANDS = {"demo", "test", "up", "down", "status", "run", "freshness", "bench"}
PROCEDURES = {"restore-a-database-now", "someone-dropped-a-table"}  # steps to follow, to which no alert leads
DAGS = {path.stem for path in (Path(__file__).parents[2] / "dags").glob("*.py")}


def anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def sections() -> dict[str, tuple[str, str]]:
    found = re.split(r"^## (.+)$", RUNBOOK, flags=re.MULTILINE)[1:]
    return {anchor(heading): (heading, body) for heading, body in zip(found[::2], found[1::2], strict=True)}


def test_the_sections_that_alerts_name_are_the_sections_there_are():
    assert {name: heading for name, (heading, _) in sections().items() if name not in PROCEDURES} == SECTIONS


@pytest.mark.parametrize("name", SECTIONS)
def test_each_section_says_what_how_bad_and_what_to_do(name):
    body = sections()[name][1]
    assert re.findall(r"^\*\*(.+?)\.\*\*", body, flags=re.MULTILINE) == list(PARTS)


def test_the_steps_of_a_procedure_are_numbered_without_a_gap():
    for name in PROCEDURES:
        numbers = [int(number) for number in re.findall(r"^\*\*(\d+)\. ", sections()[name][1], flags=re.MULTILINE)]
        assert len(numbers) > 5, name
        assert numbers == list(range(1, len(numbers) + 1)), name


def test_every_step_and_error_leads_to_a_section():
    assert set(_BY_STEP.values()) <= set(SECTIONS)
    for error in (None, RuntimeError(), Refused("x", where="y", remedy="z"), LostOwnership("x", where="y", remedy="z")):
        for task in [*_BY_STEP, "pg_main.dump", "unknown"]:
            assert section_for(task, error) in SECTIONS


def test_only_commands_that_exist_are_named():
    commands = re.findall(r"\./dev (\w+)(?: (\w+))?", RUNBOOK)
    assert {command for command, _ in commands} <= DEV_COMMANDS
    assert {dag for command, dag in commands if command == "run"} <= DAGS | {"DAG"}


def test_links_within_the_runbook_lead_somewhere():
    assert set(re.findall(r"\]\(#([^)]+)\)", RUNBOOK)) <= set(sections())
