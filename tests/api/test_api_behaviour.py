"""What dotflow 1.x documented about steps, tasks, runs and results holds; rows of its reference, in their order."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from api import api_steps

from dotflow import Config, Context, DotFlow, Task, action
from dotflow.abc.log import Log
from dotflow.abc.notify import Notify
from dotflow.abc.scheduler import Scheduler
from dotflow.abc.storage import Storage
from dotflow.core.exception import (
    ExecutionModeNotExist,
    ImportModuleError,
    InputChangedError,
    InvalidOnInputChange,
    MissingActionDecorator,
    NotCallableObject,
)
from dotflow.core.task import TaskBuilder, TaskError
from dotflow.core.types import TypeStatus
from dotflow.core.workflow import grouper
from dotflow.providers import SchedulerCron, StorageDefault, StorageFile


@action
def one() -> int:
    return 1


@action
def plus_one(previous_context: Context) -> int:
    return int(previous_context.storage or 0) + 1


@action(retry=3, retry_delay=0)
def fails() -> None:
    raise ValueError("no")


def run(*steps: Any, config: Config | None = None, **options: Any) -> DotFlow:
    workflow = DotFlow(config)
    for step in steps:
        workflow.task.add(step)
    workflow.start(**options)
    return workflow


# -- @action ------------------------------------------------------------------------------------------------


def test_action_has_its_policy_as_attributes() -> None:
    """Both spellings, and the documented defaults."""
    made = action(retry=4, timeout=1, retry_delay=0.5, backoff=True)(lambda: None)

    assert (one.retry, one.timeout, one.retry_delay, one.backoff, one.params, one.task) == (1, 0, 1, False, (), None)
    assert (made.retry, made.timeout, made.retry_delay, made.backoff) == (4, 1, 0.5, True)
    assert plus_one.params == ("previous_context",)
    assert one.func() == 1


def test_contexts_are_filled_by_name_in_any_order() -> None:
    """Keyword-only too; a local variable of that name does not count."""

    @action
    def both(*, previous_context: Context, initial_context: Context) -> list[Any]:
        return [previous_context.storage, initial_context.storage]

    @action
    def neither() -> str:
        initial_context = ["mine"]
        return initial_context[0]

    workflow = DotFlow()
    workflow.task.add(one).add(both, initial_context="given").add(neither)
    workflow.start()

    assert workflow.result_storage()[-2:] == [[1, "given"], "mine"]


def test_step_called_by_hand_with_a_task_gives_a_context() -> None:
    """As 1.x's own tests did; retry is the engine's, so an error propagates at once."""
    task = Task("t", one, workflow_id=uuid4())
    found = plus_one(task=task, initial_context=Context(), previous_context=Context(1))

    assert (found.storage, found.task_id, found.workflow_id) == (2, "t", task.workflow_id)
    with pytest.raises(ValueError, match="no"):
        fails()


# -- Context ------------------------------------------------------------------------------------------------


def test_context_wraps_and_unwraps() -> None:
    """Positional and keyword; a context in a context is taken over."""
    inner = Context(storage=1, task_id="t", workflow_id="9a5c5ab0-0c36-4f3b-9d6b-3a4c1f6d1c11")
    outer = Context(inner)

    assert (outer.storage, outer.task_id, outer.time) == (1, "t", inner.time)
    assert outer.workflow_id == UUID("9a5c5ab0-0c36-4f3b-9d6b-3a4c1f6d1c11")
    assert Context().storage is None
    assert isinstance(outer.time, datetime)
    assert (Context().task_id, Context().workflow_id, Context(task_id=None).task_id) == ("", None, None)
    for wrong in ({"task_id": 3}, {"workflow_id": 3}):
        with pytest.raises(TypeError):
            Context(**wrong)  # type: ignore[arg-type]  # wrong on purpose


# -- Task and TaskBuilder -----------------------------------------------------------------------------------


def test_task_has_its_attributes_before_a_run() -> None:
    """Contexts are empty ones, counters zero, times absent."""
    task = Task("t", one, initial_context={"a": 1}, group_name="g")

    assert task.initial_context.storage == {"a": 1}
    assert (task.previous_context.storage, task.current_context.storage) == (None, None)
    assert (task.status, task.errors, task.retry_count, task.duration) == ("Not started", [], 0, None)
    assert (task.error.exception, task.error.message, task.error.traceback, task.error.attempt) == ("", "", "", None)
    assert (task.started_at, task.finished_at, task.group_name) == (None, None, "g")
    assert isinstance(task.created_at, datetime)


@pytest.mark.parametrize("separator", [":", "."])
def test_paths_name_steps_and_callbacks(separator: str) -> None:
    """``package.module:name`` and ``package.module.name``."""
    api_steps.CALLED.clear()
    workflow = DotFlow()
    workflow.task.add(f"api.api_steps{separator}step", callback=f"api.api_steps{separator}called")
    workflow.start()

    assert workflow.result_storage() == ["by path"]
    assert api_steps.CALLED == ["step"]


@pytest.mark.parametrize("path", ["step", "api.nothing:step", "api.api_steps:nothing"])
def test_path_that_leads_nowhere_is_refused_when_it_is_added(path: str) -> None:
    with pytest.raises(ImportModuleError, match=re.escape(path.partition(":")[0])):
        DotFlow().task.add(path)


def test_what_is_no_step_or_callback_is_refused_when_it_is_added() -> None:
    for wrong in (lambda: 1, "api.api_steps:not_a_step", 3):
        with pytest.raises(MissingActionDecorator):
            DotFlow().task.add(wrong)  # type: ignore[call-overload]  # wrong on purpose
    with pytest.raises(NotCallableObject):
        DotFlow().task.add(one, callback="api.api_steps:not_a_step")


def test_builder_counts_clears_reverses_and_chains() -> None:
    """A list becomes a task for each of its items, with the same other arguments."""
    builder = DotFlow().task
    assert isinstance(builder, TaskBuilder)
    assert builder.add([one, plus_one, "api.api_steps:step"], initial_context=5, group_name="g") is builder
    queue = builder.queue

    assert builder.count() == 3
    assert [task.task_id for task in queue] == ["one", "plus_one", "step"]
    assert {task.initial_context.storage for task in queue} == {5}
    builder.reverse()
    assert [task.task_id for task in queue] == ["step", "plus_one", "one"]
    assert list(grouper(queue)) == ["g"]
    builder.clear()
    assert (builder.count(), queue) == (0, [])


def test_same_step_twice_has_two_ids() -> None:
    builder = DotFlow().task.add([one, one])

    assert len({task.task_id for task in builder.queue}) == 2


# -- DotFlow and Config -------------------------------------------------------------------------------------


def test_workflow_id_is_kept_as_given_or_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text stays text; else ``WORKFLOW_ID``; else a random UUID."""
    monkeypatch.delenv("WORKFLOW_ID", raising=False)
    given = uuid4()
    assert DotFlow(workflow_id="etl-daily").workflow_id == "etl-daily"
    assert DotFlow(workflow_id=given).workflow_id is given
    assert isinstance(DotFlow().workflow_id, UUID)
    monkeypatch.setenv("WORKFLOW_ID", "from-outside")
    assert DotFlow().workflow_id == "from-outside"
    assert DotFlow().name


