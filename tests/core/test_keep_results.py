"""``start(keep_results=False)``: what nobody needs any more is let go, and read from the storage when asked for."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from doubles import Plain

from dotflow import Config, Context, DotFlow, action
from dotflow.abc.log import Log
from dotflow.core.events import TaskCompleted
from dotflow.core.exception import ConfigurationError, StorageError, UnsupportedOption
from dotflow.core.redact import masked
from dotflow.core.task import LetGo
from dotflow.providers import StorageDefault, StorageFile, StorageSQLite


@pytest.fixture
def flow(tmp_path: Path) -> Callable[..., DotFlow]:
    def make(**kwargs: Any) -> DotFlow:
        return DotFlow(Config(storage=StorageSQLite(tmp_path / "flow.db")), workflow_id="w", **kwargs)

    return make


def alive(watched: list[weakref.ref[set[int]]]) -> list[int]:
    gc.collect()
    return [position for position, ref in enumerate(watched) if ref() is not None]


def test_results_go_when_their_last_dependent_has_ended(flow: Callable[..., DotFlow]) -> None:
    """In the last step of a chain only the result before it is in memory; afterwards there is none."""
    watched: list[weakref.ref[set[int]]] = []
    seen: list[list[int]] = []

    @action
    def make(previous_context: Any) -> set[int]:
        seen.append(alive(watched))
        value = {len(watched)}
        watched.append(weakref.ref(value))
        return value

    workflow = flow()
    workflow.task.add([make] * 5)
    workflow.start(keep_results=False).raise_for_failure()

    assert seen == [[], [0], [1], [2], [3]]
    assert alive(watched) == []
    assert workflow.result_storage() == [{0}, {1}, {2}, {3}, {4}]


def test_a_result_stays_while_a_dependent_waits_for_another_attempt(flow: Callable[..., DotFlow]) -> None:
    """Every attempt of every dependent gets it; ``previous_context`` can be read afterwards, of several parents too."""
    attempts: list[Any] = []

    @action
    def source() -> str:
        return "s"

    @action(retry=2)
    def shaky(previous_context: Any) -> str:
        attempts.append(previous_context.storage)
        if len(attempts) == 1:
            raise ValueError
        return previous_context.storage + "!"

    @action
    def join(previous_context: Any) -> dict[str, str]:
        return dict(previous_context.storage)

    workflow = flow()
    workflow.task.add(source)
    workflow.task.add(shaky, depends_on="source")
    workflow.task.add(join, depends_on=["source", "shaky"])
    tasks = workflow.start(keep_results=False).raise_for_failure().tasks

    assert attempts == ["s", "s"]
    assert tasks[2].value == tasks[2].previous_context.storage == {"source": "s", "shaky": "s!"}
    assert all(type(task._current) is LetGo for task in tasks)
    assert all(type(task._current) is LetGo for task in tasks if task.current_context.storage), "read, and not kept"


def test_observers_are_told_the_result_itself(flow: Callable[..., DotFlow]) -> None:
    @action
    def one() -> int:
        return 1

    told: list[tuple[Any, type]] = []

    def listen(event: Any) -> None:
        if isinstance(event, TaskCompleted):
            told.append((event.task.value, type(event.task._current)))

    workflow = flow()
    workflow.task.add([one, one])
    workflow.start(keep_results=False, listeners=[listen])

    assert [value for value, _ in told] == [1, 1]
    assert LetGo not in [kind for _, kind in told]


def test_restored_results_go_too(flow: Callable[..., DotFlow]) -> None:
    ran: list[int] = []

    @action
    def one(previous_context: Any) -> int:
        ran.append(1)
        return len(ran)

    first = flow()
    first.task.add([one, one])
    first.start()
    second = flow()
    second.task.add([one, one, one])
    tasks = second.start(resume=True, keep_results=False).tasks

    assert [task.value for task in tasks] == [1, 2, 3]
    assert all(type(task._current) is LetGo for task in tasks)


@pytest.mark.parametrize("keep", [True, False])
def test_copy_with_a_masked_id_finds_the_saved_result(tmp_path: Path, keep: bool) -> None:
    """An observer's copy of a restored task does not show its id, and reads its result under the id itself."""

    class Reading(Log):
        seen: ClassVar[list[tuple[str, Any]]] = []

        def info(self, **kwargs: Any) -> None:
            task = kwargs["task"]
            if task.restored:
                self.seen.append((task.task_id, task.current_context.storage))

        def error(self, **kwargs: Any) -> None:
            raise AssertionError(kwargs)

    @action
    def one() -> int:
        return 1

    for _ in range(2):
        config = Config(storage=StorageSQLite(tmp_path / "flow.db"), log=Reading(), secrets=["keyhole-7"])
        workflow = DotFlow(config, workflow_id="w")
        workflow.task.add(one, task_id="by keyhole-7")
        tasks = workflow.start(resume=True, keep_results=keep).tasks

    assert Reading.seen == [("by ***", 1)]
    assert tasks[0].snapshot().value == masked(tasks[0]).value == 1


