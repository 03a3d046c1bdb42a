"""Steps in worker processes: large results, dead workers, what cannot travel, and how everything ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ended_flow
import process_steps
import psutil
import pytest
from e2e_tools import HERE, alive, children, finish, kill, program, read, wait_gone, wait_until

from dotflow import DotFlow, action
from dotflow.core.events import TaskStarted
from dotflow.core.exception import ConfigurationError, StepNotPortable, WorkerDied
from dotflow.core.task import Task
from dotflow.providers.executor_process import usable_cores

WAITING = min(2, usable_cores())  # steps of ``ended_flow`` that are under way when it is ended


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No test leaves a process or a thread."""
    before, threads = set(children()), set(threading.enumerate())
    yield
    assert set(children()) <= before
    wait_until(lambda: set(threading.enumerate()) <= threads, "the end of all threads", 2)


@pytest.fixture
def journal(tmp_path: Path) -> str:
    return str(tmp_path / "journal")


def run(*steps: Any, given: Any = None, **start: Any) -> list[Task]:
    """Run steps in parallel mode; return the tasks."""
    workflow = DotFlow()
    for step in steps:
        workflow.task.add(step, initial_context=given)
    workflow.start(mode="parallel", **start)
    return workflow.result_task()


# -- values ---------------------------------------------------------------------------------------------------


def test_large_results_of_many_workers_do_not_block_each_other() -> None:
    """Twelve results of 12 MB at once, far more than the pipes hold."""
    workflow = DotFlow()
    for number in range(12):
        workflow.task.add(process_steps.big, initial_context=number)

    manager = workflow.start(mode="parallel")

    assert manager.status == "Completed"
    for number, value in enumerate(workflow.result_storage()):
        assert value == bytes([number]) * process_steps.BIG


def test_large_inputs_and_results_cross_each_other() -> None:
    """12 MB in and out of every task: the parent sends while workers send."""
    given = os.urandom(process_steps.BIG)

    tasks = run(*[process_steps.echoes] * 6, given=given)

    assert all(task.value == given for task in tasks)


def test_steps_run_in_other_processes_and_not_in_too_many() -> None:
    """200 tasks: no more workers than usable cores, now or over the whole run, and none of them is the parent."""
    seen: list[int] = []
    others = len(children())  # servers of the suite

    def count(event: Any) -> None:
        if isinstance(event, TaskStarted):
            seen.append(len(children()) - others)

    tasks = run(*[process_steps.own_pid] * 200, listeners=[count])

    pids = {task.value for task in tasks}
    assert all(task.status == "Completed" for task in tasks)
    assert os.getpid() not in pids
    assert 1 <= len(pids) <= usable_cores()
    assert max(seen) <= usable_cores()
    assert not any(map(alive, pids))


# -- workers that die -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "code", "text"),
    [(process_steps.exits, 3, "ended with exit code 3"), (process_steps.is_killed, -9, "was killed by signal 9")],
)
def test_dead_worker_fails_one_task(step: Any, code: int, text: str, journal: str) -> None:
    """The task it ran fails with the exit code or signal; the seven others run once each, and complete."""
    steps = [process_steps.notes] * 8
    steps[3] = step

    tasks = run(*steps, given=journal, keep_going=True)

    victim = tasks.pop(3)
    assert victim.status == "Failed"
    [error] = victim.errors
    assert (error.exception, error.attempt) == ("WorkerDied", 1)
    assert text in error.message
    assert isinstance(error.error, WorkerDied)
    assert error.error.exitcode == code
    assert [task.status for task in tasks] == ["Completed"] * 7
    assert Counter(line["event"] for line in read(journal)) == {"began": 8, "ended": 7}


@pytest.mark.parametrize("position", [0, 57, 199])
def test_dead_worker_among_short_steps_fails_one_task(position: int, journal: str) -> None:
    """Where short steps travel in batches, it is still the right task that fails, and the only one."""
    steps = [process_steps.quick] * 200
    steps[position] = process_steps.exits

    tasks = run(*steps, given=journal, keep_going=True)

    assert [index for index, task in enumerate(tasks) if task.status != "Completed"] == [position]
    assert tasks[position].errors[0].exception == "WorkerDied"
    assert len(read(journal)) == 1


