"""A workflow as lines of text: each task once, below what it waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from dotflow.views.state import LOOKS

if TYPE_CHECKING:
    from dotflow.views.graph import Graph

NAMED = 3  # of several parents, how many are listed
WIDEST = 60  # columns of the names, when statuses follow them


class Signs(NamedTuple):
    """What branches are made of."""

    branch: str
    last: str
    through: str
    gap: str
    then: str
    after: str


LINES = Signs("├─ ", "└─ ", "│  ", "   ", "↓ ", "←")
ASCII = Signs("|- ", "`- ", "|  ", "   ", "> ", "<-")


def as_text(graph: Graph, plain: bool = False) -> str:
    """Return *graph* as lines; *plain*: in ASCII."""
    signs = ASCII if plain else LINES
    rows = [(f"{prefix}{graph.nodes[each].name}", each) for prefix, each in branches(graph, signs)]
    width = min(WIDEST, max((len(label) for label, _ in rows), default=0))
    lines = []
    for label, each in rows:
        node = graph.nodes[each]
        parts = [label]
        if graph.stated:
            look = LOOKS[node.status]
            parts = [label.ljust(width), f"{look.letter if plain else look.symbol} {node.word}"]
        if node.group:
            parts.append(f"[{node.group}]")
        if len(graph.parents[each]) > 1:
            parts.append(f"{signs.after} {_names(graph, each)}")
        lines.append("  ".join(parts))
    return "".join(f"{line}\n" for line in lines)


def _names(graph: Graph, each: int) -> str:
    names = [graph.nodes[parent].name for parent in graph.parents[each]]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED + 1 else ""
    return ", ".join(names[:NAMED] if more else names) + more


def branches(graph: Graph, signs: Signs = LINES) -> list[tuple[str, int]]:
    """Return the tasks as the rows of a tree, each with what is drawn before its name.

    A task stands below the last one that all ways to it pass through. A task that alone follows another one is
    not indented, so that a long chain stays narrow.
    """
    below = _tree(graph)
    rows: list[tuple[str, int]] = []
    stack = [("", "", top) for top in reversed(below[-1])]
    while stack:
        prefix, rest, each = stack.pop()
        rows.append((prefix, each))
        children = below.get(each, [])
        if len(children) == 1:
            stack.append((rest + signs.then, rest, children[0]))
            continue
        for position, child in reversed(list(enumerate(children))):
            last = position == len(children) - 1
            stack.append(
                (
                    rest + (signs.last if last else signs.branch),
                    rest + (signs.gap if last else signs.through),
                    child,
                )
            )
    return rows


def _tree(graph: Graph) -> dict[int, list[int]]:
    """Return who stands below whom; -1 is above all."""
    above: dict[int, int] = {-1: -1}
    depth: dict[int, int] = {-1: 0}
    below: dict[int, list[int]] = {-1: []}
    for each in graph.order:
        parents = graph.parents[each]
        found = parents[0] if parents else -1
        for parent in parents[1:]:
            found = _common(found, parent, above, depth)
        above[each], depth[each] = found, depth[found] + 1
        below.setdefault(found, []).append(each)
    return below


def _common(one: int, other: int, above: dict[int, int], depth: dict[int, int]) -> int:
    while one != other:
        if depth[one] >= depth[other]:
            one = above[one]
        else:
            other = above[other]
    return one
