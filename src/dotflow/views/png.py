"""A workflow as PNG. Needs the ``png`` extra: Pillow."""

from __future__ import annotations

import io
import itertools
import math
from typing import TYPE_CHECKING, Any

from dotflow.core.types import TypeStatus
from dotflow.views.layout import cut, laid_out
from dotflow.views.state import LOOKS

if TYPE_CHECKING:
    from dotflow.views.graph import Graph, Node
    from dotflow.views.layout import Layout, Point

SCALE = 2.0
MOST_PIXELS = 40e6  # a larger picture is drawn smaller
FONTS = ("DejaVuSans.ttf", "Arial.ttf", "Helvetica.ttc")
STEPS = 12  # of a curve
ARROW = 5.0


def as_png(graph: Graph) -> bytes:
    """Return *graph* as a picture.

    Raises:
        ModuleNotFound: Pillow is not installed.
    """
    from dotflow.providers._require import require

    image, draw = require("PIL.Image", "png"), require("PIL.ImageDraw", "png")
    plan = laid_out(graph)
    scale = min(SCALE, math.sqrt(MOST_PIXELS / (plan.size[0] * plan.size[1])))
    canvas = image.new("RGB", (math.ceil(plan.size[0] * scale), math.ceil(plan.size[1] * scale)), "#ffffff")
    pen = draw.Draw(canvas)
    for line in plan.lines:
        _line(pen, [(x * scale, y * scale) for x, y in line], plan.sideways, scale)
    fonts = _font(13 * scale), _font(11 * scale)
    for each, node in enumerate(graph.nodes):
        _box(pen, node, plan.places[each], plan, graph.stated, scale, fonts)
    file = io.BytesIO()
    canvas.save(file, format="PNG", optimize=False)
    return file.getvalue()


def _font(size: float) -> Any:
    """Return a font of the system, since it has more letters than the one that Pillow brings."""
    from PIL import ImageFont

    for name in FONTS:
        try:
            return ImageFont.truetype(name, max(4, round(size)))
        except OSError:
            continue
    return ImageFont.load_default(max(4, round(size)))


def _line(pen: Any, points: list[Point], sideways: bool, scale: float) -> None:
    track = [points[0]]
    for (x, y), (to_x, to_y) in itertools.pairwise(points):
        for step in range(1, STEPS + 1):
            t = step / STEPS
            eased = t * t * (3 - 2 * t)
            track.append(
                (x + (to_x - x) * t, y + (to_y - y) * eased)
                if sideways
                else (x + (to_x - x) * eased, y + (to_y - y) * t)
            )
    pen.line(track, fill="#57606a", width=max(1, round(1.2 * scale)))
    (x, y), size = track[-1], ARROW * scale
    back = [(x - 1.4 * size, y - size), (x - 1.4 * size, y + size)]
    pen.polygon(
        [(x, y), *(back if sideways else [(x - size, y - 1.4 * size), (x + size, y - 1.4 * size)])], fill="#57606a"
    )


def _box(pen: Any, node: Node, place: Point, plan: Layout, stated: bool, scale: float, fonts: tuple[Any, Any]) -> None:
    look = LOOKS[node.status if stated else TypeStatus.NOT_STARTED]
    x, y, width, height = (side * scale for side in (*place, *plan.box))
    pen.rounded_rectangle((x, y, x + width, y + height), radius=6 * scale, fill=look.fill, outline=look.line)
    pen.text((x + width / 2, y + 17 * scale), cut(node.name), fill="#1f2328", font=fonts[0], anchor="mm")
    if stated:
        pen.text((x + width / 2, y + 36 * scale), node.word, fill=look.line, font=fonts[1], anchor="mm")