def test_step_whose_worker_died_is_tried_again(journal: str) -> None:
    """A dead worker is a failure like any other: retry=2 gives the step another one."""
    [task] = run(process_steps.dies_once, given=journal)

    assert (task.status, task.value) == ("Completed", "second")
    assert "exit code 7" in task.errors[0].message
    assert len({line["pid"] for line in read(journal)}) == 2


def test_sys_exit_is_a_failure_of_the_step() -> None:
    """It ends neither the worker nor the run."""
    bad, good = run(process_steps.calls_sys_exit, process_steps.quick, keep_going=True)

    assert (bad.errors[0].exception, bad.errors[0].message) == ("SystemExit", "4")
    assert good.value == "quick"


def test_child_of_a_dead_worker_dies_too(journal: str) -> None:
    """What a step started does not outlive the worker that died in it."""
    run(process_steps.leaves_a_child_and_dies, given=journal)

    wait_gone([read(journal)[0]["child"]], 2)


# -- what cannot travel ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "kind"), [(process_steps.returns_a_lock, "dict"), (process_steps.returns_a_socket, "socket")]
)
def test_result_that_cannot_travel_is_a_clear_failure(step: Any, kind: str) -> None:
    """The error names the step, the type, the reason and the way out; the other task completes."""
    bad, good = run(step, process_steps.quick, keep_going=True)

    assert (bad.status, good.status) == ("Failed", "Completed")
    [error] = bad.errors
    assert error.exception == "StepNotPortable"
    assert f"step '{step.name}'" in error.message
    assert kind in error.message
    assert re.search(r"cannot (be )?pickle", error.message)
    assert "return plain data" in error.message


def test_closure_over_a_lock_or_socket_is_refused_before_anything_runs(journal: str) -> None:
    """The error comes from ``start``, names the step and the way out, and no other step has run."""
    lock, connection = threading.Lock(), socket.socket()

    @action
    def holds_a_lock() -> None:
        lock.acquire()

    @action
    def holds_a_socket() -> None:
        connection.send(b"")

    with connection:
        for step in (holds_a_lock, holds_a_socket):
            with pytest.raises(StepNotPortable, match=f"the code of step '{step.name}' cannot be sent") as caught:
                run(process_steps.notes, step, given=journal)
            assert "inside the step" in str(caught.value)
    assert read(journal) == []


def test_input_that_cannot_travel_is_a_clear_failure() -> None:
    """An initial context that holds a lock: an error that names the step; never a hanging run."""
    try:
        tasks = run(process_steps.echoes, given=threading.Lock())
    except (StepNotPortable, ConfigurationError) as error:
        text = str(error)
    else:
        assert tasks[0].status == "Failed"
        text = tasks[0].errors[0].message
    assert "the input of step 'echoes' cannot be sent" in text


@pytest.mark.parametrize(
    ("step", "name", "text"),
    [
        (process_steps.raises_reluctant, "Reluctant", "holds a lock"),
        (process_steps.raises_particular, "Particular", "one and two"),
        (process_steps.raises_with_a_cause, "Reluctant", "its effect"),
    ],
)
def test_exception_that_cannot_travel_is_recorded_as_it_is(step: Any, name: str, text: str) -> None:
    """Type, message and whole traceback arrive, though the object cannot."""
    [task] = run(step)

    [error] = task.errors
    assert (error.exception, error.message, error.error) == (name, text, None)
    assert f"process_steps.{name}: {text}" in error.traceback
    assert "process_steps.py" in error.traceback
    assert error.traceback.count("KeyError: 'the cause'") == (step is process_steps.raises_with_a_cause)


def test_exception_that_can_travel_arrives() -> None:
    """With its arguments."""
    [task] = run(process_steps.raises_plain)

    error = task.errors[0].error
    assert type(error) is ValueError
    assert error.args == ("plain", 1)


