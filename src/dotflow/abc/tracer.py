"""Spans of runs and tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dotflow.core.task import Task


class Tracer(ABC):
    """Follows a run and its tasks. Called on the run's thread, in order; what it raises is reported and counted."""

    @abstractmethod
    def start_workflow(self, workflow_id: Any, **kwargs: Any) -> None:
        """Note that a run begins; *kwargs* are ``mode`` and ``tasks_count``."""

    @abstractmethod
    def end_workflow(self, workflow_id: Any, **kwargs: Any) -> None:
        """Note that a run ended; *kwargs* are ``duration`` in seconds and ``failed``."""

    @abstractmethod
    def start_task(self, task: Task) -> None:
        """Note that *task* is about to start."""

    @abstractmethod
    def end_task(self, task: Task) -> None:
        """Note that *task* ended; its status, errors and duration are set."""
