"""Interleavings that are rare, each of them forced: an outcome, a stop or a process that could be lost."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pool_steps
import pytest
from e2e_tools import HERE, alive, finish, program, wait_until

from dotflow import Config, DotFlow, action
from dotflow.abc.executor import Executor
from dotflow.core.context import Context
from dotflow.core.exception import WorkerDied
from dotflow.core.messages import Attempt, Outcome
from dotflow.providers import ExecutorAsync, ExecutorProcess, ExecutorThread, _link

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

        assert reported
        assert outcomes.get(timeout=PATIENCE).value == 7
    finally:
        executor.close()


def test_outcome_that_came_in_time_counts_though_it_is_read_late(executor: ExecutorProcess) -> None:
    """While something holds the thread of the executor, a step ends in time and its time passes."""
    outcomes, held = queue.SimpleQueue[Outcome](), threading.Event()

    def hold(outcome: Outcome) -> None:
        held.set()
        time.sleep(1.2)  # beyond the deadline of the other
        outcomes.put(outcome)

    submit(executor, pool_steps.takes_half_its_time, outcomes, 1)
    soon = time.monotonic() + 5
    wait_until(lambda: any((worker.deadline or soon) < soon for worker in executor._workers), "the call of the step")
    executor.submit(order(pool_steps.small, 2), hold)

    found = {outcome.position: outcome for outcome in (outcomes.get(timeout=PATIENCE) for _ in range(2))}
    assert found[1].error is None
    assert found[1].value == 6


@pytest.mark.parametrize("end", ["stop", "timeout"])
def test_step_that_waits_for_a_worker_gets_the_successor_of_a_killed_one(end: str) -> None:
    """The only worker is killed with its step; the next step in the queue does not wait for ever."""
    executor, outcomes = ExecutorProcess(workers=1, start_method="forkserver"), queue.SimpleQueue[Outcome]()
    try:
        stop = submit(executor, pool_steps.stays if end == "stop" else pool_steps.hangs, outcomes, 1)
        wait_until(lambda: executor._workers and executor._workers[0].jobs, "the long step")
        submit(executor, pool_steps.small, outcomes, 2)
        if end == "stop":
            stop()
        outcomes.get(timeout=PATIENCE)

        assert outcomes.get(timeout=PATIENCE).value == 7
    finally:
        executor.close()


def test_step_with_much_code_does_not_wait_at_a_busy_worker() -> None:
    """It is not sent ahead: what fills a pipe would keep the executor from stopping anything."""
    executor, outcomes = ExecutorProcess(workers=1, start_method="forkserver"), queue.SimpleQueue[Outcome]()
    ballast = bytes(4_000_000)

    @action
    def heavy() -> int:
        return len(ballast)

    try:
        for _ in range(20):
            submit(executor, pool_steps.rests, outcomes)
        assert {outcomes.get(timeout=PATIENCE).value for _ in range(20)} == {5}
        stop = submit(executor, pool_steps.stays, outcomes)
        wait_until(lambda: executor._workers[0].jobs, "the long step")
        submit(executor, heavy, outcomes, 1)
        wait_until(lambda: not executor._jobs or executor._asleep, "a look at the heavy step")
        stop()

        assert outcomes.get(timeout=PATIENCE).interrupted
        assert outcomes.get(timeout=PATIENCE).value == len(ballast)
    finally:
        for worker in list(executor._workers):
            os.kill(worker._process.pid, signal.SIGKILL)
        executor.close()


@pytest.mark.parametrize("way", ["fork", "system"])
def test_death_of_a_worker_is_heard_of_while_what_it_started_lives(executor: ExecutorProcess, way: str) -> None:
    """A process that a step forked, or started by a shell, has no copy of the connection."""
    outcomes = queue.SimpleQueue[Outcome]()
    given = order(pool_steps.leaves_a_child, initial=Context(way))
    executor.submit(given, outcomes.put)

    error = outcomes.get(timeout=PATIENCE).error
    assert error is not None
    assert isinstance(error.error, WorkerDied)


def test_copy_of_a_worker_gives_no_outcome_of_its_own(executor: ExecutorProcess) -> None:
    """A step forks, and both processes return: one outcome, and steps after it run once."""
    outcomes = queue.SimpleQueue[Outcome]()
    for _ in range(5):
        submit(executor, pool_steps.forks_and_returns, outcomes)
        submit(executor, pool_steps.small, outcomes)

    found = [outcomes.get(timeout=PATIENCE) for _ in range(10)]
    assert all(outcome.error is None and not outcome.interrupted for outcome in found)
    executor.close()
    assert outcomes.empty()


def test_worker_that_stops_in_a_message_holds_up_nobody_for_long(
    executor: ExecutorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as dead, and other steps run."""
    monkeypatch.setattr(_link, "STALLED", 1)
    outcomes = queue.SimpleQueue[Outcome]()
    submit(executor, pool_steps.stops_in_its_answer, outcomes, 1)
    submit(executor, pool_steps.small, outcomes, 2)

    found = {outcome.position: outcome for outcome in (outcomes.get(timeout=PATIENCE) for _ in range(2))}
    assert found[2].value == 7
    assert found[1].error is not None
    assert isinstance(found[1].error.error, WorkerDied)


