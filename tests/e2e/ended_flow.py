"""A run in worker processes that somebody ends: a program of ``test_processes``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from e2e_tools import note, wait_for_file

from dotflow import Config, DotFlow, action
from dotflow.core.workflow import Manager
from dotflow.providers import StorageSQLite


@action
def quick(initial_context: Any) -> int:
    note(Path(initial_context.storage, "journal"), event="quick")
    return 1


@action
def waits(initial_context: Any) -> int:
    """Note the beginning, and wait for the file ``go``."""
    room = Path(initial_context.storage)
    note(room / "journal", event="waits")
    wait_for_file(room / "go")
    return 2


def make(room: str) -> DotFlow:
    """Return the workflow: two that end at once, two that wait."""
    workflow = DotFlow(config=Config(storage=StorageSQLite(f"{room}/contexts.db")), workflow_id="ended")
    for number in range(2):
        workflow.task.add(quick, initial_context=room, task_id=f"quick-{number}", group_name=f"group-{number}")
    for number in range(2):
        workflow.task.add(waits, initial_context=room, task_id=f"waits-{number}", group_name=f"group-{number}")
    return workflow


def main(room: str, mode: str) -> None:
    """Run it, and say how it ended."""
    workflow = make(room)
    try:
        if mode == "start_async":
            asyncio.run(workflow.start_async(mode="parallel"))
        elif mode == "background":
            wait_for(workflow.start(mode="background"))
        else:
            workflow.start(mode=mode)
    except KeyboardInterrupt:
        print([str(task.status) for task in workflow.result_task()], flush=True)
        raise


def wait_for(manager: Manager) -> None:
    """Wait for a run in the background, which goes on after Ctrl-C unless it is cancelled."""
    try:
        manager.wait()
    except KeyboardInterrupt:
        manager.cancel()
        manager.wait()
        raise


if __name__ == "__main__":
    import ended_flow  # under the name that worker processes know it by

    ended_flow.main(*sys.argv[1:])
