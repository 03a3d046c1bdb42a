"""Steps for worker processes: for ``test_processes``."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from e2e_tools import note

from dotflow import action

BIG = 12_000_000  # bytes


@action
def big(initial_context: Any) -> bytes:
    """Return more than any pipe holds."""
    return bytes([initial_context.storage]) * BIG


@action
def echoes(initial_context: Any) -> bytes:
    return initial_context.storage


@action
def own_pid() -> int:
    time.sleep(0.002)
    return os.getpid()


@action
def notes(initial_context: Any) -> int:
    """Note the beginning and the end of something that takes a moment."""
    note(initial_context.storage, event="began")
    time.sleep(0.05)
    note(initial_context.storage, event="ended")
    return os.getpid()


@action
def exits(initial_context: Any) -> None:
    note(initial_context.storage, event="began")
    os._exit(3)


@action
def is_killed(initial_context: Any) -> None:
    note(initial_context.storage, event="began")
    os.kill(os.getpid(), signal.SIGKILL)


@action(retry=2, retry_delay=0)
def dies_once(initial_context: Any) -> str:
    """Die at the first attempt."""
    first = not Path(initial_context.storage).exists()
    note(initial_context.storage, event="began")
    if first:
        os._exit(7)
    return "second"


@action
def calls_sys_exit() -> None:
    sys.exit(4)


@action
def leaves_a_child_and_dies(initial_context: Any) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    note(initial_context.storage, child=child.pid)
    os._exit(3)


@action
def returns_a_lock() -> Any:
    return {"the lock": threading.Lock()}


@action
def returns_a_socket() -> Any:
    return socket.socket()


class Reluctant(Exception):
    """An exception that holds what cannot be pickled."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.lock = threading.Lock()


class Particular(Exception):
    """An exception that can be pickled, and not made again."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


@action
def raises_reluctant() -> None:
    raise Reluctant("holds a lock")


@action
def raises_particular() -> None:
    raise Particular("one", "two")


@action
def raises_with_a_cause() -> None:
    try:
        raise KeyError("the cause")
    except KeyError as error:
        raise Reluctant("its effect") from error


@action
def raises_plain() -> None:
    raise ValueError("plain", 1)


@action
def quick() -> str:
    return "quick"
