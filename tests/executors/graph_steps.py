"""The steps of one graph of 200 tasks: plain, and as coroutines."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from typing import Any

from dotflow import Config, Context, DotFlow, action
from dotflow.abc.executor import Executor
from dotflow.core.messages import StepInfo

SIZE = 200


class Unlucky(Exception):
    """What the failing steps raise."""


def total(value: Any) -> int:
    """Add up the numbers in what a step got from those before it."""
    if isinstance(value, dict):
        return sum(map(total, value.values()))
    if isinstance(value, (list, tuple)):
        return sum(map(total, value))
    return value if isinstance(value, int) else len(value or b"")


def work(initial: Context, previous: Context, info: StepInfo) -> Any:
    """Return, raise once, or raise always, as the input says."""
    kind, number = initial.storage
    if kind == "fails" or (kind == "retries" and info.attempt == 1):
        raise Unlucky(f"{info.task_id} at attempt {info.attempt}")
    found = total(previous.storage) % 1009
    return {"bytes": bytes(found), "tuple": (number, found), "retries": [found], "plain": found + number}[kind]


@action(retry=2, retry_delay=0)
def step(initial_context: Context, previous_context: Context, task: StepInfo) -> Any:
    return work(initial_context, previous_context, task)


@action(retry=2, retry_delay=0)
async def async_step(initial_context: Context, previous_context: Context, task: StepInfo) -> Any:
    await asyncio.sleep(0)
    return work(initial_context, previous_context, task)


def run_graph(executor: Executor | None, chosen: Any = step) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Run the graph; return what came of each task, and its events in order."""
    chance = random.Random(4)
    workflow = DotFlow(Config(executor=executor), workflow_id="graph")
    for number in range(SIZE):
        kind = chance.choice(["plain"] * 5 + ["bytes", "tuple", "retries", "fails"])
        parents = sorted({f"t{chance.randrange(number)}" for _ in range(chance.randrange(4))}) if number else []
        workflow.task.add(chosen, task_id=f"t{number}", depends_on=parents, initial_context=[kind, number])
    events: dict[str, list[Any]] = defaultdict(list)

    def listen(event: Any) -> None:
        task = getattr(event, "task", None)
        if task is not None:
            error = getattr(event, "error", None)
            events[task.task_id].append((type(event).__name__, str(task.status), error and error.message))

    manager = workflow.start(keep_going=True, listeners=[listen])

    assert manager.status == "Failed"
    results = {
        task.task_id: (str(task.status), task.value, [(e.attempt, e.exception, e.message) for e in task.errors])
        for task in workflow.result_task()
    }
    return results, dict(events)
