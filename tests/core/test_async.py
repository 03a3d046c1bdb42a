"""``start_async``: runs that share an event loop with others, and runs that make one for themselves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from doubles import Listener, Plain, flow, statuses

from dotflow import Context, action
from dotflow.core.exception import ExecutionModeNotExist, UnsupportedOption, WorkflowBusy
from dotflow.core.types import WorkflowStatus
from dotflow.core.workflow import Manager
from dotflow.providers import ExecutorInline, ExecutorThread, StorageFile, StorageSQLite


@action
def plain(previous_context: Context) -> Any:
    return [*(previous_context.storage or []), threading.current_thread() is threading.main_thread()]


@action
async def coroutine(previous_context: Context) -> Any:
    await asyncio.sleep(0)
    return [*(previous_context.storage or []), "loop"]


@action
async def for_ever() -> None:
    await asyncio.Event().wait()


@action(timeout=0.05)
async def limited() -> None:
    await asyncio.Event().wait()


@action(timeout=0.1)
def limited_plain() -> None:
    threading.Event().wait(600)


@action(timeout=30)
def quick_with_a_limit() -> int:
    return 7


def ran(coro: Coroutine[Any, Any, Any]) -> Any:
    """Run *coro* on a loop of its own, for at most 20 seconds."""
    return asyncio.run(asyncio.wait_for(coro, 20))


class Gate:
    """An async step that says when it is in, and waits to be let out."""

    def __init__(self) -> None:
        self.inside, self.out, self.stopped = asyncio.Event(), asyncio.Event(), False

    def step(self) -> Any:
        @action
        async def gate() -> str:
            self.inside.set()
            try:
                await self.out.wait()
            except asyncio.CancelledError:
                self.stopped = True
                raise
            return "out"

        return gate


# -- steps of either kind -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", ["memory", "sqlite", "file", "plain"])
@pytest.mark.parametrize(
    ("steps", "result"),
    [
        ([plain, plain], [False, False]),
        ([coroutine, coroutine], ["loop", "loop"]),
        ([plain, coroutine, plain, coroutine], [False, "loop", False, "loop"]),
    ],
)
def test_steps_of_either_kind_run_beside_the_loop(tmp_path: Path, kept: str, steps: list[Any], result: Any) -> None:
    """Coroutines run on the caller's loop and plain steps in a thread, whatever keeps the results."""
    made: dict[str, Any] = {
        "memory": lambda: None,
        "sqlite": lambda: StorageSQLite(path=str(tmp_path / "flow.db")),
        "file": lambda: StorageFile(path=str(tmp_path / "kept")),
        "plain": Plain,
    }
    workflow = flow(*steps, workflow_id="w", storage=made[kept]())
    manager = ran(workflow.start_async())

    assert manager.status is WorkflowStatus.COMPLETED
    assert manager.wait(0)
    assert workflow.result_storage()[-1] == result


def test_coroutines_run_on_the_loop_of_the_caller() -> None:
    """The step sees the very loop that awaits ``start_async``."""
    seen: list[Any] = []

    @action
    async def looks() -> None:
        seen.append(asyncio.get_running_loop())

    async def main() -> None:
        await flow(looks).start_async()
        seen.append(asyncio.get_running_loop())

    ran(main())
    assert seen[0] is seen[1]


def test_loop_goes_on_while_a_plain_step_runs() -> None:
    """A plain step waits for what only the loop can do: it would never end if it blocked the loop."""
    release = threading.Event()

    @action
    def waits() -> bool:
        return release.wait(10)

    async def main() -> Any:
        workflow = flow(waits)
        run = asyncio.ensure_future(workflow.start_async())
        await asyncio.sleep(0)
        release.set()
        await run
        return workflow.result_storage()

    assert ran(main()) == [True]


