"""Who is told when a task's status changes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class Notify(ABC):
    """Sends a message when the status of a task changes."""

    @abstractmethod
    def hook_status_task(self, task: Any) -> None:
        """Tell somebody about *task*.

        Called in order, from a thread beside the run, with a copy of the task as it stood at that moment:
        status, errors, contexts, ``duration`` and ``finished_at`` are already set. May raise or take its time:
        the run goes on, and the fault is reported once and counted.
        """
