"""Where outcomes arrive: waited for by a thread, or by an event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator
from typing import Any

import pytest

from dotflow.core.inbox import ThreadInbox
from dotflow.core.loop import LoopInbox
from dotflow.core.messages import Outcome, Stop
from dotflow.core.types import WorkflowStatus

ONE, TWO = Outcome(0, 1), Outcome(1, 1)


def test_items_come_in_the_order_in_which_they_were_put() -> None:
    """``drain`` gives what is there, once."""
    inbox = ThreadInbox()
    inbox.put(ONE)
    inbox.put(TWO)

    assert inbox.filled() == 2
    assert inbox.drain() == [ONE, TWO]
    assert inbox.drain() == []


def test_waiting_ends_with_an_item_or_with_the_time() -> None:
    """What is there is given at once; after the time there is nothing."""
    inbox = ThreadInbox()
    assert inbox.wait(0.001) == []
    assert inbox.wait(0) == []

    inbox.put(ONE)
    inbox.put(TWO)

    assert inbox.wait(None) == [ONE, TWO]


@pytest.mark.parametrize("seconds", [1e10, float("inf")])
def test_any_pause_can_be_waited_for(seconds: float) -> None:
    """A pause of centuries, which ``backoff`` reaches, is no error."""
    inbox = ThreadInbox()
    inbox.put(ONE)

    assert inbox.wait(seconds) == [ONE]


def test_item_from_another_thread_ends_the_waiting() -> None:
    """An outcome that another thread reports wakes the one that waits."""
    inbox = ThreadInbox()
    thread = threading.Thread(target=inbox.put, args=(ONE,))
    thread.start()

    assert inbox.wait(30) == [ONE]
    thread.join()


def test_generator_is_driven_to_its_end() -> None:
    """A number asks for items, a function to be called."""
    inbox = ThreadInbox()
    inbox.put(ONE)
    seen: list[Any] = []

    def steps() -> Generator[Any, Any, None]:
        seen.append((yield 0))
        seen.append((yield lambda: "called"))

    inbox.drive(steps())

    assert seen == [[ONE], "called"]


def test_loop_waits_without_blocking() -> None:
    """While the inbox waits, other coroutines of the loop go on; items of any thread wake it."""

    async def main() -> list[Any]:
        inbox = LoopInbox(asyncio.get_running_loop())
        thread = threading.Thread(target=inbox.put, args=(ONE,))

        async def beside() -> None:
            inbox.put(TWO)
            thread.start()

        beside_it = asyncio.create_task(beside())
        found = await inbox.arrival(30)
        found += await inbox.arrival(30) if len(found) < 2 else []
        await beside_it
        thread.join()
        return [*found, *(await inbox.arrival(0))]

    assert asyncio.run(main()) == [TWO, ONE]


def test_generator_is_driven_on_a_loop() -> None:
    """A function that blocks is called in a thread, so that the loop goes on."""
    here: list[int] = []

    async def main() -> list[Any]:
        inbox = LoopInbox(asyncio.get_running_loop())
        inbox.put(Stop(WorkflowStatus.CANCELLED))
        seen: list[Any] = []

        def steps() -> Generator[Any, Any, None]:
            seen.append((yield None))
            here.append((yield threading.get_ident))

        await inbox.drive_async(steps())
        return seen

    assert asyncio.run(main()) == [[Stop(WorkflowStatus.CANCELLED)]]
    assert here != [threading.get_ident()]


def test_wait_of_a_loop_ends_with_the_time() -> None:
    """After its time the inbox gives nothing."""

    async def main() -> tuple[list[Any], float]:
        began = time.monotonic()
        found = await LoopInbox(asyncio.get_running_loop()).arrival(0.01)
        return found, time.monotonic() - began

    found, took = asyncio.run(main())
    assert found == []
    assert took >= 0.009