def test_forked_child_has_workers_of_its_own(executor: ExecutorProcess) -> None:
    """An executor that has begun works in a forked child, which keeps nothing of the parent's open."""
    outcomes = queue.SimpleQueue[Outcome]()
    submit(executor, pool_steps.small, outcomes)
    assert outcomes.get(timeout=PATIENCE).value == 7
    [known] = [worker._process.pid for worker in executor._workers]

    child = os.fork()
    if child == 0:
        code = 1
        try:
            submit(executor, pool_steps.small, outcomes)
            code = 0 if outcomes.get(timeout=PATIENCE).value == 7 else 2
            executor.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    idle = os.fork()
    if idle == 0:
        time.sleep(60)
        os._exit(0)
    try:
        assert alive(known)
        stop = submit(executor, pool_steps.stays, outcomes)
        wait_until(lambda: any(worker.jobs for worker in executor._workers), "the long step")
        os.kill(known, signal.SIGKILL)
        assert outcomes.get(timeout=PATIENCE).error is not None
        stop()
    finally:
        os.kill(idle, signal.SIGKILL)
        os.waitpid(idle, 0)


@pytest.mark.parametrize("scarce", ["descriptors", "processes", "threads"])
def test_executor_that_gets_nothing_from_the_system_answers_all_the_same(scarce: str) -> None:
    """With no descriptor, process or thread left, steps fail or wait, and what runs can be stopped."""
    assert finish(program(HERE / "scarce_case.py", scarce), 60) == "all answered\n"


def test_thread_that_cannot_be_started_fails_the_attempt_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next attempt gets one; with one thread that there is, nothing fails."""
    executor, outcomes = ExecutorThread(workers=2), queue.SimpleQueue[Outcome]()

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    try:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            submit(executor, pool_steps.small, outcomes)
        error = outcomes.get(timeout=PATIENCE).error
        assert error is not None
        assert error.exception == "RuntimeError"
        submit(executor, pool_steps.small, outcomes)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            submit(executor, pool_steps.rests, outcomes)
            submit(executor, pool_steps.rests, outcomes)
        assert {outcomes.get(timeout=PATIENCE).value for _ in range(3)} == {5, 7}
    finally:
        executor.close()


@action
async def soon() -> int:
    return 8


def test_runs_that_begin_at_once_share_one_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads ask for the loop of an executor that has none yet; one that cannot be started is asked for again."""
    executor, outcomes, loops = ExecutorAsync(), queue.SimpleQueue[Outcome](), list[Any]()
    make = asyncio.new_event_loop

    def make_slowly() -> Any:
        loops.append(make())
        time.sleep(0.1)
        return loops[-1]

    monkeypatch.setattr(asyncio, "new_event_loop", make_slowly)
    threads = [threading.Thread(target=submit, args=(executor, soon, outcomes)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    try:
        assert [outcomes.get(timeout=PATIENCE).value for _ in threads] == [8, 8]
        assert len(loops) == 1
    finally:
        executor.close()
