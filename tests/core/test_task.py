"""Tasks and the builder: records, names, and what is refused when a task is added."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from doubles import flow, names, nothing, task

from dotflow import Config, Context, DotFlow, Task, action
from dotflow.core.exception import (
    ConfigurationError,
    GraphError,
    ImportModuleError,
    MissingActionDecorator,
    NotCallableObject,
    StepSignatureError,
)
from dotflow.core.messages import MISSING, TaskError
from dotflow.core.task import TaskBuilder, basic_callback
from dotflow.core.types import TypeStatus


@action
def extract() -> int:
    return 1


@action(retry=2)
def load(previous_context: Context) -> Any:
    return previous_context.storage


def undecorated() -> None: ...


@pytest.fixture
def builder() -> TaskBuilder:
    """A builder of a workflow ``w``."""
    return DotFlow(Config(), workflow_id="w").task


# -- names ----------------------------------------------------------------------------------------------------


def test_task_id_is_the_name_of_the_step(builder: TaskBuilder) -> None:
    """R3: ids are names, the same in every process; a second one is ``-2``, a third ``-3``."""
    builder.add(extract).add(load).add(extract).add(extract)

    assert names(builder.queue) == ["extract", "load", "extract-2", "extract-3"]


def test_generated_name_steps_aside_for_a_given_one(builder: TaskBuilder) -> None:
    """A name that was set by hand is not taken twice by the counter."""
    builder.add(load, task_id="extract-2").add(extract).add(extract).add(extract)

    assert names(builder.queue) == ["extract-2", "extract", "extract-3", "extract-4"]


@pytest.mark.parametrize("argument", ["task_id", "name"])
def test_task_id_can_be_given(builder: TaskBuilder, argument: str) -> None:
    """``task_id=`` or ``name=`` sets it; any printable text will do."""
    builder.add(extract, **{argument: "Éxtract / 1: ../a b"})

    assert names(builder.queue) == ["Éxtract / 1: ../a b"]


def test_list_of_steps_becomes_one_task_each(builder: TaskBuilder) -> None:
    """Functions, classes and paths may be mixed; each task gets the other arguments; the builder is chainable."""

    @action
    class Clean:
        @action
        def run(self) -> None: ...

    heard: list[Any] = []
    found = builder.add([extract, Clean, f"{__name__}:load"], heard.append, {"a": 1}, "first")

    assert found is builder
    assert names(builder.queue) == ["extract", "Clean", "load"]
    assert {each.group_name for each in builder.queue} == {"first"}
    assert [each.initial_context.storage for each in builder.queue] == [{"a": 1}] * 3
    assert {each.callback for each in builder.queue} == {heard.append}


@pytest.mark.parametrize("taken", ["extract", "mine"])
def test_name_that_is_taken_is_refused(builder: TaskBuilder, taken: str) -> None:
    """A duplicate id is an error at ``add``, and names the id."""
    builder.add(extract).add(extract, task_id="mine")

    with pytest.raises(GraphError, match=f"task_id='{taken}' is taken"):
        builder.add(load, task_id=taken)
    assert builder.count() == 2


@pytest.mark.parametrize("wrong", ["", 3, None.__class__, b"x", "a\nb", "a\x00", "a\x7f", "\ud800"])
def test_name_that_cannot_be_one_is_refused(builder: TaskBuilder, wrong: Any) -> None:
    """X4: an id is a text that is not empty and has no control characters, checked when it is given."""
    with pytest.raises(ConfigurationError, match="task_id") as caught:
        builder.add(extract, task_id=wrong)
    assert repr(wrong) in str(caught.value)


@pytest.mark.parametrize("reserved", ["_dotflow_run", "_dotflow", "_input_fp"])
def test_names_of_our_own_records_are_reserved(builder: TaskBuilder, reserved: str) -> None:
    """A task cannot overwrite the record of the run."""
    with pytest.raises(ConfigurationError, match="reserved"):
        builder.add(extract, task_id=reserved)


def test_step_whose_own_name_is_reserved_is_refused(builder: TaskBuilder) -> None:
    """A function called like one of our records cannot overwrite it either, however it is added."""

    @action
    def _dotflow_run() -> None: ...

    with pytest.raises(ConfigurationError, match="reserved"):
        builder.add(_dotflow_run)


def test_one_name_cannot_be_given_to_a_list(builder: TaskBuilder) -> None:
    """A list with ``task_id=`` is refused, not numbered by guess."""
    with pytest.raises(ConfigurationError, match="task_id='x' cannot name the 2 tasks of a list"):
        builder.add([extract, load], task_id="x")
    assert builder.count() == 0


@pytest.mark.parametrize("wrong", ["", None, 3, ["a"]])
def test_group_name_that_makes_no_sense_is_refused(builder: TaskBuilder, wrong: Any) -> None:
    """A group is a text that is not empty."""
    with pytest.raises(ConfigurationError, match="group_name needs a text that is not empty") as caught:
        builder.add(extract, group_name=wrong)
    assert repr(wrong) in str(caught.value)


# -- steps ----------------------------------------------------------------------------------------------------


def test_step_without_action_is_refused(builder: TaskBuilder) -> None:
    """A plain function, a plain class or a value cannot be a step; the message says how to make it one."""
    for wrong, shown in ((undecorated, "undecorated"), (dict, "dict"), (5, "did you call the step"), (None, "None")):
        with pytest.raises(MissingActionDecorator, match="decorate it with @action") as caught:
            builder.add(wrong)
        assert shown in str(caught.value)
    with pytest.raises(MissingActionDecorator, match="undecorated"):
        builder.add(f"{__name__}:undecorated")
    with pytest.raises(MissingActionDecorator):
        builder.add(action(retry=2))


def test_path_that_leads_nowhere_is_refused(builder: TaskBuilder) -> None:
    """A path of a step is imported when it is added."""
    with pytest.raises(ImportModuleError, match="did you mean 'extract'"):
        builder.add(f"{__name__}:extrakt")


def test_step_with_a_parameter_nobody_fills_is_refused(builder: TaskBuilder) -> None:
    """An unknown parameter without a default is refused before anything runs, by step and name."""

    @action
    def needs(previous_context: Context, path: str, *, mode: str) -> None:
        del previous_context, path, mode

    with pytest.raises(StepSignatureError, match=r"step 'needs' has the parameter 'path', 'mode'") as caught:
        builder.add(needs)
    assert caught.value.parameters == ("path", "mode")
    assert "'initial_context', 'previous_context' and 'task'" in str(caught.value)


def test_method_with_a_parameter_nobody_fills_is_refused(builder: TaskBuilder) -> None:
    """The same holds for the ``@action`` methods of a class: nothing has to run to see it."""

    @action
    class Needs:
        @action
        def run(self, path: str) -> None:
            del path

    with pytest.raises(StepSignatureError, match="'path'"):
        builder.add(Needs)
    with pytest.raises(StepSignatureError, match="'path'"):
        builder.add(Needs.func())


def test_positional_only_parameter_is_refused(builder: TaskBuilder) -> None:
    """A step that cannot be called by keyword is refused, not called wrongly."""

    @action
    def odd(previous_context: Context, /) -> Any:
        return previous_context.storage

    with pytest.raises(StepSignatureError, match="previous_context"):
        builder.add(odd)


def test_bound_method_is_a_step_of_its_object(builder: TaskBuilder) -> None:
    """A method of an instance can be added; it keeps its name and policy."""

    class Source:
        def __init__(self, rows: int) -> None:
            self.rows = rows

        @action(retry=3, retry_delay=0, timeout=7)
        def read(self, previous_context: Context) -> Any:
            return self.rows, previous_context.storage

    builder.add(Source(5).read)

    [added] = builder.queue
    assert added.task_id == "read"
    assert (added.step.policy.retry, added.step.policy.timeout, added.step.limited) == (3, 7, True)
    assert added.step.func(previous_context=Context(1)) == (5, 1)


def test_object_with_actions_is_a_step(builder: TaskBuilder) -> None:
    """An instance whose class has ``@action`` methods can be added; its name is that of the class."""

    class Job:
        @action
        def run(self) -> int:
            return 1

    job = Job()
    builder.add(job)

    assert names(builder.queue) == ["Job"]
    assert builder.queue[0].step.func() is job


def test_object_with_a_limited_method_is_limited() -> None:
    """S4: an instance whose method has a timeout has to be stoppable, as the class itself has."""

    class Job:
        @action(timeout=3)
        def run(self) -> int:
            return 1

    assert task("a", step=Job()).step.limited


@pytest.mark.parametrize("wrong", [5, "", [print]])
def test_callback_that_cannot_be_called_is_refused(builder: TaskBuilder, wrong: Any) -> None:
    """A callback is checked when it is added."""
    with pytest.raises((NotCallableObject, ImportModuleError)):
        builder.add(extract, callback=wrong)


def test_callback_is_named_in_the_message(builder: TaskBuilder) -> None:
    """The message names the argument, the value and how it is called; ``None`` is no callback either."""
    with pytest.raises(NotCallableObject, match=r"callback needs a callable, got 5 of type int; .*task="):
        builder.add(extract, callback=5)
    with pytest.raises(NotCallableObject, match="callback needs a callable"):
        builder.add(extract, callback=None)


def test_callback_may_be_a_path(builder: TaskBuilder) -> None:
    """As in 1.x, a callback can be given by its path."""
    builder.add(extract, callback="dotflow.core.task:basic_callback")

    assert builder.queue[0].callback is basic_callback
    assert basic_callback(1, task=2) is None  # type: ignore[func-returns-value]  # that is the claim


# -- dependencies ---------------------------------------------------------------------------------------------


def test_dependencies_are_names_or_tasks(builder: TaskBuilder) -> None:
    """One name, one task, or several of both; said twice counts once; an empty list means none."""
    builder.add(extract)
    first = builder.queue[0]
    builder.add(load, depends_on="extract").add(load, depends_on=first).add(load, depends_on=[first, "load", "extract"])
    builder.add(load, depends_on=[])

    assert [each.depends_on for each in builder.queue] == [
        None,
        ("extract",),
        ("extract",),
        ("extract", "load"),
        (),
    ]


@pytest.mark.parametrize("wrong", [[3], (None,), [extract]])
def test_dependency_of_another_type_is_refused(builder: TaskBuilder, wrong: Any) -> None:
    """A step is no task, a number neither."""
    with pytest.raises(ConfigurationError, match="depends_on needs task ids or tasks, got"):
        builder.add(extract, depends_on=wrong)


def test_dependency_that_is_no_sequence_is_refused(builder: TaskBuilder) -> None:
    """A value that is neither name, task nor list is refused by name of the argument."""
    with pytest.raises(ConfigurationError, match="depends_on needs task ids or tasks, got 3"):
        builder.add(extract, depends_on=3)  # type: ignore[arg-type]


# -- the builder ----------------------------------------------------------------------------------------------


def test_builder_counts_clears_and_reverses(builder: TaskBuilder) -> None:
    """``count`` is the length, ``clear`` empties the same list and frees the names, ``reverse`` turns it round."""
    builder.add([extract, load, extract])
    queue = builder.queue
    builder.reverse()
    assert names(builder.queue) == ["extract-2", "load", "extract"]
    assert builder.count() == 3

    builder.clear()

    assert queue == []
    assert builder.queue is queue
    builder.add(extract)
    assert names(builder.queue) == ["extract"]


def test_adding_calls_no_provider() -> None:
    """STYLE: an assignment never does I/O; a task that is added is told to nobody."""
    workflow = flow(extract)

    assert not workflow.config.given("notify")
    assert workflow.task.queue[0].status is TypeStatus.NOT_STARTED


# -- the record -----------------------------------------------------------------------------------------------


def test_new_task_has_nothing_of_a_run() -> None:
    """Contexts are empty and always ``Context`` objects; times and errors are absent."""
    new = task("a")

    for context in (new.initial_context, new.previous_context, new.current_context):
        assert isinstance(context, Context)
        assert context.storage is None
    assert (new.status, new.retry_count, new.duration, new.errors) == (TypeStatus.NOT_STARTED, 0, None, [])
    assert (new.started_at, new.finished_at, new.restored, new.value) == (None, None, False, None)
    assert isinstance(new.created_at, datetime)
    assert new.created_at.utcoffset() == timedelta(0)
    assert repr(new) == "Task(task_id='a', status='Not started')"


def test_error_is_the_last_of_the_errors() -> None:
    """``task.error`` is the last entry, or an empty one."""
    new = task("a")
    assert new.error.exception == ""

    new.errors.append(TaskError(ValueError("one"), 1))
    new.errors.append(TaskError(KeyError("two"), 2))

    assert new.error.exception == "KeyError"


def test_initial_context_may_be_a_context() -> None:
    """A ``Context`` given as initial context is the one the step gets."""
    given = Context({"a": 1})

    assert Task("a", nothing, initial_context=given).initial_context is given


def test_result_that_is_a_context_is_unwrapped() -> None:
    """What a step wrapped itself is its value."""
    new = task("a")
    new._current = Context(5, "a")

    assert new.value == 5
    assert new.current_context.storage == 5


def test_fresh_copy_has_the_same_settings_and_no_history() -> None:
    """R1: a new run gets new records."""
    old = Task("a", nothing, print, 5, "w", None, "g", depends_on=("b",))
    old.status, old.retry_count, old._current = TypeStatus.COMPLETED, 2, 7
    old.errors.append(TaskError(ValueError("x"), 1))

    new = old.fresh()

    assert (new.task_id, new.step, new.callback, new.group_name) == ("a", old.step, print, "g")
    assert (new.depends_on, new.workflow_id, new.initial_context.storage) == (("b",), "w", 5)
    assert (new.status, new.retry_count, new.errors) == (TypeStatus.NOT_STARTED, 0, [])
    assert new._current is MISSING


def test_task_that_is_assigned_to_another_run_shares_no_context_with_it() -> None:
    """A run under another id has an initial context of its own, with the same value; ids given by hand stay."""
    given, foreign = Context(5, "mine", "w"), Context(6, "mine", "elsewhere")
    first = Task("a", nothing, initial_context=given, workflow_id="w")
    second = Task("b", nothing, initial_context=foreign, workflow_id="w")

    first.assign("w/tick-1")
    second.assign("w/tick-1")

    assert (first.workflow_id, second.workflow_id) == ("w/tick-1", "w/tick-1")
    assert first.initial_context is not given
    assert first.initial_context == Context(5, "mine", "w/tick-1")
    assert second.initial_context == Context(6, "mine", "elsewhere")
    assert given.workflow_id == "w"


def test_snapshot_stays_as_the_task_was() -> None:
    """What an observer holds does not change behind its back."""
    new = task("a")
    new.errors.append(TaskError(ValueError("x"), 1))
    copy = new.snapshot()

    new.status = TypeStatus.FAILED
    new.errors.append(TaskError(ValueError("y"), 2))

    assert copy.status is TypeStatus.NOT_STARTED
    assert len(copy.errors) == 1


def test_task_made_by_hand_checks_step_and_callback() -> None:
    """``Task(...)`` refuses what ``add`` refuses."""
    with pytest.raises(MissingActionDecorator):
        Task("a", undecorated)
    with pytest.raises(NotCallableObject):
        Task("a", nothing, 5)
    assert Task("a", f"{__name__}:extract").step is extract


@pytest.mark.parametrize(
    ("status", "symbol"), [("Completed", "✅"), ("Failed", "❌"), ("Retry", "❗"), ("Paused", "◼️"), ("odd", None)]
)
def test_status_has_a_symbol_and_is_text(status: str, symbol: str | None) -> None:
    """A status prints as its text and has a symbol; a text that is no status has none."""
    assert TypeStatus.get_symbol(status) == symbol
    assert f"{TypeStatus.FAILED}" == "Failed"
