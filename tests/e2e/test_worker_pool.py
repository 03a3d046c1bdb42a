"""The pool of worker processes under fire: workers killed at random, timeouts in a row, and what is left of it."""

from __future__ import annotations

import gc
import os
import queue
import random
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pool_steps
import psutil
import pytest
from e2e_tools import alive, wait_until

from dotflow import Config, DotFlow
from dotflow.core.events import TaskCompleted
from dotflow.core.exception import ConfigurationError, UnsupportedOption, WorkerDied
from dotflow.core.messages import Attempt, Outcome
from dotflow.core.task import Task
from dotflow.providers import ExecutorProcess

TASKS, WORKERS = 2000, 2


def descriptors() -> list[str]:
    """Return what the descriptors of this process lead to."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{fd}").split(":")[0])
        except FileNotFoundError:
            continue  # the descriptor of this very listing
    return sorted(found)


def processes() -> set[int]:
    """Return the processes below this one, those included that nobody has collected."""
    return {child.pid for child in psutil.Process().children(recursive=True)}


def segments() -> int:
    gc.collect()
    return sum("memfd" in target for target in descriptors())


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Processes, threads and descriptors are those of before."""
    gc.collect()
    before = processes(), set(threading.enumerate()), descriptors()
    yield
    gc.collect()
    wait_until(lambda: set(threading.enumerate()) <= before[1], "the end of all threads", 5)
    assert processes() <= before[0]
    assert descriptors() == before[2]


class Killer:
    """Hears events, and kills a worker of this process at random after every hundredth task."""

    def __init__(self) -> None:
        self._others, self._chance, self._ended = processes(), random.Random(4), 0
        self.victims: list[int] = []

    def __call__(self, event: Any) -> None:
        if isinstance(event, TaskCompleted):
            self._ended += 1
            workers = sorted(pid for pid in processes() - self._others if alive(pid)) if self._ended % 100 == 0 else []
            if workers:
                self.victims.append(self._chance.choice(workers))
                os.kill(self.victims[-1], signal.SIGKILL)


def run(step: Any, **start: Any) -> tuple[list[Task], list[int], set[int]]:
    """Run that step 2,000 times under fire, then once in peace; return tasks, victims, and the workers at the end."""
    executor, others, killer = ExecutorProcess(workers=WORKERS), processes(), Killer()
    workflow = DotFlow(Config(executor=executor))
    for number in range(TASKS):
        workflow.task.add(step, initial_context=number)
    try:
        workflow.start(mode="parallel", listeners=[killer], **start)
        wait_until(lambda: not any(map(psutil.pid_exists, killer.victims)), "the end of the victims")
        calm = DotFlow(Config(executor=executor))
        for number in range(20):
            calm.task.add(pool_steps.makes_megabyte, initial_context=number)
        assert calm.start(mode="parallel").status == "Completed"
        wait_until(lambda: len(processes() - others) == WORKERS, "a full pool")
        return workflow.result_task(), killer.victims, processes() - others
    finally:
        executor.close()


def test_killed_workers_cost_their_own_task_only() -> None:
    """Each victim's task fails with its exit code, every other completes, and the pool has its size again."""
    before = segments()
    tasks, victims, workers = run(pool_steps.adds_one, keep_going=True)

    failed = [task for task in tasks if task.status != "Completed"]
    assert len(victims) >= 3
    assert 1 <= len(failed) <= len(victims)  # a worker may be hit while it starts, or between two steps
    for task in failed:
        [error] = task.errors
        assert isinstance(error.error, WorkerDied)
        assert error.error.exitcode == -signal.SIGKILL
        assert "killed by signal 9" in error.message
    assert all(task.value == number + 1 for number, task in enumerate(tasks) if task not in failed)
    assert len(workers) == WORKERS
    assert segments() == before


def test_killed_workers_cost_nothing_where_attempts_are_left() -> None:
    """With attempts left, all 2,000 complete; those that were hit have the death among their errors."""
    tasks, victims, _ = run(pool_steps.adds_one_at_last)

    assert [task.value for task in tasks] == [number + 1 for number in range(TASKS)]
    hit = [task for task in tasks if task.errors]
    assert 1 <= sum(len(task.errors) for task in hit) <= len(victims)
    assert {error.exception for task in hit for error in task.errors} == {"WorkerDied"}


