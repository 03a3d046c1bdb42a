"""A run whose notifier is killed, or whose process is: a program of ``test_outbox``."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from dotflow import Config, DotFlow, action
from dotflow.abc.notify import Notify
from dotflow.abc.storage import Storage
from dotflow.core.events import TaskFailed
from dotflow.providers import StorageFile, StorageSQLite

GOOD = [f"good-{number}" for number in range(8)]
BAD = [f"bad-{number}" for number in range(4)]

may_fail = threading.Event()  # not while a kill is to come that could hit a step before its failure is saved
may_fail.set()


def note(path: Path, **fields: Any) -> None:
    """Append one line; it is on the disk when this returns."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(fd, (json.dumps(fields) + "\n").encode())
    os.fsync(fd)
    os.close(fd)


class Teller(Notify):
    """Writes down what it is told, slowly; ends the process *before* or *after* one message."""

    def __init__(self, room: Path, when: str = "", what: str = "") -> None:
        self.journal, self.when, self.what = room / "told", when, what

    def hook_status_task(self, task: Any) -> None:
        last = task.errors[-1].message if task.errors else ""
        self._tell(f"{task.task_id} {task.status}", task.event_id, last)

    def hook_status_workflow(self, run: Any) -> None:
        failed = [task.task_id for task in run.tasks if task.status == "Failed" and task.errors]
        self._tell(f"run {run.status}", run.event_id, f"{run.workflow_id} {' '.join(failed)}")

    def _tell(self, what: str, known: str, text: str) -> None:
        time.sleep(0.002)
        if (self.when, self.what) == ("before", what):
            os.kill(os.getpid(), signal.SIGKILL)
        note(self.journal, what=what, id=known, text=text)
        if (self.when, self.what) == ("after", what):
            os.kill(os.getpid(), signal.SIGKILL)


@action
def good() -> int:
    time.sleep(0.002)
    return 1


@action
def bad(initial_context: Any) -> int:
    """Fail the first time; a second one has nothing to complain of."""
    may_fail.wait()
    marker = Path(initial_context.storage)
    if marker.exists():
        return 2
    marker.touch()
    raise ValueError(f"{marker.name} is not well")


def storage_of(kind: str, room: Path) -> Storage:
    return StorageSQLite(str(room / "db")) if kind == "sqlite" else StorageFile(str(room / "contexts"))


def make(room: Path, kind: str, notify: Notify) -> DotFlow:
    workflow = DotFlow(Config(storage=storage_of(kind, room), notify=notify), workflow_id="owing")
    for name in GOOD:
        workflow.task.add(good, task_id=name)
    for name in BAD:
        workflow.task.add(bad, task_id=name, initial_context=str(room / name))
    return workflow


def main() -> None:
    """Resume the run that the command line names."""
    room, kind, when, what = Path(sys.argv[1]), *sys.argv[2:]
    logging.getLogger("dotflow").setLevel(logging.CRITICAL)

    def listen(event: Any) -> None:
        if isinstance(event, TaskFailed):
            note(room / "failed", task=event.task.task_id)

    if what.startswith("good"):
        may_fail.clear()
    workflow = make(room, kind, Teller(room, when, what))
    print("go", flush=True)
    run = workflow.start(resume=True, keep_going=True, listeners=[listen])
    assert not run.observer_faults, run.observer_faults
    print(run.status)


if __name__ == "__main__":
    main()
