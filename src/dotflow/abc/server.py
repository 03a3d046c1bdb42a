"""A server that keeps a picture of workflows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from dotflow.core.task import Task


class Server(ABC):
    """Reports workflows and tasks to a server.

    Called in order, from a thread beside the run, with copies of the tasks; what it raises is reported once
    and counted.

    Attributes:
        patience: Seconds one call may take; one that takes longer is abandoned and counts as failed.
    """

    patience: ClassVar[float] = 10.0

    @abstractmethod
    def create_workflow(self, workflow: Any) -> None:
        """Report the ``DotFlow`` that is about to run."""

    @abstractmethod
    def update_workflow(self, workflow: Any, status: str = "") -> None:
        """Report the *status* of the workflow whose id is *workflow*."""

    @abstractmethod
    def create_task(self, task: Task) -> None:
        """Report a task of the run that is about to start."""

    @abstractmethod
    def update_task(self, task: Task) -> None:
        """Report a task that ended."""
