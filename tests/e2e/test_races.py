"""Interleavings that are rare, each of them forced: an outcome, a stop or a process that could be lost."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator
from typing import Any

import pool_steps
import pytest

from dotflow import Config, DotFlow, action
from dotflow.abc.executor import Executor
from dotflow.core.messages import Attempt, Outcome
from dotflow.providers import ExecutorProcess, ExecutorThread

PATIENCE = 20  # seconds for what takes milliseconds on an idle machine


@pytest.fixture
def executor() -> Iterator[ExecutorProcess]:
    made = ExecutorProcess(workers=2, start_method="forkserver")
    yield made
    made.close()


def order(step: Any, position: int = 0, **values: Any) -> Attempt:
    return Attempt(position, 1, step, step.policy.timeout, None, None, "task", None, "")._replace(**values)


def submit(executor: Executor, step: Any, outcomes: queue.SimpleQueue[Outcome], position: int = 0) -> Any:
    return executor.submit(order(step, position), outcomes.put)


go_on, begun = threading.Event(), threading.Event()


@action
def waits_to_go_on() -> None:
    begun.set()
    go_on.wait(PATIENCE)


@pytest.mark.parametrize("kind", [ExecutorThread, ExecutorProcess])
def test_executor_outlives_a_run_whose_loop_is_closed(kind: type[Executor]) -> None:
    """An outcome that comes when the loop of its run is gone is nobody's; the next run has its own."""
    executor = kind(workers=1)  # type: ignore[call-arg]  # both take it
    step = waits_to_go_on if kind is ExecutorThread else pool_steps.stays
    go_on.clear()

    async def give_up() -> None:
        workflow = DotFlow(Config(executor=executor))
        workflow.task.add(step)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(workflow.start_async(), 0.05)

    try:
        reported = [asyncio.run(give_up()) for _ in range(3)]
        go_on.set()
        outcomes = queue.SimpleQueue[Outcome]()
        submit(executor, pool_steps.small, outcomes)

        assert reported and outcomes.get(timeout=PATIENCE).value == 7
    finally:
        executor.close()