def test_results_can_be_read_before_and_after_a_run() -> None:
    workflow = DotFlow()
    workflow.task.add([one, plus_one])
    assert workflow.result_storage() == [None, None]
    assert [context.storage for context in workflow.result_context()] == [None, None]

    manager = workflow.start()

    assert workflow.result_task() == manager.tasks
    assert workflow.result_storage() == [1, 2]
    assert workflow.result() == workflow.task.result()


@pytest.mark.parametrize("name", ["storage", "notify", "log", "server", "scheduler", "tracer", "metrics"])
def test_config_checks_each_provider_and_keeps_it(name: str) -> None:
    """Classes, other kinds, falsy objects are refused by name; what is given is the very object that is kept."""
    for wrong in (0, "", object(), StorageDefault, SchedulerCron("* * * * *") if name == "storage" else one):
        with pytest.raises(NotCallableObject, match=name):
            Config(**{name: wrong})
    default = getattr(Config(), name)
    assert type(default).__name__.endswith("Default")
    assert getattr(Config(**{name: default}), name) is default


def test_virtual_subclass_is_a_provider() -> None:
    class Duck:
        def hook_status_task(self, task: Any) -> None: ...

    Notify.register(Duck)
    Config(notify=Duck())  # type: ignore[arg-type]  # registered


# -- runs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["sequential", "sequential_group", "background", "parallel"])
def test_four_modes(mode: Any) -> None:
    """Chained in order, and in ``parallel`` without previous results."""
    workflow = DotFlow()
    workflow.task.add(["api.api_steps:step", "api.api_steps:step"])
    manager = workflow.start(mode=mode)
    if mode == "background":
        assert manager.thread is not None
        manager.thread.join()

    assert [task.status for task in manager.tasks] == ["Completed"] * 2
    assert workflow.result_storage() == ["by path"] * 2
    assert isinstance(manager.started, datetime)
    assert manager.workflow_id == workflow.workflow_id


