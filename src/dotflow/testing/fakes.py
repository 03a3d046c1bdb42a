"""Providers for tests: each writes down what it was told, and fails on demand."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from dotflow.abc.log import Log
from dotflow.abc.metrics import Metrics
from dotflow.abc.notify import Notify
from dotflow.abc.scheduler import Scheduler
from dotflow.abc.server import Server
from dotflow.abc.storage import Storage, default_key
from dotflow.abc.tracer import Tracer
from dotflow.core.context import Context
from dotflow.core.exception import ConfigurationError

if TYPE_CHECKING:
    from dotflow.core.task import Task


class Call(NamedTuple):
    """One call of a provider.

    Attributes:
        method: Its name.
        task: The task as it stood then, ``None`` if the call was not about one.
        told: The other arguments.
    """

    method: str
    task: Task | None
    told: dict[str, Any]

    def __str__(self) -> str:
        about = f" {self.task.task_id}: {self.task.status}" if self.task is not None else ""
        return self.method + about + "".join(f" {name}={value}" for name, value in self.told.items())


class Recorder:
    """What the recorders of each kind have in common.

    Attributes:
        calls: Every call, in order.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._failures: dict[str | None, list[BaseException]] = {}

    @property
    def lines(self) -> list[str]:
        """The calls as text: ``"hook_status_task load: Completed"``."""
        return [str(call) for call in self.calls]

    def fail(self, error: BaseException | None = None, *, method: str | None = None, times: int = 1) -> None:
        """Raise *error* (``ConnectionError`` unless given) in the next *times* calls of *method*, ``None`` for any."""
        if method is not None and not hasattr(self, method):
            raise ConfigurationError(f"fail(method={method!r}): {type(self).__name__} has no such method")
        raised = error if error is not None else ConnectionError(f"{type(self).__name__} fails on demand")
        self._failures.setdefault(method, []).extend([raised] * times)

    def _note(self, method: str, task: Any = None, **told: Any) -> None:
        self.calls.append(Call(method, task.snapshot() if task is not None else None, told))
        waiting = self._failures.get(method) or self._failures.get(None)
        if waiting:
            raise waiting.pop(0)


class RecordingNotify(Recorder, Notify):
    """Keeps what somebody would have been told."""

    def hook_status_task(self, task: Task) -> None:
        """Note a change of status."""
        self._note("hook_status_task", task)


class RecordingLog(Recorder, Log):
    """Keeps what would have been written."""

    def info(self, task: Any = None, **told: Any) -> None:
        """Note a line."""
        self._note("info", task, **told)

    def warning(self, task: Any = None, **told: Any) -> None:
        """Note a warning."""
        self._note("warning", task, **told)

    def error(self, task: Any = None, **told: Any) -> None:
        """Note an error."""
        self._note("error", task, **told)

    def debug(self, task: Any = None, **told: Any) -> None:
        """Note a detail."""
        self._note("debug", task, **told)


class RecordingTracer(Recorder, Tracer):
    """Keeps the beginnings and ends that it was told of."""

    def start_workflow(self, workflow_id: Any, **told: Any) -> None:
        """Note that a run begins."""
        self._note("start_workflow", workflow_id=workflow_id, **told)

    def end_workflow(self, workflow_id: Any, **told: Any) -> None:
        """Note that a run ended."""
        self._note("end_workflow", workflow_id=workflow_id, **told)

    def start_task(self, task: Task) -> None:
        """Note that a task begins."""
        self._note("start_task", task)

    def end_task(self, task: Task) -> None:
        """Note that a task ended."""
        self._note("end_task", task)


class RecordingMetrics(Recorder, Metrics):
    """Keeps what it was to count."""

    def workflow_started(self, workflow_id: Any, **told: Any) -> None:
        """Note that a run begins."""
        self._note("workflow_started", workflow_id=workflow_id, **told)

    def workflow_completed(self, workflow_id: Any, duration: float) -> None:
        """Note that a run completed."""
        self._note("workflow_completed", workflow_id=workflow_id, duration=duration)

    def workflow_failed(self, workflow_id: Any, duration: float) -> None:
        """Note that a run failed."""
        self._note("workflow_failed", workflow_id=workflow_id, duration=duration)

    def task_completed(self, task: Task) -> None:
        """Note that a task completed."""
        self._note("task_completed", task)

    def task_failed(self, task: Task) -> None:
        """Note that a task failed."""
        self._note("task_failed", task)

    def task_retried(self, task: Task) -> None:
        """Note a failed attempt that another one follows."""
        self._note("task_retried", task)


class RecordingServer(Recorder, Server):
    """Keeps what a server would have been sent."""

    def create_workflow(self, workflow: Any) -> None:
        """Note a workflow that is about to run."""
        self._note("create_workflow", workflow_id=workflow.workflow_id)

    def update_workflow(self, workflow: Any, status: str = "") -> None:
        """Note the status of a workflow."""
        self._note("update_workflow", workflow_id=workflow, status=status)

    def create_task(self, task: Task) -> None:
        """Note a task that is about to run."""
        self._note("create_task", task)

    def update_task(self, task: Task) -> None:
        """Note a task that ended."""
        self._note("update_task", task)


class FakeScheduler(Recorder, Scheduler):
    """Runs the workflow *ticks* times, one after the other, at once.

    Attributes:
        runs: What each tick returned: the handles of the runs.
    """

    def __init__(self, ticks: int = 1) -> None:
        super().__init__()
        self.ticks, self.runs, self._stopped = ticks, list[Any](), False

    def start(self, workflow: Callable[..., Any], **kwargs: Any) -> None:
        """Run, unless ``stop`` was called."""
        self._note("start", **kwargs)
        for _ in range(self.ticks):
            if self._stopped:
                return
            self.runs.append(workflow(**kwargs))

    def stop(self) -> None:
        """Make no further tick."""
        self._note("stop")
        self._stopped = True


class FakeStorage(Recorder, Storage):
    """Keeps contexts as JSON texts in memory, as a database would: what a step gets is a copy.

    It has the three methods of the contract and no others. Give one to two workflows of the same id, and the second
    one can resume the first.

    Attributes:
        kept: The texts, by key.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, str] = {}

    def post(self, key: str, context: Context) -> None:
        """Keep *context* under *key*."""
        text = json.dumps(context.storage)
        self._note("post", key=key)
        self.kept[key] = text

    def get(self, key: str) -> Context:
        """Return what is kept under *key*, or an empty context."""
        self._note("get", key=key)
        return Context(storage=json.loads(self.kept[key]) if key in self.kept else None)

    def key(self, task: Task) -> str:
        """Return ``<workflow_id>-<task_id>``."""
        return default_key(task)


class Events(list[Any]):
    """Hears the events of runs, as a listener of ``start``: a list of them, in order."""

    def __call__(self, event: Any) -> None:
        """Keep *event*."""
        task = getattr(event, "task", None)
        self.append(event if task is None else event._replace(task=task.snapshot()))

    @property
    def names(self) -> list[str]:
        """What happened, as text: ``"TaskCompleted load"``."""
        about = [(type(event).__name__, getattr(event, "task", None)) for event in self]
        return [name if task is None else f"{name} {task.task_id}" for name, task in about]

    def of(self, kind: type[Any]) -> list[Any]:
        """Return the events of one class."""
        return [event for event in self if isinstance(event, kind)]