def test_coroutines_that_never_wait_let_the_loop_breathe() -> None:
    """A long chain of quick coroutines does not keep the rest of the loop from running."""
    turns: list[int] = []

    @action
    async def busy() -> None:
        until = asyncio.get_running_loop().time() + 0.006
        while asyncio.get_running_loop().time() < until:
            pass

    async def main() -> Manager:
        def turn() -> None:
            turns.append(1)
            asyncio.get_running_loop().call_soon(turn)

        asyncio.get_running_loop().call_soon(turn)
        manager: Manager = await flow(*[busy] * 20).start_async()
        return manager

    assert ran(main()).status is WorkflowStatus.COMPLETED
    assert len(turns) >= 5


def test_groups_of_coroutines_run_side_by_side() -> None:
    """In ``sequential`` with two groups each coroutine waits for the other group's, and both end."""

    async def main() -> list[Any]:
        here, there = asyncio.Event(), asyncio.Event()

        @action
        async def left() -> str:
            here.set()
            await there.wait()
            return "left"

        @action
        async def right() -> str:
            there.set()
            await here.wait()
            return "right"

        workflow = flow()
        workflow.task.add(left, group_name="a").add(right, group_name="b")
        await workflow.start_async()
        return workflow.result_storage()

    assert ran(main()) == ["left", "right"]


@pytest.mark.parametrize("limit", [None, 1])
def test_slots_of_the_users_executor_are_kept_beside_coroutines(limit: int | None) -> None:
    """With an executor of the user, plain steps run there and coroutines on the loop."""
    executor = ExecutorInline() if limit is None else ExecutorThread(limit)
    workflow = flow(plain, coroutine, plain, executor=executor)
    ran(workflow.start_async())
    executor.close()

    assert [kind == "loop" for kind in workflow.result_storage()[-1]] == [False, True, False]


# -- coroutines under start -----------------------------------------------------------------------------------


def test_start_makes_a_loop_for_coroutines() -> None:
    """Called where no loop runs, ``start`` makes one, for a run of coroutines alone and for a mixed one."""
    alone, mixed = flow(coroutine, coroutine), flow(plain, coroutine)

    assert alone.start().status is mixed.start().status is WorkflowStatus.COMPLETED
    assert alone.result_storage()[-1] == ["loop", "loop"]
    assert mixed.result_storage()[-1] == [True, "loop"]


def test_start_runs_coroutines_though_a_loop_is_running() -> None:
    """Called from a coroutine, ``start`` blocks, but runs its coroutines on another loop."""

    async def main() -> list[Any]:
        workflow = flow(coroutine, coroutine)
        workflow.start()
        return workflow.result_storage()

    assert ran(main())[-1] == ["loop", "loop"]


# -- refused --------------------------------------------------------------------------------------------------


def test_option_that_makes_no_sense_is_refused() -> None:
    """``start_async`` checks what ``start`` checks."""
    with pytest.raises(ExecutionModeNotExist):
        ran(flow(coroutine).start_async(mode="fast"))


def test_timeout_that_the_executor_cannot_keep_is_refused() -> None:
    """An executor of the user that cannot stop a step is named, with the fix, before anything ran."""
    heard = Listener()
    with pytest.raises(UnsupportedOption, match=r"ExecutorInline cannot stop a running step; use .*ExecutorProcess"):
        ran(flow(plain, limited_plain, executor=ExecutorInline()).start_async(listeners=[heard]))
    assert heard.events == []


def test_second_leader_is_refused_without_blocking_the_loop(tmp_path: Path) -> None:
    """While one run holds the id, another is refused; afterwards it is let in."""

    async def main() -> None:
        gate = Gate()

        def workflow(step: Any) -> Any:
            return flow(step, workflow_id="w", storage=StorageSQLite(path=str(tmp_path / "flow.db")))

        leader = asyncio.ensure_future(workflow(gate.step()).start_async())
        await gate.inside.wait()
        with pytest.raises(WorkflowBusy):
            await workflow(coroutine).start_async()
        waiting = asyncio.ensure_future(workflow(coroutine).start_async(wait=10))
        gate.out.set()
        assert (await leader).status is WorkflowStatus.COMPLETED
        assert (await waiting).status is WorkflowStatus.COMPLETED

    ran(main())


# -- timeouts -------------------------------------------------------------------------------------------------