def test_mode_and_policy_that_do_not_exist_are_refused_before_anything_runs() -> None:
    """An unknown keyword is a ``TypeError``."""
    workflow = DotFlow()
    workflow.task.add(one)
    with pytest.raises(ExecutionModeNotExist):
        workflow.start(mode="daily")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(InvalidOnInputChange):
        workflow.start(on_input_change="refuse")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(TypeError):
        workflow.start(unknown=1)  # type: ignore[call-arg]  # wrong on purpose
    assert workflow.result_task()[0].status == TypeStatus.NOT_STARTED


def test_failure_stops_the_run_unless_it_keeps_going() -> None:
    """The task that is not reached stays ``Not started``; after a failed one, the previous context is empty."""
    stopped = run(one, fails, plus_one)
    went_on = run(one, fails, plus_one, keep_going=True)

    assert [task.status for task in stopped.result_task()] == ["Completed", "Failed", "Not started"]
    assert [task.status for task in went_on.result_task()] == ["Completed", "Failed", "Completed"]
    assert went_on.result_storage() == [1, None, 1]


def test_errors_are_recorded_for_each_attempt() -> None:
    """``retry=3`` means three attempts: two retries, three errors, the last of them ``task.error``."""
    task = run(fails).result_task()[0]

    assert (task.retry_count, len(task.errors)) == (2, 3)
    assert [error.attempt for error in task.errors] == [1, 2, 3]
    assert isinstance(task.error, TaskError)
    assert (task.error.exception, task.error.message) == ("ValueError", "no")
    assert task.error.traceback.endswith("ValueError: no")


def test_success_after_a_retry_keeps_the_errors() -> None:
    calls: list[int] = []

    @action(retry=2, retry_delay=0)
    def second_time() -> int:
        calls.append(1)
        if len(calls) == 1:
            raise OSError("once")
        return len(calls)

    task = run(second_time).result_task()[0]

    assert (task.status, task.retry_count, len(task.errors), task.value) == ("Completed", 1, 1, 2)


def test_callbacks_are_called_by_keyword() -> None:
    """``callback(task=)`` whatever became of it; ``on_success(tasks=)`` or ``on_failure(tasks=)``, one of them."""
    calls: list[tuple[str, Any, Any]] = []

    def note(name: str) -> Callable[..., Any]:
        return lambda *args, **kwargs: calls.append((name, args, sorted(kwargs)))

    for step in (one, fails):
        workflow = DotFlow()
        workflow.task.add(step, callback=note("task"))
        workflow.start(on_success=note("success"), on_failure=note("failure"))

    assert calls == [
        ("task", (), ["task"]), ("success", (), ["tasks"]), ("task", (), ["task"]), ("failure", (), ["tasks"])
    ]  # fmt: skip


def test_class_steps_run_their_actions_in_order() -> None:
    """With or without ``self``; each may ask for the result of the one before; the result is a list of contexts."""

    @action
    class Three:
        def __init__(self, previous_context: Context) -> None:
            self.begin = previous_context.storage

        @action
        def first(self) -> int:
            return int(self.begin) + 1

        def helper(self) -> None:
            raise AssertionError("not a step")

        @action(retry=2, retry_delay=0)
        def second(previous_context: Context) -> int:  # noqa: N805  # 1.x allows it
            return int(previous_context.storage) + 1

    workflow = run(one, Three, action(lambda previous_context: len(previous_context.storage)))

    contexts = workflow.result_storage()[1]
    assert [context.storage for context in contexts] == [2, 3]
    assert workflow.result_storage()[2] == 2


def test_async_steps_run_to_completion() -> None:
    @action
    async def later(previous_context: Context) -> int:
        return int(previous_context.storage) + 10

    assert run(one, later).result_storage() == [1, 11]


# -- resume and results -------------------------------------------------------------------------------------


def test_resume_takes_checkpoints_and_minds_a_changed_input(tmp_path: Any) -> None:
    """``reuse``, ``reset`` and ``raise``, across objects, with any storage that keeps."""
    calls: list[Any] = []

    @action
    def note(initial_context: Context) -> Any:
        calls.append(initial_context.storage)
        return initial_context.storage

    def again(value: Any, **options: Any) -> list[Any]:
        workflow = DotFlow(Config(storage=StorageFile(path=tmp_path)), workflow_id="etl-daily")
        workflow.task.add(note, initial_context=value)
        workflow.start(resume=True, **options)
        return workflow.result_storage()

    assert (again(1), again(1), calls) == ([1], [1], [1])
    assert (again(2), calls) == ([1], [1])
    with pytest.raises(InputChangedError, match="etl-daily"):
        again(2, on_input_change="raise")
    assert (again(2, on_input_change="reset"), calls) == ([2], [1, 2])


