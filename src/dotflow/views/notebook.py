"""The view of a run in a notebook: one table that is replaced while the run is on."""

from __future__ import annotations

import contextvars
import threading
from typing import TYPE_CHECKING, Any

from dotflow.core.events import WorkflowFinished, WorkflowStarted
from dotflow.core.types import WorkflowStatus
from dotflow.views.html import run_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dotflow.core.events import Event
    from dotflow.core.task import Task

EVERY = 0.25  # seconds from one table to the next
PATIENCE = 2.0  # seconds, at most, that the end of a run waits for the last table


class Notebook:
    """A table below the cell, kept up to date by a thread that ends with the run.

    It is shown at once: a run in the background begins when the cell may have ended, and what is shown first then
    belongs to another cell, or to none.

    Args:
        tasks: The tasks of the run.
        workflow_id: Its heading.
    """

    def __init__(self, tasks: Sequence[Task], workflow_id: Any) -> None:
        self._tasks, self._workflow_id = tasks, workflow_id
        self._over = threading.Event()
        self._changed = threading.Event()
        self._handle: Any = None
        self._status = WorkflowStatus.NEW
        self._thread: threading.Thread | None = None
        try:
            self._show()
        except (
            Exception
        ):  # of IPython; it fails again when the run begins, and counts as a fault of an observer (ADR 0010)
            self._handle = None

    def __call__(self, event: Event) -> None:
        """Take note of *event*."""
        if isinstance(event, WorkflowStarted):
            self._begin()
        elif isinstance(event, WorkflowFinished):
            self._status = event.status
            self._over.set()
            if self._thread is not None:
                self._thread.join(PATIENCE)
        else:
            self._changed.set()

    def _begin(self) -> None:
        self._status = WorkflowStatus.IN_PROGRESS
        self._over.clear()
        if self._handle is None:
            self._show()
        self._changed.set()
        run = contextvars.copy_context().run  # the cell in which the run is
        self._thread = threading.Thread(target=run, args=(self._follow,), name="dotflow-notebook", daemon=True)
        self._thread.start()

    def _show(self) -> None:
        self._handle = _display().display(self._html(), display_id=True)

    def _follow(self) -> None:
        while not self._over.wait(EVERY):
            if self._changed.is_set():
                self._changed.clear()
                self._handle.update(self._html())
        self._handle.update(self._html())

    def _html(self) -> Any:
        return _display().HTML(run_table(self._tasks, self._workflow_id, str(self._status)))


def _display() -> Any:
    import importlib

    return importlib.import_module("IPython.display")
