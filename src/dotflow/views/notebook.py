"""The view of a run in a notebook: one table that is replaced while the run is on."""

from __future__ import annotations

import contextvars
import threading
from typing import TYPE_CHECKING, Any

from dotflow.core.events import WorkflowFinished, WorkflowStarted
from dotflow.core.types import WorkflowStatus
from dotflow.views.html import run_table

if TYPE_CHECKING:
    from dotflow.core.events import Event

EVERY = 0.25  # seconds from one table to the next
PATIENCE = 2.0  # seconds, at most, that the end of a run waits for the last table


class Notebook:
    """A table below the cell, kept up to date by a thread that ends with the run."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._changed = threading.Event()
        self._handle: Any = None
        self._began: WorkflowStarted | None = None
        self._status = WorkflowStatus.IN_PROGRESS
        self._thread: threading.Thread | None = None

    def __call__(self, event: Event) -> None:
        """Take note of *event*."""
        if isinstance(event, WorkflowStarted):
            self._begin(event)
        elif isinstance(event, WorkflowFinished):
            self._status = event.status
            self._over.set()
            if self._thread is not None:
                self._thread.join(PATIENCE)
        else:
            self._changed.set()

    def _begin(self, event: WorkflowStarted) -> None:
        self._began, self._status = event, WorkflowStatus.IN_PROGRESS
        self._over.clear()
        self._handle = _display().display(self._html(), display_id=True)
        run = contextvars.copy_context().run  # the cell that the table belongs to
        self._thread = threading.Thread(target=run, args=(self._follow,), name="dotflow-notebook", daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        while not self._over.wait(EVERY):
            if self._changed.is_set():
                self._changed.clear()
                self._handle.update(self._html())
        self._handle.update(self._html())

    def _html(self) -> Any:
        assert self._began is not None
        return _display().HTML(run_table(self._began.tasks, self._began.workflow_id, str(self._status)))


def _display() -> Any:
    import importlib

    return importlib.import_module("IPython.display")
