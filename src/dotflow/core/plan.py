"""From tasks and a mode to edges: who waits for whom, and where steps run."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from dotflow.core.exception import ExecutionModeNotExist, GraphError
from dotflow.core.module import nearest
from dotflow.core.named import NamedTuple
from dotflow.core.types import TypeExecution

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dotflow.core.task import Task

Edges = list[tuple[int, ...]]


class Plan(NamedTuple):
    """How the tasks of a run hang together.

    Attributes:
        parents: For each task, the positions of those it waits for.
        children: For each task, the positions of those that wait for it.
        processes: Whether plain steps run in worker processes.
        chain: Whether each task waits for the one before it.
    """

    parents: Edges
    children: Edges
    processes: bool
    chain: bool = False


class Mode(NamedTuple):
    """One execution mode: the edges it draws, and whether plain steps run in processes."""

    edges: Callable[[Sequence[Task]], Edges]
    processes: Callable[[set[str]], bool]


def make_plan(tasks: Sequence[Task], mode: str) -> Plan:
    """Return the plan of *tasks* under *mode*.

    Raises:
        ExecutionModeNotExist: *mode* is none of the modes.
        GraphError: a duplicate id, an unknown dependency, or a cycle, which the message draws.
    """
    chosen = MODES[known_mode(mode)]
    names = {task.task_id: position for position, task in enumerate(tasks)}
    if len(names) != len(tasks):
        seen: set[str] = set()
        twice = next(t.task_id for t in tasks if t.task_id in seen or seen.add(t.task_id))  # type: ignore[func-returns-value]  # add is None
        raise GraphError(f"two tasks have the id {twice!r}; give one of them another with add(task_id=...)")
    groups = {task.group_name for task in tasks}
    if [task for task in tasks if task.depends_on is not None]:  # a list is made faster than any() asks
        parents, processes = _graph(tasks, names), known_mode(mode) is TypeExecution.PARALLEL
    elif len(groups) == 1 and chosen.edges is not _unconnected:
        count = len(tasks)
        return Plan([(), *zip(range(count - 1))], [*zip(range(1, count)), ()], False, True)  # one iterable
    else:
        parents, processes = chosen.edges(tasks), chosen.processes(groups)
    chain = all(needs == (position,) for position, needs in enumerate(parents[1:]))
    return Plan(parents, _children(parents), processes, chain)


def in_order(tasks: Sequence[Task], plan: Plan) -> list[Task]:
    """Return the tasks in an order in which each comes after those it waits for."""
    if all(max(needs, default=-1) < position for position, needs in enumerate(plan.parents)):
        return list(tasks)
    from graphlib import TopologicalSorter

    return [tasks[position] for position in TopologicalSorter(dict(enumerate(plan.parents))).static_order()]


def known_mode(mode: str) -> TypeExecution:
    """Return the mode of that name."""
    if type(mode) is TypeExecution:
        return mode
    try:
        return TypeExecution(mode)
    except ValueError:
        raise ExecutionModeNotExist(mode, tuple(TypeExecution)) from None


def grouper(tasks: Sequence[Task]) -> dict[str, list[Task]]:
    """Return the tasks by group name, groups in the order of their first task."""
    found: dict[str, list[Task]] = {}
    for task in tasks:
        found.setdefault(task.group_name, []).append(task)
    return found


def _chain_per_group(tasks: Sequence[Task]) -> Edges:
    last: dict[str, int] = {}
    parents: Edges = []
    for position, task in enumerate(tasks):
        parents.append((last[task.group_name],) if task.group_name in last else ())
        last[task.group_name] = position
    return parents


def _group_after_group(tasks: Sequence[Task]) -> Edges:
    parents: Edges = [()] * len(tasks)
    positions = {id(task): position for position, task in enumerate(tasks)}
    order = [positions[id(task)] for group in grouper(tasks).values() for task in group]
    for before, after in itertools.pairwise(order):
        parents[after] = (before,)
    return parents


def _unconnected(tasks: Sequence[Task]) -> Edges:
    return [()] * len(tasks)


def _children(parents: Edges) -> Edges:
    found: list[list[int]] = [[] for _ in parents]
    for position, needs in enumerate(parents):
        for parent in needs:
            found[parent].append(position)
    return [tuple(children) for children in found]


def _several(groups: set[str]) -> bool:
    return len(groups) > 1


def _never(_: set[str]) -> bool:
    return False


def _always(_: set[str]) -> bool:
    return True


MODES: Mapping[TypeExecution, Mode] = {
    TypeExecution.SEQUENTIAL: Mode(_chain_per_group, _several),
    TypeExecution.SEQUENTIAL_GROUP: Mode(_group_after_group, _never),
    TypeExecution.BACKGROUND: Mode(_chain_per_group, _several),
    TypeExecution.PARALLEL: Mode(_unconnected, _always),
}


def _all_of(names: Iterable[str]) -> str:
    first, *others = map(repr, names)
    return f"there are {', '.join([first, *others])}" if others else f"there is only {first}"


def _graph(tasks: Sequence[Task], names: Mapping[str, int]) -> Edges:
    parents: Edges = []
    for task in tasks:
        try:
            needs = tuple([names[name] for name in task.depends_on or ()])
        except KeyError as error:
            [name] = error.args
            hint = nearest(name, names) or f"; {_all_of(names)}"
            raise GraphError(f"task {task.task_id!r} depends on {name!r}, which is no task{hint}") from None
        parents.append(needs)
    if any(needs and max(needs) >= position for position, needs in enumerate(parents)):
        _refuse_cycle(tasks, parents)  # edges that all point back cannot form one
    return parents


def _refuse_cycle(tasks: Sequence[Task], parents: Edges) -> None:
    from graphlib import CycleError, TopologicalSorter

    try:
        TopologicalSorter(dict(enumerate(parents))).prepare()
    except CycleError as error:
        drawn = " -> ".join(tasks[position].task_id for position in error.args[1])
        raise GraphError(f"the tasks form a cycle: {drawn}; remove one of these dependencies") from None
