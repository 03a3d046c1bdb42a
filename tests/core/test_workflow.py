"""Runs through ``DotFlow``: starting, resuming, cancelling, waiting, and what is refused before anything runs."""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import re
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from doubles import Listener, Place, Plain, ToldNotify, flow, names, statuses, task

from dotflow import Config, Context, DotFlow, action
from dotflow.core.exception import (
    ConfigurationError,
    CorruptCheckpoint,
    ExecutionModeNotExist,
    GraphError,
    InputChangedError,
    InvalidOnInputChange,
    NotCallableObject,
    StepNotPortable,
    UnsupportedOption,
    WorkflowBusy,
    WorkflowFailed,
)
from dotflow.core.types import TypeStatus, WorkflowStatus
from dotflow.core.workflow import Manager, grouper
from dotflow.providers import ExecutorAsync, ExecutorInline, ExecutorThread, StorageDefault, StorageFile, StorageSQLite

PATIENCE = 30  # seconds that a test waits for another thread, which takes milliseconds


@action
def one() -> int:
    return 1


@action
def two(previous_context: Context) -> Any:
    return previous_context.storage, 2


@action
def fails() -> None:
    raise ValueError("no")


class Gate:
    """A step that waits until the test opens it, and says that it has begun."""

    def __init__(self) -> None:
        self.begun, self.opened = threading.Event(), threading.Event()

    @action
    def step(self) -> str:
        self.begun.set()
        assert self.opened.wait(PATIENCE)
        return "through"


# -- the façade -----------------------------------------------------------------------------------------------


def test_workflow_id_is_kept_as_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decided: any text but the empty one, or a UUID; else the environment's; else a random UUID."""
    known = uuid4()
    monkeypatch.delenv("WORKFLOW_ID", raising=False)

    assert DotFlow(workflow_id="etl-daily").workflow_id == "etl-daily"
    assert DotFlow(workflow_id=str(known)).workflow_id == str(known)
    assert DotFlow(workflow_id=known).workflow_id is known
    assert isinstance(DotFlow().workflow_id, UUID)
    assert DotFlow().workflow_id != DotFlow().workflow_id
    monkeypatch.setenv("WORKFLOW_ID", "from-outside")
    assert DotFlow().workflow_id == "from-outside"
    assert DotFlow(workflow_id="given").workflow_id == "given"
    monkeypatch.setenv("WORKFLOW_ID", "")
    assert isinstance(DotFlow().workflow_id, UUID)


@pytest.mark.parametrize("wrong", ["", "  ", 3, b"w", "a\nb", "a\x00b", "\ud800"])
def test_workflow_id_that_cannot_be_one_is_refused(wrong: Any) -> None:
    """X4: checked at the constructor, with the value."""
    with pytest.raises(ConfigurationError, match="workflow_id") as caught:
        DotFlow(workflow_id=wrong)
    assert repr(wrong) in str(caught.value)


def test_name_is_the_hosts_unless_given() -> None:
    """``name`` labels the workflow for people; the result shows the one that was given."""
    import socket

    assert DotFlow().name == (socket.gethostname() or "local")
    workflow = DotFlow(name="nightly")
    assert workflow.name == "nightly"
    assert workflow.result()["workflow_name"] == "nightly"
    assert repr(DotFlow(workflow_id="w")) == "DotFlow(workflow_id='w', tasks=0)"
    assert repr(DotFlow(workflow_id="w").start()) == "Manager(workflow_id='w', status='Completed', tasks=0)"


def test_results_can_be_read_before_and_after_a_run() -> None:
    """API §6: tasks, contexts and values in the order of the queue; empty contexts before."""
    workflow = flow(one, two, fails, workflow_id="w")
    assert workflow.result_storage() == [None, None, None]
    assert [context.storage for context in workflow.result_context()] == [None, None, None]

    workflow.start()

    assert workflow.result_storage() == [1, (1, 2), None]
    assert names(workflow.result_task()) == ["one", "two", "fails"]
    assert workflow.result_context()[1] == Context((1, 2), "two", "w")
    assert [task["status"] for task in workflow.result()["tasks"]] == ["Completed", "Completed", "Failed"]


def test_workflow_without_tasks_completes_with_a_warning(caplog: pytest.LogCaptureFixture, place: Place) -> None:
    """Decided: an empty workflow completes, and says that it is empty."""
    manager = place.run(place.flow(workflow_id="w"))

    assert manager.status is WorkflowStatus.COMPLETED
    assert "workflow w has no tasks" in caplog.text


def ways(workflow: DotFlow) -> dict[str, Any]:
    """Return the ways to run a workflow."""
    return {
        "start": workflow.start,
        "start_async": lambda **options: asyncio.run(workflow.start_async(**options)),
        "schedule": workflow.schedule,
    }


@pytest.mark.parametrize(
    ("option", "value", "kind", "words"),
    [
        ("mode", "fast", ExecutionModeNotExist, "mode='fast' does not exist; use one of sequential, "),
        ("mode", None, ExecutionModeNotExist, "does not exist"),
        ("on_success", None, NotCallableObject, r"start\(on_success=...\) needs a callable"),
        ("on_failure", 5, NotCallableObject, r"start\(on_failure=...\) needs a callable, got 5 .*tasks="),
        ("keep_going", 1, ConfigurationError, r"start\(keep_going=...\) needs True or False, got 1"),
        ("resume", "yes", ConfigurationError, r"start\(resume=...\) needs True or False, got 'yes'"),
        ("on_input_change", "maybe", InvalidOnInputChange, "on_input_change='maybe' .*'reuse', 'reset' or 'raise'"),
        ("fingerprint", 5, ConfigurationError, r"start\(fingerprint=...\) needs a text, got 5"),
        ("wait", -1, ConfigurationError, r"start\(wait=...\) needs a number of seconds, 0 or more, got -1"),
        ("wait", True, ConfigurationError, r"start\(wait=...\)"),
        ("wait", "3", ConfigurationError, r"start\(wait=...\)"),
        ("wait", float("nan"), ConfigurationError, r"start\(wait=...\)"),
        ("listeners", [5], NotCallableObject, r"start\(listeners=...\) needs a callable, got 5"),
        ("listeners", print, ConfigurationError, r"start\(listeners=...\) needs .*print"),
        ("listeners", None, ConfigurationError, r"start\(listeners=...\) needs .*None"),
    ],
)
@pytest.mark.parametrize("way", ["start", "start_async", "schedule"])
def test_option_that_makes_no_sense_is_refused_before_anything_runs(
    option: str, value: Any, kind: type[Exception], words: str, way: str
) -> None:
    """R6: refused by name and value, whichever way the workflow is run; no provider is told, no step runs."""
    calls: list[Any] = []
    storage = Plain()
    workflow = flow(action(lambda: calls.append(1)), workflow_id="w", storage=storage)
    options: dict[str, Any] = {"listeners": [calls.append]} | {option: value}

    with pytest.raises(kind, match=words):
        ways(workflow)[way](**options)
    assert calls == storage.calls == []


