"""One run with a step that takes too long, in a process of its own: a program of ``test_timeout``.

Prints what the run came to, and what was left of it, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from typing import Any

import timeout_steps
from e2e_tools import children

from dotflow import DotFlow
from dotflow.core.events import TaskFailed, TaskRetried
from dotflow.core.workflow import Manager


def run_sequential(workflow: DotFlow, **start: Any) -> Manager:
    return workflow.start(**start)


def run_background(workflow: DotFlow, **start: Any) -> Manager:
    manager = workflow.start(mode="background", **start)
    assert manager.wait(30)
    assert manager.thread is not None
    manager.thread.join()
    return manager


def run_async(workflow: DotFlow, **start: Any) -> Manager:
    """On an event loop, where nothing else may be left either, and which may not be blocked."""

    async def main() -> Manager:
        pauses = []

        async def tick() -> None:
            while True:
                before = time.monotonic()
                await asyncio.sleep(0.01)
                pauses.append(time.monotonic() - before)

        ticking = asyncio.create_task(tick())
        manager = await workflow.start_async(**start)
        ticking.cancel()
        assert asyncio.all_tasks() == {asyncio.current_task(), ticking}
        assert max(pauses) < 1, "the event loop was blocked"
        return manager

    return asyncio.run(main())


MODES: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "sequential": (run_sequential, {}, {}),
    "sequential_group": (run_sequential, {"mode": "sequential_group"}, {"group_name": "one"}),
    "groups": (run_sequential, {}, {"group_name": "one"}),
    "parallel": (run_sequential, {"mode": "parallel"}, {}),
    "background": (run_background, {}, {}),
    "background groups": (run_background, {}, {"group_name": "one"}),
    "graph": (run_sequential, {}, {"depends_on": "quick"}),
    "parallel graph": (run_sequential, {"mode": "parallel"}, {"depends_on": "quick"}),
    "start_async": (run_async, {}, {}),
    "start_async parallel": (run_async, {"mode": "parallel"}, {}),
}


def wait_for_nothing(threads: set[threading.Thread]) -> dict[str, list[Any]]:
    """Return what is left besides *threads*; a thread that has nothing to do may take a moment to end."""
    until = time.monotonic() + 0.5
    while True:
        extra = [thread.name for thread in threading.enumerate() if thread not in threads]
        left = {"threads": extra, "children": children()}
        if not any(left.values()) or time.monotonic() > until:
            return left
        time.sleep(0.005)


def main(mode: str, step: str, journal: str) -> None:
    """Make the run."""
    run, start, more = MODES[mode]
    workflow, ends = DotFlow(), []

    def listen(event: Any) -> None:
        if isinstance(event, (TaskRetried, TaskFailed)):
            ends.append(time.monotonic())

    workflow.task.add(timeout_steps.quick)
    workflow.task.add(getattr(timeout_steps, step), initial_context=journal, **more)
    threads = set(threading.enumerate())
    manager = run(workflow, listeners=[listen], **start)
    returned = time.monotonic()
    quick, late = workflow.result_task()
    left = wait_for_nothing(threads)
    found = {
        "status": manager.status,
        "quick": quick.status,
        "late": late.status,
        "errors": [(error.exception, error.message, error.attempt) for error in late.errors],
        "retries": late.retry_count,
        "duration": late.duration,
        "ends": ends,
        "returned": returned,
        "left": left,
    }
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
