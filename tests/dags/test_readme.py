"""What the README promises about the DAGs and the files is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
README = (PROJECT / "README.md").read_text(encoding="utf-8")


@pytest.mark.airflow
def test_the_dag_table_names_exactly_the_dags_there_are():
    from airflow.dag_processing.dagbag import DagBag

    section = README.split("## The DAGs")[1].split("\n## ")[0].split("\n###")[0]
    named = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    bag = DagBag(str(PROJECT / "dags"))
    assert not bag.import_errors
    assert sorted(named) == sorted(bag.dags)


@pytest.mark.parametrize(
    "document", ["README.md", *sorted(str(p.relative_to(PROJECT)) for p in (PROJECT / "docs").glob("*.md"))]
)
def test_every_link_to_a_file_leads_to_one(document):
    folder = (PROJECT / document).parent
    text = (PROJECT / document).read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)", text)
    missing = [target for target in targets if not (folder / target).exists()]
    assert not missing


def test_every_command_of_the_script_is_in_the_table():
    from sandbox.__main__ import _parser

    commands = next(action.choices for action in _parser()._actions if action.choices)
    for command in commands:
        assert re.search(rf"`(\./dev )?{command}\b", README), f"the README does not name ./dev {command}"
