"""Steps that are quick to import: for ``test_worker_pool``."""

from __future__ import annotations

import os
import signal
import struct
import threading
import time
from typing import Any

from dotflow import action
from dotflow.core import attempt as attempts

LOCK = threading.Lock()


@action
def makes_megabyte(initial_context: Any) -> bytes:
    return bytes([initial_context.storage % 256]) * 1_000_000


@action
def small() -> int:
    return 7


@action(timeout=0.02)
def hangs() -> None:
    time.sleep(60)


@action
def adds_one(initial_context: Any) -> int:
    time.sleep(0.0005)
    return initial_context.storage + 1


@action(retry=50, retry_delay=0)
def adds_one_at_last(initial_context: Any) -> int:
    time.sleep(0.0005)
    return initial_context.storage + 1


@action
def rests() -> int:
    """Too long for a batch, and short enough for the next one to be sent ahead."""
    time.sleep(0.005)
    return 5


@action
def stays() -> None:
    time.sleep(60)


@action
def exits() -> None:
    os._exit(3)


@action
def takes_the_lock() -> bool:
    return LOCK.acquire(timeout=5)


@action(timeout=0.5)
def takes_half_its_time() -> int:
    time.sleep(0.2)
    return 6


@action
def leaves_a_child(initial_context: Any) -> None:
    """Die while a process that this one started, and that has its open files, goes on."""
    if initial_context.storage == "fork":
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
    else:
        os.system("sleep 60 > /dev/null 2>&1 &")
    os.kill(os.getpid(), signal.SIGKILL)


@action
def forks_and_returns() -> int:
    """Let the copy of the worker come back from here too."""
    os.fork()
    return os.getpid()


@action
def stops_in_its_answer() -> None:
    """Begin a message, and be stopped before its end, as by a debugger or a frozen cgroup."""
    assert attempts.give_up is not None
    pipe = attempts.give_up.__self__._connection.fileno()  # type: ignore[attr-defined]  # a bound method
    os.write(pipe, struct.pack("!i", 1000) + b"half")
    os.kill(os.getpid(), signal.SIGSTOP)