@pytest.mark.parametrize("way", ["start", "start_async", "schedule"])
def test_unknown_option_is_a_type_error(way: str) -> None:
    """API §8: an unknown keyword is a ``TypeError``, as for any function."""
    with pytest.raises(TypeError, match="fast"):
        ways(flow(one))[way](fast=True)


def test_graph_that_cannot_run_is_refused_before_anything_runs() -> None:
    """A cycle is drawn, an unknown name is answered with the nearest one."""
    calls: list[Any] = []
    storage = Plain()
    workflow = flow(storage=storage)
    workflow.task.add(one, task_id="a", depends_on="b").add(one, task_id="b", depends_on="a")
    with pytest.raises(GraphError, match="cycle: "):
        workflow.start(listeners=[calls.append])
    workflow.task.clear()
    workflow.task.add(one, task_id="extract").add(one, depends_on="extrat")
    with pytest.raises(GraphError, match="did you mean 'extract'"):
        workflow.start(listeners=[calls.append])
    assert calls == storage.calls == []


@pytest.mark.parametrize(
    "name",
    [
        "dotflow.abc.flow", "dotflow.abc.http", "dotflow.abc.tcp", "dotflow.abc.file", "dotflow.settings",
        "dotflow.core.decorators", "dotflow.core.serializers",
    ],
)  # fmt: skip
def test_what_was_left_behind_is_gone(name: str) -> None:
    """Decided: modules of 1.0.1 that nothing needs are not kept; nor are its parents of ``Task`` and ``Context``."""
    with pytest.raises(ModuleNotFoundError, match=name.rpartition(".")[2]):
        importlib.import_module(name)
    assert not hasattr(importlib.import_module("dotflow.core.task"), "TaskInstance")
    assert not hasattr(importlib.import_module("dotflow.core.context"), "ContextInstance")


# -- modes ----------------------------------------------------------------------------------------------------


def grouped(place: Place, heard: Listener, **options: Any) -> Manager:
    """Run four tasks in two groups."""

    def tell(previous_context: Context, task: Any) -> Any:
        return [*(previous_context.storage or []), task.task_id]

    workflow = place.flow()
    for name, group in (("a1", "a"), ("b1", "b"), ("a2", "a"), ("b2", "b")):
        workflow.task.add(place.step(tell), group_name=group, task_id=name)
    return place.run(workflow, listeners=[heard], **options).raise_for_failure()


def test_groups_of_sequential_are_chains_of_their_own(place: Place) -> None:
    """Decided: side by side; contexts are chained inside the group only."""
    manager = grouped(place, Listener())

    assert [each.value for each in manager.tasks] == [["a1"], ["b1"], ["a1", "a2"], ["b1", "b2"]]
    assert list(grouper(manager.tasks)) == ["a", "b"]


def test_groups_of_sequential_group_run_one_after_the_other(place: Place) -> None:
    """Decided: one group after another, one chain."""
    heard = Listener()

    manager = grouped(place, heard, mode="sequential_group")

    assert [name for kind, name in heard.heard if kind == "TaskStarted"] == ["a1", "a2", "b1", "b2"]
    assert manager.tasks[3].value == ["a1", "a2", "b1", "b2"]


def test_tasks_of_parallel_have_empty_contexts(place: Place) -> None:
    """``parallel``: every task at once, none waits for another, groups do not matter."""
    manager = grouped(place, Listener(), mode="parallel")

    assert [each.value for each in manager.tasks] == [["a1"], ["b1"], ["a2"], ["b2"]]


def test_several_parents_give_a_dictionary(place: Place) -> None:
    """Decided: task id → value; one parent: its value."""

    def number(initial_context: Context) -> Any:
        return initial_context.storage

    def both(previous_context: Context) -> Any:
        return dict(previous_context.storage)

    def last(previous_context: Context) -> Any:
        return sorted(previous_context.storage)

    workflow = place.flow()
    workflow.task.add(place.step(number), task_id="left", initial_context=1)
    workflow.task.add(place.step(number), task_id="right", depends_on=[])
    workflow.task.add(place.step(both), depends_on=["left", "right"])
    workflow.task.add(place.step(last), depends_on=workflow.task.queue[2])

    manager = place.run(workflow).raise_for_failure()

    assert manager.tasks[2].value == {"left": 1, "right": None}
    assert manager.tasks[3].value == ["left", "right"]


@pytest.mark.parametrize("keep_going", [False, True])
def test_failure_stops_what_depends_on_it_unless_told_otherwise(place: Place, keep_going: bool) -> None:
    """Decided: ``Not started`` by default; with ``keep_going`` the next one runs with an empty context."""

    def work(previous_context: Context) -> Any:
        return [previous_context.storage]

    def breaks() -> None:
        raise ValueError("no")

    workflow = place.flow(place.step(work), place.step(breaks), place.step(work), place.step(work))

    manager = place.run(workflow, keep_going=keep_going)

    assert manager.status is WorkflowStatus.FAILED
    if keep_going:
        assert statuses(manager) == ["Completed", "Failed", "Completed", "Completed"]
        assert [each.value for each in manager.tasks] == [[None], None, [None], [[None]]]
    else:
        assert statuses(manager) == ["Completed", "Failed", "Not started", "Not started"]
    assert len(manager.tasks) == 4


