"""A workflow as a graph of names, and the formats it can be drawn in."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from dotflow.core.exception import ConfigurationError
from dotflow.core.module import nearest
from dotflow.core.plan import make_plan
from dotflow.core.record import one_line
from dotflow.core.types import TypeExecution, TypeStatus
from dotflow.views.state import seconds, word_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dotflow.core.task import Task


class Node(NamedTuple):
    """One task.

    Attributes:
        name: Its id, on one line.
        group: Its group; empty if there is only one.
        status: Where it stands.
        word: That as a word, and how long it took.
    """

    name: str
    group: str
    status: TypeStatus
    word: str


class Graph(NamedTuple):
    """A workflow as it is drawn.

    Attributes:
        nodes: The tasks.
        parents: For each task, the positions of those it waits for.
        children: For each task, the positions of those that wait for it.
        order: Positions, each after those it waits for.
        stated: Whether statuses are shown.
    """

    nodes: list[Node]
    parents: list[tuple[int, ...]]
    children: list[tuple[int, ...]]
    order: list[int]
    stated: bool


def graph_of(tasks: Sequence[Task], mode: str = TypeExecution.SEQUENTIAL, *, stated: bool | None = None) -> Graph:
    """Return the graph that *tasks* form under *mode*.

    Args:
        tasks: The tasks of one workflow.
        mode: The mode it is started in: without ``depends_on`` that decides who waits for whom.
        stated: Whether statuses are shown; ``None``: if a task has been started.

    Raises:
        ExecutionModeNotExist: *mode* is none of the modes.
        GraphError: the dependencies form no graph.
    """
    plan = make_plan(tasks, mode)
    if stated is None:
        stated = any(task.status is not TypeStatus.NOT_STARTED for task in tasks)
    several = len({task.group_name for task in tasks}) > 1
    nodes = []
    for task in tasks:
        took = "" if task.duration is None else f" {seconds(task.duration)}"
        group = one_line(task.group_name) if several else ""
        nodes.append(Node(one_line(task.task_id), group, task.status, word_for(task) + took))
    return Graph(nodes, list(plan.parents), list(plan.children), _ordered(plan.parents), stated)


def _ordered(parents: Sequence[tuple[int, ...]]) -> list[int]:
    if all(max(needs, default=-1) < position for position, needs in enumerate(parents)):
        return list(range(len(parents)))
    from graphlib import TopologicalSorter

    return list(TopologicalSorter(dict(enumerate(parents))).static_order())


def drawn(graph: Graph, style: str) -> str | bytes:
    """Return *graph* in one of ``FORMATS``: bytes for ``png``, else text.

    Raises:
        ConfigurationError: there is no such format.
        ModuleNotFound: the format needs a library that is not installed.
    """
    known = FORMATS.get(style)
    if known is None:
        names = list(FORMATS)
        raise ConfigurationError(
            f"there is no format {style!r}{nearest(str(style), names)} (known: {', '.join(names)})"
        )
    return known(graph)


def _text(graph: Graph) -> str:
    from dotflow.views.text import as_text

    return as_text(graph)


def _mermaid(graph: Graph) -> str:
    from dotflow.views.mermaid import as_mermaid

    return as_mermaid(graph)


def _svg(graph: Graph) -> str:
    from dotflow.views.svg import as_svg

    return as_svg(graph)


def _png(graph: Graph) -> bytes:
    from dotflow.views.png import as_png

    return as_png(graph)


FORMATS: dict[str, Callable[[Graph], str | bytes]] = {"text": _text, "mermaid": _mermaid, "svg": _svg, "png": _png}