def test_result_of_a_task_has_its_keys() -> None:
    """Contexts as JSON text, lists as an object, ``None`` as null, errors as plain values."""
    step = action(lambda: {"a": [1]})
    listed = action(lambda: [1, Context("x", task_id="c")])
    workflow = run(step, listed, fails)
    result = workflow.result()
    first, second, third = result["tasks"]

    assert set(result) == {"workflow_id", "workflow_name", "id", "name", "tasks"}
    assert set(first) == {
        "task_id", "id", "workflow_id", "status", "duration", "initial_context", "previous_context", "current_context",
        "group_name", "retry_count", "created_at", "started_at", "finished_at", "errors", "error",
    }  # fmt: skip
    assert (first["current_context"], first["initial_context"]) == ('{"a": [1]}', None)
    assert second["current_context"] == {"raw:0": "1", "c": '"x"'}
    assert third["error"] == third["errors"][-1]
    assert set(third["error"]) == {"attempt", "exception", "traceback", "message"}
    assert json.loads(json.dumps(result)) == result


def test_result_is_cut_to_the_size_that_is_asked_for() -> None:
    """The largest context goes first; the task itself keeps it."""
    task = run(action(lambda: "x" * 5000)).result_task()[0]

    short = task.result(max=1000)

    assert short["current_context"] == {"message": "Context size exceeded"}
    assert len(json.dumps(short)) <= 1000
    assert task.current_context.storage == "x" * 5000


# -- providers ----------------------------------------------------------------------------------------------


class Told(Storage, Notify, Log, Scheduler):
    """The contracts of the seed page in one object, which writes down how it was called."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []
        self.statuses: list[str] = []
        self.kept: dict[str, Any] = {}

    def post(self, key: str, context: Context) -> None:
        self.kept[key] = context.storage

    def get(self, key: str) -> Context:
        return Context(storage=self.kept.get(key))

    def key(self, task: Any) -> str:
        return f"{task.workflow_id}:{task.task_id}"

    def hook_status_task(self, task: Any) -> None:
        self.calls.append(("hook", [task.status]))
        self.statuses.append(f"{task.status} {task.duration is not None}")

    def info(self, task: Any) -> None:
        self.calls.append(("info", [task.status]))

    def error(self, task: Any) -> None:
        self.calls.append(("error", [task.status]))

    def start(self, workflow: Callable[..., Any], **kwargs: Any) -> None:
        for _ in range(3):
            workflow(**kwargs)

    def stop(self) -> None: ...


def test_providers_are_told_of_each_status_with_the_duration_set() -> None:
    """A log with the two methods of the seed page works through retries; ``Completed`` and ``Failed`` know how long."""
    told = Told()
    run(one, fails, config=Config(storage=told, notify=told, log=told))

    assert told.statuses == ["In progress False", "Completed True", "In progress False", "Retry False", "Retry False",
                             "Failed True"]  # fmt: skip
    assert [call for call in told.calls if call[0] != "hook"] == [
        ("info", ["In progress"]), ("info", ["Completed"]), ("info", ["In progress"]), ("info", ["Retry"]),
        ("info", ["Retry"]), ("error", ["Failed"]),
    ]  # fmt: skip


def test_each_tick_of_a_scheduler_runs_the_workflow_anew() -> None:
    told, calls = Told(), []

    @action
    def note() -> None:
        calls.append(1)

    workflow = DotFlow(Config(scheduler=told))
    workflow.task.add(note)

    assert workflow.schedule() is None
    assert len(calls) == 3


def test_log_takes_its_task_by_name_or_position(caplog: pytest.LogCaptureFixture) -> None:
    """The style of 1.x that sets ``_logger`` and inherits the methods."""
    import logging

    class Mine(Log):
        def __init__(self) -> None:
            self._logger, self._level, self._format = logging.getLogger("mine"), 10, "simple"

    task = run(one).result_task()[0]
    with caplog.at_level("DEBUG", logger="mine"):
        Mine().info(task=task)
        Mine().error(task)
        Mine().debug(text="free")

    assert [record.getMessage().split(" ")[0] for record in caplog.records] == ["ID", "ID", "text=free"]


def test_cron_refuses_what_it_cannot_read() -> None:
    """Wrong cron lines and overlaps are a ``ValueError`` at construction."""
    made = SchedulerCron("*/5 * * * *", "queue")
    assert (made.cron, made.overlap) == ("*/5 * * * *", "queue")
    for wrong in ({"cron": "often"}, {"cron": "* * * * *", "overlap": "sometimes"}):
        with pytest.raises(ValueError, match=next(reversed(wrong.values()))):
            SchedulerCron(**wrong)
