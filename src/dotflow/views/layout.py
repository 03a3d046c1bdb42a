"""Where the boxes of a graph stand, and where the lines between them run: layers, few crossings."""

from __future__ import annotations

import itertools
import math
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dotflow.views.graph import Graph

LONGEST = 32  # columns of a name in a box; a longer one is cut
SWEEPS = 4
BENDS = 20_000  # most places at which lines are led past boxes; the lines that come after are straight
LETTER, PADDING, LINE = 8.0, 24.0, 18.0
BETWEEN_LAYERS, BETWEEN_BOXES, MARGIN = 44.0, 20.0, 16.0
Point = tuple[float, float]


class Layout(NamedTuple):
    """A graph on a plane, in pixels.

    Attributes:
        size: Width and height of all of it.
        box: Width and height of each box.
        places: For each task, the upper left corner of its box.
        lines: For each dependency, the points it runs through.
        sideways: Whether it runs from left to right, else downwards.
    """

    size: Point
    box: Point
    places: list[Point]
    lines: list[list[Point]]
    sideways: bool


def columns_of(text: str) -> int:
    """Return how many columns *text* takes on a terminal, or nearly so in a picture."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def cut(text: str, most: int = LONGEST) -> str:
    """Return *text*, or as much of it as *most* columns have room for."""
    if columns_of(text) <= most:
        return text
    kept, used = [], 1
    for char in text:
        used += columns_of(char)
        if used > most:
            break
        kept.append(char)
    return "".join(kept) + "…"


def is_wide(graph: Graph) -> bool:
    """Whether more tasks stand side by side than one after the other."""
    layers = _layers(graph)
    return max(map(len, layers), default=0) > len(layers)


def laid_out(graph: Graph) -> Layout:
    """Return where everything is."""
    labels = [cut(node.name) for node in graph.nodes]
    if graph.stated:
        labels += [f"  {node.word}" for node in graph.nodes]
    longest = max(map(columns_of, labels), default=1)
    box = (longest * LETTER + PADDING, (2 if graph.stated else 1) * LINE + 16)
    layers = _layers(graph)
    alone = [each for each in graph.order if not graph.parents[each] and not graph.children[each]]
    if alone:
        layers[0] = [each for each in layers[0] if graph.children[each]]
    layers = [layer for layer in layers if layer]
    sideways = max(map(len, layers), default=0) > len(layers)
    chains = _with_bends(graph, layers)
    _untangle(layers, chains)
    return _placed(graph, layers, chains, alone, box, sideways)


def _layers(graph: Graph) -> list[list[int]]:
    """Return the tasks by how many stand before them, on the longest way."""
    level: dict[int, int] = {}
    layers: list[list[int]] = []
    for each in graph.order:
        level[each] = max((level[parent] + 1 for parent in graph.parents[each]), default=0)
        if level[each] == len(layers):
            layers.append([])
        layers[level[each]].append(each)
    return layers


def _with_bends(graph: Graph, layers: list[list[int]]) -> list[list[int]]:
    """Return each dependency as a chain of what it meets, one in each layer; bends are added to *layers*."""
    level = {each: number for number, layer in enumerate(layers) for each in layer}
    chains = []
    new, left = len(graph.nodes), BENDS
    for each in graph.order:
        for parent in graph.parents[each]:
            between = range(level[parent] + 1, level[each])
            chain = [parent]
            if len(between) <= left:
                left -= len(between)
                for number in between:
                    layers[number].append(new)
                    chain.append(new)
                    new += 1
            chains.append([*chain, each])
    return chains


def _untangle(layers: list[list[int]], chains: Sequence[Sequence[int]]) -> None:
    """Order each layer by the middle of what it hangs on, downwards and upwards in turn."""
    before: dict[int, list[int]] = {}
    after: dict[int, list[int]] = {}
    for chain in chains:
        for one, other in itertools.pairwise(chain):
            after.setdefault(one, []).append(other)
            before.setdefault(other, []).append(one)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        neighbours = before if down else after
        where: dict[int, float] = {}
        for layer in layers if down else reversed(layers):
            middle = {}
            for position, each in enumerate(layer):
                found = [where[other] for other in neighbours.get(each, ()) if other in where]
                middle[each] = sum(found) / len(found) if found else position / max(1, len(layer))
            layer.sort(key=middle.__getitem__)
            where.update({each: (position + 0.5) / len(layer) for position, each in enumerate(layer)})


def _placed(
    graph: Graph,
    layers: list[list[int]],
    chains: list[list[int]],
    alone: list[int],
    box: Point,
    sideways: bool,
) -> Layout:
    along, across = (box[0], box[1]) if sideways else (box[1], box[0])
    real = len(graph.nodes)
    widths = [
        sum(across if each < real else across / 4 for each in layer) + BETWEEN_BOXES * (len(layer) - 1)
        for layer in layers
    ]
    widest = max(widths, default=0.0)
    corners: dict[int, Point] = {}
    for number, layer in enumerate(layers):
        here = MARGIN + (widest - widths[number]) / 2
        for each in layer:
            corners[each] = (MARGIN + number * (along + BETWEEN_LAYERS), here)
            here += (across if each < real else across / 4) + BETWEEN_BOXES
    length = len(layers) * (along + BETWEEN_LAYERS) - BETWEEN_LAYERS if layers else 0.0
    lines = [_line(chain, corners, real, along, across, sideways) for chain in chains]
    places = {each: (a, b) if sideways else (b, a) for each, (a, b) in corners.items()}
    size = (length, widest) if sideways else (widest, length)
    size = _add_grid(places, alone, box, size)
    return Layout(
        (size[0] + 2 * MARGIN, size[1] + 2 * MARGIN), box, [places[each] for each in range(real)], lines, sideways
    )


def _line(
    chain: list[int], corners: dict[int, Point], real: int, along: float, across: float, sideways: bool
) -> list[Point]:
    points = []
    for position, each in enumerate(chain):
        a, b = corners[each]
        b += (across if each < real else across / 4) / 2
        ends: tuple[float, ...] = (a, a + along)
        if position == 0:
            ends = (a + along,)
        elif position == len(chain) - 1:
            ends = (a,)
        points += [(end, b) if sideways else (b, end) for end in ends]
    return points


def _add_grid(places: dict[int, Point], alone: list[int], box: Point, size: Point) -> Point:
    """Place tasks that hang on nothing below the others; return the size of all of it."""
    if not alone:
        return size
    wide = max(1, math.ceil(math.sqrt(len(alone) * (box[1] + BETWEEN_BOXES) / (box[0] + BETWEEN_BOXES) * 1.6)))
    top = MARGIN + (size[1] + BETWEEN_LAYERS if size[1] else 0)
    for position, each in enumerate(alone):
        row, column = divmod(position, wide)
        places[each] = (MARGIN + column * (box[0] + BETWEEN_BOXES), top + row * (box[1] + BETWEEN_BOXES))
    rows = math.ceil(len(alone) / wide)
    right = min(wide, len(alone)) * (box[0] + BETWEEN_BOXES) - BETWEEN_BOXES
    return max(size[0], right), top - MARGIN + rows * (box[1] + BETWEEN_BOXES) - BETWEEN_BOXES