def test_retries_and_their_errors_are_the_same_in_every_place(place: Place) -> None:
    """S3: ``retry=3`` means three calls at most, ``TimeoutError`` included; each failure has its number."""

    def stubborn(task: Any) -> Any:
        if task.attempt < 3:
            raise TimeoutError(f"attempt {task.attempt}")
        return task.attempt, task.idempotency_key

    heard = Listener()
    manager = place.run(
        place.flow(place.step(stubborn, retry=3, retry_delay=0.001), workflow_id="w"), listeners=[heard]
    ).raise_for_failure()

    [done] = manager.tasks
    assert done.value == (3, done.idempotency_key)
    assert re.fullmatch("[0-9a-f]{32}", done.idempotency_key)
    assert [(error.attempt, error.message) for error in done.errors] == [(1, "attempt 1"), (2, "attempt 2")]
    assert done.retry_count == 2
    assert [kind for kind, _ in heard.heard].count("TaskRetried") == 2


def test_retry_on_limits_what_is_tried_again(place: Place) -> None:
    """``retry_on``: another failure ends the task at its first attempt, which has a number."""

    def breaks() -> None:
        raise ValueError("no")

    manager = place.run(place.flow(place.step(breaks, retry=5, retry_on=OSError)))

    assert [error.attempt for error in manager.tasks[0].errors] == [1]


def test_jitter_leaves_the_pause_to_chance() -> None:
    """A run asks for chance of its own where a policy has jitter; the retries come all the same."""

    @action(retry=3, retry_delay=0.002, jitter=1)
    def flaky(task: Any) -> int:
        if task.attempt < 3:
            raise ValueError("again")
        return int(task.attempt)

    assert flow(flaky).start().raise_for_failure().tasks[0].value == 3


def test_retry_that_waits_does_not_spin() -> None:
    """A pause that ends while the only slot is taken is not waited for by asking again and again."""
    gate = Gate()
    waits: list[float | None] = []

    @action(retry=2, retry_delay=0.005)
    def again(task: Any) -> None:
        if task.attempt < 2:
            raise ValueError("first")

    executor = ExecutorThread(1)
    workflow = flow(executor=executor)
    workflow.task.add(again, depends_on=[]).add(gate.step, depends_on=[])
    manager = workflow._manager(_options())
    manager.prepare(untouched=True)
    original = manager._run.wait

    def counting(now: float) -> float | None:
        waits.append(original(now))
        if len(waits) > 50:
            gate.opened.set()
        return waits[-1]

    manager._run.wait = counting  # type: ignore[method-assign]
    timer = threading.Timer(0.1, gate.opened.set)
    timer.start()
    manager.run()
    timer.join()
    executor.close()

    assert manager.status is WorkflowStatus.COMPLETED
    assert len(waits) < 20


def _options() -> Any:
    from dotflow.core.workflow import Options

    return Options(mode="sequential")


# -- repeated starts ------------------------------------------------------------------------------------------


def test_each_start_is_a_new_run_with_fresh_records(place: Place) -> None:
    """R1: the first manager keeps its own tasks; the second run starts from nothing."""

    def flaky(task: Any) -> str:
        if task.attempt < 2:
            raise ValueError("first")
        return str(task.idempotency_key)

    workflow = place.flow(place.step(flaky, retry=2, retry_delay=0))
    first = place.run(workflow)
    before = [(each.status, each.value, len(each.errors), each.duration) for each in first.tasks]
    second = place.run(workflow)

    assert first.tasks[0] is not second.tasks[0]
    assert [(each.status, each.value, len(each.errors), each.duration) for each in first.tasks] == before
    assert len(second.tasks[0].errors) == 1
    assert first.tasks[0].value != second.tasks[0].value
    assert workflow.result_task() == second.tasks


def test_start_without_resume_runs_everything_again() -> None:
    """R1: checkpoints of an earlier run are not used without ``resume=True``."""
    calls: list[int] = []
    counted = action(lambda: calls.append(1))
    kept: dict[str, str] = {}

    for _ in range(2):
        flow(counted, one, workflow_id="w", storage=Plain(kept)).start().raise_for_failure()

    assert calls == [1, 1]


def test_tasks_may_be_added_between_two_starts() -> None:
    """A second start runs the queue as it is then."""
    workflow = flow(one)
    workflow.start()
    workflow.task.add(two)

    manager = workflow.start()

    assert [each.value for each in manager.tasks] == [1, (1, 2)]


# -- resume ---------------------------------------------------------------------------------------------------

STORAGES = {
    "three methods": lambda folder, kept: Plain(kept),
    "file": lambda folder, kept: StorageFile(path=folder),
    "sqlite": lambda folder, kept: StorageSQLite(path=folder / "flow.db"),
}


