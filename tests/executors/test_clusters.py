"""Steps on real clusters: what stops them, what is lost and made up for, what is refused."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cluster_steps
import psutil
import pytest
from graph_steps import run_graph

from dotflow import Config, DotFlow, action
from dotflow.core.events import TaskStarted
from dotflow.core.exception import ClusterUnreachable, ConfigurationError, StepNotPortable
from dotflow.core.task import Task
from dotflow.providers import ExecutorDask, ExecutorRay, StorageSQLite

PATIENCE = 30.0

pytestmark = pytest.mark.alone  # a cluster for each worker of the suite would be too much for one machine


def wait_until(claim: Callable[[], Any]) -> None:
    until = time.monotonic() + PATIENCE
    while not claim():
        assert time.monotonic() < until
        time.sleep(0.01)


def run(executor: Any, *steps: Any, given: Any = None, **start: Any) -> list[Task]:
    workflow = DotFlow(Config(executor=executor))
    for step in steps:
        workflow.task.add(step, initial_context=given)
    workflow.start(mode="parallel", **start)
    return workflow.result_task()


def stands_still(file: Path) -> bool:
    """Whether nobody writes to *file* any more."""
    before = file.read_text()
    time.sleep(0.2)
    return file.read_text() == before


def test_graph_of_200_tasks_gives_the_same(cluster: Any, expected: Any) -> None:
    """Results, and the events of each task in order, are those of a run in one thread."""
    assert run_graph(cluster) == expected


# -- what stops -----------------------------------------------------------------------------------------------


def test_timeout_stops_the_step_and_what_it_started(cluster: Any, tmp_path: Path) -> None:
    """It is over when the run is, with everything below it; the worker goes on."""
    [late] = run(cluster, cluster_steps.beats_too_long, given=str(tmp_path))
    [after] = run(cluster, cluster_steps.has_time, given=[1, "two"])

    assert [error.exception for error in late.errors] == ["TimeoutError"]
    assert stands_still(tmp_path / "beat")
    below = psutil.Process().children(recursive=True)
    assert not [child for child in below if child.name() == "sleep" and child.status() != psutil.STATUS_ZOMBIE]
    assert after.value == [1, "two"]


def test_cancelled_run_stops_the_step(cluster: Any, tmp_path: Path) -> None:
    """Those that wait in the cluster's queue are let go too; the run can be resumed."""
    storage = StorageSQLite(str(tmp_path / "flow.db"))
    workflow = DotFlow(Config(executor=cluster, storage=storage), workflow_id="cancelled")
    workflow.task.add(cluster_steps.quick, initial_context=str(tmp_path))
    for number in range(6):
        workflow.task.add(
            cluster_steps.beats, task_id=f"b{number}", depends_on=["quick"], initial_context=str(tmp_path)
        )
    manager = workflow.start(mode="background")
    wait_until((tmp_path / "beat").exists)
    manager.cancel()
    assert manager.wait(PATIENCE)

    assert manager.status == "Cancelled"
    assert stands_still(tmp_path / "beat")
    tasks = workflow.result_task()
    assert tasks[0].status == "Completed"
    assert {str(task.status) for task in tasks[1:]} <= {"Paused", "Not started"}
    again = DotFlow(Config(executor=cluster, storage=storage), workflow_id="cancelled")
    again.task.add(cluster_steps.quick, initial_context=str(tmp_path))
    assert again.start(resume=True).tasks[0].restored
    storage.close()


# -- what is lost ---------------------------------------------------------------------------------------------


def test_step_that_dies_fails_with_its_exit_code(cluster: Any) -> None:
    """It takes nothing else with it, and the next attempt counts as one."""
    died, again, other = run(
        cluster, cluster_steps.exits, cluster_steps.dies_once, cluster_steps.own_pid, keep_going=True
    )

    assert (died.errors[0].exception, "exit code 3" in died.errors[0].message) == ("WorkerDied", True)
    assert (again.value, [error.exception for error in again.errors]) == (2, ["WorkerDied"])
    assert other.status == "Completed"


def test_steps_of_a_killed_worker_run_again_and_keep_their_attempts(cluster: Any, tmp_path: Path) -> None:
    """The worker is killed with SIGKILL under some of many steps; nothing of that is seen, but one more call."""
    workflow = DotFlow(Config(executor=cluster))
    for number in range(12):
        workflow.task.add(
            cluster_steps.loses_its_worker, task_id=f"t{number}", initial_context=[str(tmp_path), int(number == 5)]
        )
    started: list[str] = []

    manager = workflow.start(
        mode="parallel",
        listeners=[lambda event: started.append(event.task.task_id) if isinstance(event, TaskStarted) else None],
    )

    assert manager.status == "Completed"
    assert len(started) == 12
    tasks = {task.task_id: task for task in workflow.result_task()}
    assert tasks["t5"].value == [1, 1]
    assert all(set(task.value) == {1} and not task.errors and not task.retry_count for task in tasks.values())


