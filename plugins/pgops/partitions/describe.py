"""A plan in words, for a dry run."""

from __future__ import annotations

from collections.abc import Iterator

from pgops import units
from pgops.partitions.bounds import text
from pgops.partitions.model import Finding, ParentPlan, Plan, Range


def lines(plan: Plan) -> list[str]:
    """The plan, parent by parent; what is in order takes one line."""
    return [
        *(line for parent in plan.parents for line in parent_lines(parent)),
        *(_finding(one) for one in plan.findings),
    ]


def parent_lines(plan: ParentPlan) -> Iterator[str]:
    """What is to be done about one parent."""
    horizon = "no current partition" if plan.horizon is None else f"partitions until {text(plan.horizon)}"
    nothing = "" if plan.finalize or plan.create or plan.retire else "; nothing to do"
    yield f"{plan.parent.title}: {len(plan.parent.partitions)} partitions, {horizon}{nothing}"
    for one in plan.finalize:
        yield f"  finalize the detaching of {one.schema}.{one.name}"
    for new in plan.create:
        moved = f", {new.default_rows} rows of DEFAULT are in it" if new.default_rows else ""
        yield f"  create {new.name} {_range(new.range)}{moved}"
    for old in plan.retire:
        bounds = _range(old.range) if old.range else ""
        yield f"  retire {old.schema}.{old.name} {bounds}, about {units.size(old.bytes)}"
    for finding in plan.findings:
        yield f"  {_finding(finding)}"


def _range(bounds: Range) -> str:
    lower = "the beginning" if bounds.lower is None else text(bounds.lower)
    return f"from {lower} to {text(bounds.upper)}"


def _finding(finding: Finding) -> str:
    return f"{'BAD' if finding.bad else 'note'}: {finding.what}. {finding.remedy}."
