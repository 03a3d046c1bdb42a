"""Steps that take too long: for ``test_timeout`` and its program ``timeout_case``."""

from __future__ import annotations

import asyncio
import multiprocessing
import subprocess
import sys
import time
from typing import Any

from e2e_tools import note

from dotflow import DotFlow, action


@action(timeout=1, retry=2, retry_delay=0)
def sleeps(initial_context: Any) -> None:
    note(initial_context.storage, event="began")
    time.sleep(60)
    note(initial_context.storage, event="effect")


@action(timeout=1, retry=2, retry_delay=0)
async def sleeps_async(initial_context: Any) -> None:
    note(initial_context.storage, event="began")
    await asyncio.sleep(60)
    note(initial_context.storage, event="effect")


@action(timeout=1)
def beats(initial_context: Any) -> None:
    note(initial_context.storage, event="began")
    while True:
        note(initial_context.storage, event="beat")
        time.sleep(0.02)


@action(timeout=1)
async def beats_async(initial_context: Any) -> None:
    note(initial_context.storage, event="began")
    while True:
        note(initial_context.storage, event="beat")
        await asyncio.sleep(0.02)


@action(timeout=1)
def swallows(initial_context: Any) -> None:
    note(initial_context.storage, event="began")
    while True:
        try:
            time.sleep(60)
        except BaseException:
            note(initial_context.storage, event="swallowed")


@action(timeout=1)
async def lingers_async(initial_context: Any) -> None:
    note(initial_context.storage, event="began")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(60)
    note(initial_context.storage, event="effect")


@action(timeout=1)
def spawns(initial_context: Any) -> None:
    program = [sys.executable, "-c", "import time; time.sleep(60)"]
    child = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    note(initial_context.storage, event="began", child=child.pid)
    child.wait()


@action(timeout=1)
def spawns_deep(initial_context: Any) -> None:
    """A shell that has a child of its own."""
    child = subprocess.Popen(["sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    note(initial_context.storage, event="began", child=child.pid, grandchild=int(child.stdout.readline()))
    child.wait()


@action(timeout=1)
def spawns_by_multiprocessing(initial_context: Any) -> None:
    child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    child.start()
    note(initial_context.storage, event="began", child=child.pid)
    child.join()


@action(timeout=1)
def spawns_detached(initial_context: Any) -> None:
    """A program in a session of its own, as those are started that are to be killed as a group."""
    program = [sys.executable, "-c", "import time; time.sleep(60)"]
    child = subprocess.Popen(program, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    note(initial_context.storage, event="began", child=child.pid)
    child.wait()


@action(timeout=1)
async def spawns_async(initial_context: Any) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import time; time.sleep(60)", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    note(initial_context.storage, event="began", child=child.pid)
    await child.wait()


@action(timeout=1)
async def forks_async(initial_context: Any) -> None:
    """A task of its own that would go on when the step has ended."""

    async def beat() -> None:
        while True:
            note(initial_context.storage, event="beat")
            await asyncio.sleep(0.02)

    beating = asyncio.create_task(beat())
    note(initial_context.storage, event="began")
    await asyncio.sleep(60)
    await beating


@action(timeout=1)
async def threads_async(initial_context: Any) -> None:
    note(initial_context.storage, event="began")
    await asyncio.to_thread(time.sleep, 8)


@action(timeout=1)
async def blocks_async(initial_context: Any) -> None:
    """Blocks the loop, as a beginner does."""
    note(initial_context.storage, event="began")
    time.sleep(3)


@action
def inner(initial_context: Any) -> None:
    note(initial_context.storage, event="inner")
    time.sleep(60)


@action(timeout=2)
def nests(initial_context: Any) -> None:
    """A whole run with workers of its own."""
    note(initial_context.storage, event="began")
    workflow = DotFlow()
    for _ in range(2):
        workflow.task.add(inner, initial_context=initial_context)
    workflow.start(mode="parallel")


@action(timeout=1, retry=3, retry_delay=0, retry_on=ValueError)
def sleeps_once(initial_context: Any) -> None:
    note(initial_context.storage, event="began")
    time.sleep(60)


@action(timeout=1, retry=3, retry_delay=0, retry_on=(ValueError, KeyError))
async def sleeps_once_async(initial_context: Any) -> None:
    note(initial_context.storage, event="began")
    await asyncio.sleep(60)


@action(timeout=1, retry=2, retry_delay=0)
def raises_timeout_error(initial_context: Any) -> None:
    """A TimeoutError of its own: not the engine's, and recorded as it is."""
    note(initial_context.storage, event="began")
    raise TimeoutError("of the service")


@action
class Methods:
    def __init__(self, initial_context: Any) -> None:
        self.journal = initial_context.storage

    @action
    def first(self) -> str:
        return "first"

    @action(timeout=1, retry=2, retry_delay=0)
    def second(self) -> None:
        note(self.journal, event="began")
        time.sleep(60)
        note(self.journal, event="effect")

    @action
    def third(self) -> None:
        note(self.journal, event="effect")


@action
class AsyncMethods:
    def __init__(self, initial_context: Any) -> None:
        self.journal = initial_context.storage

    @action(timeout=1, retry=2, retry_delay=0)
    async def second(self) -> None:
        note(self.journal, event="began")
        await asyncio.sleep(60)
        note(self.journal, event="effect")


@action
class StubbornMethod:
    """Tries again whatever happens, as loops in the wild do."""

    def __init__(self, initial_context: Any) -> None:
        self.journal = initial_context.storage

    @action(timeout=1)
    def second(self) -> None:
        note(self.journal, event="began")
        while True:
            try:
                time.sleep(60)
            except Exception:
                note(self.journal, event="swallowed")


@action(timeout=1)
class LimitedClass:
    def __init__(self, initial_context: Any) -> None:
        self.journal = initial_context.storage

    @action
    def second(self) -> None:
        note(self.journal, event="began")
        time.sleep(60)


@action
def quick() -> str:
    return "quick"
