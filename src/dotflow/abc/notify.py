"""Who is told when a task's status changes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from dotflow.core.task import Task


class Notify(ABC):
    """Sends a message when the status of a task changes.

    Attributes:
        patience: Seconds one call may take; one that takes longer is abandoned and counts as failed.
    """

    patience: ClassVar[float] = 10.0

    @abstractmethod
    def hook_status_task(self, task: Task) -> None:
        """Tell somebody about *task*.

        Called in order, from a thread beside the run, with a copy of the task as it stood at that moment:
        status, errors, contexts, ``duration`` and ``finished_at`` are already set, and secrets are masked. May raise or
        take its time: the run goes on, and the fault is reported once and counted.

        ``task.event_id`` is a text that names this change. Where results outlive the process, what a killed run still
        had to tell (that a task completed or failed) is told by the process that takes over: at least once, and each
        time with the same id. Raise an ``OSError``, or a ``DeliveryFailed`` with ``later=True``, to be told again
        when the workflow is started next; another exception says that there is no use in it.

        .. versionchanged:: 2.0
            ``task.event_id`` and ``task.output`` are new.
        """

    def hook_status_workflow(self, run: Any) -> None:
        """Tell somebody how a run ended. Optional: called only where it is overridden.

        *run* has ``workflow_id``, ``status``, ``duration`` in seconds, ``event_id`` and ``tasks``, copies like those
        above.

        .. versionadded:: 2.0
        """