def test_steps_and_classes_of_the_main_module_keep_their_identity() -> None:
    """Functions, closures, a lambda, a class step, a dataclass and an enum of ``__main__``; nothing runs it twice."""
    process = program(HERE / "main_flow.py")
    assert finish(process, 30, silent=False).startswith("right ")


def test_exception_of_the_main_module_keeps_its_class() -> None:
    """As a result does: ``error.error`` is the user's own exception, which ``raise_for_failure`` raises from."""
    process = program(HERE / "main_flow.py")
    assert finish(process, 30, silent=False) == "right Refusal('of __main__')\n"


# -- how everything ends --------------------------------------------------------------------------------------


@pytest.fixture(params=["parallel", "sequential", "background", "start_async"])
def ended(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path, set[int]]]:
    """A program in the middle of its run (two groups of two steps), its folder, and its workers."""
    process = program(HERE / "ended_flow.py", tmp_path, request.param)
    storage = ended_flow.make(str(tmp_path)).config.storage

    def under_way() -> bool:
        events = [line["event"] for line in read(tmp_path / "journal")]
        return events.count("waits") == WAITING and len(events) == events.count("waits") + 2

    try:
        wait_until(under_way, "the middle of the run")
        keys = [storage.key(Task(f"quick-{each}", ended_flow.quick, workflow_id="ended")) for each in range(2)]
        wait_until(lambda: len(storage.get_many(keys)) == 2, "the results of the first steps")
        workers = {child.pid for child in psutil.Process(process.pid).children(recursive=True)}
        yield process, tmp_path, workers
    finally:
        kill(process)
        storage.close()
        (tmp_path / "go").touch()  # a worker that is left, ends


def check_resumed(room: Path) -> None:
    """The run goes on where it was: what had completed does not run again."""
    (room / "go").touch()
    workflow = ended_flow.make(str(room))

    manager = workflow.start(mode="parallel", resume=True)

    workflow.config.storage.close()
    assert manager.status == "Completed"
    assert workflow.result_storage() == [1, 1, 2, 2]
    assert [task.restored for task in workflow.result_task()] == [True, True, False, False]
    assert Counter(line["event"] for line in read(room / "journal")) == {"quick": 2, "waits": WAITING + 2}


def test_parent_that_is_killed_leaves_no_worker(ended: tuple[subprocess.Popen[str], Path, set[int]]) -> None:
    """SIGKILL gives the parent no chance; its workers end by themselves, and the run can be resumed."""
    process, room, workers = ended
    assert workers

    process.kill()
    process.wait()

    wait_gone(workers, 2)
    check_resumed(room)


def test_interrupted_parent_leaves_no_worker(ended: tuple[subprocess.Popen[str], Path, set[int]]) -> None:
    """Ctrl-C: the run ends at once with KeyboardInterrupt, nothing is left, and it can be resumed."""
    process, room, workers = ended
    assert workers

    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=10)

    wait_gone(workers, 2)
    assert process.returncode == -signal.SIGINT
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert out == f"{['Completed'] * 2 + ['Paused'] * WAITING + ['Not started'] * (2 - WAITING)}\n"
    check_resumed(room)


def test_worker_whose_parent_is_gone_says_nothing() -> None:
    """A parent that is killed while a worker starts leaves no traceback behind, and no process."""
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    with theirs, tempfile.TemporaryFile() as progress:
        progress.truncate(4096)
        shared = (theirs.fileno(), reading, progress.fileno())
        code = f"import sys; sys.path[:] = {sys.path!r}; from dotflow.providers.worker import main; main{shared}"
        ours.close()
        worker = subprocess.run(
            [sys.executable, "-c", code], pass_fds=shared, start_new_session=True, stderr=subprocess.PIPE, timeout=60,
            check=False,
        )  # fmt: skip
    os.close(reading)
    os.close(writing)

    assert worker.stderr == b""
    assert worker.returncode == -signal.SIGKILL