@pytest.fixture(params=STORAGES)
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Make a storage anew, as a new process does, on what the last one left."""
    kept: dict[str, str] = {}
    made: list[Any] = []

    def make() -> Any:
        while made:
            made.pop().close()
        made.append(STORAGES[request.param](tmp_path, kept))
        return made[-1]

    yield make
    while made:
        made.pop().close()


@pytest.mark.parametrize("value", [None, 0, "", [], False, {"a": (1, 2)}])
def test_completed_step_never_runs_again_whatever_it_returned(fresh: Any, value: Any) -> None:
    """R2: a resumed run takes the results of completed steps and runs the rest."""
    calls: list[str] = []
    state = {"broken": True}

    @action
    def first() -> Any:
        calls.append("first")
        return value

    @action
    def second(previous_context: Context) -> Any:
        calls.append("second")
        if state["broken"]:
            raise ValueError("not yet")
        return [previous_context.storage]

    broken = flow(first, second, workflow_id="w", storage=fresh()).start()
    assert statuses(broken) == ["Completed", "Failed"]
    state["broken"] = False

    manager = flow(first, second, workflow_id="w", storage=fresh()).start(resume=True)

    assert calls == ["first", "second", "second"]
    assert statuses(manager) == ["Completed", "Completed"]
    assert [each.restored for each in manager.tasks] == [True, False]
    assert [each.value for each in manager.tasks] == [value, [value]]
    assert manager.tasks[0].current_context.task_id == "first"


def test_resume_of_a_finished_run_gives_back_its_results(fresh: Any) -> None:
    """R4: everything is there and nothing runs; another resume too."""
    calls: list[int] = []

    @action
    def counted() -> int:
        calls.append(1)
        return len(calls)

    flow(counted, two, workflow_id="w", storage=fresh()).start()

    for _ in range(2):
        manager = flow(counted, two, workflow_id="w", storage=fresh()).start(resume=True)
        assert [each.value for each in manager.raise_for_failure().tasks] == [1, (1, 2)]
    assert calls == [1]


def test_resume_on_one_object_continues() -> None:
    """§19-3: ``start()`` and then ``start(resume=True)`` on one object runs what failed, in memory too."""
    calls: list[int] = []

    @action
    def flaky() -> int:
        calls.append(1)
        if len(calls) < 2:
            raise ValueError("first")
        return 5

    workflow = flow(one, flaky)
    assert workflow.start().status is WorkflowStatus.FAILED

    manager = workflow.start(resume=True)

    assert manager.raise_for_failure().tasks[1].value == 5
    assert manager.tasks[0].restored


def test_resume_of_what_never_ran_runs_everything(fresh: Any) -> None:
    """``resume=True`` the first time is a first run."""
    manager = flow(one, two, workflow_id="w", storage=fresh()).start(resume=True)

    assert [each.restored for each in manager.raise_for_failure().tasks] == [False, False]


def test_checkpoints_belong_to_names_and_not_to_positions(fresh: Any, caplog: pytest.LogCaptureFixture) -> None:
    """R3: steps that were added, removed or moved do not get another's checkpoint; a gone name is said."""
    calls: list[str] = []

    def step(name: str) -> Any:
        def work() -> str:
            calls.append(name)
            return f"value of {name}"

        work.__name__ = name
        return action(work)

    flow(*map(step, ["a", "b", "c"]), workflow_id="w", storage=fresh()).start()
    calls.clear()

    manager = flow(*map(step, ["c", "new", "a"]), workflow_id="w", storage=fresh()).start(resume=True)

    assert calls == ["new"]
    assert [each.value for each in manager.tasks] == ["value of c", "value of new", "value of a"]
    if isinstance(manager._config.storage, Plain):
        return  # with three methods there is no record of what the last run had
    assert "'b', which an earlier run of it had; their checkpoints are ignored" in caplog.text


def test_stale_checkpoints_are_not_used_after_a_new_start(fresh: Any) -> None:
    """R1: a later resume continues the last run only, not the one before it."""
    state = {"run": 1, "broken": False}

    @action
    def first() -> Any:
        if state["broken"]:
            raise ValueError("no")
        return state["run"]

    @action
    def second() -> Any:
        return state["run"]

    def start(**options: Any) -> Manager:
        return flow(first, second, workflow_id="w", storage=fresh()).start(**options)

    start().raise_for_failure()
    state.update(run=2, broken=True)
    assert statuses(start()) == ["Failed", "Not started"]
    state.update(run=3, broken=False)

    manager = start(resume=True)

    assert [each.value for each in manager.tasks] == [3, 3]
    assert [each.restored for each in manager.tasks] == [False, False]


def test_idempotency_key_is_the_same_after_a_resume(fresh: Any) -> None:
    """X7: a step that is tried again by a resumed run has the key of the first time; a new run has another."""
    keys: list[str] = []

    @action
    def asks(task: Any) -> None:
        keys.append(task.idempotency_key)
        if len(keys) < 2:
            raise ValueError("first")

    flow(asks, workflow_id="w", storage=fresh()).start()
    flow(asks, workflow_id="w", storage=fresh()).start(resume=True).raise_for_failure()
    flow(asks, workflow_id="w", storage=fresh()).start().raise_for_failure()

    assert keys[0] == keys[1] != keys[2]


def test_two_workflow_ids_do_not_share_anything(fresh: Any) -> None:
    """R7, §19-23: ``w`` and ``w-2`` in one storage are two workflows; a new run of one leaves the other alone."""
    state = {"w": "first", "w-2": "first"}

    def run(name: str, **options: Any) -> Any:
        @action
        def tells() -> str:
            if not state[name]:
                raise ValueError("no")
            return state[name]

        return flow(tells, workflow_id=name, storage=fresh()).start(**options).tasks[0].value

    assert [run("w"), run("w-2")] == ["first", "first"]
    state["w"] = ""
    assert run("w") is None
    state.update({"w": "second", "w-2": "second"})

    assert [run("w", resume=True), run("w-2", resume=True)] == ["second", "first"]


def test_checkpoint_of_a_step_that_was_gone_for_a_run_is_not_used(tmp_path: Path) -> None:
    """R1: a new run without a step forgets that step's result, where the storage can list or clear."""

    def run(value: str, *steps: Any, **options: Any) -> list[Any]:
        @action
        def tells() -> str:
            return value

        storage = StorageFile(path=tmp_path)
        return [
            each.value for each in flow(*steps or (tells,), workflow_id="w", storage=storage).start(**options).tasks
        ]

    assert run("first") == ["first"]
    assert run("", one) == [1]

    assert run("third", resume=True) == ["third"]


def test_corrupt_file_is_an_error_before_anything_runs(tmp_path: Path) -> None:
    """X2: a changed byte in a checkpoint that is needed is an error that names it; nothing runs on wrong data."""
    calls: list[int] = []

    @action
    def last(previous_context: Context) -> Any:
        calls.append(previous_context.storage)
        if len(calls) < 2:
            raise ValueError("first")

    storage = StorageFile(path=tmp_path)
    flow(action(lambda: 12345), last, workflow_id="w", storage=storage).start()
    changed = 0
    for path in tmp_path.rglob("*"):
        if path.is_file() and b"12345" in path.read_bytes():
            path.write_bytes(path.read_bytes().replace(b"12345", b"12346"))
            changed += 1
    assert changed == 1

    with pytest.raises(CorruptCheckpoint) as caught:
        flow(action(lambda: 12345), last, workflow_id="w", storage=StorageFile(path=tmp_path)).start(resume=True)
    assert calls == [12345]
    assert "lambda" in str(caught.value)


def test_parallel_mode_resumes_too(fresh: Any) -> None:
    """R2 holds in every mode: what completed in ``parallel`` is not run again."""
    executor = ExecutorThread(2)
    calls: list[int] = []
    counted = action(lambda: calls.append(1))

    for options in ({}, {"resume": True}):
        flow(counted, counted, workflow_id="w", storage=fresh(), executor=executor).start(mode="parallel", **options)
    executor.close()

    assert calls == [1, 1]


# -- the input of a resumed run -------------------------------------------------------------------------------


