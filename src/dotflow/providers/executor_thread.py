"""Attempts in threads."""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from dotflow.abc.executor import Executor
from dotflow.core.attempt import attempt, failure
from dotflow.core.exception import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.core.messages import Attempt, Outcome


class ExecutorThread(Executor):
    """Run steps in threads. A running thread cannot be stopped: a plain step with a timeout is refused.

    Args:
        workers: Threads at most, at least 1.
    """

    def __init__(self, workers: int = 4) -> None:
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
            raise ConfigurationError(f"ExecutorThread(workers=...) needs a whole number, at least 1, got {workers!r}")
        self.slots = workers
        self._orders: deque[tuple[Any, ...]] = deque()
        self._ready = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, order: Attempt, report: Callable[[Outcome], None]) -> None:
        """Queue the attempt for a free thread; start one if none is free and the limit allows."""
        with self._lock:
            if self._closed:
                raise ConfigurationError("this ExecutorThread is closed; make a new one")
            if self._idle <= len(self._orders) and len(self._threads) < (self.slots or 1):
                thread = threading.Thread(target=self._work, name=f"dotflow-step-{len(self._threads)}", daemon=True)
                try:
                    thread.start()
                    self._threads.append(thread)
                except RuntimeError as error:  # the system has no thread left
                    if not self._threads:
                        report(failure(order, error))
                        return
            self._orders.append((order, report, contextvars.copy_context()))
        self._ready.release()

    def close(self) -> None:
        """Let the threads end; one that is in a step ends with it."""
        with self._lock:
            self._closed = True
        for _ in self._threads:
            self._ready.release()

    def _work(self) -> None:
        while True:
            self._idle += 1
            self._ready.acquire()
            self._idle -= 1
            if not self._orders:
                return
            order, report, context = self._orders.popleft()
            report(context.run(attempt, order))
