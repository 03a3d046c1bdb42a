"""Workflows that run at the same time: steps of ``test_concurrency``, and its program."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from e2e_tools import note, wait_for_file

from dotflow import Config, DotFlow, action
from dotflow.abc.storage import Storage
from dotflow.providers import StorageFile, StorageSQLite

STEPS = 60


def storage_at(path: str) -> Storage:
    """Return a storage for a path: ``….db`` is a SQLite file, anything else a folder."""
    return StorageSQLite(path) if path.endswith(".db") else StorageFile(path)


@action
def grows(initial_context: Any, previous_context: Any) -> dict[str, Any]:
    """Append one item to what came from the step before, which must be of the same workflow."""
    name, number = initial_context.storage
    before = previous_context.storage
    assert before is None or before["name"] == name, f"{name} was given what belongs to {before['name']}"
    assert len(before["items"] if before else []) == number, f"step {number} of {name} was given {before}"
    time.sleep(0.001)
    return {"name": name, "items": [*(before["items"] if before else []), f"{name}-{number}"]}


def growing(name: str, storage: Storage) -> DotFlow:
    """Return a workflow whose every result tells whose it is."""
    workflow = DotFlow(config=Config(storage=storage), workflow_id=name)
    for number in range(STEPS):
        workflow.task.add(grows, initial_context=[name, number])
    return workflow


def result_of(name: str, number: int) -> dict[str, Any]:
    """What step *number* of that workflow gives."""
    return {"name": name, "items": [f"{name}-{each}" for each in range(number + 1)]}


@action
def waits(initial_context: Any) -> int:
    """Note the beginning, and wait until the file ``go`` is there."""
    room = Path(initial_context.storage)
    note(room / "journal", event="began")
    wait_for_file(room / "go")
    note(room / "journal", event="ended")
    return os.getpid()


def waiting(room: str, path: str) -> DotFlow:
    """Return the workflow ``held``, which waits."""
    workflow = DotFlow(config=Config(storage=storage_at(path)), workflow_id="held")
    workflow.task.add(waits, initial_context=room)
    return workflow


def grow(name: str, path: str) -> None:
    """Run a workflow that grows; the other one begins at the same moment."""
    workflow = growing(name, storage_at(path))
    print("ready", flush=True)
    wait_for_file(Path(f"{path}-go"))
    workflow.start().raise_for_failure()


def hold(room: str, path: str) -> None:
    """Run the workflow that waits."""
    waiting(room, path).start().raise_for_failure()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
