"""A run of thirty steps that is killed: a program of ``test_kill``."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

from e2e_tools import ROOM, note

from dotflow import Config, DotFlow, action
from dotflow.abc.storage import Storage
from dotflow.providers import StorageFile, StorageSQLite

VALUES: list[Any] = [
    None, 0, "", [], {}, False, 0.0, (), set(), b"",
    1, "text", [None], {"a": None}, True, -1.5, (1, (2, [3])), {1, 2}, b"\x00\xff", 2**100,
    "two\nlines \u2028 \U0001f600", {1: "one", "1": "text"}, datetime(2026, 1, 2, 3, 4, 5, 678, UTC), date(2026, 1, 2),
    timedelta(days=1, microseconds=1), Decimal("1.10"), UUID(int=7), PurePosixPath("a/b"), ["x" * 50_000], None,
]  # fmt: skip
NAMES = [f"step-{number:02}" for number in range(30)]
STORAGES: dict[str, Callable[[Path], Storage]] = {
    "StorageFile": lambda room: StorageFile(str(room / "contexts")),
    "StorageSQLite": lambda room: StorageSQLite(str(room / "contexts.db")),
}


def parent_of(number: int, mode: str) -> int | None:
    """Number of the step that step *number* follows: the one before it, or one of three chains side by side."""
    found = number - (3 if mode == "parallel" else 1)
    return found if found >= 0 else None


@action
def step(initial_context: Any, previous_context: Any) -> Any:
    """Note the beginning, check what came from the step before, work a little, and return the value."""
    journal, number, before = initial_context.storage
    note(journal, step=number)
    if before is not None:
        wanted = VALUES[before]
        given = previous_context.storage
        assert (type(given), given) == (type(wanted), wanted), f"step {number} was given {given!r}, not {wanted!r}"
    time.sleep(random.uniform(0.001, 0.006))
    return VALUES[number]


def make(room: Path, kind: str, mode: str, workflow_id: str) -> DotFlow:
    """Return the workflow, which keeps everything in *room*."""
    workflow = DotFlow(config=Config(storage=STORAGES[kind](room)), workflow_id=workflow_id)
    for number, name in enumerate(NAMES):
        before = parent_of(number, mode)
        needs = None if mode != "parallel" else [] if before is None else [NAMES[before]]
        workflow.task.add(step, task_id=name, initial_context=[str(room / "journal"), number, before], depends_on=needs)
    return workflow


def main() -> None:
    """Resume the run that the command line names, until somebody kills it."""
    room, kind, mode, workflow_id = sys.argv[1:]
    os.environ[ROOM] = room  # of the workers
    workflow = make(Path(room), kind, mode, workflow_id)
    print("go", flush=True)
    workflow.start(mode=mode, resume=True).raise_for_failure()


if __name__ == "__main__":
    import kill_flow  # under the name that worker processes know it by

    kill_flow.main()