@pytest.fixture
def with_input(fresh: Any) -> Any:
    """Run a step with an input; return what it gave and whether it was restored."""
    calls: list[Any] = []

    @action
    def takes(initial_context: Context) -> Any:
        calls.append(initial_context.storage)
        return initial_context.storage

    def run(value: Any, **options: Any) -> tuple[Any, bool]:
        workflow = DotFlow(Config(storage=fresh()), workflow_id="w")
        workflow.task.add(takes, initial_context=value)
        [task] = workflow.start(**options).raise_for_failure().tasks
        return task.value, task.restored

    run.calls = calls  # type: ignore[attr-defined]
    return run


def test_changed_input_is_ignored_by_default(with_input: Any) -> None:
    """``reuse``: the checkpoint counts, whatever the input is now."""
    with_input(1, resume=True)

    assert with_input(2, resume=True) == (1, True)


def test_changed_input_resets_the_run_if_asked(with_input: Any) -> None:
    """``reset``: everything runs again, with any storage; an unchanged input does not."""
    with_input(1, resume=True)

    assert with_input(1, resume=True, on_input_change="reset") == (1, True)
    assert with_input(2, resume=True, on_input_change="reset") == (2, False)
    assert with_input(2, resume=True, on_input_change="reset") == (2, True)


def test_changed_input_is_refused_if_asked(with_input: Any) -> None:
    """``raise``: ``InputChangedError``, nothing runs, and what is saved stays."""
    with_input(1, resume=True)

    with pytest.raises(InputChangedError, match="'w' changed"):
        with_input(2, resume=True, on_input_change="raise")
    assert with_input(1, resume=True, on_input_change="raise") == (1, True)
    assert with_input.calls == [1]


def test_fingerprint_can_be_given(with_input: Any) -> None:
    """``fingerprint=`` stands for the input, verbatim."""
    with_input(1, resume=True, fingerprint="v1")

    assert with_input(2, resume=True, fingerprint="v1", on_input_change="raise") == (1, True)
    with pytest.raises(InputChangedError):
        with_input(1, resume=True, fingerprint="v2", on_input_change="raise")


def test_input_that_is_no_json_has_a_fingerprint_too(with_input: Any) -> None:
    """A set is identified by its text."""
    with_input({1}, resume=True)

    assert with_input({1}, resume=True, on_input_change="raise") == ({1}, True)
    with pytest.raises(InputChangedError):
        with_input({2}, resume=True, on_input_change="raise")


def test_input_of_the_first_run_counts_though_it_was_not_resumed(with_input: Any) -> None:
    """A plain ``start`` and then a resume that must not take another input: the change is seen."""
    with_input(1, on_input_change="raise")

    with pytest.raises(InputChangedError):
        with_input(2, resume=True, on_input_change="raise")


def test_fingerprint_is_saved_under_the_key_of_1x() -> None:
    """API §14: with three methods the fingerprint is a SHA-256 under ``_input_fp``."""
    import hashlib

    storage = Plain()
    workflow = DotFlow(Config(storage=storage), workflow_id="w")
    workflow.task.add(one, initial_context={"b": 1, "a": 2})
    workflow.start(resume=True)

    assert json.loads(storage.kept["w-_input_fp"]) == hashlib.sha256(b'[{"a": 2, "b": 1}]').hexdigest()


# -- the handle -----------------------------------------------------------------------------------------------


def test_handle_tells_what_the_run_was() -> None:
    """``Manager``: tasks, ids, callbacks, when it was made, and its status."""

    def done(tasks: Any) -> None:
        del tasks

    manager = flow(one, workflow_id="w").start(on_success=done)

    assert (manager.workflow_id, manager.mode, manager.on_success) == ("w", "sequential", done)
    assert manager.started.tzinfo is not None
    assert manager.thread is None
    assert manager.wait(0)
    assert manager.observer_faults == []
    assert manager.raise_for_failure() is manager


def test_raise_for_failure_raises_from_the_steps_own_exception() -> None:
    """The first failed step is named, with its error as the cause; further ones are counted."""
    manager = flow(fails, fails, workflow_id="w").start(keep_going=True)

    with pytest.raises(
        WorkflowFailed, match=r"step 'fails' of workflow w failed with ValueError: no \(and 1 more\)"
    ) as e:
        manager.raise_for_failure()
    assert isinstance(e.value.__cause__, ValueError)
    with pytest.raises(WorkflowFailed, match=r"ValueError: no$"):
        flow(fails).start().raise_for_failure()


def test_background_returns_at_once_and_can_be_waited_for() -> None:
    """``background``: the handle comes while the run goes on in a thread that is not a daemon."""
    gate = Gate()
    manager = flow(gate.step, two).start(mode="background")

    assert gate.begun.wait(PATIENCE)
    assert manager.status is WorkflowStatus.IN_PROGRESS
    assert not manager.wait(0.001)
    assert manager.thread is not None
    assert not manager.thread.daemon
    with pytest.raises(WorkflowFailed, match="is not complete: in progress"):
        manager.raise_for_failure()
    gate.opened.set()

    assert manager.wait(PATIENCE)
    assert manager.raise_for_failure().tasks[1].value == ("through", 2)
    manager.thread.join()


def test_background_refuses_before_it_starts() -> None:
    """What does not fit is an error of ``start``, not of a thread that nobody sees."""
    workflow = flow()
    workflow.task.add(one, depends_on="zzz")
    with pytest.raises(GraphError, match="'zzz'"):
        workflow.start(mode="background")


def test_interruption_in_the_background_is_recorded() -> None:
    """There is nobody to raise it to: the status tells."""

    @action
    def stops() -> None:
        raise KeyboardInterrupt

    manager = flow(stops).start(mode="background")

    assert manager.wait(PATIENCE)
    assert manager.status is WorkflowStatus.INTERRUPTED


def test_interpreter_waits_for_a_run_in_the_background(tmp_path: Path) -> None:
    """Decided: a background run is waited for at interpreter exit."""
    script = tmp_path / "script.py"
    script.write_text(
        "import threading\n"
        "from dotflow import DotFlow, action\n"
        "main = threading.main_thread()\n"
        "@action\n"
        "def work():\n"
        "    main.join()\n"
        "    print('done')\n"
        "flow = DotFlow()\n"
        "flow.task.add(work)\n"
        "flow.start(mode='background')\n"
        "print('leaving')\n"
    )

    found = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=True)

    assert found.stdout.split() == ["leaving", "done"]


