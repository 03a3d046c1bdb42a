"""A run every so many seconds."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Any

from dotflow.abc.scheduler import Scheduler
from dotflow.core.exception import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable


class SchedulerInterval(Scheduler):
    """Run the workflow at once, and then at every multiple of an interval after that.

    Ticks are anchored at the start and do not drift; those that pass while a run takes longer than the interval
    are dropped.

    Args:
        seconds: The interval, more than 0.
    """

    def __init__(self, seconds: float = 60) -> None:
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < math.inf:
            raise ConfigurationError(f"SchedulerInterval(seconds=...) needs a number above 0, got {seconds!r}")
        self.seconds = seconds
        self.running = False
        self._stopped = threading.Event()

    def start(self, workflow: Callable[..., Any], **kwargs: Any) -> None:
        """Block and run *workflow* at each tick, until ``stop``."""
        self.running, anchor = True, time.monotonic()
        try:
            while not self._stopped.is_set():
                workflow(**kwargs)
                passed = time.monotonic() - anchor
                self._stopped.wait(self.seconds - passed % self.seconds)
        finally:
            self.running = False
            self._stopped.clear()

    def stop(self) -> None:
        """End the loop; the run in progress finishes."""
        self.running = False
        self._stopped.set()
