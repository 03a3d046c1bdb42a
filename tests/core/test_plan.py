"""From tasks and a mode to edges, and what is said of graphs that cannot run."""

from __future__ import annotations

from typing import Any

import pytest
from doubles import task

from dotflow.core.exception import ConfigurationError, ExecutionModeNotExist, GraphError
from dotflow.core.plan import Plan, grouper, in_order, known_mode, make_plan
from dotflow.core.types import TypeExecution


def edges(plan: Plan) -> dict[int, tuple[int, ...]]:
    """Return who waits for whom, without those that wait for nobody."""
    assert len(plan.parents) == len(plan.children)
    for position, parents in enumerate(plan.parents):
        assert all(position in plan.children[parent] for parent in parents)
    assert sum(map(len, plan.parents)) == sum(map(len, plan.children))
    return {position: tuple(parents) for position, parents in enumerate(plan.parents) if parents}


ABC = ("a", "b", "c")
GROUPS = (("a", "x"), ("b", "y"), ("c", "x"), ("d", "y"))


@pytest.mark.parametrize("mode", ["sequential", "sequential_group", "background"])
def test_one_group_is_a_chain_in_the_threads_of_the_run(mode: str) -> None:
    """DESIGN §3: each task waits for the one before it, and no process is needed."""
    plan = make_plan([task(name) for name in ABC], mode)

    assert edges(plan) == {1: (0,), 2: (1,)}
    assert not plan.processes


@pytest.mark.parametrize("mode", ["sequential", "background"])
def test_several_groups_run_side_by_side_in_processes(mode: str) -> None:
    """Decided: one chain per group; the groups do not wait for each other."""
    plan = make_plan([task(name, group) for name, group in GROUPS], mode)

    assert edges(plan) == {2: (0,), 3: (1,)}
    assert plan.processes


def test_sequential_group_runs_one_group_after_the_other() -> None:
    """Decided: one chain through all groups, in the order of their first tasks."""
    plan = make_plan([task(name, group) for name, group in GROUPS], "sequential_group")

    assert edges(plan) == {2: (0,), 1: (2,), 3: (1,)}
    assert not plan.processes


@pytest.mark.parametrize("groups", [("x", "x", "x"), ("x", "y", "z")])
def test_parallel_connects_nothing(groups: tuple[str, ...]) -> None:
    """In ``parallel`` no task waits for another, groups or not, and steps run in processes."""
    plan = make_plan([task(name, group) for name, group in zip(ABC, groups, strict=True)], "parallel")

    assert edges(plan) == {}
    assert plan.processes


@pytest.mark.parametrize("mode", list(TypeExecution))
def test_workflow_without_tasks_has_a_plan(mode: str) -> None:
    """Decided: an empty workflow is not an error."""
    assert make_plan([], mode).parents == []


@pytest.mark.parametrize(
    ("mode", "processes"), [("sequential", False), ("parallel", True), ("sequential_group", False)]
)
def test_stated_dependencies_replace_the_edges_of_the_mode(mode: str, processes: bool) -> None:
    """As soon as one task says what it needs, the tasks form that graph; only ``parallel`` uses processes."""
    plan = make_plan([task("a"), task("b", "other"), task("c", needs=["a", "b"]), task("d", needs=[])], mode)

    assert edges(plan) == {2: (0, 1)}
    assert plan.processes is processes


def test_dependencies_may_point_forward() -> None:
    """The order of ``add`` does not matter to a graph."""
    plan = make_plan([task("a", needs=["b"]), task("b", needs=["c"]), task("c")], "sequential")

    assert edges(plan) == {0: (1,), 1: (2,)}
    assert [each.task_id for each in in_order([task("a"), task("b"), task("c")], plan)] == ["c", "b", "a"]


def test_unknown_dependency_names_the_nearest_task() -> None:
    """A mistyped name is answered with the one that was meant; without one, with all there are."""
    with pytest.raises(GraphError, match="task 'b' depends on 'extrat', which is no task; did you mean 'extract'"):
        make_plan([task("extract"), task("b", needs=["extrat"])], "sequential")
    with pytest.raises(GraphError, match="depends on 'zzz', which is no task; there are 'extract', 'b'"):
        make_plan([task("extract"), task("b", needs=["zzz"])], "sequential")
    with pytest.raises(GraphError, match="depends on 'zzz', which is no task; there is only 'extract'"):
        make_plan([task("extract", needs=["zzz"])], "sequential")


@pytest.mark.parametrize(
    ("needs", "drawn"),
    [
        ({"a": ["a"]}, {"a -> a"}),
        ({"a": ["b"], "b": ["a"]}, {"a -> b -> a", "b -> a -> b"}),
        ({"a": ["c"], "b": ["a"], "c": ["b"]}, {"a -> b -> c -> a", "b -> c -> a -> b", "c -> a -> b -> c"}),
    ],
)
def test_cycle_is_drawn(needs: dict[str, list[str]], drawn: set[str]) -> None:
    """A cycle is refused with a drawing, in the order in which data would flow."""
    with pytest.raises(GraphError, match="form a cycle: .*; remove one of these dependencies") as caught:
        make_plan([task("free", needs=[]), *(task(name, needs=need) for name, need in needs.items())], "sequential")

    assert any(f": {way};" in str(caught.value) for way in drawn)


def test_two_tasks_of_one_name_are_refused() -> None:
    """Tasks that were put into the queue by hand are checked too."""
    with pytest.raises(GraphError, match=r"two tasks have the id 'b'; .*task_id="):
        make_plan([task("a"), task("b"), task("c"), task("b")], "sequential")


@pytest.mark.parametrize("wrong", ["fast", "", "Sequential", None, 3, ["sequential"]])
def test_mode_that_does_not_exist_is_refused(wrong: Any) -> None:
    """The message shows the value and the modes there are; nothing is dispatched by name."""
    with pytest.raises(ExecutionModeNotExist) as caught:
        known_mode(wrong)
    assert isinstance(caught.value, ConfigurationError)
    if wrong is not None:
        assert f"mode={wrong!r}" in str(caught.value)
    assert "sequential, sequential_group, background, parallel" in str(caught.value)


def test_mode_may_be_a_text_or_the_constant() -> None:
    """1.x passes texts, and constants."""
    assert known_mode("parallel") is TypeExecution.PARALLEL
    assert known_mode(TypeExecution.BACKGROUND) is TypeExecution.BACKGROUND


def test_grouper_keeps_the_order_of_first_appearance() -> None:
    """``grouper`` gives the tasks by group, as in 1.x."""
    tasks = [task(name, group) for name, group in GROUPS]

    assert grouper(tasks) == {"x": [tasks[0], tasks[2]], "y": [tasks[1], tasks[3]]}