def test_two_runs_at_once_do_not_mix() -> None:
    """R7: two workflows in two threads on one storage keep their contexts apart."""
    storage = StorageDefault()
    barrier = threading.Barrier(2, timeout=PATIENCE)

    def run(name: str) -> Manager:
        @action
        def make() -> str:
            barrier.wait()
            return name

        @action
        def again(previous_context: Context) -> list[Any]:
            barrier.wait()
            return [previous_context.storage, name]

        return flow(make, again, workflow_id=name, storage=storage).start(mode="background")

    managers = [run("a"), run("b")]

    for manager, name in zip(managers, "ab", strict=True):
        assert manager.wait(PATIENCE)
        assert manager.raise_for_failure().tasks[1].value == [name, name]


def test_two_runs_of_one_workflow_at_once_have_their_own_records() -> None:
    """R1, R7: a second ``start()`` while the first run goes on is a run of its own, on the same object."""
    gates = [Gate(), Gate()]
    order = iter(gates)

    @action
    def waits(task: Any) -> Any:
        gate = next(order)
        return gate.step(), gates.index(gate), task.idempotency_key

    @action
    def hands_on(previous_context: Context) -> Any:
        return previous_context.storage[1]

    workflow = flow(waits, hands_on)
    managers = []
    for gate in gates:
        managers.append(workflow.start(mode="background"))
        assert gate.begun.wait(PATIENCE)
    for gate in reversed(gates):
        gate.opened.set()
    for manager in managers:
        assert manager.wait(PATIENCE)

    assert [manager.raise_for_failure().tasks[1].value for manager in managers] == [0, 1]
    assert len({manager.tasks[0].value[2] for manager in managers}) == 2
    assert workflow.result_task() == managers[1].tasks


# -- cancelling and interrupting ------------------------------------------------------------------------------


def test_cancel_from_another_thread_ends_the_run_after_the_step() -> None:
    """``cancel()``: nothing more is launched; a plain inline step is awaited; the run can be resumed."""
    gate = Gate()
    workflow = flow(gate.step, two, workflow_id="w")
    manager = workflow.start(mode="background")
    assert gate.begun.wait(PATIENCE)

    manager.cancel()
    gate.opened.set()

    assert manager.wait(PATIENCE)
    assert manager.status is WorkflowStatus.CANCELLED
    assert statuses(manager) == ["Completed", "Not started"]
    with pytest.raises(WorkflowFailed, match="is not complete: cancelled"):
        manager.raise_for_failure()
    assert workflow.start(resume=True).raise_for_failure().tasks[0].restored


def test_cancel_calls_on_failure_and_tells_the_end() -> None:
    """A cancelled run has not completed: ``on_failure``, and the status in the last event."""
    gate, heard, listener = Gate(), [], Listener()
    manager = flow(gate.step, two).start(
        mode="background", on_failure=lambda tasks: heard.append(len(tasks)), listeners=[listener]
    )
    assert gate.begun.wait(PATIENCE)
    manager.cancel()
    gate.opened.set()
    assert manager.wait(PATIENCE)

    assert heard == [2]
    assert listener.events[-1].status is WorkflowStatus.CANCELLED


def test_cancel_that_comes_before_the_run_is_kept_for_it() -> None:
    """A listener that cancels at the first event stops the run before its first step."""
    calls: list[int] = []
    workflow = flow(action(lambda: calls.append(1)), one)
    manager = workflow._manager(_options())
    manager.prepare(untouched=True)

    manager.cancel()
    manager.run()

    assert manager.status is WorkflowStatus.CANCELLED
    assert statuses(manager) == ["Not started", "Not started"]
    assert calls == []


def test_cancelled_process_step_is_stopped(workers: Any) -> None:
    """S4: a step in a worker is stopped by ``cancel()``, and is ``Paused``."""
    manager = flow(action(lambda: time.sleep(60)), executor=workers).start(
        mode="background", listeners=[started := Listener()]
    )
    until = time.monotonic() + PATIENCE
    while ("TaskStarted", "<lambda>") not in started.heard and time.monotonic() < until:
        time.sleep(0.002)

    began = time.monotonic()
    manager.cancel()

    assert manager.wait(PATIENCE)
    assert time.monotonic() - began < 10
    assert (manager.status, statuses(manager)) == (WorkflowStatus.CANCELLED, ["Paused"])


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_interrupted_step_interrupts_the_run_and_it_can_be_resumed(kind: str, fresh: Any) -> None:
    """S2: ``KeyboardInterrupt`` in a step: recorded as interrupted, raised again, resumable."""
    state = {"interrupt": True}
    saved: list[Any] = []

    def body() -> int:
        if state["interrupt"]:
            raise KeyboardInterrupt
        return 2

    async def body_async() -> int:
        return body()

    step = action(retry=3)(body if kind == "sync" else body_async)
    listener = Listener()
    workflow = flow(one, step, one, workflow_id="w", storage=fresh())
    with pytest.raises(KeyboardInterrupt):
        workflow.start(on_failure=saved.append, listeners=[listener])
    assert [str(task.status) for task in workflow.result_task()] == ["Completed", "Paused", "Not started"]
    assert listener.events[-1].status is WorkflowStatus.INTERRUPTED
    assert workflow.result_task()[1].errors == []
    state["interrupt"] = False

    manager = flow(one, step, one, workflow_id="w", storage=fresh()).start(resume=True)

    assert [each.restored for each in manager.raise_for_failure().tasks] == [True, False, False]


def test_interrupted_step_interrupts_the_run_in_every_place(place: Place) -> None:
    """S2: wherever the step runs, its ``KeyboardInterrupt`` is the caller's."""

    def stops() -> None:
        raise KeyboardInterrupt

    workflow = place.flow(place.step(stops, retry=3, retry_delay=0), one)
    listener = Listener()

    with pytest.raises(KeyboardInterrupt):
        place.run(workflow, listeners=[listener])
    assert [str(task.status) for task in workflow.result_task()] == ["Paused", "Not started"]
    assert listener.events[-1].status is WorkflowStatus.INTERRUPTED
    assert listener.heard.count(("TaskPaused", "stops")) == 1


