"""Steps for clusters and pools."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from dotflow import action
from dotflow.core.messages import StepInfo


def beat(room: str) -> None:
    """Go on writing for as long as this lives."""
    for number in range(600):
        Path(room, "beat").write_text(str(number))
        time.sleep(0.02)


@action
def beats(initial_context: Any) -> None:
    beat(initial_context.storage)


@action(timeout=0.4)
def beats_too_long(initial_context: Any) -> None:
    subprocess.Popen(["sleep", "60"], start_new_session=True)
    beat(initial_context.storage)


@action(timeout=30)
def has_time(initial_context: Any) -> Any:
    return initial_context.storage


@action
def exits() -> None:
    os._exit(3)


@action(retry=2, retry_delay=0)
def dies_once(task: StepInfo) -> int:
    if task.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return task.attempt


@action
def own_pid() -> int:
    return os.getpid()


@action
def returns_a_lock() -> Any:
    return threading.Lock()


@action
def quick(initial_context: Any) -> Any:
    return initial_context.storage


@action
def loses_its_worker(initial_context: Any, task: StepInfo) -> list[int]:
    """Kill the worker of the cluster, which is the parent of this process, as often as the input says."""
    room, times = initial_context.storage
    mine = Path(room, task.task_id)
    with mine.open("a") as file:
        file.write(f"{task.attempt}\n")
    runs = [int(line) for line in mine.read_text().split()]
    if len(runs) <= times:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    return runs


@action
def kills_its_pool(initial_context: Any) -> int:
    """Kill the pool's worker the first time."""
    flag = Path(initial_context.storage)
    try:
        flag.touch(exist_ok=False)
    except FileExistsError:
        return 2
    os._exit(5)
