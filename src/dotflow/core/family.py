"""The tasks that a coroutine step starts on the loop, so that its timeout reaches them. Imported when one has a limit.

Only the loop's task factory hears of every new task. It is wrapped while a step with a limit runs, and only then.
"""

from __future__ import annotations

import asyncio
import contextvars
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

CANCELLATIONS, CANCEL_AGAIN = 5, 0.1  # of a task that swallows them, and the seconds between two

_current: contextvars.ContextVar[Family | None] = contextvars.ContextVar("dotflow_family", default=None)
_watches: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Watch] = weakref.WeakKeyDictionary()


class Family:
    """A step on the running loop, and every task below it."""

    def __init__(self) -> None:
        self._members: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Family:
        _watches.setdefault(self._loop, _Watch(self._loop)).begin()
        return self

    def __exit__(self, *_: object) -> None:
        _watches[self._loop].end()

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start the step."""
        context = contextvars.copy_context()
        context.run(_current.set, self)
        task = self._loop.create_task(work, context=context)
        self.add(task)
        return task

    def add(self, task: asyncio.Task[Any]) -> None:
        """Note a task of the step."""
        self._members.add(task)

    async def end(self) -> None:
        """Cancel all that still run, again and again if they go on all the same."""
        for _ in range(CANCELLATIONS):
            running = [task for task in self._members if not task.done()]
            if not running:
                return
            for task in running:
                task.cancel()
            await asyncio.wait(running, timeout=CANCEL_AGAIN)


class _Watch:
    """Hears of the tasks that are started on one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._users = 0
        self._before: Any = None
        self._own: Any = self._make

    def begin(self) -> None:
        loop = self._loop()
        assert loop is not None
        if not self._users:
            self._before = loop.get_task_factory()
            loop.set_task_factory(self._own)
        self._users += 1

    def end(self) -> None:
        self._users -= 1
        loop = self._loop()
        if loop is not None and not self._users and loop.get_task_factory() is self._own:
            loop.set_task_factory(self._before)

    def _make(
        self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **kwargs: Any
    ) -> asyncio.Task[Any]:
        make = self._before
        task: asyncio.Task[Any] = (
            asyncio.Task(work, loop=loop, **kwargs) if make is None else make(loop, work, **kwargs)
        )
        family = _current.get()
        if family is not None:
            family.add(task)
        return task
