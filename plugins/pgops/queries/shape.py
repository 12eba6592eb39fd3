"""Plans as EXPLAIN (FORMAT JSON) gives them: their shape, by which they are compared, and lines that people read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pgops.queries.text import masked

Node = Mapping[str, Any]

# What a line says of a node beside its name, in EXPLAIN's words and order.
_CONDITIONS = (
    *("Index Cond", "Recheck Cond", "Hash Cond", "Merge Cond", "Join Filter", "Filter", "Order By", "TID Cond"),
    *("Sort Key", "Group Key", "One-Time Filter"),
)
_MEASURED = (
    *("Rows Removed by Filter", "Rows Removed by Join Filter", "Rows Removed by Index Recheck", "Heap Fetches"),
    *("Sort Method", "Sort Space Used", "Sort Space Type", "Hash Batches", "Workers Launched"),
    *("Shared Hit Blocks", "Shared Read Blocks", "Shared Dirtied Blocks", "Temp Read Blocks", "Temp Written Blocks"),
)
_CALL = re.compile(r"""("(?:[^"]|"")+"|(?<![\w$])[^\W\d][\w$]*)\(""")


@dataclass(frozen=True)
class Plan:
    """A plan.

    Attributes:
        shape: the same while node types, relations and indexes are: costs do not count, nor which partitions there are.
        cost: the planner's, of all of it.
        text: as people read it, without literals.
        relations: schema and name of the tables that are read from end to end, or filtered after an index.
        indexes: names of those that are used.
        functions: names that it calls, those behind views too.
    """

    shape: str
    cost: float
    text: str
    relations: tuple[tuple[str, str], ...]
    indexes: tuple[str, ...]
    functions: frozenset[str] = frozenset()


def plan_of(document: Any) -> Plan:
    """The plan of an EXPLAIN (FORMAT JSON) result."""
    explained = document[0] if isinstance(document, list) else document
    root: Node = explained["Plan"]
    times = [f"{name}: {explained[name]:.3f} ms" for name in ("Planning Time", "Execution Time") if name in explained]
    return Plan(
        shape=hashlib.sha256(_shape(root).encode()).hexdigest()[:16],
        cost=float(root["Total Cost"]),
        text="\n".join([*_lines(root, 0), *times]),
        relations=tuple(dict.fromkeys(_read_whole(root))),
        indexes=tuple(dict.fromkeys(str(one["Index Name"]) for one in nodes(root) if "Index Name" in one)),
        functions=frozenset(name for one in nodes(root) for name in _called(one)),
    )


def nodes(node: Node) -> Iterator[Node]:
    """A node and all below it."""
    yield node
    for child in node.get("Plans", ()):
        yield from nodes(child)


def _called(node: Node) -> Iterator[str]:
    for what, value in node.items():
        for text in value if isinstance(value, list) else (value,):
            if what == "Function Name":
                yield str(text)
            elif isinstance(text, str):
                for name in _CALL.findall(text):
                    yield name.strip('"').replace('""', '"')


def _shape(node: Node) -> str:
    parts = [str(node.get(name, "")) for name in ("Node Type", "Join Type", "Strategy", "Operation", "Schema")]
    parts += [str(node.get(name, "")) for name in ("Relation Name", "Index Name")]
    children = [_shape(child) for child in node.get("Plans", ())]
    if node["Node Type"] in ("Append", "Merge Append"):
        # Partitions come and go, by the month: which there are is no other plan.
        children = sorted({re.sub(r"\d+", "#", child) for child in children})
    return f"({'|'.join(parts)}{''.join(children)})"


def _read_whole(root: Node) -> Iterator[tuple[str, str]]:
    for node in nodes(root):
        scans = node["Node Type"] in ("Seq Scan", "Bitmap Heap Scan", "Index Scan", "Index Only Scan")
        if scans and "Relation Name" in node and (node["Node Type"] == "Seq Scan" or "Filter" in node):
            yield str(node.get("Schema", "")), str(node["Relation Name"])


def _lines(node: Node, depth: int) -> Iterator[str]:
    indent = "  " * depth
    name = str(node["Node Type"])
    if node.get("Join Type", "Inner") != "Inner":
        name = f"{name} ({node['Join Type']})"
    if node.get("Parallel Aware"):
        name = f"Parallel {name}"
    if "Index Name" in node:
        name += f" using {node['Index Name']}"
    if "Relation Name" in node:
        name += f" on {'.'.join(filter(None, (node.get('Schema'), node['Relation Name'])))}"
        if node.get("Alias", node["Relation Name"]) != node["Relation Name"]:
            name += f" {node['Alias']}"
    name += "".join(f" on {node[what]}" for what in ("CTE Name", "Function Name") if what in node)
    measured = ""
    if "Actual Rows" in node:
        rows, loops = node["Actual Rows"], node.get("Actual Loops", 1)
        timed = f"time={node['Actual Total Time']:.3f} " if "Actual Total Time" in node else ""
        measured = f" (actual {timed}rows={rows:g} loops={loops:g})"
    if "Subplan Name" in node:
        yield f"{indent}{node['Subplan Name']}"
    arrow = "-> " if depth else ""
    yield f"{indent}{arrow}{name}  (cost={node['Total Cost']:.2f} rows={node['Plan Rows']:g}){measured}"
    for what in _CONDITIONS:
        if what in node:
            value = node[what]
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield f"{indent}     {what}: {masked(text)}"
    told = [f"{what}: {node[what]}" for what in _MEASURED if node.get(what)]
    if told:
        yield f"{indent}     {', '.join(told)}"
    for child in node.get("Plans", ()):
        yield from _lines(child, depth + 1)
