"""What a run owes its notifiers, kept in the storage until they have it (ADR 0043).

The checkpoint of a task is the record of the message that it completed; one record beside it lists the tasks whose
message has been delivered. A failure, and the end of the run, leave no checkpoint: each is a record of its own, saved
before it is told and removed when it is delivered. A process that takes over the workflow id tells what is left.
"""

from __future__ import annotations

import functools
import threading
import time
from typing import TYPE_CHECKING, Any

from dotflow.core import lane
from dotflow.core.events import TaskCompleted, TaskFailed, WorkflowFinished
from dotflow.core.exception import DotflowError
from dotflow.core.messages import TaskError
from dotflow.core.record import run_event_id
from dotflow.core.redact import KNOWN, masked
from dotflow.core.task import Task, raw_id
from dotflow.core.types import TypeStatus, WorkflowStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dotflow.core.checkpoint import Checkpoint
    from dotflow.core.events import Event

OUTBOX, NEWS = "_dotflow_outbox", "_dotflow_news"
GATHER = 0.1  # seconds for which deliveries are gathered before they are noted together
SHARE = 20  # the pause between two notes is at least so many times as long as a note takes
ERRORS_KEPT, TEXT_MOST, FAILED_MOST = 5, 10_000, 100


class Outbox:
    """The messages of one run that are not delivered yet. None of its failures stops the run.

    Args:
        store: Where they are kept.
        fault: Is told of what fails.
    """

    def __init__(self, store: Checkpoint, fault: Callable[[str, str, BaseException], None]) -> None:
        self._store, self._fault = store, fault
        self._run_id = self._life = self._origin = ""
        self._restored: frozenset[str] = frozenset()
        self._told: dict[str, None] = {}
        self._open: dict[str, int] = {}  # messages on their way, and to how many notifiers
        self._kept: set[str] = set()  # those of them that one of the notifiers could not deliver for now
        self._gone: set[str] = set()  # records to remove
        self._latest: Any = None
        self._later = False  # whether one has to be told by another process
        self._changed = self._closed = False
        self._mutex = threading.Lock()
        self._wake, self._ending = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._pause = GATHER

    # -- at the start of a run ----------------------------------------------------------------------------

    def left(self, tasks: Sequence[Task]) -> list[Event]:
        """Return what an earlier process owed, to be told before anything else."""
        try:
            found = self._store.read_record(OUTBOX)
            if not isinstance(found, dict) or not isinstance(found.get("run_id"), str):
                return []
            told = found.get("told")
            if told is True:
                self._told = dict.fromkeys(task.task_id for task in tasks)
                return []
            self._told = dict.fromkeys(name for name in told or () if isinstance(name, str))
            return [*self._completions(tasks, found["run_id"]), *self._news(tasks)]
        except (DotflowError, TypeError, ValueError, KeyError) as error:  # records that somebody has changed
            self._fault("outbox", "WorkflowStarted", error)
            return []

    def begin(self, run_id: str, life: str, restored: Sequence[str], left: Sequence[Event]) -> None:
        """Note that from now on a checkpoint is a message to be delivered.

        Args:
            run_id: Makes the ids of messages.
            life: Tells this process' part in the run from that of any other.
            restored: Tasks whose checkpoints an earlier process saved; those that it told of stay told.
            left: What is still to be told; a fresh start has removed it from the storage.
        """
        self._run_id, self._life, self._origin = run_id, life, f"{run_id}/{life}"
        self._restored = frozenset(restored)
        self._told = {name: None for name in restored if name in self._told}
        self._changed = True
        self._write()
        for event in left:
            if not isinstance(event, TaskCompleted):
                self.owe(event)  # type: ignore[arg-type]  # the two other kinds

    def _completions(self, tasks: Sequence[Task], run_id: str) -> Iterator[Event]:
        values = self._store.load(tasks)
        for position, task in enumerate(tasks):
            if position in values and task.task_id not in self._told:
                copy = task.fresh()
                copy._current, copy.status, copy.restored = values[position], TypeStatus.COMPLETED, True
                yield TaskCompleted(stamped(copy, run_id))

    def _news(self, tasks: Sequence[Task]) -> list[Event]:
        names = [NEWS, *(f"{NEWS}.{task.task_id}" for task in tasks)]
        records = self._store.read_records(names)
        known = {task.task_id: task for task in tasks}
        ended = records.pop(NEWS, None)
        news = sorted(records.values(), key=lambda record: float(record["at"]))
        found: list[Event] = [TaskFailed(_failed(record, known)) for record in news]
        return found if ended is None else [*found, _finished(ended, known, tasks)]

    # -- while it runs ------------------------------------------------------------------------------------

    def owe(self, event: TaskFailed | WorkflowFinished) -> None:
        """Save that *event* has to be told, before it is."""
        name, record = _name_of(event) or NEWS, _record_of(event, self._origin)
        with self._store.turn:
            with self._mutex:
                self._gone.discard(name)
            try:
                self._store.note(name, record)
            except DotflowError as error:
                self._fault("outbox", type(event).__name__, error)

    def ticket(self, event: Any, ways: int) -> Callable[[BaseException | None], None] | None:
        """Return what is to be called when one of *ways* notifiers has been told of *event*; ``None`` if not owed.

        Called once for each of them, all before the next event.
        """
        name = _name_of(event)
        if name is None or (type(event) is TaskCompleted and event.task.restored and name not in self._restored):
            return None  # the checkpoint of the latter is gone: nothing is left to note
        if event is not self._latest:
            self._latest = event
            with self._mutex:
                self._open[name] = self._open.get(name, 0) + ways
        return functools.partial(self._done, name)

    def close(self) -> None:
        """Note what has been delivered by the end of the run; the rest is noted as long as the program lives."""
        with self._mutex:
            self._closed = self._changed = True
            waiting = bool(self._open)
        if waiting:
            lane.at_exit.add(self._write)
        self._write()
        self._ending.set()
        self._wake.set()

    def _done(self, name: str, error: BaseException | None) -> None:
        with self._mutex:
            if error is not None and _may_pass(error):
                self._kept.add(name)
            self._open[name] -= 1
            if self._open[name] > 0:
                return
            del self._open[name]
            if name in self._kept:
                self._kept.discard(name)
                self._later = True
            elif name.startswith(NEWS):
                self._gone.add(name)
            else:
                self._told[name] = None
            self._changed = True
            if self._thread is None:
                thread = threading.Thread(target=self._serve, name="dotflow-outbox", daemon=True)
                try:
                    thread.start()
                    self._thread = thread
                except RuntimeError as failed:  # the system has no thread left; the next delivery asks again
                    self._fault("outbox", "delivery", failed)
        if not self._wake.is_set():
            self._wake.set()

    def _serve(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            self._ending.wait(self._pause)
            self._write()
            with self._mutex:
                if self._closed and not self._open and not self._changed:
                    lane.at_exit.discard(self._write)
                    self._thread = None
                    return

    def _write(self) -> None:
        with self._store.turn:
            with self._mutex:
                if not self._changed:
                    return
                self._changed = False
                settled = self._closed and not self._open and not self._later
                told, gone, late = (True if settled else list(self._told)), self._gone, self._ending.is_set()
                self._gone = set()
            began = time.monotonic()
            try:
                if late and not self._is_mine():
                    return
                for name in gone:
                    self._store.drop(name)
                self._store.note(OUTBOX, {"run_id": self._run_id, "life": self._life, "told": told})
            except DotflowError as error:
                self._fault("outbox", "delivery", error)
            self._pause = max(GATHER, SHARE * (time.monotonic() - began))

    def _is_mine(self) -> bool:
        """Whether no later run has taken the records over since this one ended."""
        found = self._store.read_record(OUTBOX)
        return isinstance(found, dict) and found.get("life") == self._life


def stamped(task: Task, origin: str) -> Any:
    """Return a masked copy of *task* with the id of the message about it as it is now."""
    copy = masked(task)
    if not copy._origin:
        copy._origin = origin
    return copy


def _name_of(event: Any) -> str | None:
    kind = type(event)
    if kind is TaskCompleted:
        return raw_id(event.task)
    if kind is TaskFailed:
        return f"{NEWS}.{raw_id(event.task)}"
    return NEWS if kind is WorkflowFinished else None


def _may_pass(error: BaseException) -> bool:
    """Whether a notifier failed in a way that says nothing against telling it again."""
    return isinstance(error, (OSError, OverflowError)) or bool(getattr(error, "later", False))


def _record_of(event: TaskFailed | WorkflowFinished, origin: str) -> dict[str, Any]:
    if isinstance(event, TaskFailed):
        return _task_record(stamped(event.task, origin))
    failed = [task for task in event.tasks if task.status is TypeStatus.FAILED][:FAILED_MOST]
    return {
        "id": event.event_id or run_event_id(event.status, origin),
        "at": time.time(),
        "status": event.status.value,
        "duration": event.duration,
        "tasks": [[raw_id(task), task.status.value] for task in event.tasks],
        "failed": [_task_record(stamped(task, origin)) for task in failed],
    }


def _task_record(task: Any) -> dict[str, Any]:
    return {
        "id": task.event_id,
        "at": time.time(),
        "task_id": raw_id(task),
        "group": task.group_name,
        "started": task._started,
        "duration": task.duration,
        "retries": task.retry_count,
        "output": task.output[-TEXT_MOST:],
        "errors": [
            [each.attempt, each.exception, each.message[:TEXT_MOST], each.traceback[-TEXT_MOST:]]
            for each in task.errors[-ERRORS_KEPT:]
        ],
    }


def _failed(record: dict[str, Any], known: dict[str, Task]) -> Any:
    """Return the failed task that *record* tells of."""
    task = known[record["task_id"]].fresh()
    task.status, task.duration, task.retry_count = TypeStatus.FAILED, record["duration"], int(record["retries"])
    task._started, task._output = float(record["started"]), str(record["output"])
    task._finished = task._started + float(task.duration or 0)
    for attempt, exception, message, traceback in record["errors"]:
        error = TaskError(None, attempt)
        error.exception, error.message, error.traceback = str(exception), str(message), str(traceback)
        task.errors.append(error)
    copy = masked(task)
    copy._origin = KNOWN + str(record["id"])
    return copy


def _finished(record: dict[str, Any], known: dict[str, Task], tasks: Sequence[Task]) -> WorkflowFinished:
    """Return the end of a run that *record* tells of, with those of its tasks that are still known."""
    failed = {each["task_id"]: _failed(each, known) for each in record["failed"] if each["task_id"] in known}
    found = []
    for name, status in record["tasks"]:
        if name in failed:
            found.append(failed[name])
        elif name in known:
            task = known[name].fresh()
            task.status = TypeStatus(status)
            found.append(task)
    workflow_id = tasks[0].workflow_id if tasks else None
    status, duration = WorkflowStatus(record["status"]), float(record["duration"])
    return WorkflowFinished(workflow_id, status, duration, found, str(record["id"]))
