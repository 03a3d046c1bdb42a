"""Between storage and run: one post per completed task, second tries, and storages that do not keep their word."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from doubles import Calls, Place, Plain, flow, statuses, task

from dotflow import Config, Context, Task, action
from dotflow.core import checkpoint
from dotflow.core.checkpoint import FINGERPRINT, RECORD, Checkpoint
from dotflow.core.exception import (
    CorruptCheckpoint,
    ResultNotStorable,
    StorageError,
    StorageUnavailable,
    WorkflowBusy,
)
from dotflow.core.messages import MISSING, Refused
from dotflow.core.task import Deferred
from dotflow.core.types import WorkflowStatus
from dotflow.providers import StorageDefault


@action
def one() -> int:
    return 1


@action
def two(previous_context: Context) -> Any:
    return [previous_context.storage, 2]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Second tries come at once; how many there are does not change."""
    monkeypatch.setattr(checkpoint, "FEW_PAUSES", (0.0005, 0.001, 0.002))
    monkeypatch.setattr(checkpoint, "LONGEST_PAUSE", 0.002)


def store_of(storage: Any) -> Checkpoint:
    """Return the checkpoint of the workflow ``w`` on that storage."""
    return Checkpoint(storage, Config().codec, "w")


class Failing(Plain):
    """Fails a number of calls of one method before it works."""

    patience = 0.1

    def __init__(self, method: str, error: BaseException, times: float = float("inf")) -> None:
        super().__init__()
        self.method, self.error, self.times, self.failed = method, error, times, 0

    def maybe(self, method: str) -> None:
        if method == self.method and self.failed < self.times:
            self.failed += 1
            raise self.error

    def post(self, key: str, context: Context) -> None:
        self.maybe("post")
        super().post(key, context)

    def get(self, key: str) -> Context:
        self.maybe("get")
        return super().get(key)

    def key(self, task: Task) -> str:
        self.maybe("key")
        return super().key(task)


class Full(Plain):
    """Has every ability that the engine looks for."""

    def get_many(self, keys: Sequence[str]) -> Mapping[str, Context]:
        self.calls.append(("get_many", *keys))
        return {key: Context(json.loads(self.kept[key])) for key in keys if key in self.kept}

    def post_many(self, items: Sequence[tuple[str, Context]]) -> None:
        self.calls.append(("post_many", *(key for key, _ in items)))
        self.kept.update({key: json.dumps(context.storage) for key, context in items})

    def delete(self, key: str) -> bool:
        self.calls.append(("delete", key))
        return self.kept.pop(key, None) is not None

    def clear(self, workflow_id: Any) -> None:
        self.calls.append(("clear", workflow_id))
        for key in [key for key in self.kept if key.startswith(f"{workflow_id}-")]:
            del self.kept[key]


# -- a storage with three methods -----------------------------------------------------------------------------


def test_each_completed_task_is_posted_once_with_key_and_context(place: Place) -> None:
    """P1, R5: exactly one post per completed task, none for a failed one; ``Plain.post`` takes nothing but the two."""

    def first() -> int:
        return 1

    def second(previous_context: Context) -> Any:
        return [previous_context.storage]

    def third() -> None:
        raise ValueError("no")

    storage = Plain()
    workflow = place.flow(workflow_id="w", storage=storage)
    for func in (first, second, third):
        workflow.task.add(place.step(func, retry=2, retry_delay=0))

    manager = place.run(workflow)

    assert statuses(manager) == ["Completed", "Completed", "Failed"]
    assert storage.posted() == ["w-first", "w-second"]
    assert [call for call in storage.calls if call[0] == "post"] == [("post", "w-first", 1), ("post", "w-second", [1])]


def test_posted_context_names_task_and_workflow() -> None:
    """What a storage is given tells where it comes from, and is something ``json.dumps`` takes."""
    seen: list[Context] = []

    class Watching(Plain):
        def post(self, key: str, context: Context) -> None:
            seen.append(context)
            super().post(key, context)

    flow(action(lambda: {1, 2}), workflow_id="w", storage=Watching()).start().raise_for_failure()

    [context] = seen
    assert isinstance(context, Context)
    assert (context.task_id, context.workflow_id) == ("<lambda>", "w")
    assert json.loads(json.dumps(context.storage)) == context.storage


