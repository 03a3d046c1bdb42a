"""Workflows at the same time, in threads and in processes, on one storage: nothing mixed, nothing lost."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import concurrent_flow
import pytest
from concurrent_flow import STEPS, growing, result_of, storage_at
from e2e_tools import HERE, finish, kill, program, read, wait_until

from dotflow import DotFlow
from dotflow.abc.storage import Storage
from dotflow.core.exception import WorkflowBusy
from dotflow.core.task import Task
from dotflow.providers import StorageDefault

NAMES = ("first", "second")


@pytest.fixture(params=["contexts.db", "contexts"], ids=["StorageSQLite", "StorageFile"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / request.param)


def check_storage(storage: Storage, names: tuple[str, ...] = NAMES) -> None:
    """Every result of every workflow is there, whole, under its own key."""
    for name in names:
        workflow = growing(name, storage)
        assert workflow.start(resume=True).status == "Completed"
        assert workflow.result_storage() == [result_of(name, number) for number in range(STEPS)]
        assert all(task.restored for task in workflow.result_task())
        ids = [task.task_id for task in workflow.result_task()]
        keys = {storage.key(Task(task_id, concurrent_flow.grows, workflow_id=name)) for task_id in ids}
        assert len(keys) == STEPS


def in_threads(*works: Callable[[], Any]) -> None:
    """Call each in a thread of its own, all at the same moment; raise what one of them raised."""
    barrier = threading.Barrier(len(works))
    problems: list[BaseException] = []

    def run(work: Callable[[], Any]) -> None:
        barrier.wait()
        try:
            work()
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]


@pytest.mark.parametrize("shared", [True, False], ids=["one storage object", "one each"])
def test_two_workflows_in_two_threads_do_not_mix(path: str, shared: bool) -> None:
    """Sixty steps each, on one file: every context, result and record is that of its own workflow."""
    common = storage_at(path)
    storages = [common, common if shared else storage_at(path)]
    workflows = [growing(name, storage) for name, storage in zip(NAMES, storages, strict=True)]

    in_threads(*(workflow.start for workflow in workflows))

    for name, workflow in zip(NAMES, workflows, strict=True):
        assert [error.message for task in workflow.result_task() for error in task.errors] == []
        assert workflow.result_storage() == [result_of(name, number) for number in range(STEPS)]
    check_storage(storage_at(path))


def test_two_workflows_in_two_threads_share_a_storage_in_memory() -> None:
    """The same with ``StorageDefault``, five times."""
    storage = StorageDefault()
    for _ in range(5):
        workflows = [growing(name, storage) for name in NAMES]
        in_threads(*(workflow.start for workflow in workflows))
        for name, workflow in zip(NAMES, workflows, strict=True):
            assert workflow.result_storage() == [result_of(name, number) for number in range(STEPS)]


def test_runs_of_one_event_loop_do_not_mix(path: str) -> None:
    """Two runs of ``start_async`` side by side."""
    storage = storage_at(path)
    workflows = [growing(name, storage) for name in NAMES]

    async def main() -> None:
        await asyncio.gather(*(workflow.start_async() for workflow in workflows))

    asyncio.run(main())

    for name, workflow in zip(NAMES, workflows, strict=True):
        assert workflow.result_storage() == [result_of(name, number) for number in range(STEPS)]
    check_storage(storage)


def test_two_workflows_in_two_processes_do_not_mix(path: str) -> None:
    """The same in two processes that begin at the same moment."""
    processes = [program(HERE / "concurrent_flow.py", "grow", name, path) for name in NAMES]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    Path(f"{path}-go").touch()
    for process in processes:
        finish(process)

    check_storage(storage_at(path))


# -- one workflow id ------------------------------------------------------------------------------------------


class Holder:
    """A process that runs the workflow ``held`` until it is let go."""

    def __init__(self, room: Path, path: str) -> None:
        self.room, self.path = room, path
        self.process: subprocess.Popen[str] = program(HERE / "concurrent_flow.py", "hold", room, path)
        wait_until(lambda: read(room / "journal"), "the beginning of the held run")

    def let_go(self) -> None:
        """Let its step end."""
        (self.room / "go").touch()

    def another(self) -> DotFlow:
        """Return the same workflow, in this process."""
        return concurrent_flow.waiting(str(self.room), self.path)


@pytest.fixture
def holder(tmp_path: Path, path: str) -> Iterator[Holder]:
    room = tmp_path / "room"
    room.mkdir()
    made = Holder(room, path)
    yield made
    kill(made.process)


def test_second_process_is_told_who_runs_the_workflow(holder: Holder) -> None:
    """WorkflowBusy names host and process, and says what to do; nothing of the run is touched."""
    with pytest.raises(WorkflowBusy) as caught:
        holder.another().start()

    text = str(caught.value)
    assert socket.gethostname() in text
    assert f"process {holder.process.pid} " in text
    assert "'held'" in text
    assert "since 20" in text
    assert "start(wait=seconds)" in text
    holder.let_go()
    finish(holder.process)
    assert [line["event"] for line in read(holder.room / "journal")] == ["began", "ended"]


@pytest.mark.alone
def test_waiting_gives_up_when_the_time_is_over(holder: Holder) -> None:
    """start(wait=0.4) raises WorkflowBusy after 0.4 s, on an event loop too, which it does not block."""
    began = time.monotonic()
    with pytest.raises(WorkflowBusy):
        holder.another().start(wait=0.4)
    assert 0.35 < time.monotonic() - began < 1.5

    async def main() -> int:
        ticks = 0
        waiting = asyncio.ensure_future(holder.another().start_async(wait=0.4))
        while not waiting.done():
            ticks += 1
            await asyncio.sleep(0.01)
        with pytest.raises(WorkflowBusy):
            await waiting
        return ticks

    assert asyncio.run(main()) > 10


def test_waiting_run_follows_the_one_before_it(holder: Holder) -> None:
    """start(wait=30) begins when the holder has ended, and not before."""
    workflow = holder.another()
    thread = threading.Thread(target=workflow.start, kwargs={"wait": 30})
    thread.start()
    with pytest.raises(WorkflowBusy):
        holder.another().start(wait=0.2)
    assert [line["event"] for line in read(holder.room / "journal")] == ["began"]

    holder.let_go()
    finish(holder.process)
    thread.join(30)

    assert not thread.is_alive()
    assert workflow.result_storage() == [os.getpid()]
    journal = read(holder.room / "journal")
    assert [(line["pid"], line["event"]) for line in journal] == [
        (pid, event) for pid in (holder.process.pid, os.getpid()) for event in ("began", "ended")
    ]


@pytest.mark.alone
def test_waiting_run_follows_a_holder_that_is_killed(holder: Holder) -> None:
    """SIGKILL while another waits: that one goes on at once, and finishes the run."""
    workflow = holder.another()
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(workflow.start(wait=30, resume=True)))
    thread.start()
    kill(holder.process)
    killed = time.monotonic()
    holder.let_go()
    thread.join(30)

    assert found[0].status == "Completed"
    assert time.monotonic() - killed < 2


def test_killed_holder_holds_nothing(holder: Holder) -> None:
    """After SIGKILL the workflow can be resumed at once, with no wait."""
    kill(holder.process)
    holder.let_go()

    workflow = holder.another()
    manager = workflow.start(resume=True)

    assert manager.status == "Completed"
    assert workflow.result_storage() == [os.getpid()]


def test_two_threads_cannot_run_one_workflow_id(tmp_path: Path, path: str) -> None:
    """The second thread is refused like another process; once the first has ended it may run."""
    room = str(tmp_path)
    thread = threading.Thread(target=concurrent_flow.waiting(room, path).start)
    thread.start()
    wait_until(lambda: read(tmp_path / "journal"), "the beginning of the run")

    with pytest.raises(WorkflowBusy, match=f"process {os.getpid()} "):
        concurrent_flow.waiting(room, path).start()

    (tmp_path / "go").touch()
    thread.join()
    assert concurrent_flow.waiting(room, path).start().status == "Completed"


def test_failed_run_gives_up_the_workflow(path: str) -> None:
    """The next run may begin, although nobody closed anything."""
    storage = storage_at(path)
    workflow = growing("first", storage)
    workflow.task.queue[0].step = concurrent_flow.waits  # given a list, it raises
    assert workflow.start().status == "Failed"

    assert growing("first", storage).start().status == "Completed"
