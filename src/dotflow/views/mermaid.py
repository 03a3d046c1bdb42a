"""A workflow as a Mermaid flowchart, as GitHub, GitLab and many wikis show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dotflow.views.layout import is_wide
from dotflow.views.state import LOOKS

if TYPE_CHECKING:
    from dotflow.core.types import TypeStatus
    from dotflow.views.graph import Graph

SAFE = " -_.,/+@=!?()[]"


def as_mermaid(graph: Graph) -> str:
    """Return *graph* as a flowchart. Names are data: nothing in one is taken for Mermaid or HTML."""
    lines = ["flowchart LR" if is_wide(graph) else "flowchart TD"]
    groups: dict[str, list[int]] = {}
    for each in graph.order:
        groups.setdefault(graph.nodes[each].group, []).append(each)
    for number, (group, members) in enumerate(groups.items()):
        if group:
            lines.append(f'    subgraph g{number}["{escaped(group)}"]')
        lines += [f"    {_node(graph, each)}" for each in members]
        if group:
            lines.append("    end")
    lines += [f"    n{parent} --> n{each}" for each in graph.order for parent in graph.parents[each]]
    if graph.stated:
        for status in {graph.nodes[each].status: None for each in graph.order}:
            look = LOOKS[status]
            lines.append(f"    classDef {_class(status)} fill:{look.fill},stroke:{look.line},color:{look.line}")
    return "".join(f"{line}\n" for line in lines)


def _node(graph: Graph, each: int) -> str:
    node = graph.nodes[each]
    if not graph.stated:
        return f'n{each}["{escaped(node.name)}"]'
    return f'n{each}["{escaped(node.name)}<br/>{LOOKS[node.status].symbol} {node.word}"]:::{_class(node.status)}'


def _class(status: TypeStatus) -> str:
    return status.name.lower()


def escaped(text: str) -> str:
    """Return *text* with everything that Mermaid, Markdown or HTML could read as more than text as a code."""
    return "".join(char if char.isalnum() or char in SAFE else f"#{ord(char)};" for char in text)