def test_interrupted_run_is_recorded(tmp_path: Path) -> None:
    """The run record of a storage that keeps one says how the run ended."""
    from dotflow.core.checkpoint import RECORD, Checkpoint

    @action
    def stops() -> None:
        raise KeyboardInterrupt

    for step, expected in ((one, "Completed"), (fails, "Failed"), (stops, "Interrupted")):
        storage = StorageSQLite(path=tmp_path / "flow.db")
        workflow = flow(step, workflow_id=expected, storage=storage)
        if step is stops:
            with pytest.raises(KeyboardInterrupt):
                workflow.start()
        else:
            workflow.start()
        record = Checkpoint(storage, Config().codec, expected).read_record(RECORD)
        assert (record["status"], record["tasks"]) == (expected, names(workflow.result_task()))
        assert record["started_at"] < record["finished_at"]
        storage.close()


def test_record_that_cannot_be_finished_is_a_fault_and_not_a_failure() -> None:
    """The results are saved: a history without its last line does not fail the run."""

    class Half(Plain):
        def list_keys(self, prefix: str = "") -> Any:
            return [key for key in self.kept if key.startswith(prefix)]

        def post(self, key: str, context: Context) -> None:
            if "_dotflow_run" in key and context.storage["status"] != "In progress":
                raise CorruptCheckpoint("read-only", provider="Half", key=key)
            super().post(key, context)

    manager = flow(one, workflow_id="w", storage=Half()).start()

    assert manager.status is WorkflowStatus.COMPLETED
    assert manager.observer_fault_counts == {"run record": 1}


def test_second_process_is_refused_while_the_first_one_leads(tmp_path: Path) -> None:
    """Decided: a workflow id has one leader at a time; the error names the holder; waiting is possible."""
    gate = Gate()
    manager = flow(gate.step, workflow_id="w", storage=StorageFile(path=tmp_path)).start(mode="background")
    assert gate.begun.wait(PATIENCE)

    with pytest.raises(WorkflowBusy, match=f"process.*{os.getpid()}"):
        flow(one, workflow_id="w", storage=StorageFile(path=tmp_path)).start()
    opener = threading.Timer(0.05, gate.opened.set)
    opener.start()
    flow(one, workflow_id="w", storage=StorageFile(path=tmp_path)).start(wait=PATIENCE).raise_for_failure()
    opener.join()

    assert manager.wait(PATIENCE)


# -- start_async ----------------------------------------------------------------------------------------------


@action
async def sleeper(task: Any) -> str:
    await asyncio.sleep(0)
    return str(task.task_id)


@pytest.mark.parametrize("steps", [[one, two], [sleeper, sleeper], [one, sleeper, two], [sleeper, two, sleeper]])
@pytest.mark.parametrize("way", ["start", "start_async"])
def test_plain_and_coroutine_steps_may_be_mixed(steps: list[Any], way: str) -> None:
    """S5: sync, async and mixed steps run in order, from plain code and from a running loop."""
    workflow = flow(*steps)

    manager = workflow.start() if way == "start" else asyncio.run(workflow.start_async())

    assert statuses(manager.raise_for_failure()) == ["Completed"] * len(steps)
    assert manager.tasks[0].value in (1, "sleeper")


def test_start_works_beside_a_running_loop() -> None:
    """A plain ``start()`` in a coroutine runs coroutine steps on a loop of their own."""

    async def main() -> Manager:
        return flow(sleeper, one).start()

    assert asyncio.run(main()).status is WorkflowStatus.COMPLETED

    async def only() -> Manager:
        return flow(sleeper).start()

    assert asyncio.run(only()).status is WorkflowStatus.COMPLETED


def test_independent_coroutines_overlap() -> None:
    """S5: independent ``async def`` steps share one loop and wait for each other without deadlock."""
    met: list[str] = []

    async def meet(task: Any) -> int:
        met.append(task.task_id)
        while len(met) < 3:
            await asyncio.sleep(0)
        return id(asyncio.get_running_loop())

    workflow = flow()
    for name in "abc":
        workflow.task.add(action(timeout=PATIENCE)(meet), task_id=name, depends_on=[])

    manager = workflow.start().raise_for_failure()

    assert len({each.value for each in manager.tasks}) == 1
    assert asyncio.run(workflow_of_three(meet, met).start_async()).status is WorkflowStatus.COMPLETED


def workflow_of_three(step: Any, met: list[str]) -> DotFlow:
    """Make three independent tasks of one coroutine function."""
    met.clear()
    workflow = flow()
    for name in "abc":
        workflow.task.add(action(timeout=PATIENCE)(step), task_id=name, depends_on=[])
    return workflow


def test_start_async_does_not_block_the_loop() -> None:
    """While a plain step runs in its thread and a storage takes its time, other coroutines go on."""
    ticks: list[int] = []

    class Slow(Plain):
        def post(self, key: str, context: Context) -> None:
            assert threading.current_thread() is not threading.main_thread()
            super().post(key, context)

    async def main() -> Manager:
        gate = Gate()

        async def beside() -> None:
            while not gate.begun.is_set():
                await asyncio.sleep(0)
            ticks.append(1)
            gate.opened.set()

        other = asyncio.create_task(beside())
        manager = await flow(gate.step, sleeper, workflow_id="w", storage=Slow()).start_async()
        await other
        return manager

    assert asyncio.run(main()).raise_for_failure().tasks[0].value == "through"
    assert ticks == [1]


def test_cancelled_caller_cancels_the_run() -> None:
    """Whoever cancels ``await start_async()`` gets its cancellation; the step is stopped and the run can be resumed."""
    seen: list[str] = []

    @action
    async def slow() -> None:
        seen.append("begun")
        try:
            await asyncio.sleep(60)
        finally:
            seen.append("stopped")

    async def main(workflow: DotFlow) -> None:
        running = asyncio.create_task(workflow.start_async())
        while "begun" not in seen:
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    for workflow in (flow(slow, one), graph_of(slow)):
        seen.clear()
        asyncio.run(main(workflow))
        assert seen[-1] == "stopped"
        assert str(workflow.result_task()[0].status) == "Paused"


def graph_of(step: Any) -> DotFlow:
    """Make a workflow of a step and one beside it."""
    workflow = flow()
    workflow.task.add(step, depends_on=[]).add(action(lambda: 1), depends_on=step.name)
    workflow.task.add(sleeper, depends_on=[])
    return workflow