@pytest.mark.parametrize("keep_going", [False, True])
def test_a_failed_run_lets_go_of_what_it_has(tmp_path: Path, keep_going: bool) -> None:
    @action
    def one() -> int:
        return 1

    @action
    def bad(previous_context: Any) -> None:
        raise ValueError

    workflow = DotFlow(Config(storage=StorageFile(tmp_path)), workflow_id="w")
    workflow.task.add([one, bad, one])
    tasks = workflow.start(keep_results=False, keep_going=keep_going).tasks

    assert type(tasks[0]._current) is LetGo
    assert [task.value for task in tasks] == [1, None, 1 if keep_going else None]


def test_a_result_that_another_run_cleared_is_an_error(flow: Callable[..., DotFlow]) -> None:
    @action
    def one() -> int:
        return 1

    workflow = flow()
    workflow.task.add(one)
    [task] = workflow.start(keep_results=False).tasks
    workflow.config.storage.clear("w")

    with pytest.raises(StorageError, match="another run of this workflow id may have cleared it") as caught:
        assert task.value
    assert caught.value.key == "w-one"


def test_memory_cannot_let_go() -> None:
    workflow = DotFlow(Config(storage=StorageDefault()))
    with pytest.raises(UnsupportedOption, match=r"keep_results=False\): StorageDefault keeps results in the memory"):
        workflow.start(keep_results=False)
    with pytest.raises(ConfigurationError, match=r"keep_results=...\) needs True or False, got 0"):
        workflow.start(keep_results=0)  # type: ignore[arg-type]


def test_nothing_of_what_a_storage_gave_back_stays() -> None:
    """A storage whose word is checked hands on what it read; neither that nor what steps were given is kept."""

    @action
    def make() -> list[int]:
        return [1]

    @action
    def more(previous_context: Any) -> list[Any]:
        return [previous_context.storage]

    workflow = DotFlow(Config(storage=Plain()))
    workflow.task.add([make, more, more])
    tasks = workflow.start(keep_results=False).raise_for_failure().tasks

    assert not [task for task in tasks if isinstance(task._previous, Context)]
    assert tasks[2].previous_context.storage == [[1]]
    assert tasks[2].value == [[[1]]]


def test_what_no_step_asked_for_is_not_read_for_it(flow: Callable[..., DotFlow]) -> None:
    """``previous_context`` of a step that does not take one is empty, whether results are kept or not."""

    @action
    def one() -> int:
        return 1

    workflow = flow()
    for name, needs in (("a", []), ("b", []), ("c", ["a", "b"])):
        workflow.task.add(one, task_id=name, depends_on=needs)
    kept, let_go = workflow.start().tasks[2], workflow.start(keep_results=False).tasks[2]

    assert (kept.previous_context.storage, let_go.previous_context.storage) == (None, None)


def test_storage_is_asked_for_one_thing_at_a_time() -> None:
    """A result is read back for somebody in another thread, a notifier say, only between two calls of the run."""
    reading = threading.Event()
    readers: list[threading.Thread] = []
    overlapped: list[bool] = []

    class Slow(Plain):
        def post(self, key: str, context: Context) -> None:
            super().post(key, context)
            if key.endswith("one-3"):
                readers.append(threading.Thread(target=lambda: tasks()[0].value))
                reading.clear()
                readers[0].start()
                overlapped.append(reading.wait(0.2))

        def get(self, key: str) -> Context:
            reading.set()
            return super().get(key)

    @action
    def one() -> int:
        return 1

    workflow = DotFlow(Config(storage=Slow()))
    workflow.task.add([one, one, one])

    def tasks() -> list[Any]:
        return workflow.result_task()

    workflow.start(keep_results=False).raise_for_failure()
    readers[0].join()

    assert overlapped == [False]
