"""Scheduled runs: the callable a scheduler gets, and the signals that end it."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

from dotflow.core.messages import Stop
from dotflow.core.types import WorkflowStatus
from dotflow.core.wake import Wake

if TYPE_CHECKING:
    from dotflow.core.dotflow import DotFlow
    from dotflow.core.workflow import Manager

GRACE = 10.0  # seconds that a run in progress has after the first signal
ENDING = (signal.SIGINT, signal.SIGTERM)


class _Unwind(BaseException):
    """Leaves a scheduler's loop, even out of a sleep."""


class Ticker:
    """One call of ``DotFlow.schedule``.

    Args:
        workflow: What runs at each tick.
    """

    def __init__(self, workflow: DotFlow) -> None:
        self._workflow = workflow
        self._first = True
        self._stopping = False
        self._active: dict[int, Manager] = {}
        self._home = threading.get_ident()
        self._timer: threading.Timer | None = None

    def run(self, kwargs: dict[str, Any]) -> Any:
        """Hand the workflow to its scheduler, and block until that ends."""
        main = threading.current_thread() is threading.main_thread()
        before = {number: signal.signal(number, self._on_signal) for number in ENDING} if main else {}
        try:
            with Wake():
                return self._workflow.config.scheduler.start(workflow=self.tick, **kwargs)
        except _Unwind:
            return None
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for number, handler in before.items():
                signal.signal(number, handler)

    def tick(self, **kwargs: Any) -> Manager:
        """Make one run, and return its handle; what a scheduler calls at each tick."""
        first, self._first = self._first, False
        me = threading.get_ident()
        try:
            manager = self._workflow.tick(
                first=first, on_manager=lambda manager: self._active.__setitem__(me, manager), **kwargs
            )
            manager.wait()  # one in the background belongs to its tick too
            return manager
        finally:
            self._active.pop(me, None)
            if self._stopping and me == self._home:
                raise _Unwind

    def _on_signal(self, number: int, frame: Any) -> None:
        if self._stopping:
            raise KeyboardInterrupt
        self._stopping = True
        self._workflow.config.scheduler.stop()
        for manager in list(self._active.values()):
            manager.stop(Stop(WorkflowStatus.INTERRUPTED, GRACE))
        if self._home not in self._active:
            raise _Unwind
        self._timer = threading.Timer(GRACE, signal.pthread_kill, (self._home, number))
        self._timer.daemon = True
        self._timer.start()