@pytest.mark.parametrize("grace", [0, 0.01])
def test_cancel_stops_a_coroutine_on_the_loop(grace: float) -> None:
    """``manager.cancel()`` ends a coroutine step that is awaited on the spot, after its grace, from another thread."""
    begun = threading.Event()

    @action
    async def slow() -> None:
        begun.set()
        await asyncio.sleep(60)

    for workflow in (flow(slow, sleeper), flow(slow, one), graph_of(slow)):
        begun.clear()
        manager = workflow.start(mode="background")
        assert begun.wait(PATIENCE)
        manager.cancel(grace)

        assert manager.wait(PATIENCE)
        assert manager.status is WorkflowStatus.CANCELLED
        assert statuses(manager)[:2] == ["Paused", "Not started"]


def test_interruption_in_start_async_is_raised() -> None:
    """A plain step that is interrupted in ``start_async`` interrupts the caller."""

    @action
    def stops() -> None:
        raise KeyboardInterrupt

    workflow = flow(stops)

    async def main() -> None:
        with pytest.raises(KeyboardInterrupt):
            await workflow.start_async()

    asyncio.run(main())
    assert str(workflow.result_task()[0].status) == "Paused"


def test_coroutines_that_never_wait_let_the_loop_breathe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long chain of coroutines that never wait does not starve the rest of the loop."""
    monkeypatch.setattr("dotflow.core.loop.BREATH", 0.0)
    ticks: list[int] = []

    @action
    async def busy() -> int:
        return len(ticks)

    async def main() -> Manager:
        async def beside() -> None:
            while True:
                ticks.append(1)
                await asyncio.sleep(0)

        other = asyncio.create_task(beside())
        manager = await flow(*[busy] * 5).start_async()
        other.cancel()
        return manager

    values = [each.value for each in asyncio.run(main()).tasks]
    assert values[-1] > values[0]


# -- options that a place cannot honour -----------------------------------------------------------------------


def test_timeout_that_an_executor_cannot_honour_is_refused() -> None:
    """R6: a plain step with a timeout on threads is refused by name, before anything runs."""
    calls: list[int] = []
    executor = ExecutorThread(1)
    limited = action(timeout=3)(lambda: calls.append(1))

    for kind in (executor, ExecutorInline()):
        with pytest.raises(UnsupportedOption, match=r"timeout=3 of step '<lambda>': Executor\w+ cannot stop"):
            flow(one, limited, executor=kind).start()
    executor.close()
    assert calls == []


def test_plain_step_on_an_executor_for_coroutines_is_refused() -> None:
    """R6: what would block the loop is refused before anything runs."""
    executor = ExecutorAsync()
    with pytest.raises(UnsupportedOption, match="'one' is a plain one"):
        flow(sleeper, one, executor=executor).start()
    assert flow(sleeper, executor=executor).start().status is WorkflowStatus.COMPLETED
    executor.close()


def test_step_that_cannot_reach_a_worker_is_refused_before_anything_runs(workers: Any) -> None:
    """Bad input: a closure over a lock is an error of ``start`` that names the step and the fix."""
    lock = threading.Lock()
    calls: list[Any] = []

    @action
    def holds() -> bool:
        return lock.locked()

    with pytest.raises(StepNotPortable, match="step 'holds' cannot be sent to a worker process .*inside the step"):
        flow(one, holds, executor=workers).start(listeners=[calls.append])
    assert calls == []


def test_result_that_cannot_come_back_from_a_worker_is_an_error_of_the_task(workers: Any) -> None:
    """§19-27: the error names the step and what it returned, and is no dead worker."""

    @action
    def gives() -> Any:
        import threading

        return threading.Lock()

    manager = flow(gives, executor=workers).start()

    [error] = manager.tasks[0].errors
    assert error.exception == "StepNotPortable"
    assert "result of step 'gives'" in error.message
    assert error.attempt == 1


def test_dead_worker_fails_one_task_with_its_exit_code(workers: Any) -> None:
    """Issue 2: a step that kills its process fails alone; the next ones run in another worker."""

    @action
    def dies() -> None:
        import os

        os._exit(7)

    manager = flow(dies, one, executor=workers).start(keep_going=True)

    assert statuses(manager) == ["Failed", "Completed"]
    assert manager.tasks[0].errors[0].exception == "WorkerDied"
    assert "exit code 7" in manager.tasks[0].errors[0].message


def test_parallel_and_limited_steps_get_processes_of_their_own() -> None:
    """Without ``executor=`` a step in ``parallel``, and an inline step with a timeout, run in other processes."""

    @action(timeout=PATIENCE)
    def limited(previous_context: Context) -> Any:
        import os

        return previous_context.storage, os.getpid()

    @action
    def where() -> int:
        import os

        return os.getpid()

    inline = flow(where, limited).start().raise_for_failure()
    here, (before, there) = inline.tasks[0].value, inline.tasks[1].value

    assert here == before == os.getpid()
    assert there != os.getpid()
    parallel = flow(where, where).start(mode="parallel").raise_for_failure()
    assert os.getpid() not in [each.value for each in parallel.tasks]


def test_status_of_a_task_is_one_object() -> None:
    """Samples of 1.x compare a status with ``is``."""
    assert flow(one).start().tasks[0].status is TypeStatus.COMPLETED
    assert task("a").status is TypeStatus.NOT_STARTED


@pytest.mark.parametrize("kind", ["plain", "observed", "graph", "coroutines"])
def test_a_finished_run_is_freed_without_the_garbage_collector(kind: str) -> None:
    """Nothing of it refers to itself, so that runs in a loop take no more memory than one."""

    @action
    def one() -> int:
        return 1

    @action
    async def later() -> int:
        return 1

    step = later if kind == "coroutines" else one
    workflow = DotFlow(Config(notify=ToldNotify([])) if kind == "observed" else None)
    workflow.task.add([step, step], depends_on=() if kind == "graph" else None)
    manager = workflow.start()
    assert manager.wait()
    watched = [weakref.ref(each) for each in (workflow, manager, manager._run)]
    gc.collect()
    gc.disable()
    try:
        del workflow, manager
        assert [ref() for ref in watched] == [None] * 3
    finally:
        gc.enable()