def test_step_is_not_lost_when_the_next_one_is_sent_to_its_dead_worker() -> None:
    """The worker dies in a step before anybody has noticed, and is sent another: both have an outcome."""
    executor, outcomes = ExecutorProcess(workers=2), queue.SimpleQueue[Outcome]()

    def submit(position: int, step: Any, report: Any = outcomes.put) -> None:
        executor.submit(Attempt(position, 1, step, 0, None, None, "task", None, ""), report)

    def kill_the_other(outcome: Outcome) -> None:
        """On the thread of the executor, which cannot look after its workers meanwhile."""
        [victim] = [worker for worker in executor._workers if worker.jobs and worker.jobs[0].order.position == stays]
        os.kill(victim._process.pid, signal.SIGKILL)
        wait_until(lambda: not alive(victim._process.pid), "the end of the victim")
        for position in others:
            submit(position, pool_steps.rests)
        outcomes.put(outcome)

    stays, others = 100, [102, 103, 104]
    try:
        for position in range(30):
            submit(position, pool_steps.rests)
        assert {outcomes.get(timeout=60).value for _ in range(30)} == {5}
        submit(stays, pool_steps.stays)
        submit(101, pool_steps.rests, kill_the_other)

        found = {outcome.position: outcome for outcome in (outcomes.get(timeout=20) for _ in range(5))}
    finally:
        executor.close()

    assert isinstance(found[stays].error.error, WorkerDied)
    assert [found[position].value for position in (101, *others)] == [5] * 4


def test_500_timeouts_in_a_row_leave_nothing() -> None:
    """No process, thread, descriptor or segment: while the executor lives, nor after it."""
    executor = ExecutorProcess(workers=4, start_method="forkserver")
    try:
        warm = DotFlow(Config(executor=executor))
        warm.task.add(pool_steps.small)
        warm.start(mode="parallel")
        threads, others = threading.active_count(), len(descriptors())
        workflow = DotFlow(Config(executor=executor))
        for _ in range(500):
            workflow.task.add(pool_steps.hangs)

        workflow.start(mode="parallel", keep_going=True)

        assert [task.errors[0].exception for task in workflow.result_task()] == ["TimeoutError"] * 500
        assert threading.active_count() == threads
        assert len(descriptors()) <= others + 4 * 3  # a worker has a socket, a progress file and a pipe at most
    finally:
        executor.close()


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "2"])
def test_number_of_workers_that_makes_no_sense_is_refused(workers: Any) -> None:
    """At once, with its value and what would do."""
    with pytest.raises(ConfigurationError, match=r"workers=.*whole number, at least 1") as caught:
        ExecutorProcess(workers=workers)
    assert repr(workers) in str(caught.value)


def test_closed_executor_is_refused_before_the_run() -> None:
    """The error says what to do; no task has begun."""
    executor = ExecutorProcess()
    executor.close()
    workflow = DotFlow(Config(executor=executor))
    workflow.task.add(pool_steps.small)

    with pytest.raises(ConfigurationError, match="closed; make a new one"):
        workflow.start(mode="parallel")

    assert [str(task.status) for task in workflow.task.queue] == ["Not started"]


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_start_methods(method: str) -> None:
    """Each is safe with threads: a lock that a thread of this process holds is nobody else's; the steps' errors,
    deaths and values arrive as always."""
    executor = ExecutorProcess(workers=2, start_method=method)
    workflow = DotFlow(Config(executor=executor))
    for step in (pool_steps.hangs, pool_steps.makes_megabyte, pool_steps.exits, pool_steps.small):
        workflow.task.add(step, initial_context=1)
    try:
        with pool_steps.LOCK:
            workflow.task.add(pool_steps.takes_the_lock)
            workflow.start(mode="parallel", keep_going=True)
    finally:
        executor.close()

    late, large, dead, small, free = workflow.result_task()
    assert (late.errors[0].exception, len(large.value), small.value, free.value) == ("TimeoutError", 10**6, 7, True)
    assert dead.errors[0].error.exitcode == 3


def test_killed_fork_server_is_replaced() -> None:
    """Somebody kills the process that starts workers: those that run go on, and a new one comes when it is needed."""
    executor = ExecutorProcess(workers=1, start_method="forkserver")
    try:
        for step, status in ((pool_steps.small, "Completed"), (pool_steps.hangs, "Failed")) * 2:
            workflow = DotFlow(Config(executor=executor))
            workflow.task.add(step)
            assert workflow.start(mode="parallel").status == status
            if step is pool_steps.small:
                assert executor._forks is not None
                executor._forks._process.kill()
                executor._forks._process.wait()
    finally:
        executor.close()


@pytest.mark.parametrize(("method", "kind"), [("fork", UnsupportedOption), ("thread", ConfigurationError)])
def test_start_method_that_cannot_be_honoured_is_refused(method: str, kind: type[Exception]) -> None:
    """With its name, and what to use instead."""
    with pytest.raises(kind, match=rf"start_method=.*{method}") as caught:
        ExecutorProcess(start_method=method)
    assert "forkserver" in str(caught.value)
