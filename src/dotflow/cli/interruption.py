"""SIGINT and SIGTERM while a run is on."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from dotflow.core.attempt import attempt
from dotflow.core.messages import Stop
from dotflow.core.types import WorkflowStatus

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

    from dotflow.core.workflow import Manager

GRACE = 10.0  # seconds that what runs has, after SIGTERM
LAST_GRACE = 2.0  # seconds to record that it was interrupted, after that
ENDING = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Ends a run in order, and the process if the run does not end.

    SIGINT stops what runs, SIGTERM gives it a grace time. Either way nothing new is launched, and what
    completes is saved. A second signal ends the process. Both are heard even where a shell has started the command with
    SIGINT ignored, as it does behind ``&`` in a script: ``dotflow cancel`` sends it.

    Args:
        say: Shows a line; called from a signal handler.
        farewell: Called before the process is ended without its consent.

    Attributes:
        number: The first signal that came, 0 if none did.
        manager: The run; until it is known a signal is a ``KeyboardInterrupt``.
    """

    def __init__(self, say: Callable[[str], None], farewell: Callable[[], None]) -> None:
        self.number = 0
        self.manager: Manager | None = None
        self._say, self._farewell = say, farewell
        self._timer: threading.Timer | None = None
        self._overdue = self._raised = self._over = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self.handle) for number in ENDING}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """What a process says that ends because of the signal."""
        return 128 + (self.number or signal.SIGINT)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        if self.number == 0:
            self.number = number
            self._first(number, frame)
        elif self._overdue:
            self._late(frame)
        else:
            self._end()

    def _first(self, number: int, frame: FrameType | None) -> None:
        if self.manager is None:
            self._raised = True
            raise KeyboardInterrupt
        in_step = runs_step(frame)
        if number == signal.SIGINT:
            self.manager.stop(Stop(WorkflowStatus.INTERRUPTED))
            self._watch()
            if in_step:
                self._raised = True
                raise KeyboardInterrupt
            if self.manager.thread is not None:
                self._say(f"interrupted; the running step has {GRACE:g} s, Ctrl-C ends at once")
            return
        self.manager.stop(Stop(WorkflowStatus.INTERRUPTED, GRACE))
        self._watch()
        self._say(f"terminating; what runs has {GRACE:g} s, another signal ends at once")

    def _watch(self) -> None:
        self._timer = threading.Timer(GRACE, self._remind, (LAST_GRACE,))
        self._timer.daemon = True
        self._timer.start()

    def _remind(self, again: float) -> None:
        """Send the signal once more, to the main thread, so that it leaves a sleep."""
        if self._over:
            return
        self._overdue = True
        if again:
            self._timer = threading.Timer(again, self._remind, (0.0,))
            self._timer.daemon = True
            self._timer.start()
        else:
            self._raised = True
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(threading.main_thread().ident or 0, self.number)
        else:
            signal.raise_signal(signal.Signals(self.number))

    def _late(self, frame: FrameType | None) -> None:
        if self._raised:
            self._end()
        self._raised = True
        if runs_step(frame):
            raise KeyboardInterrupt

    def _end(self) -> None:
        self._farewell()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, RuntimeError, ValueError):  # closed, or in the middle of a write
                pass
        os._exit(self.exit_code)


def runs_step(frame: FrameType | None) -> bool:
    """Whether *frame* is inside a step, which a ``KeyboardInterrupt`` then ends; a save is left alone."""
    while frame is not None:
        if frame.f_code is attempt.__code__:
            return True
        frame = frame.f_back
    return False
