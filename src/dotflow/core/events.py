"""What observers are told. Each event is told after the change it reports has been made and saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.core.named import NamedTuple

if TYPE_CHECKING:
    from dotflow.core.messages import TaskError
    from dotflow.core.task import Task
    from dotflow.core.types import WorkflowStatus


class WorkflowStarted(NamedTuple):
    """A run begins."""

    workflow_id: Any
    mode: str
    tasks: list[Task]
    workflow: Any = None


class TaskStarted(NamedTuple):
    """An attempt is handed to the place where it runs; told once per task, before the first attempt."""

    task: Task


class TaskRetried(NamedTuple):
    """An attempt failed and another follows."""

    task: Task
    error: TaskError


class TaskCompleted(NamedTuple):
    """A task completed, and its result is saved."""

    task: Task


class TaskRestored(NamedTuple):
    """A task was completed by an earlier process; its checkpoint is used, it does not run."""

    task: Task


class TaskFailed(NamedTuple):
    """A task failed for good."""

    task: Task


class TaskPaused(NamedTuple):
    """A running task was stopped since the run was interrupted or cancelled."""

    task: Task


class WorkflowFinished(NamedTuple):
    """A run ended."""

    workflow_id: Any
    status: WorkflowStatus
    duration: float
    tasks: list[Task]
    event_id: str = ""
    """The id of the message that a run ended like this, where it is told by a notifier."""


Event = (
    WorkflowStarted
    | TaskStarted
    | TaskRetried
    | TaskCompleted
    | TaskRestored
    | TaskFailed
    | TaskPaused
    | WorkflowFinished
)