def test_storage_of_a_first_run_is_not_asked_for_the_past() -> None:
    """Under a random id nobody can have saved anything: nothing is read or cleared before the first post."""
    storage = Plain()

    flow(one, storage=storage).start()

    assert [call[0] for call in storage.calls] == ["post", "get"]


def test_value_that_the_storage_transforms_is_what_the_next_step_gets(place: Place) -> None:
    """P7: ``previous_context`` is what ``get`` gives back; the task itself keeps what the step returned."""

    class Doubling(Plain):
        def get(self, key: str) -> Context:
            found = super().get(key)
            return Context(found.storage * 2) if isinstance(found.storage, int) else found

    def first() -> int:
        return 21

    def second(previous_context: Context) -> Any:
        return str(previous_context.storage)

    workflow = place.flow(place.step(first), place.step(second), workflow_id="w", storage=Doubling())

    manager = place.run(workflow).raise_for_failure()

    assert [each.value for each in manager.tasks] == [21, "42"]
    assert manager.tasks[1].previous_context.storage == 42


# -- storages that fail ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["post", "get"])
def test_storage_that_fails_now_and_then_is_tried_again(method: str, place: Place) -> None:
    """P4: a failure that passes costs a pause; the body of the step runs once."""
    storage = Failing(method, RuntimeError("hiccup"), times=2)

    def work() -> int:
        return 1

    manager = place.run(place.flow(place.step(work), storage=storage))

    assert manager.status is WorkflowStatus.COMPLETED
    assert storage.failed == 2
    assert storage.posted()[-1:] == [f"{manager.workflow_id}-work"]


@pytest.mark.parametrize("method", ["post", "get", "key"])
def test_storage_that_keeps_failing_fails_the_task_after_a_few_tries(method: str) -> None:
    """P4: the error names provider, key and cause; the body is not run again, whatever its policy says."""
    calls = []

    @action(retry=5, retry_delay=0)
    def work() -> int:
        calls.append(1)
        return 1

    storage = Failing(method, RuntimeError("disk full"))
    manager = flow(work, one, storage=storage).start()

    assert len(calls) == 1
    assert storage.failed == (1 if method == "key" else 4)
    assert statuses(manager) == ["Failed", "Not started"]
    [error] = manager.tasks[0].errors
    assert error.exception == "StorageError"
    assert "Failing" in error.message
    assert "RuntimeError: disk full" in error.message
    if method != "key":
        assert f"'{manager.workflow_id}-work'" in error.message
        assert isinstance(error.error, StorageError)
        assert isinstance(error.error.__cause__, RuntimeError)


def test_failure_of_the_storage_has_the_number_of_the_attempt() -> None:
    """Decided: ``TaskError.attempt`` is always the attempt's number, here the second, whose result was refused."""
    calls = []

    @action(retry=5, retry_delay=0)
    def work() -> int:
        calls.append(1)
        if len(calls) < 2:
            raise ValueError("first")
        return 1

    manager = flow(work, storage=Failing("post", RuntimeError("disk full"))).start()

    assert [(error.exception, error.attempt) for error in manager.tasks[0].errors] == [
        ("ValueError", 1),
        ("StorageError", 2),
    ]


@pytest.mark.parametrize("error", [ConnectionError("refused"), TimeoutError("slow"), StorageUnavailable("away")])
def test_unreachable_storage_is_tried_as_long_as_its_patience(error: Exception) -> None:
    """P4: what may pass is tried with growing pauses until the storage's patience is over."""
    storage = Failing("post", error)

    manager = flow(one, storage=storage).start()

    assert storage.failed > 5
    assert manager.tasks[0].errors[0].exception in ("StorageError", "StorageUnavailable")
    assert str(error) in manager.tasks[0].errors[0].message


