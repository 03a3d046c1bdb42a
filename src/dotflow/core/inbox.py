"""Where outcomes and stop requests arrive, and how a thread waits for them."""

from __future__ import annotations

from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.core.engine import Item, Steps

LONGEST_WAIT = 86_400.0  # seconds; the engine asks again after it


class ThreadInbox:
    """Filled from any thread, waited for by one."""

    on_loop = False
    pass_over: Callable[[float], None] | None = None  # what a test does instead of waiting

    def __init__(self) -> None:
        self._items: SimpleQueue[Item] = SimpleQueue()
        self.put: Callable[[Item], None] = self._items.put
        self.filled: Callable[[], int] = self._items.qsize

    def drain(self) -> list[Item]:
        """Return what is there now."""
        get = self._items.get_nowait
        return [get() for _ in range(self._items.qsize())]

    def wait(self, seconds: float | None) -> list[Item]:
        """Return what is there, waiting at most *seconds* for it."""
        if seconds is not None and self.pass_over is not None:
            self.pass_over(seconds)
            return self.drain()
        try:
            first = self._items.get(timeout=None if seconds is None else min(seconds, LONGEST_WAIT))
        except Empty:
            return []
        return [first, *self.drain()]

    def drive(self, steps: Steps) -> None:
        """Run a generator of the engine to its end in this thread."""
        answer: Any = None
        while True:
            try:
                request = steps.send(answer)
            except StopIteration:
                return
            answer = request() if callable(request) else self.wait(request)  # type: ignore[arg-type]  # never an attempt
