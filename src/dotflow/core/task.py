"""Tasks: the records of a workflow's steps."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from types import MethodType
from typing import TYPE_CHECKING, Any, overload

from dotflow.core.action import Action, actions_of, asked_by_methods
from dotflow.core.context import Context, Later, LaterContext, make_context
from dotflow.core.exception import (
    ConfigurationError,
    GraphError,
    MissingActionDecorator,
    NotCallableObject,
    StepSignatureError,
)
from dotflow.core.messages import MISSING, StepInfo, TaskError
from dotflow.core.module import load
from dotflow.core.types import TypeStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol, TypeVar
    from uuid import UUID

    from dotflow.core.config import Config

    T = TypeVar("T", bound="Task")
    Step = Action[..., Any] | type[Any] | str  # mypy takes a decorated class for the class itself

    class TaskCallback(Protocol):
        """What is called when a task has ended."""

        def __call__(self, *, task: Task) -> object:
            """Look at *task*; what is returned is not used."""


__all__ = ["StepInfo", "Task", "TaskBuilder", "TaskError", "basic_callback"]


def basic_callback(*args: Any, **kwargs: Any) -> None:
    """Do nothing: the callback of a task that has none."""


class Task:
    """One step of a workflow and what became of it. A plain record: only the run changes it.

    Args:
        task_id: Its name, unique in the workflow.
        step: What ``@action`` made, or the path of one.
        callback: Called as ``callback(task=...)`` when the task has ended, or the path of one.
        initial_context: The value the step gets as ``initial_context``.
        workflow_id: The workflow it belongs to.
        config: The providers it runs with.
        group_name: The group it belongs to.
        depends_on: Ids of the tasks it needs, ``None`` if the mode decides.

    Attributes:
        status: See ``TypeStatus``.
        errors: One ``TaskError`` for each failed attempt.
        retry_count: Failed attempts that another one followed.
        duration: Seconds from the first start to the end, pauses included; ``None`` until then.
        restored: Whether the result comes from the checkpoint of an earlier process.
    """

    __slots__ = (
        "_created",
        "_current",
        "_errors",
        "_finished",
        "_from",
        "_initial",
        "_output",
        "_previous",
        "_started",
        "callback",
        "config",
        "depends_on",
        "duration",
        "group_name",
        "idempotency_key",
        "restored",
        "retry_count",
        "scheduled_for",
        "status",
        "step",
        "task_id",
        "workflow_id",
    )

    def __init__(
        self,
        task_id: str,
        step: Step,
        callback: TaskCallback | str = basic_callback,
        initial_context: Any = None,
        workflow_id: UUID | str | None = None,
        config: Config | None = None,
        group_name: str = "default",
        depends_on: tuple[str, ...] | None = None,
    ) -> None:
        self.task_id = task_id
        self.step: Action[..., Any] = step if type(step) is Action else as_step(step)
        self.callback: Callable[..., Any] = callback if callback is basic_callback else as_callback(callback)
        self._initial = initial_context
        self.workflow_id = workflow_id
        self.config = config
        self.group_name = group_name
        self.depends_on = depends_on
        self._created = time.time()
        self._previous: Context | Task | tuple[Task, ...] | None = None
        self._current: Any = MISSING
        self.status = TypeStatus.NOT_STARTED
        self._errors: list[TaskError] | None = None
        self._output = ""
        self.retry_count = 0
        self.duration: float | None = None
        self._started = self._finished = self._from = 0.0
        self.restored = False
        self.idempotency_key = ""
        self.scheduled_for: datetime | None = None

    def fresh(self) -> Task:
        """Return a copy for a new run, with nothing of the last one."""
        return Task(
            self.task_id,
            self.step,
            self.callback,
            self._initial,
            self.workflow_id,
            self.config,
            self.group_name,
            self.depends_on,
        )

    def assign(self, workflow_id: UUID | str) -> None:
        """Belong to the run *workflow_id*, with an initial context that no other run shares."""
        found = self._initial
        if isinstance(found, Context):
            owner = workflow_id if found.workflow_id == self.workflow_id else found.workflow_id
            self._initial = make_context(found.storage, found.task_id or "", owner, found._made)  # type: ignore[arg-type]  # a datetime will do
        self.workflow_id = workflow_id

    def snapshot(self) -> Task:
        """Return a copy that stays as the task is now."""
        return self.copy_into(Task.__new__(Task))

    def copy_into(self, new: T) -> T:
        """Give *new* everything that this task is now. Written out: observers get a copy at each event."""
        new._created, new._started, new._finished, new._from = self._created, self._started, self._finished, self._from
        new._initial, new._previous, new._current = self._initial, self._previous, self._current
        new._output = self._output
        new._errors = list(self._errors) if self._errors else None
        new.callback, new.config, new.step = self.callback, self.config, self.step
        new.task_id, new.workflow_id, new.group_name = self.task_id, self.workflow_id, self.group_name
        new.depends_on, new.idempotency_key = self.depends_on, self.idempotency_key
        new.status, new.restored, new.retry_count = self.status, self.restored, self.retry_count
        new.duration, new.scheduled_for = self.duration, self.scheduled_for
        return new

    @property
    def initial_context(self) -> Context:
        """The value the task was added with."""
        if not isinstance(self._initial, Context):
            self._initial = make_context(self._initial, self.task_id, self.workflow_id, self._created)
        return self._initial

    @property
    def previous_context(self) -> Context:
        """What the tasks before it gave it; an empty context if nothing did."""
        found = self._previous
        if not isinstance(found, Context):
            if found is None:
                found = make_context(None, "", self.workflow_id, self._created)
            elif isinstance(found, tuple):
                value = {task.task_id: task.value for task in found} or None
                found = make_context(value, "", self.workflow_id, self._started, self.scheduled_for)
            else:
                made = found._finished or self._started
                found = make_context(found.value, found.task_id, self.workflow_id, made, self.scheduled_for)
            self._previous = found
        return found

    @property
    def current_context(self) -> Context:
        """What the step returned; an empty context until it has completed."""
        found = self._current
        if not isinstance(found, Context):
            value = None if found is MISSING else found
            if isinstance(value, Deferred):
                value = value.read(self)
            found = make_context(value, self.task_id, self.workflow_id, self._finished or self._created)
            if self._current is not MISSING and type(self._current) is not LetGo:
                self._current = found
        return found

    @property
    def value(self) -> Any:
        """What the step returned; ``None`` until it has completed."""
        found = self._current
        if found is MISSING:
            return None
        if isinstance(found, (Context, Deferred, Later)):
            return self.current_context.storage
        return found

    @property
    def carried(self) -> Any:
        """The value, or what will make it if nobody has asked for it."""
        found = self._current
        return found if type(found) is Later else self.value

    @property
    def errors(self) -> list[TaskError]:
        """One entry for each failed attempt."""
        if self._errors is None:
            self._errors = []
        return self._errors

    @property
    def error(self) -> TaskError:
        """The last error, or an empty one."""
        return self.errors[-1] if self.errors else TaskError()

    @property
    def output(self) -> str:
        """What the last attempt printed, masked and cut to the limit, if ``Config(capture_output=...)`` asks for that.

        .. versionadded:: 2.0
        """
        return self._output

    @property
    def event_id(self) -> str:
        """The id of the message about this change, in the copies that notifiers get; else empty.

        It is the same each time the change is told, by whichever process, and different for every other change.

        .. versionadded:: 2.0
        """
        return ""

    @property
    def created_at(self) -> datetime:
        """When the record was made, in UTC."""
        return datetime.fromtimestamp(self._created, UTC)

    @property
    def started_at(self) -> datetime | None:
        """When the first attempt was launched, in UTC."""
        return datetime.fromtimestamp(self._started, UTC) if self._started else None

    @property
    def finished_at(self) -> datetime | None:
        """When the task ended, in UTC."""
        return datetime.fromtimestamp(self._finished, UTC) if self._finished else None

    def result(self, max: int | None = None) -> dict[str, Any]:
        """Return the task as a dictionary of plain values.

        Args:
            max: Characters that its JSON text should not exceed: contexts, then errors are left out to fit.
        """
        from dotflow.core.record import limited, task_result

        return limited(task_result(self), max)

    def _repr_html_(self) -> str:
        from dotflow.views.html import task_table

        return task_table(self)

    def __repr__(self) -> str:
        return f"Task(task_id={self.task_id!r}, status={str(self.status)!r})"


def unmasked(task: Task) -> Task:
    """Return *task* as it is, where a copy for observers would mask its ids."""
    return task if type(task) is Task else task.copy_into(Task.__new__(Task))


def raw_id(task: Task) -> str:
    """The name of *task* as it is, where a copy for observers would mask it."""
    found: str = vars(Task)["task_id"].__get__(task)
    return found


class Deferred:
    """A saved value that is read, or at least decoded, when somebody asks for it.

    Args:
        read: Gives the value of the task that it is called with; one object serves all tasks of a run.
    """

    __slots__ = ("read",)

    def __init__(self, read: Callable[[Task], Any]) -> None:
        self.read = read


class LetGo(Deferred):
    """A saved value that is not kept: it is read from the storage each time that somebody asks for it."""

    __slots__ = ()


HELD = frozenset({type(MISSING), Context, LaterContext, Later, Deferred, LetGo})
"""The types of what stands in a task for its value; what has another type is the value itself."""


def as_step(step: Any) -> Action[..., Any]:
    """Return the action in *step*: one itself, its path, a bound method of one, or an object that has some."""
    if isinstance(step, str):
        step = load(step)
    if isinstance(step, Action):
        if not step.name:
            raise MissingActionDecorator(step)
    elif isinstance(step, MethodType) and isinstance(step.__func__, Action):
        bound, owner = step.__func__, step.__self__
        step = Action(MethodType(bound.func, owner))
        step.policy, step.limited = bound.policy, bound.limited
    elif not isinstance(step, type) and actions_of(type(step)):
        methods = actions_of(type(step)).values()
        required = asked_by_methods(type(step))
        step = Action(_Returns(step))
        step.required, step.limited = required, any(method.limited for method in methods)
    else:
        raise MissingActionDecorator(step)
    if step.required:
        raise StepSignatureError(step.name, step.required)
    return step  # type: ignore[no-any-return]  # checked above


class _Returns:
    """A step that gives an object, whose ``@action`` methods then run."""

    def __init__(self, value: Any) -> None:
        self._value = value
        self.__name__ = type(value).__name__

    def __call__(self) -> Any:
        return self._value


def as_callback(callback: Any) -> Callable[..., Any]:
    """Return *callback*, or what its path names."""
    if isinstance(callback, str):
        callback = load(callback)
    if not callable(callback):
        raise NotCallableObject("callback", given=callback, hint="it is called as callback(task=...)")
    return callback  # type: ignore[no-any-return]  # callable is all that can be known


class TaskBuilder:
    """The tasks of one workflow, in order; ``workflow.task``."""

    def __init__(
        self, config: Config | None, workflow_id: UUID | str | None = None, workflow_name: str | None = None
    ) -> None:
        self.config = config
        self.workflow_id = workflow_id
        self.workflow_name = workflow_name
        self.queue: list[Task] = []
        self._taken: dict[str, int] = {}  # task ids, with the highest number that was put behind them
        self._lent = False

    @overload
    def add(
        self,
        step: Step,
        callback: TaskCallback | str = ...,
        initial_context: Any = ...,
        group_name: str = ...,
        *,
        task_id: str | None = ...,
        name: str | None = ...,
        depends_on: str | Task | Sequence[str | Task] | None = ...,
    ) -> TaskBuilder: ...
    @overload
    def add(
        self,
        step: Sequence[Step],
        callback: TaskCallback | str = ...,
        initial_context: Any = ...,
        group_name: str = ...,
        *,
        depends_on: str | Task | Sequence[str | Task] | None = ...,
    ) -> TaskBuilder: ...
    def add(
        self,
        step: Any,
        callback: TaskCallback | str = basic_callback,
        initial_context: Any = None,
        group_name: str = "default",
        *,
        task_id: str | None = None,
        name: str | None = None,
        depends_on: str | Task | Sequence[str | Task] | None = None,
    ) -> TaskBuilder:
        """Append a task for *step*, or one for each step of a list; return the builder.

        Args:
            step: What ``@action`` made, its path (``"package.module:name"``), or a list of such.
            callback: Called as ``callback(task=...)`` when the task has ended.
            initial_context: The value that the step gets as ``initial_context``.
            group_name: Tasks of one group run in order.
            task_id: Name of the task; by default that of the step, with ``-2``, ``-3`` where it is taken.
                Checkpoints belong to it.
            name: The same as *task_id*.
            depends_on: Tasks, or their ids, that must be done before; an empty list means none. As soon as one
                task of the workflow says what it depends on, the tasks form a graph.

        Raises:
            MissingActionDecorator: a step that ``@action`` did not make.
            StepSignatureError: a step that asks for something nobody fills.
            GraphError: a task id that is taken.
            ConfigurationError: a name that is not a text, or is empty.
        """
        wanted = task_id if task_id is not None else name
        needs = None if depends_on is None else _ids_of(depends_on)
        if type(group_name) is not str or not group_name:
            raise ConfigurationError(f"group_name needs a text that is not empty, got {group_name!r}")
        steps = (step,) if type(step) is Action or not isinstance(step, (list, tuple)) else step
        if wanted is not None and steps is step:
            raise ConfigurationError(f"task_id={wanted!r} cannot name the {len(step)} tasks of a list")
        for item in steps:
            made = item if type(item) is Action and item.name and not item.required else as_step(item)
            unique = self._unused(made.name) if wanted is None else self._claim(wanted)
            self._taken[unique] = 1
            self.queue.append(
                Task(unique, made, callback, initial_context, self.workflow_id, self.config, group_name, needs)
            )
        return self

    def _unused(self, base: str) -> str:
        number = self._taken.get(base)
        if number is None:
            _refuse_reserved(base)
            return base
        while (name := f"{base}-{number + 1}") in self._taken:
            number += 1
        self._taken[base] = number + 1
        return name

    def _claim(self, task_id: object) -> str:
        if not isinstance(task_id, str) or not task_id:
            raise ConfigurationError(f"task_id needs a text that is not empty, got {task_id!r}")
        _refuse_reserved(task_id)
        if not task_id.isprintable() and has_controls(task_id):
            raise ConfigurationError(f"task_id={task_id!r} contains control characters or lone surrogates")
        if task_id in self._taken:
            raise GraphError(f"task_id={task_id!r} is taken by another task of this workflow")
        return task_id

    def count(self) -> int:
        """Return the number of tasks."""
        return len(self.queue)

    def clear(self) -> None:
        """Remove every task."""
        self.queue.clear()
        self._taken.clear()

    def reverse(self) -> None:
        """Turn the order round."""
        self.queue.reverse()

    def renew(self) -> list[Task]:
        """Return records for a new run, and make them the queue's: those of an earlier run stay with it."""
        if self._lent:
            self.queue[:] = [task.fresh() for task in self.queue]
        self._lent = True
        return list(self.queue)

    def result(self) -> dict[str, Any]:
        """Return the workflow as a dictionary of plain values."""
        from dotflow.core.record import workflow_result

        return workflow_result(self.workflow_id, self.workflow_name, self.queue)


def _refuse_reserved(task_id: str) -> None:
    if task_id.startswith("_dotflow") or task_id == "_input_fp":
        raise ConfigurationError(f"task_id={task_id!r} is reserved for dotflow's own records; give another")


def _ids_of(depends_on: str | Task | Sequence[str | Task]) -> tuple[str, ...]:
    if type(depends_on) is str:
        return (depends_on,)
    if not isinstance(depends_on, (str, Task, Iterable)):
        raise ConfigurationError(f"depends_on needs task ids or tasks, got {depends_on!r}")
    items = (depends_on,) if isinstance(depends_on, (str, Task)) else tuple(depends_on)
    for item in items:
        if not isinstance(item, (str, Task)):
            raise ConfigurationError(f"depends_on needs task ids or tasks, got {item!r}")
    return tuple(dict.fromkeys(item.task_id if isinstance(item, Task) else item for item in items))


def has_controls(text: str) -> bool:
    """Whether *text* holds control characters or lone surrogates."""
    return any(ord(char) < 32 or 0xD800 <= ord(char) <= 0xDFFF or char == "\x7f" for char in text)
