"""Counters and durations of runs and tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dotflow.core.task import Task


class Metrics(ABC):
    """Counts runs and tasks. Called on the run's thread, in order; what it raises is reported and counted."""

    @abstractmethod
    def workflow_started(self, workflow_id: Any, **kwargs: Any) -> None:
        """Count a run that begins; *kwargs* is ``mode``."""

    @abstractmethod
    def workflow_completed(self, workflow_id: Any, duration: float) -> None:
        """Count a run that completed after *duration* seconds."""

    @abstractmethod
    def workflow_failed(self, workflow_id: Any, duration: float) -> None:
        """Count a run that failed, or was interrupted or cancelled, after *duration* seconds."""

    @abstractmethod
    def task_completed(self, task: Task) -> None:
        """Count a task that completed; ``task.duration`` is set."""

    @abstractmethod
    def task_failed(self, task: Task) -> None:
        """Count a task that failed; ``task.duration`` is set."""

    @abstractmethod
    def task_retried(self, task: Task) -> None:
        """Count a failed attempt that another one follows."""
