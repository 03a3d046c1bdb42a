"""Hold a large value in two processes for ever: for ``test_large_values``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import large_steps

from dotflow import Config, DotFlow, action
from dotflow.providers import ExecutorProcess


@action
def makes() -> Any:
    import numpy as np

    return np.zeros(300 * 2**20 // 8)


@action
def holds(previous_context: Any, initial_context: Any) -> None:
    large_steps.kept.append(previous_context.storage)
    Path(initial_context.storage, "held").touch()
    time.sleep(60)


if __name__ == "__main__":
    workflow = DotFlow(Config(executor=ExecutorProcess(workers=2)))
    workflow.task.add(makes, task_id="make", depends_on=())
    workflow.task.add(holds, initial_context=sys.argv[1], depends_on="make")
    workflow.start(mode="parallel")