def test_step_that_loses_every_worker_fails_in_the_end(cluster: Any, tmp_path: Path) -> None:
    """It is run four times, not for ever."""
    [task] = run(cluster, cluster_steps.loses_its_worker, given=[str(tmp_path), 1000])

    assert [error.exception for error in task.errors] == ["WorkerLost"]
    assert "it was run 4 times" in task.errors[0].message
    assert len((tmp_path / "loses_its_worker").read_text().split()) == 4


# -- what cannot travel ---------------------------------------------------------------------------------------


def test_step_that_cannot_travel_is_refused_before_anything_runs(cluster: Any, tmp_path: Path) -> None:
    """From start, by name."""
    lock = threading.Lock()

    @action
    def holds_a_lock() -> None:
        lock.acquire()

    with pytest.raises(StepNotPortable, match="the code of step 'holds_a_lock'"):
        run(cluster, cluster_steps.beats, holds_a_lock, given=str(tmp_path))
    assert not (tmp_path / "beat").exists()


def test_values_that_cannot_travel_are_failures_of_their_step(cluster: Any) -> None:
    """Results and inputs; large ones pass."""
    result, _ = run(cluster, cluster_steps.returns_a_lock, cluster_steps.own_pid, keep_going=True)
    [given] = run(cluster, cluster_steps.quick, given=threading.Lock())
    [large] = run(cluster, cluster_steps.quick, given=b"x" * 3_000_000)

    assert "the result of step 'returns_a_lock'" in result.errors[0].message
    assert "the input of step 'quick'" in given.errors[0].message
    assert large.value == b"x" * 3_000_000


# -- what is refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ExecutorDask, ExecutorRay])
def test_wrong_arguments_are_refused(kind: Any) -> None:
    """By name, at once."""
    with pytest.raises(ConfigurationError, match=r"workers=\.\.\.\) needs a whole number, at least 1, got 0"):
        kind(workers=0)
    with pytest.raises(ConfigurationError, match=r"in_flight=\.\.\.\) needs a whole number, at least 1, got -1"):
        kind(in_flight=-1)
    with pytest.raises(ConfigurationError, match=r"patience=\.\.\.\) needs seconds, more than 0, got 0"):
        kind(patience=0)
    with pytest.raises(ConfigurationError, match="for a cluster that it starts"):
        kind("127.0.0.1:8786", workers=2)
    with pytest.raises(ConfigurationError, match="needs a"):
        kind(3.5)


@pytest.mark.parametrize(("kind", "form"), [(ExecutorDask, "tcp://{}"), (ExecutorRay, "{}")], ids=["dask", "ray"])
@pytest.mark.parametrize("listening", [False, True])
def test_address_that_does_not_answer_is_refused_in_time(kind: Any, form: str, listening: bool, tmp_path: Path) -> None:
    """Nobody is there, or somebody who says nothing: the error names address, limit and fix; nothing has run."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listening:
            server.listen()
        address = form.format(f"127.0.0.1:{server.getsockname()[1]}")
        began = time.monotonic()

        with pytest.raises(ClusterUnreachable) as caught:
            run(kind(address, patience=1.5), cluster_steps.beats, given=str(tmp_path))

    assert time.monotonic() - began < 15
    assert address in str(caught.value)
    assert "1.5 s" in str(caught.value)
    assert "start one with" in str(caught.value)
    assert not (tmp_path / "beat").exists()


@pytest.mark.parametrize("kind", [ExecutorDask, ExecutorRay])
def test_closed_executor_is_refused(kind: Any) -> None:
    """Before anything runs."""
    executor = kind(workers=1)
    executor.close()
    executor.close()
    with pytest.raises(ConfigurationError, match=f"this {kind.__name__} is closed"):
        run(executor, cluster_steps.own_pid)


def test_client_that_was_shut_down_is_refused(dask_executor: ExecutorDask) -> None:
    """The user's own client, closed too early; and one that lives is taken as it is, by Config too."""
    import distributed

    run(dask_executor, cluster_steps.own_pid)  # so that there is one
    with distributed.Client(dask_executor._own, set_as_default=False) as client:
        config = Config(executor=client)
        assert isinstance(config.executor, ExecutorDask)
        [task] = run(config.executor, cluster_steps.own_pid)
        assert task.status == "Completed"
    with pytest.raises(ConfigurationError, match="shut down"):
        run(config.executor, cluster_steps.own_pid)
