"""Steps that print, for worker processes too."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from typing import Any

from dotflow import action

together = threading.Barrier(2)


@action
def talk(initial_context: Any) -> int:
    """Print to both streams, in pieces."""
    print("out", end=" ")
    print(initial_context.storage)
    print("err", file=sys.stderr)
    sys.stdout.buffer.write(b"bytes\n")
    sys.stdout.writelines(["a\n", "no end"])
    return 1


@action
def meet(initial_context: Any) -> None:
    """Print in turns with another thread."""
    for number in range(50):
        together.wait(10)
        print(initial_context.storage, number)


@action
async def meet_async(initial_context: Any) -> None:
    """Print in turns with another coroutine; a task and a thread of its own say something too."""
    for number in range(20):
        print(initial_context.storage, number)
        await asyncio.sleep(0)
    await asyncio.gather(asyncio.create_task(_say(initial_context.storage)), asyncio.to_thread(print, "thread"))


async def _say(what: str) -> None:
    print("task of", what)


@action(retry=3, retry_delay=0)
def stumble(task: Any) -> None:
    """Succeed at the third attempt."""
    print("attempt", task.attempt)
    if task.attempt < 3:
        raise ValueError("not yet")


@action
def chatter() -> None:
    """Print far too much."""
    for number in range(20_000):
        print(number)


@action
def reveal(initial_context: Any) -> None:
    """Print a secret, in two pieces, and fail."""
    secret = initial_context.storage
    print(f"password: {secret[:5]}", end="")
    print(secret[5:])
    print("postgres://me:pa55word@db", file=sys.stderr, flush=True)
    raise ValueError("no")


@action(timeout=0.5)
def linger() -> None:
    """Say something, and take too long."""
    for number in range(50):
        print(number, "is the last line")
    time.sleep(30)


@action
def vanish() -> None:
    """Say something, and end the process."""
    for number in range(50):
        print(number, "is the last line")
    os.kill(os.getpid(), signal.SIGKILL)
