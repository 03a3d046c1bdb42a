"""Runs that are given up before they begin, or while they end: nothing of theirs stays taken."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dotflow import Config, DotFlow, action
from dotflow.providers import StorageFile

PATIENCE = 20


@action
def one() -> int:
    return 1


@action
async def never() -> None:
    await asyncio.sleep(60)


def make(folder: Path, step: Any = one) -> DotFlow:
    workflow = DotFlow(Config(storage=StorageFile(folder)), workflow_id="w")
    workflow.task.add(step)
    return workflow


def test_run_that_is_cancelled_while_it_waits_for_the_lead_does_not_take_it(tmp_path: Path) -> None:
    """The thread that waits gets the lead later, when nobody wants it any more, and gives it up."""
    release = StorageFile(tmp_path).lock(workflow_id="w", wait=0)
    before = set(threading.enumerate())

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(make(tmp_path).start_async(wait=PATIENCE), 0.1)
        release()

    asyncio.run(give_up())  # which waits for the threads of its executor
    assert set(threading.enumerate()) <= before

    assert make(tmp_path).start().status == "Completed"


@pytest.mark.parametrize("times", [1, 2, 3])
def test_run_that_is_cancelled_while_it_ends_comes_to_its_end(tmp_path: Path, times: int) -> None:
    """However often, and though no thread is free at first: the lead is given up, and the end is told."""
    told, go_on = [], threading.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        workflow = make(tmp_path, never)
        run = asyncio.create_task(workflow.start_async(listeners=[lambda event: told.append(type(event).__name__)]))
        while "TaskStarted" not in told:
            await asyncio.sleep(0.01)
        blocker = loop.run_in_executor(None, go_on.wait, PATIENCE)
        for _ in range(times):
            run.cancel()
            for _ in range(5):
                await asyncio.sleep(0)
        go_on.set()
        await blocker
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(main())
    assert told[-1] == "WorkflowFinished"
    assert make(tmp_path).start().status == "Completed"


@pytest.mark.parametrize("mode", ["sequential", "background"])
def test_run_whose_start_fails_at_the_last_moment_leads_no_more(
    tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No thread can be started for it, or who is told of its handle raises."""
    from dotflow.core.workflow import Options

    def refuse(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    options = Options(mode=mode)
    if mode == "background":
        monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError):
        make(tmp_path).launch(options, on_manager=None if mode == "background" else refuse)
    monkeypatch.undo()

    assert make(tmp_path).start().status == "Completed"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sessions", 3),
        ("sessions", ["x"]),
        ("sessions", [{"status": "In progress"}]),
        ("tasks", 7),
        ("run_id", ["x"]),
        ("family", 1),
    ],
)
def test_record_of_a_wrong_shape_is_named_and_a_fresh_start_replaces_it(tmp_path: Path, field: str, value: Any) -> None:
    """``resume`` says which field, and what to do; what it says helps."""
    from dotflow.core.checkpoint import RECORD, Checkpoint
    from dotflow.core.exception import CorruptCheckpoint

    workflow = make(tmp_path)
    workflow.start()
    store = Checkpoint(workflow.config.storage, workflow.config.codec, "w")
    store.write_record(RECORD, {**store.read_record(RECORD), field: value})

    with pytest.raises(CorruptCheckpoint, match=f"a '{field}' that dotflow does not write.*resume"):
        make(tmp_path).start(resume=True)
    assert make(tmp_path).start().status == "Completed"
    assert make(tmp_path).start(resume=True).status == "Completed"