def test_coroutine_over_its_time_is_stopped_and_the_run_fails() -> None:
    """S4: the step is stopped by its timeout, what was never reached has not started."""
    manager = ran(flow(limited, coroutine).start_async())

    assert manager.status is WorkflowStatus.FAILED
    assert statuses(manager) == ["Failed", "Not started"]
    assert manager.tasks[0].errors[-1].exception == "TimeoutError"


def test_plain_step_over_its_time_is_stopped_in_a_process() -> None:
    """S4: a plain step with a timeout runs where it can be stopped, beside steps that run elsewhere."""
    workflow = flow(plain, coroutine, quick_with_a_limit, limited_plain)
    manager = ran(workflow.start_async())

    assert statuses(manager) == ["Completed", "Completed", "Completed", "Failed"]
    assert workflow.result_storage()[2] == 7
    assert manager.tasks[3].errors[-1].exception == "TimeoutError"


# -- stopping -------------------------------------------------------------------------------------------------


def test_cancelled_with_grace_lets_a_coroutine_end() -> None:
    """What ends within the grace completes; the next step is not launched."""

    async def main() -> list[str]:
        gate = Gate()
        workflow = flow(gate.step(), coroutine)
        handles: list[Manager] = []
        made = workflow._manager

        def keep(options: Any) -> Manager:
            handles.append(made(options))
            return handles[0]

        workflow._manager = keep  # type: ignore[method-assign]  # the handle, before the run has ended
        run = asyncio.ensure_future(workflow.start_async())
        await gate.inside.wait()
        handles[0].cancel(grace=30)
        gate.out.set()
        manager = await run
        assert manager.status is WorkflowStatus.CANCELLED
        return statuses(manager)

    first, second = ran(main())
    assert first == "Completed"
    assert second != "Completed"


def test_cancelled_caller_takes_the_run_with_it(tmp_path: Path) -> None:
    """Cancelling who awaits ``start_async`` stops the step, ends the run in order, and gives up the lead."""
    heard = Listener()

    async def main() -> Gate:
        gate = Gate()
        storage = StorageSQLite(path=str(tmp_path / "flow.db"))
        workflow = flow(gate.step(), coroutine, workflow_id="w", storage=storage)
        run = asyncio.ensure_future(workflow.start_async(listeners=[heard]))
        await gate.inside.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        gate.out.set()
        resumed = await workflow.start_async(resume=True)
        assert resumed.status is WorkflowStatus.COMPLETED
        return gate

    assert ran(main()).stopped
    assert heard.events[-1].status is WorkflowStatus.INTERRUPTED
    assert ("TaskCompleted", "gate") not in heard.heard


def test_caller_that_times_out_is_told_so() -> None:
    """``asyncio.timeout`` around ``start_async`` works as around anything else."""

    async def main() -> None:
        async with asyncio.timeout(0.05):
            await flow(for_ever).start_async()

    with pytest.raises(TimeoutError):
        ran(main())


def test_interruption_by_a_step_reaches_who_awaits() -> None:
    """A plain step that raises ``KeyboardInterrupt`` beside a coroutine interrupts the run."""
    heard = Listener()

    @action
    def interrupts() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(flow(coroutine, interrupts, coroutine).start_async(listeners=[heard]))
    assert heard.events[-1].status is WorkflowStatus.INTERRUPTED


# -- resuming -------------------------------------------------------------------------------------------------


def test_failed_run_is_resumed_on_the_loop(tmp_path: Path) -> None:
    """What completed is restored from SQLite; only the rest runs."""
    calls: list[str] = []

    @action
    async def first() -> int:
        calls.append("first")
        return 1

    @action
    async def second(previous_context: Context) -> int:
        calls.append("second")
        if len(calls) < 3:
            raise ValueError("not yet")
        return int(previous_context.storage) + 1

    async def main() -> list[Any]:
        workflow = flow(first, second, workflow_id="w", storage=StorageSQLite(path=str(tmp_path / "flow.db")))
        assert (await workflow.start_async()).status is WorkflowStatus.FAILED
        await workflow.start_async(resume=True)
        return workflow.result_storage()

    assert ran(main()) == [1, 2]
    assert calls == ["first", "second", "second"]
