"""What a coroutine step started ends with its timeout; sync providers leave the loop alone."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest
from doubles import Plain, flow

from dotflow import action
from dotflow.providers import ExecutorThread

SLOW = 0.1  # seconds that each call of the storage takes


def step_that_leaves(noted: list[str], *, swallows: bool = False, waits: float = 30) -> Any:
    """Return a step with a timeout that starts a task, which starts another, and waits."""

    async def child(name: str) -> None:
        if name == "child":
            noted.append("started")
            noted.append(asyncio.create_task(child("grandchild")).get_name())
        for _ in range(200):
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                noted.append(f"{name} cancelled")
                if not swallows or noted.count(f"{name} cancelled") > 2:
                    raise
        noted.append(f"{name} went on")

    @action(timeout=0.1)
    async def leaves() -> str:
        leaves.kept = asyncio.create_task(child("child"))
        await asyncio.sleep(waits)
        return "done"

    return leaves


@pytest.mark.parametrize("swallows", [False, True])
def test_timeout_reaches_the_tasks_that_the_step_started(swallows: bool) -> None:
    """Children and their children are cancelled before the run goes on; the loop's factory is as before."""
    noted: list[str] = []

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        workflow = flow(step_that_leaves(noted, swallows=swallows))
        await workflow.start_async()
        assert loop.get_task_factory() is None
        assert len(asyncio.all_tasks()) == 1
        return workflow.result_task()[0]

    task = asyncio.run(main())

    assert [error.exception for error in task.errors] == ["TimeoutError"]
    assert {"started", "child cancelled", "grandchild cancelled"} <= set(noted)
    assert not any("went on" in each for each in noted)


def test_step_that_ends_in_time_may_leave_tasks_behind() -> None:
    """They are the program's own affair, as without a timeout; tasks of others are not touched either way."""
    noted: list[str] = []

    async def main() -> None:
        other = asyncio.create_task(asyncio.sleep(0.3, "other"))
        workflow = flow(step_that_leaves(noted, waits=0.02))
        await workflow.start_async()
        assert workflow.result_storage() == ["done"]
        await flow(step_that_leaves([])).start_async()
        assert "child cancelled" not in noted
        assert await other == "other"

    asyncio.run(main())


def test_factory_of_the_program_is_used_and_put_back() -> None:
    """Two limited steps at once, on a loop with a task factory of its own."""
    made: list[int] = []

    def factory(loop: Any, work: Any, **kwargs: Any) -> asyncio.Task[Any]:
        made.append(1)
        return asyncio.Task(work, loop=loop, **kwargs)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(factory)
        await asyncio.gather(*(flow(step_that_leaves([])).start_async() for _ in range(2)))
        assert loop.get_task_factory() is factory

    asyncio.run(main())
    assert len(made) > 4


class Slow(Plain):
    """A storage whose every method takes its time, as one far away does."""

    def post(self, key: str, context: Any) -> None:
        time.sleep(SLOW)
        super().post(key, context)

    def get(self, key: str) -> Any:
        time.sleep(SLOW)
        return super().get(key)

    def lock(self, workflow_id: Any, wait: float = 0.0) -> Callable[[], None]:
        time.sleep(SLOW)
        return lambda: time.sleep(SLOW)


@action
async def coroutine() -> int:
    return 1


@action
def plain() -> int:
    return 1


@pytest.mark.alone
@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("steps", [[coroutine, coroutine], [plain, plain], [plain, coroutine]])
def test_loop_turns_while_a_slow_storage_works(steps: list[Any], resume: bool) -> None:
    """Reading, saving, taking the lead and giving it up: none of them keeps the loop for as long as it takes."""
    turns: list[float] = []

    async def beat() -> None:
        while True:
            turns.append(time.perf_counter())
            await asyncio.sleep(0.001)

    async def main() -> str:
        beating = asyncio.create_task(beat())
        manager = await flow(*steps, workflow_id="slow", storage=Slow()).start_async(resume=resume)
        beating.cancel()
        return manager.status

    assert asyncio.run(main()) == "Completed"
    assert max(after - before for before, after in itertools.pairwise(turns)) < SLOW * 0.9


def test_slow_check_of_an_executor_does_not_keep_the_loop() -> None:
    """A cluster is reached in a thread."""
    where: list[bool] = []

    class Far(ExecutorThread):
        def check(self, step: Any) -> None:
            try:
                asyncio.get_running_loop()
                where.append(True)
            except RuntimeError:
                where.append(False)

    executor = Far(1)
    workflow = flow(plain, executor=executor)
    asyncio.run(workflow.start_async())
    executor.close()
    assert where == [False]


@pytest.mark.parametrize(("size", "pause"), [(10_000, 0.0), (1_000, 0.2)])
def test_many_coroutines_are_under_way_at_once(size: int, pause: float) -> None:
    """Ten thousand steps on one loop; of a thousand that sleep, all sleep together."""
    inside = most = 0

    @action
    async def sleeps() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(pause)
        inside -= 1

    workflow = flow(*[sleeps] * size)
    manager = workflow.start(mode="parallel")

    assert manager.status == "Completed"
    assert most == size if pause else most > 1
