"""A workflow as SVG: no library, no script, nothing that is loaded from elsewhere."""

from __future__ import annotations

import itertools
from html import escape
from typing import TYPE_CHECKING

from dotflow.core.types import TypeStatus
from dotflow.views.layout import cut, laid_out
from dotflow.views.state import LOOKS

if TYPE_CHECKING:
    from dotflow.views.graph import Graph, Node
    from dotflow.views.layout import Layout, Point

FONT = "ui-sans-serif, system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif"
ARROW = (
    '<marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0L8 4L0 8z" fill="#57606a"/></marker>'
)


def as_svg(graph: Graph) -> str:
    """Return *graph* as a picture."""
    plan = laid_out(graph)
    width, height = (f"{side:g}" for side in plan.size)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="workflow of {len(graph.nodes)} tasks" font-family="{FONT}" font-size="13">',
        f'<defs>{ARROW}</defs><rect width="100%" height="100%" fill="#ffffff"/>',
        '<g fill="none" stroke="#57606a" stroke-width="1.2">',
        *(f'<path d="{_curve(line, plan.sideways)}" marker-end="url(#arrow)"/>' for line in plan.lines),
        "</g>",
        *(_box(node, plan.places[each], plan, graph.stated) for each, node in enumerate(graph.nodes)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _curve(points: list[Point], sideways: bool) -> str:
    text = f"M{points[0][0]:g} {points[0][1]:g}"
    for (x, y), (to_x, to_y) in itertools.pairwise(points):
        if sideways:
            middle = (x + to_x) / 2
            text += f"C{middle:g} {y:g} {middle:g} {to_y:g} {to_x:g} {to_y:g}"
        else:
            middle = (y + to_y) / 2
            text += f"C{x:g} {middle:g} {to_x:g} {middle:g} {to_x:g} {to_y:g}"
    return text


def _box(node: Node, place: Point, plan: Layout, stated: bool) -> str:
    look = LOOKS[node.status if stated else TypeStatus.NOT_STARTED]
    (x, y), (width, height) = place, plan.box
    middle = x + width / 2
    told = ", ".join([node.name, *([node.group] if node.group else []), *([node.word] if stated else [])])
    text = f'<text x="{middle:g}" y="{y + 22:g}" text-anchor="middle" fill="#1f2328">{_xml(cut(node.name))}</text>'
    if stated:
        text += (
            f'<text x="{middle:g}" y="{y + 40:g}" text-anchor="middle" fill="{look.line}" font-size="11">'
            f"{look.symbol} {_xml(node.word)}</text>"
        )
    return (
        f'<g><title>{_xml(told)}</title><rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" '
        f'fill="{look.fill}" stroke="{look.line}"/>{text}</g>'
    )


def _xml(text: str) -> str:
    """Return *text* as XML may hold it; what it may not hold has been escaped where the graph was made."""
    return escape(text, quote=True)
