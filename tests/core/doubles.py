"""Storages and observers that write down what they are asked, and short ways to build runs."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable, Sequence
from typing import Any

from dotflow import Config, Context, DotFlow, Task, action
from dotflow.abc.executor import Executor
from dotflow.abc.log import Log
from dotflow.abc.metrics import Metrics
from dotflow.abc.notify import Notify
from dotflow.abc.server import Server
from dotflow.abc.storage import Storage
from dotflow.abc.tracer import Tracer
from dotflow.core.messages import Attempt, Outcome, TaskError
from dotflow.core.plan import make_plan
from dotflow.core.run import Run
from dotflow.core.task import basic_callback
from dotflow.core.workflow import Manager

Calls = list[tuple[Any, ...]]


class Plain(Storage):
    """A storage with the three methods of the seed page and no more: JSON texts in a dictionary that may be shared."""

    def __init__(self, kept: dict[str, str] | None = None, calls: Calls | None = None) -> None:
        self.kept: dict[str, str] = {} if kept is None else kept
        self.calls: Calls = [] if calls is None else calls

    def post(self, key: str, context: Context) -> None:
        self.calls.append(("post", key, context.storage))
        self.kept[key] = json.dumps(context.storage)

    def get(self, key: str) -> Context:
        self.calls.append(("get", key))
        return Context(storage=json.loads(self.kept[key])) if key in self.kept else Context()

    def key(self, task: Task) -> str:
        return f"{task.workflow_id}-{task.task_id}"

    def posted(self) -> list[str]:
        """Return the keys that were posted, in order."""
        return [call[1] for call in self.calls if call[0] == "post"]


class Listener:
    """Keeps every event it hears, by kind and task."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []
        self.events: list[Any] = []

    def __call__(self, event: Any) -> None:
        task = getattr(event, "task", None)
        self.events.append(event)
        self.heard.append((type(event).__name__, task.task_id if task is not None else ""))


class Told:
    """Base of the observers below: what they are told goes to one list."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    def tell(self, *what: Any) -> None:
        self.calls.append(what)


class ToldNotify(Told, Notify):
    def hook_status_task(self, task: Any) -> None:
        self.tell("notify.hook_status_task", task.task_id, str(task.status), task.duration is not None)


class ToldLog(Told, Log):
    def info(self, **kwargs: Any) -> None:
        self.tell("log.info", kwargs["task"].task_id, str(kwargs["task"].status))

    def error(self, **kwargs: Any) -> None:
        self.tell("log.error", kwargs["task"].task_id, str(kwargs["task"].status))


class ToldTracer(Told, Tracer):
    def start_workflow(self, workflow_id: Any, **kwargs: Any) -> None:
        self.tell("tracer.start_workflow", workflow_id, kwargs)

    def end_workflow(self, workflow_id: Any, **kwargs: Any) -> None:
        self.tell("tracer.end_workflow", workflow_id, sorted(kwargs), kwargs["failed"])

    def start_task(self, task: Any) -> None:
        self.tell("tracer.start_task", task.task_id)

    def end_task(self, task: Any) -> None:
        self.tell("tracer.end_task", task.task_id, str(task.status), task.duration is not None)


class ToldMetrics(Told, Metrics):
    def workflow_started(self, workflow_id: Any, **kwargs: Any) -> None:
        self.tell("metrics.workflow_started", workflow_id, kwargs)

    def workflow_completed(self, workflow_id: Any, duration: float) -> None:
        self.tell("metrics.workflow_completed", workflow_id, duration >= 0)

    def workflow_failed(self, workflow_id: Any, duration: float) -> None:
        self.tell("metrics.workflow_failed", workflow_id, duration >= 0)

    def task_completed(self, task: Any) -> None:
        self.tell("metrics.task_completed", task.task_id, task.duration is not None)

    def task_failed(self, task: Any) -> None:
        self.tell("metrics.task_failed", task.task_id, task.duration is not None)

    def task_retried(self, task: Any) -> None:
        self.tell("metrics.task_retried", task.task_id)


class ToldServer(Told, Server):
    def create_workflow(self, workflow: Any) -> None:
        self.tell("server.create_workflow", workflow.workflow_id)

    def update_workflow(self, workflow: Any, status: str = "") -> None:
        self.tell("server.update_workflow", workflow, str(status))

    def create_task(self, task: Any) -> None:
        self.tell("server.create_task", task.task_id, str(task.status))

    def update_task(self, task: Any) -> None:
        self.tell("server.update_task", task.task_id, str(task.status), task.duration is not None)


class Place:
    """A way to run workflows: an executor, and whether an event loop drives the run."""

    def __init__(self, name: str, executor: Executor | None) -> None:
        self.name, self.executor = name, executor

    def step(self, func: Callable[..., Any], **policy: Any) -> Any:
        """Make a step of *func*; a coroutine function of it where the place is an event loop."""
        if self.name != "async":
            return action(**policy)(func)

        async def work(**kwargs: Any) -> Any:
            await asyncio.sleep(0)
            return func(**kwargs)

        return action(**policy)(functools.update_wrapper(work, func))

    def flow(self, *steps: Any, workflow_id: str | None = None, **config: Any) -> DotFlow:
        """Make a workflow of *steps* that runs here."""
        if self.executor is not None:
            config["executor"] = self.executor
        return flow(*steps, workflow_id=workflow_id, **config)

    def run(self, workflow: DotFlow, **options: Any) -> Manager:
        """Run it to its end."""
        if self.name == "async":
            return asyncio.run(workflow.start_async(**options))
        return workflow.start(**options)


def flow(*steps: Any, workflow_id: str | None = None, **config: Any) -> DotFlow:
    """Make a workflow of *steps*."""
    made = DotFlow(Config(**config), workflow_id=workflow_id)
    for step in steps:
        made.task.add(step)
    return made


def statuses(manager: Manager) -> list[str]:
    """Return the status of each task."""
    return [str(task.status) for task in manager.tasks]


def names(tasks: Sequence[Task]) -> list[str]:
    """Return the ids of *tasks*."""
    return [task.task_id for task in tasks]


@action
def nothing() -> None:
    """Stand for a step that is not called."""


def task(task_id: str, group: str = "default", needs: Sequence[str] | None = None, step: Any = nothing) -> Task:
    """Make a task that is not part of a workflow."""
    return Task(task_id, step, basic_callback, None, "w", None, group, depends_on=_needs(needs))


def _needs(needs: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if needs is None else tuple(needs)


def make_run(*tasks: Task, mode: str = "sequential", **options: Any) -> Run:
    """Make a run of *tasks*, on a clock that is the test's own numbers."""
    return Run(tasks, make_plan(tasks, mode), "w", **options)


def won(order: Attempt, value: Any = None, started: float = 0) -> Outcome:
    """Return the outcome of an attempt that returned *value*."""
    return Outcome(order.position, order.number, value, None, True, started)


def lost(order: Attempt, error: BaseException | None = None, again: bool = True) -> Outcome:
    """Return the outcome of an attempt that raised *error*."""
    return Outcome(order.position, order.number, None, TaskError(error or ValueError("no"), order.number), again)