def test_error_of_our_own_is_not_tried_again() -> None:
    """A storage that says what is wrong is believed."""
    storage = Failing("post", CorruptCheckpoint("checksum", provider="Mine", key="k"))

    manager = flow(one, storage=storage).start()

    assert storage.failed == 1
    assert manager.tasks[0].errors[0].exception == "CorruptCheckpoint"


def test_storage_that_loses_what_it_is_given_is_found_at_once() -> None:
    """P7: ``get`` right after ``post`` finds nothing: the task fails and the message says why."""

    class Losing(Plain):
        def post(self, key: str, context: Context) -> None: ...

    manager = flow(one, two, storage=Losing()).start()

    assert statuses(manager) == ["Failed", "Not started"]
    assert "does not keep what it is given" in manager.tasks[0].errors[0].message
    assert "Losing" in manager.tasks[0].errors[0].message


@pytest.mark.parametrize("answer", [{"a": 1}, 5, "text"])
def test_storage_that_answers_something_else_than_a_context_is_named(answer: Any) -> None:
    """``get`` must return a ``Context``; the error says what it returned."""

    class Odd(Plain):
        def get(self, key: str) -> Any:
            return answer

    manager = flow(one, storage=Odd()).start()

    assert "get() must return a Context" in manager.tasks[0].errors[0].message
    assert type(answer).__name__ in manager.tasks[0].errors[0].message


def test_storage_that_answers_none_is_taken_to_have_nothing() -> None:
    """``None`` instead of an empty ``Context`` counts as missing: nothing is restored, nothing breaks."""

    class Empty(Plain):
        def get(self, key: str) -> Any:
            found = super().get(key)
            return None if found.storage is None else found

    kept: dict[str, str] = {}
    for _ in range(2):
        manager = flow(one, two, workflow_id="w", storage=Empty(kept)).start(resume=True)
        assert manager.raise_for_failure().tasks[1].value == [1, 2]
    assert [each.restored for each in manager.tasks] == [True, True]


@pytest.mark.parametrize("method", ["get", "key"])
def test_storage_that_cannot_be_read_stops_a_resume_before_anything_runs(method: str) -> None:
    """P4: "unreachable" is never mistaken for "missing"; nothing runs, nothing that is saved is lost."""
    calls = []

    @action
    def work() -> int:
        calls.append(1)
        return 1

    storage = Failing(method, OSError("no route"))
    storage.kept["w-work"] = "5"

    with pytest.raises(StorageError, match="Failing.*OSError: no route"):
        flow(work, workflow_id="w", storage=storage).start(resume=True)
    assert calls == []
    assert storage.kept["w-work"] == "5"


def test_corrupt_checkpoint_is_an_error_and_not_a_result() -> None:
    """X2: a checkpoint that was tampered with stops the resume with an error; nothing is overwritten."""
    kept: dict[str, str] = {}
    calls = []

    @action
    def work() -> Any:
        calls.append(1)
        return {23, 42}

    flow(work, workflow_id="w", storage=Plain(kept)).start().raise_for_failure()
    kept["w-work"] = kept["w-work"].replace("23", "24")
    before = dict(kept)

    with pytest.raises(CorruptCheckpoint) as caught:
        flow(work, workflow_id="w", storage=Plain(kept)).start(resume=True)
    assert kept == before
    assert calls == [1]
    assert "Plain" in str(caught.value)
    assert "'w-work'" in str(caught.value)


def test_result_that_cannot_be_kept_fails_the_task_and_names_the_fix() -> None:
    """A result that no checkpoint can keep is an error of that task; what was saved stays."""
    storage = Plain()
    lock = threading.Lock()

    manager = flow(one, action(retry=3, retry_delay=0)(lambda: lock), workflow_id="w", storage=storage).start()

    assert statuses(manager) == ["Completed", "Failed"]
    [error] = manager.tasks[1].errors
    assert isinstance(error.error, ResultNotStorable)
    assert "lock" in error.message
    assert storage.posted() == ["w-one"]


def test_same_result_is_no_problem_in_memory() -> None:
    """P6: in-memory storage keeps the object itself."""
    lock = threading.Lock()

    manager = flow(action(lambda: lock), one).start()

    assert manager.tasks[0].value is lock
    assert manager.status is WorkflowStatus.COMPLETED


