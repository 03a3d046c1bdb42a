"""Pools of other libraries: what they can be made to do, and what is said of the rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar

import cluster_steps
import psutil
import pytest

from dotflow import Config, DotFlow, action
from dotflow.core.exception import ConfigurationError, NotCallableObject, StepNotPortable
from dotflow.core.task import Task
from dotflow.providers import ExecutorPool


def processes() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(2, mp_context=get_context("spawn"))


@pytest.fixture(scope="module")
def forked() -> Iterator[ProcessPoolExecutor]:
    with processes() as pool:
        yield pool


@pytest.fixture(params=["threads", "processes"])
def pool(request: pytest.FixtureRequest, forked: ProcessPoolExecutor) -> Iterator[Any]:
    if request.param == "processes":
        yield forked
        return
    with ThreadPoolExecutor(2) as made:
        yield made


def run(executor: Any, *steps: Any, given: Any = None, **start: Any) -> list[Task]:
    workflow = DotFlow(Config(executor=executor))
    for step in steps:
        workflow.task.add(step, initial_context=given)
    workflow.start(mode="parallel", **start)
    return workflow.result_task()


def test_timeout_is_honoured(pool: Any, tmp_path: Path) -> None:
    """The step runs in a process below the pool, which is killed."""
    executor = ExecutorPool(pool)

    late, good = run(
        executor, cluster_steps.beats_too_long, cluster_steps.has_time, given=str(tmp_path), keep_going=True
    )

    assert [error.exception for error in late.errors] == ["TimeoutError"]
    assert good.value == str(tmp_path)
    before = (tmp_path / "beat").read_text()
    executor.close()
    assert (tmp_path / "beat").read_text() == before
    assert not [child for child in psutil.Process().children(recursive=True) if child.name() == "sleep"]


def test_threads_share_memory_and_processes_do_not() -> None:
    """A lock goes through a pool of threads; a pool of processes refuses it before anything runs."""
    lock = threading.Lock()

    @action
    def holds_a_lock() -> bool:
        return lock.acquire(blocking=False)

    with ThreadPoolExecutor(1) as threads, processes() as others:
        assert run(threads, holds_a_lock)[0].value is True
        with pytest.raises(StepNotPortable, match="the code of step 'holds_a_lock'"):
            run(others, holds_a_lock)


def test_context_variables_and_steps_of_one_file_reach_a_pool(pool: Any) -> None:
    """A closure travels by value, where the pool alone could not pickle it."""
    number = 41
    assert run(pool, action(lambda: number + 1))[0].value == 42


def test_broken_pool_fails_what_it_had(tmp_path: Path) -> None:
    """A pool that was given cannot be made again: a failure that names the way out, and the next run is refused."""
    with processes() as pool:
        [task] = run(pool, cluster_steps.kills_its_pool, given=str(tmp_path / "flag"))

        assert [error.exception for error in task.errors] == ["WorkerLost"]
        assert "ExecutorPool(make)" in task.errors[0].message
        with pytest.raises(ConfigurationError, match="is broken"):
            run(pool, cluster_steps.own_pid)


def test_broken_pool_is_made_again_and_no_attempt_is_lost(tmp_path: Path) -> None:
    """A callable makes the pool: what was under way runs again, and does not count as an attempt."""
    executor = ExecutorPool(processes)

    first, *others = run(
        executor, cluster_steps.kills_its_pool, *[cluster_steps.quick] * 5, given=str(tmp_path / "flag")
    )

    assert (first.value, first.errors) == (2, [])
    assert [task.value for task in others] == [str(tmp_path / "flag")] * 5
    executor.close()
    with pytest.raises(ConfigurationError, match="is closed"):
        run(executor, cluster_steps.own_pid)


def test_pool_that_breaks_every_time_is_given_up() -> None:
    """After three more pools."""
    executor = ExecutorPool(processes)
    [task] = run(executor, cluster_steps.exits)
    assert [error.exception for error in task.errors] == ["WorkerLost"]
    executor.close()


@pytest.mark.parametrize("make", [ThreadPoolExecutor, processes])
def test_pool_that_was_shut_down_is_refused(make: Any) -> None:
    """Before anything runs."""
    pool = make()
    pool.shutdown()
    with pytest.raises(ConfigurationError, match=f"{type(pool).__name__} takes no work"):
        run(pool, cluster_steps.own_pid)


def test_cancelled_run_takes_back_what_has_not_begun() -> None:
    """The step that runs is awaited; those behind it never begin."""
    inside, out = threading.Event(), threading.Event()
    calls: list[int] = []

    @action
    def waits() -> None:
        calls.append(1)
        inside.set()
        out.wait(20)

    class Noting(ThreadPoolExecutor):
        given: ClassVar[list[Future[Any]]] = []

        def submit(self, *args: Any) -> Future[Any]:  # type: ignore[override]
            self.given.append(super().submit(*args))
            return self.given[-1]

    with Noting(1) as pool:
        workflow = DotFlow(Config(executor=ExecutorPool(pool, workers=3)))
        for number in range(5):
            workflow.task.add(waits, task_id=f"t{number}", depends_on=[])
        manager = workflow.start(mode="background")
        assert inside.wait(20)
        manager.cancel()
        while sum(future.cancelled() for future in pool.given) < 2:
            time.sleep(0.005)
        out.set()
        assert manager.wait(20)
    assert manager.status == "Cancelled"
    assert calls == [1]


@pytest.mark.parametrize("given", [3, "pool", object(), ThreadPoolExecutor])
def test_what_is_no_pool_is_refused(given: Any) -> None:
    """With what would have done."""
    with pytest.raises(NotCallableObject, match="a pool with the submit of"):
        Config(executor=given)


def test_worker_counts_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least 1, got 0"), ThreadPoolExecutor(1) as pool:
        ExecutorPool(pool, workers=0)
    with pytest.raises(NotCallableObject, match="submit"):
        ExecutorPool(3)


def test_pool_that_cannot_be_made_again_fails_what_it_had() -> None:
    """The callable that made the first one raises: no attempt waits for a pool that will not come."""
    made = []

    def make() -> ProcessPoolExecutor:
        if made:
            raise OSError("no process left")
        made.append(processes())
        return made[0]

    executor = ExecutorPool(make, workers=2)
    try:
        [task] = run(executor, cluster_steps.exits)
    finally:
        executor.close()
    assert task.status == "Failed"
    assert task.errors[-1].message == "no process left"
