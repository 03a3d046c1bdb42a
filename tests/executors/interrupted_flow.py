"""A run that is interrupted by Ctrl-C: a program of ``test_interrupted``."""

from __future__ import annotations

import concurrent.futures
import sys
import time
from pathlib import Path
from typing import Any

from dotflow import Config, DotFlow, action
from dotflow.providers import ExecutorDask, ExecutorPool, ExecutorProcess, ExecutorRay, StorageSQLite

EXECUTORS: dict[str, Any] = {
    "process": lambda: ExecutorProcess(2),
    "pool": lambda: ExecutorPool(lambda: concurrent.futures.ThreadPoolExecutor(2)),
    "dask": lambda: ExecutorDask(workers=1),
    "ray": lambda: ExecutorRay(workers=1),
}


@action
def first() -> int:
    return 1


@action(timeout=60)
def waits(initial_context: Any) -> int:
    """Say that it is under way, and wait for the file ``go``."""
    room = Path(initial_context.storage)
    (room / "waits").touch()
    while not (room / "go").exists():
        time.sleep(0.02)
    return 2


def make(room: str, executor: Any = None) -> DotFlow:
    config = Config(storage=StorageSQLite(f"{room}/flow.db"), executor=executor)
    workflow = DotFlow(config, workflow_id="interrupted")
    workflow.task.add(first)
    workflow.task.add(waits, initial_context=room)
    return workflow


if __name__ == "__main__":
    make(sys.argv[1], EXECUTORS[sys.argv[2]]()).start()
