"""Large values between processes: equal, writable, nobody else's, and never left in memory."""

from __future__ import annotations

import gc
import os
import queue
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import large_steps
import numpy as np
import pool_steps
import psutil
import pytest
from e2e_tools import HERE, alive, kill, program, wait_gone, wait_until

from dotflow import Config, Context, DotFlow, action
from dotflow.core.context import Later, LaterContext
from dotflow.core.messages import Attempt, Outcome
from dotflow.providers import ExecutorProcess, StorageDefault, StorageFile, _parcel

SUM = int(np.arange(large_steps.LARGE // 8).sum())


def segments(pid: int | str = "self") -> int:
    """Count the descriptors and mappings of segments that a process has."""
    return len(inodes(pid))


def inodes(pid: int | str) -> list[int]:
    """Return what the descriptors of segments in a process lead to; the files of workers' progress do not count."""
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            place = os.stat(f"/proc/{pid}/fd/{fd}")
            if "memfd:dotflow" in os.readlink(f"/proc/{pid}/fd/{fd}") and place.st_size > _parcel.PROGRESS:
                found.append(place.st_ino)
        except FileNotFoundError:
            continue  # the descriptor of this very listing
    return found


def holders(wanted: set[int]) -> list[int]:
    """Return the processes that hold one of those segments."""
    found = []
    for pid in psutil.pids():
        try:
            maps = Path(f"/proc/{pid}/maps").read_text()
            mapped = {int(line.split()[4]) for line in maps.splitlines() if "memfd:dotflow" in line}
            if wanted & (mapped | set(inodes(pid))):
                found.append(pid)
        except OSError:
            continue  # it has just ended
    return found


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No test leaves a segment."""
    gc.collect()
    before = segments()
    yield
    gc.collect()
    assert segments() == before


@pytest.fixture
def executor() -> Iterator[ExecutorProcess]:
    executor = ExecutorProcess(workers=2)
    yield executor
    executor.close()


def graph(executor: ExecutorProcess, steps: dict[str, tuple[Any, tuple[str, ...]]], **config: Any) -> DotFlow:
    workflow = DotFlow(Config(executor=executor, **config))
    for name, (step, needs) in steps.items():
        workflow.task.add(step, task_id=name, depends_on=needs)
    return workflow


def values_of(workflow: DotFlow) -> dict[str, Any]:
    return {task.task_id: task.value for task in workflow.result_task()}


def test_value_goes_from_worker_to_worker_without_being_opened_between(
    executor: ExecutorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process of the run hands the segment on; it opens it when somebody asks for the value."""
    opened: list[Any] = []
    build = _parcel.Parcel._build
    monkeypatch.setattr(_parcel.Parcel, "_build", lambda self: opened.append(1) or build(self))
    workflow = graph(executor, {"make": (large_steps.makes_array, ()), "sum": (large_steps.sums_array, ("make",))})

    workflow.start(mode="parallel")

    assert opened == []
    assert values_of(workflow)["sum"] == SUM
    assert int(values_of(workflow)["make"].sum()) == SUM
    assert opened == [1]


def test_what_a_step_changes_nobody_else_sees(executor: ExecutorProcess) -> None:
    """Arrays are writable, and each step has its own: one that overwrites its input changes no other's."""
    steps = {"make": (large_steps.makes_array, ())}
    for number in range(4):
        steps[f"change-{number}"] = (large_steps.changes_array, ("make",))
        steps[f"sum-{number}"] = (large_steps.sums_array, ("make", f"change-{number}"))
    steps = {name: (large_steps.adds_parts if len(needs) > 1 else step, needs) for name, (step, needs) in steps.items()}
    workflow = graph(executor, steps)

    assert workflow.start(mode="parallel").status == "Completed"

    found = values_of(workflow)
    lost = -(large_steps.LARGE // 8)
    assert [found[f"change-{number}"] for number in range(4)] == [lost] * 4
    assert [found[f"sum-{number}"] for number in range(4)] == [SUM + lost] * 4
    found["make"][0] = 5  # and so can the caller
    assert int(values_of(workflow)["make"][0]) == 5


def test_value_that_the_caller_changed_is_what_the_next_step_gets(executor: ExecutorProcess) -> None:
    """Once somebody here has the object, it is the object that counts, and no more the segment."""
    storage = StorageDefault()

    @action
    async def changes(previous_context: Any) -> int:
        storage.get(f"w-{previous_context.task_id}").storage[:] = 1
        return 0

    workflow = DotFlow(Config(executor=executor, storage=storage), workflow_id="w")
    workflow.task.add(large_steps.makes_array, task_id="make", depends_on=())
    workflow.task.add(changes, task_id="change", depends_on="make")
    workflow.task.add(large_steps.adds_parts, task_id="all", depends_on=("make", "change"))

    workflow.start(mode="parallel")

    assert values_of(workflow)["all"] == large_steps.LARGE // 8


def test_every_form_arrives_as_it_was(executor: ExecutorProcess) -> None:
    """Bytes, bytearrays, text, arrays in any order, objects, large lists: equal, and of the same type."""
    workflow = graph(
        executor, {"make": (large_steps.many_forms, ()), "same": (large_steps.returns_the_same, ("make",))}
    )

    workflow.start(mode="parallel")

    wanted = large_steps.many_forms()
    for found in values_of(workflow).values():
        assert list(found) == list(wanted)
        for name, value in wanted.items():
            assert type(found[name]) is type(value)
            assert np.array_equal(found[name], value) if isinstance(value, np.ndarray) else found[name] == value


def test_frame_arrives_as_it_was(executor: ExecutorProcess) -> None:
    """A DataFrame keeps its columns' types, and can be written to on the other side."""
    workflow = graph(
        executor, {"make": (large_steps.makes_frame, ()), "same": (large_steps.returns_the_same, ("make",))}
    )

    workflow.start(mode="parallel")

    found = values_of(workflow)
    assert found["make"].equals(found["same"])
    assert list(found["same"].dtypes) == list(large_steps.makes_frame().dtypes)
    found["same"].loc[0, "number"] = 9


def test_several_large_parents_and_small_ones(executor: ExecutorProcess) -> None:
    """A dictionary of what the parents returned, of which some are in segments."""
    steps = {f"part-{number}": (large_steps.makes_array, ()) for number in range(3)}
    workflow = graph(
        executor,
        {**steps, "small": (pool_steps.small, ()), "all": (large_steps.adds_parts, (*steps, "small"))},
    )

    workflow.start(mode="parallel")

    assert values_of(workflow)["all"] == 3 * SUM + 7


def test_large_value_is_kept_and_resumed(executor: ExecutorProcess, tmp_path: Path) -> None:
    """A storage that outlives the process gets the value itself."""
    for resume in (False, True):
        workflow = DotFlow(Config(executor=executor, storage=StorageFile(path=tmp_path)), workflow_id="w")
        workflow.task.add(large_steps.makes_bytes, initial_context=3, depends_on=())
        workflow.start(mode="parallel", resume=resume)
        assert workflow.result_storage() == [b"\3" * large_steps.LARGE]
    assert workflow.result_task()[0].restored


def test_more_values_than_descriptors(executor: ExecutorProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a share of the descriptors, values are copied: 60 at once with room for 8 segments."""
    monkeypatch.setattr(_parcel, "_most", lambda: 8)
    workflow = DotFlow(Config(executor=executor))
    for number in range(60):
        workflow.task.add(large_steps.makes_megabyte, initial_context=number)
    workflow.task.add(large_steps.makes_array, depends_on=())

    workflow.start(mode="parallel")

    assert segments() <= 9
    *found, array = workflow.result_storage()
    assert found == [bytes([number]) * 1_000_000 for number in range(60)]
    array[0] = 1


@pytest.mark.parametrize("step", [large_steps.dies_with_large, large_steps.hangs_with_large])
def test_killed_worker_leaves_no_segment(executor: ExecutorProcess, step: Any) -> None:
    """One that dies, or is killed for its time, with a large value in its hands."""
    workflow = graph(executor, {"make": (large_steps.makes_array, ()), "victim": (step, ("make",))})

    workflow.start(mode="parallel")

    assert [str(task.status) for task in workflow.result_task()] == ["Completed", "Failed"]


def test_killed_parent_leaves_no_segment(tmp_path: Path) -> None:
    """SIGKILL for the process of the run while its workers hold large values: nobody is left who keeps the memory."""
    process = program(HERE / "large_flow.py", tmp_path)
    try:
        wait_until((tmp_path / "held").exists, "a worker that holds the value")
        workers = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        held = {inode for pid in [process.pid, *workers] for inode in inodes(pid)}
        assert len(held) == 1
        assert holders(held)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        kill(process)
    wait_gone(workers)
    assert not any(map(alive, workers))
    assert holders(held) == []


def test_thousands_of_large_results_do_not_pile_up(executor: ExecutorProcess) -> None:
    """2,000 results of 1 MB and a consumer slower than the workers: what is under way stays far below their sum."""
    outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    sent, done, most, memory = 0, 0, 0, psutil.Process().memory_info().rss
    while done < 2000:
        while sent < 2000 and sent - done < executor.slots:
            order = Attempt(sent, 1, large_steps.makes_megabyte, 0, Context(sent), None, "task", None, "")
            executor.submit(order, outcomes.put)
            sent += 1
        outcome = outcomes.get(timeout=60)
        if done % 20 == 0:
            most = max(most, segments())
            assert outcome.value.get() == bytes([outcome.position % 256]) * 1_000_000
        done += 1

    assert most < 100
    assert psutil.Process().memory_info().rss - memory < 100 * 2**20


# -- parts ----------------------------------------------------------------------------------------------------


def both(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    if kind == "file":
        monkeypatch.delattr(os, "memfd_create")


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_parcel_gives_back_what_was_packed(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """In a segment of memory, or in a file without a name where the system has no such segments."""
    both(monkeypatch, kind)
    value = [b"x" * 300_000, np.arange(100_000), "é" * 300_000]

    parcel = _parcel.pack(value)

    assert isinstance(parcel, _parcel.Parcel)
    found = parcel()
    assert found[0] == value[0]
    assert found[2] == value[2]
    found[1][0] = 99
    assert np.array_equal(parcel._build()[1], value[1])
    assert parcel() is found


def test_segment_cannot_be_changed() -> None:
    """Not even by a step that finds its descriptor."""
    parcel = _parcel.pack(b"x" * 300_000)

    for change in (lambda: os.pwrite(parcel.fd, b"y", 0), lambda: os.ftruncate(parcel.fd, 0)):
        with pytest.raises(PermissionError):
            change()


def test_context_whose_value_is_made_later() -> None:
    """It makes the value once, when it is asked for, and is a plain context from then on."""
    from copy import deepcopy
    from pickle import dumps, loads

    from dotflow.core.context import make_context

    made: list[int] = []

    def source() -> list[int]:
        made.append(1)
        return [1, 2]

    def fresh() -> Context:
        return make_context(Later(source), "task", None, 1.0)

    context = fresh()
    assert type(context) is LaterContext
    assert made == []
    assert context.storage is context.storage
    assert (type(context), made) == (Context, [1])
    ways: list[Callable[[Context], Context]] = [lambda it: loads(dumps(it)), deepcopy, Context]
    for way in ways:
        assert way(fresh()) == context
    changed = fresh()
    changed.storage = 3
    assert (changed.storage, type(changed)) == (3, Context)
