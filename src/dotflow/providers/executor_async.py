"""Attempts on an event loop."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, ClassVar

from dotflow.abc.executor import Executor
from dotflow.core.attempt import attempt_async
from dotflow.core.exception import UnsupportedOption
from dotflow.core.messages import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.core.action import Action
    from dotflow.core.messages import Attempt

CLOSE_PATIENCE = 5.0  # seconds for cancelled coroutines to end


class ExecutorAsync(Executor):
    """Run coroutine steps on one event loop, as many at once as there are.

    Args:
        loop: The running loop to use; ``None`` starts one in a thread of its own.
    """

    takes_async: ClassVar[bool] = True
    slots = None

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def check(self, step: Action[..., Any]) -> None:
        """Raise ``UnsupportedOption`` for a plain step, which would block the loop."""
        if not step.is_async:
            raise UnsupportedOption(
                f"ExecutorAsync runs coroutine steps only, and {step.name!r} is a plain one; leave executor= out: "
                "coroutines run on an event loop anyway"
            )

    def submit(self, order: Attempt, report: Callable[[Outcome], None]) -> Callable[[], None]:
        """Start the coroutine on the loop."""
        work = _Work(order, report, self._tasks)
        if self._loop is not None and asyncio._get_running_loop() is self._loop:
            self._begin(work)
        else:
            self._running_loop().call_soon_threadsafe(self._begin, work)

        def stop() -> None:
            self._running_loop().call_soon_threadsafe(work.stop)

        return stop

    def close(self) -> None:
        """Cancel what runs, and end the loop that this executor started."""
        if self._thread is None or self._loop is None:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_PATIENCE)
        self._thread = None

    def _begin(self, work: _Work) -> None:
        work.task = task = asyncio.get_running_loop().create_task(work.run())
        self._tasks.add(task)
        task.add_done_callback(work.close)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:  # several runs may share this
            if self._loop is None:
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=self._run_loop, args=(loop,), name="dotflow-loop", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the system has no thread left
                    loop.close()
                    raise
                self._loop, self._thread = loop, thread
        return self._loop

    def _run_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()


class _Work:
    """One coroutine step on its way."""

    __slots__ = ("_order", "_report", "_reported", "_running", "_stopped", "task")

    def __init__(self, order: Attempt, report: Callable[[Outcome], None], running: set[asyncio.Task[None]]) -> None:
        self._order, self._report, self._running = order, report, running
        self._stopped = self._reported = False
        self.task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        outcome = await attempt_async(self._order)
        if self._stopped and outcome.error is not None:
            outcome = outcome._replace(interrupted=True)
        self._reported = True
        self._report(outcome)

    def close(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not self._reported:  # cancelled before its first step
            self._report(Outcome(self._order.position, self._order.number, interrupted=True))

    def stop(self) -> None:
        self._stopped = True
        if self.task is not None:
            self.task.cancel()
