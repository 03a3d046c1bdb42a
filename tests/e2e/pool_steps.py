"""Steps that are quick to import: for ``test_worker_pool``."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from dotflow import action

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
