"""How an event loop waits for outcomes and stop requests. Imported only when a run is driven by one."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from typing import TYPE_CHECKING, Any

from dotflow.core.attempt import attempt_async
from dotflow.core.inbox import ThreadInbox
from dotflow.core.messages import Attempt, Outcome, Stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.core.engine import Item, Steps

BREATH = 0.01  # seconds after which coroutines that never wait let the rest of the loop run


async def to_its_end(call: Callable[[], None]) -> None:
    """Make *call* in a thread, however often the task that waits for it is cancelled; that is raised after it."""
    work = asyncio.get_running_loop().run_in_executor(None, contextvars.copy_context().run, call)
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError as error:
            cancelled = error
    work.result()
    if cancelled is not None:
        raise cancelled


class LoopInbox(ThreadInbox):
    """Filled from any thread, awaited on an event loop.

    Args:
        loop: The running loop of this thread.
    """

    on_loop = True

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop, self._owner = loop, threading.get_ident()
        self._waiter: asyncio.Future[None] | None = None
        self._awaiting: asyncio.Task[Any] | None = None
        self._cancelled = False
        self.put = self._put

    def _put(self, item: Item) -> None:
        self._items.put(item)
        wake = functools.partial(self._interrupt, item.grace) if isinstance(item, Stop) else self._wake
        if threading.get_ident() == self._owner:
            wake()
            return
        try:
            self._loop.call_soon_threadsafe(wake)
        except RuntimeError:
            if not self._loop.is_closed():  # else the run was given up, and nobody waits for this
                raise

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _interrupt(self, grace: float) -> None:
        self._wake()
        if self._awaiting is not None:
            self._loop.call_later(grace, self._cancel, self._awaiting)

    def _cancel(self, task: asyncio.Task[Any]) -> None:
        if self._awaiting is task:
            self._cancelled = True
            task.cancel()

    async def arrival(self, seconds: float | None) -> list[Item]:
        """Return what is there, waiting at most *seconds* for it."""
        if seconds is not None and self.pass_over is not None:
            self.pass_over(seconds)
            await asyncio.sleep(0)
        elif self._items.empty():
            self._waiter = self._loop.create_future()
            timer = None if seconds is None else self._loop.call_later(seconds, self._wake)
            try:
                await self._waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        return self.drain()

    async def drive_async(self, steps: Steps) -> None:
        """Run a generator of the engine to its end on this loop; calls of a storage go to a thread."""
        driver = asyncio.current_task()
        assert driver is not None
        cancelled, breath = driver.cancelling(), self._loop.time() + BREATH
        answer: Any = None
        while True:
            try:
                request = steps.send(answer)
            except StopIteration:
                return
            if type(request) is Attempt:
                # Awaited in the task that drives the run, which saves the way through the loop.
                self._awaiting = driver
                answer = await attempt_async(request)
                self._awaiting = None
                if driver.cancelling() != cancelled:
                    answer = self._interrupted(driver, answer)
                if self._loop.time() > breath:
                    await asyncio.sleep(0)
                    breath = self._loop.time() + BREATH
            elif callable(request):
                answer = await asyncio.to_thread(request)
            else:
                answer = await self.arrival(request)  # type: ignore[arg-type]  # the third kind

    def _interrupted(self, driver: asyncio.Task[Any], outcome: Outcome) -> Outcome:
        if not self._cancelled:  # somebody cancelled the caller of start_async
            raise asyncio.CancelledError
        driver.uncancel()
        return outcome._replace(interrupted=True)
