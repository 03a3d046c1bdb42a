"""Tasks as observers get them, friendly and not, for the contract kits of observers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.core.action import action
from dotflow.core.messages import TaskError
from dotflow.core.task import Task
from dotflow.core.types import TypeStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOSTILE = (
    "plain",
    "_*`[~|>#<!channel> & </a> ${x} %s {0} \\",
    "line\nbreak\r\n\x00\x07\x1b[31m",
    "lone \ud800 surrogate",
    "\U0001f9e8" * 5000,
)


@action
def stand_in() -> None:
    """Stand for a step."""


def task_in(status: TypeStatus, text: str = "what went wrong", workflow_id: Any = "kit") -> Task:
    """Return a task of that status, with what belongs to it."""
    task = Task("kit-task", stand_in, workflow_id=workflow_id, initial_context={"text": text})
    task.status = status
    if status in (TypeStatus.RETRY, TypeStatus.FAILED):
        task.errors.append(TaskError(ValueError(text), 1))
    if status in (TypeStatus.COMPLETED, TypeStatus.FAILED, TypeStatus.PAUSED):
        task.duration = 0.25
    if status is TypeStatus.RETRY:
        task.retry_count = 1
    return task


def every_task(text: str = "what went wrong") -> Iterator[Task]:
    """Yield a task of each status."""
    for status in TypeStatus:
        yield task_in(status, text)


def told(task: Task) -> dict[str, Any]:
    """Return what can be seen of a task, to compare."""
    return task.result()


def fixture(function: Callable[..., Any]) -> Any:
    """Make *function* a fixture that every test uses, where pytest is installed."""
    try:
        import pytest
    except ImportError:  # unittest needs no fixtures
        return function
    return pytest.fixture(autouse=True)(function)


class ObserverContract:
    """What the kits of all kinds share: ``make`` gives a new provider at each call."""

    @fixture
    def _use_make(self, make: Callable[[], Any]) -> None:
        self.provider = make()