def test_storage_that_fails_with_keep_going_does_not_stop_the_rest() -> None:
    """A refused result is a failure like another: with ``keep_going`` the dependents run, with nothing in its place."""
    storage = Failing("post", RuntimeError("full"), times=4)

    manager = flow(one, two, storage=storage).start(keep_going=True)

    assert statuses(manager) == ["Failed", "Completed"]
    assert manager.tasks[1].value == [None, 2]


# -- Checkpoint itself ----------------------------------------------------------------------------------------


def test_several_results_are_saved_together_where_the_storage_can() -> None:
    """``post_many`` is used for several results, ``post`` for one."""
    storage = Full()
    store = store_of(storage)

    assert store.save([(task("a"), 1), (task("b"), 2)]) == [1, 2]
    assert store.save([(task("c"), 3)]) == [3]

    assert [call for call in storage.calls if call[0].startswith("post")] == [
        ("post_many", "w-a", "w-b"),
        ("post", "w-c", 3),
    ]


def test_results_are_saved_one_by_one_where_it_cannot() -> None:
    """A storage with three methods gets a post for each."""
    storage = Plain()

    assert store_of(storage).save([(task("a"), 1), (task("b"), None)]) == [1, None]
    assert storage.posted() == ["w-a", "w-b"]


def test_result_that_cannot_be_kept_does_not_spoil_those_beside_it() -> None:
    """Of several results the one that cannot be kept is refused, the others are saved."""
    storage = Full()

    answers = store_of(storage).save([(task("a"), 1), (task("b"), threading.Lock()), (task("c"), 3)])

    assert [type(answer) is Refused for answer in answers] == [False, True, False]
    assert set(storage.kept) == {"w-a", "w-c"}


def test_nothing_is_posted_when_nothing_can_be_kept() -> None:
    """If no result of several can be kept, the storage is left alone."""
    storage = Full()

    answers = store_of(storage).save([(task("a"), threading.Lock()), (task("b"), threading.Lock())])

    assert all(type(answer) is Refused for answer in answers)
    assert storage.calls == []


def test_failed_batch_refuses_every_result_of_it() -> None:
    """All of them or none: if ``post_many`` fails, each task of the batch has failed."""

    class Broken(Full):
        def post_many(self, items: Sequence[tuple[str, Context]]) -> None:
            raise RuntimeError("disk full")

    answers = store_of(Broken()).save([(task("a"), 1), (task("b"), 2)])

    assert all(type(answer) is Refused and "disk full" in answer.error.message for answer in answers)


def test_faithful_storage_is_not_asked_again() -> None:
    """A storage that the kit has proved may hand on the value it was just given."""

    class Faithful(Full):
        faithful = True
        post = Full.post
        get = Full.get

    storage = Faithful()

    assert store_of(storage).save([(task("a"), 1), (task("b"), 2)]) == [MISSING, MISSING]
    assert [call[0] for call in storage.calls] == ["post_many"]


@pytest.mark.parametrize("kind", [Plain, Full, StorageDefault])
@pytest.mark.parametrize("value", [None, 0, "", [], False, {"a": None}, (1, 2), {1, 2}])
def test_every_value_comes_back(kind: type, value: Any) -> None:
    """R2: whatever a step returned is found again, ``None`` and empty values included."""
    storage = kind()
    store = store_of(storage)
    store.save([(task("a"), value), (task("b"), 1)])

    found = store.load([task("z"), task("a")])

    assert list(found) == [1]
    loaded = found[1].read(task("a")) if isinstance(found[1], Deferred) else found[1]
    assert loaded == value
    assert type(loaded) is type(value)


def test_records_are_kept_beside_the_results() -> None:
    """A record is written, read, and absent as ``None``."""
    store = store_of(Plain())
    assert store.read_record(RECORD) is None

    store.write_record(RECORD, {"run_id": "r", "tasks": ["a"]})

    assert store.read_record(RECORD) == {"run_id": "r", "tasks": ["a"]}
    assert store.read_record(FINGERPRINT) is None


def forgotten(storage: Plain) -> Calls:
    """Save two results and two records, forget them, and return the calls that changed something."""
    store = store_of(storage)
    store.save([(task("a"), 1), (task("b"), 2)])
    store.write_record(RECORD, {"run_id": "r"})
    store.write_record(FINGERPRINT, "f")
    storage.calls.clear()
    store.forget([task("a"), task("b"), task("c")])
    assert store.load([task("a"), task("b")]) == {}
    assert store.read_record(RECORD) is None
    assert store.read_record(FINGERPRINT) is None
    return [call for call in storage.calls if not call[0].startswith("get")]


def test_forgetting_overwrites_where_nothing_can_be_deleted() -> None:
    """§19-23: with three methods an empty context is posted for each that is there, the last task first."""
    storage = Plain()
    storage.kept["other-a"] = "5"

    calls = forgotten(storage)

    assert calls == [("post", key, None) for key in ("w-b", "w-a", "w-_input_fp", "w-_dotflow_run")]
    assert storage.kept["other-a"] == "5"


def test_forgetting_deletes_the_last_task_first() -> None:
    """A process that is killed half-way leaves the start of one run, never parts of two; the rest is cleared."""
    storage = Full()
    storage.kept["w2-a"] = "5"

    calls = forgotten(storage)

    assert calls == [("delete", key) for key in ("w-b", "w-a", "w-_input_fp", "w-_dotflow_run")] + [("clear", "w")]
    assert storage.kept == {"w2-a": "5"}


def test_forgetting_is_one_call_where_that_is_all_or_nothing() -> None:
    """A storage that clears at once is asked once."""

    class AtOnce(Full):
        clears_at_once = True

    assert forgotten(AtOnce()) == [("clear", "w")]


def test_lead_is_taken_where_the_storage_can_arrange_that() -> None:
    """Decided: one leader at a time; the run gives the lead up at its end, and is refused while it is held."""

    class Led(Plain):
        holder: str | None = None
        waited: float | None = None

        def lock(self, workflow_id: Any, wait: float = 0.0) -> Any:
            self.waited = wait
            if self.holder is not None:
                raise WorkflowBusy(workflow_id, self.holder)
            self.holder = "this process"
            self.calls.append(("lock", workflow_id))

            def release() -> None:
                self.holder = None
                self.calls.append(("release", workflow_id))

            return release

    assert store_of(Plain()).lead(0) is None
    storage = Led()
    workflow = flow(one, workflow_id="w", storage=storage)
    workflow.start(wait=1.5).raise_for_failure()
    assert storage.waited == 1.5
    assert (storage.calls[0], storage.calls[-1]) == (("lock", "w"), ("release", "w"))

    storage.holder = "process 7 on host h"
    with pytest.raises(WorkflowBusy, match="process 7 on host h"):
        workflow.start()
    assert storage.calls[-1] == ("release", "w")


def test_lead_is_given_up_when_the_past_cannot_be_read() -> None:
    """A run that does not start holds nothing."""

    class Led(Failing):
        released = 0

        def lock(self, workflow_id: Any, wait: float = 0.0) -> Any:
            return self.release

        def release(self) -> None:
            self.released += 1

    storage = Led("get", OSError("no route"))

    with pytest.raises(StorageError, match="no route"):
        flow(one, workflow_id="w", storage=storage).start(resume=True)
    assert storage.released == 1


def test_lead_that_cannot_be_given_up_is_a_fault_and_not_a_failure() -> None:
    """The run has ended and is saved: a lock that is not released is reported, and ``start`` returns."""

    class Stuck(Plain):
        def lock(self, workflow_id: Any, wait: float = 0.0) -> Any:
            def release() -> None:
                raise OSError("gone")

            return release

    manager = flow(one, workflow_id="w", storage=Stuck()).start()

    assert manager.status is WorkflowStatus.COMPLETED
    assert manager.wait(0)
    assert list(manager.observer_fault_counts.values()) == [1]
    assert str(manager.observer_faults[0].error) == "gone"
