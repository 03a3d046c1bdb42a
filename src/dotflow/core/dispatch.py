"""From events to observers. Nothing else calls them, and here they are isolated.

In-process observers (log, tracer, metrics, callbacks, listeners) are called on the run's thread. Network
observers (notify, server) are called on a lane: a thread with a bounded queue, which gets copies.
"""

from __future__ import annotations

import atexit
import functools
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from dotflow.core.events import (
    TaskCompleted,
    TaskFailed,
    TaskPaused,
    TaskRestored,
    TaskRetried,
    TaskStarted,
    WorkflowFinished,
    WorkflowStarted,
)
from dotflow.core.task import basic_callback
from dotflow.core.types import WorkflowStatus

if TYPE_CHECKING:
    from dotflow.core.config import Config
    from dotflow.core.events import Event

FAULTS_KEPT = 1000
QUEUE_LENGTH = 10_000  # calls that wait for a slow network observer; the oldest are dropped beyond that
END_PATIENCE = 1.0  # seconds that the end of a run waits for network observers
EXIT_PATIENCE = 10.0  # seconds that the end of the program waits for them


class ObserverFault(NamedTuple):
    """One failure of an observer: which one, at which event, and what it raised."""

    observer: str
    event: str
    error: BaseException


class Dispatcher:
    """Tells the observers of one run.

    Args:
        config: Where the providers are.
        listeners: Called with each event, after the providers.
        on_success: Called as ``on_success(tasks=...)`` when the run completed.
        on_failure: The same when it did not.
    """

    def __init__(
        self,
        config: Config,
        listeners: tuple[Callable[[Event], None], ...] = (),
        on_success: Callable[..., Any] = basic_callback,
        on_failure: Callable[..., Any] = basic_callback,
        callbacks: bool = True,
    ) -> None:
        self.faults: deque[ObserverFault] = deque(maxlen=FAULTS_KEPT)
        self.fault_counts: Counter[str] = Counter()
        self._reported: set[tuple[str, str]] = set()
        self._lane: Lane | None = None
        self._hooks: dict[type, list[tuple[str, Any]]] = {}
        self._on_success, self._on_failure = on_success, on_failure
        self._connect(config)
        for listener in listeners:
            for kind in ALL:
                self._hook(kind, _name(listener), listener)
        if callbacks:
            for kind in (TaskCompleted, TaskFailed):
                self._hook(kind, "callback", _callback)
        self._hook(WorkflowFinished, "on_success/on_failure", self._outcome)

    def hears(self, kind: type) -> bool:
        """Whether anybody wants events of that kind."""
        return kind in self._hooks

    def __call__(self, event: Event) -> None:
        """Tell everybody, in order."""
        for name, hook in self._hooks.get(type(event), ()):
            try:
                hook(event)
            except Exception as error:
                self.fault(name, type(event).__name__, error)

    def fault(self, observer: str, event: str, error: BaseException) -> None:
        """Count a failure; report the first of each kind to the logger ``dotflow``."""
        self.faults.append(ObserverFault(observer, event, error))
        self.fault_counts[observer] += 1
        kind = (observer, type(error).__name__)
        if kind in self._reported:
            return
        self._reported.add(kind)
        import logging

        logging.getLogger("dotflow").warning(
            "%s failed at %s and the run goes on; further failures of this kind are only counted",
            observer, event, exc_info=error,
        )  # fmt: skip

    def flush(self) -> None:
        """Give network observers a moment to finish; what is left is delivered in the background."""
        if self._lane is not None:
            self._lane.flush(END_PATIENCE)
            self._lane.release()

    def _hook(self, kind: type, name: str, hook: Any) -> None:
        self._hooks.setdefault(kind, []).append((name, hook))

    def _connect(self, config: Config) -> None:
        for name, kinds, call in ROUTES:
            if name != "log" and not config.given(name):
                continue  # a default: it does nothing
            provider = getattr(config, name)
            if getattr(provider, "silent", False) or (kinds is INFORMED and getattr(provider, "quiet", False)):
                continue
            hook = functools.partial(call, provider)
            for kind in kinds:
                if name in NETWORK:
                    self._send(kind, _name(provider), hook)
                else:
                    self._hook(kind, _name(provider), hook)

    def _send(self, kind: type, name: str, hook: Any) -> None:
        if self._lane is None:
            self._lane = Lane(self.fault)
        lane = self._lane
        self._hook(kind, name, lambda event: lane.put(name, hook, _frozen(event)))

    def _outcome(self, event: WorkflowFinished) -> None:
        chosen = self._on_success if event.status is WorkflowStatus.COMPLETED else self._on_failure
        if chosen is not basic_callback:
            chosen(tasks=event.tasks)


Kinds = tuple[type, ...]
ENDS: Kinds = (TaskCompleted, TaskFailed, TaskPaused)
INFORMED: Kinds = (TaskStarted, TaskCompleted, TaskRestored, TaskPaused)
NOTIFIED: Kinds = (TaskStarted, TaskRetried, *ENDS)
ALL: Kinds = (WorkflowStarted, TaskStarted, TaskRetried, *ENDS, TaskRestored, WorkflowFinished)
NETWORK = ("notify", "server")


def _report_start(server: Any, event: WorkflowStarted) -> None:
    server.create_workflow(workflow=event.workflow)
    server.update_workflow(workflow=event.workflow_id, status=WorkflowStatus.IN_PROGRESS)
    for task in event.tasks:
        server.create_task(task=task)


def _trace_start(tracer: Any, event: WorkflowStarted) -> None:
    tracer.start_workflow(workflow_id=event.workflow_id, mode=event.mode, tasks_count=len(event.tasks))


def _trace_end(tracer: Any, event: WorkflowFinished) -> None:
    failed = event.status is not WorkflowStatus.COMPLETED
    tracer.end_workflow(workflow_id=event.workflow_id, duration=event.duration, failed=failed)


def _measure(metrics: Any, event: WorkflowFinished) -> None:
    completed = event.status is WorkflowStatus.COMPLETED
    (metrics.workflow_completed if completed else metrics.workflow_failed)(event.workflow_id, event.duration)


# Who is told of what, and how, in the order in which one change is told.
ROUTES: tuple[tuple[str, Kinds, Callable[[Any, Any], None]], ...] = (
    ("tracer", (WorkflowStarted,), _trace_start),
    ("metrics", (WorkflowStarted,), lambda metrics, e: metrics.workflow_started(e.workflow_id, mode=e.mode)),
    ("server", (WorkflowStarted,), _report_start),
    ("tracer", (TaskStarted,), lambda tracer, e: tracer.start_task(task=e.task)),
    ("notify", NOTIFIED, lambda notify, e: notify.hook_status_task(task=e.task)),
    ("log", INFORMED, lambda log, e: log.info(task=e.task)),
    ("log", (TaskRetried,), lambda log, e: log.warning(task=e.task)),
    ("log", (TaskFailed,), lambda log, e: log.error(task=e.task)),
    ("metrics", (TaskRetried,), lambda metrics, e: metrics.task_retried(task=e.task)),
    ("metrics", (TaskCompleted,), lambda metrics, e: metrics.task_completed(task=e.task)),
    ("metrics", (TaskFailed,), lambda metrics, e: metrics.task_failed(task=e.task)),
    ("tracer", ENDS, lambda tracer, e: tracer.end_task(task=e.task)),
    ("server", (*ENDS, TaskRestored), lambda server, e: server.update_task(task=e.task)),
    ("tracer", (WorkflowFinished,), _trace_end),
    ("metrics", (WorkflowFinished,), _measure),
    ("server", (WorkflowFinished,), lambda server, e: server.update_workflow(workflow=e.workflow_id, status=e.status)),
)


def _callback(event: TaskCompleted | TaskFailed) -> None:
    if event.task.callback is not basic_callback:
        event.task.callback(task=event.task)


def _name(observer: object) -> str:
    return getattr(observer, "__qualname__", None) or type(observer).__name__


def _frozen(event: Any) -> Any:
    if hasattr(event, "task"):
        return event._replace(task=event.task.snapshot())
    return event._replace(tasks=[task.snapshot() for task in event.tasks])


class Lane:
    """Calls network observers one after the other on a thread of its own.

    Args:
        fault: Told what a call raised.
    """

    def __init__(self, fault: Callable[[str, str, BaseException], None]) -> None:
        self._fault = fault
        self._calls: deque[tuple[str, Any, Any]] = deque()
        self._changed = threading.Condition()
        self._since: float | None = None
        self._released = False
        self._thread: threading.Thread | None = None

    def put(self, name: str, hook: Any, event: Any) -> None:
        """Queue a call; the oldest one is dropped, and counted, if too many wait."""
        with self._changed:
            if len(self._calls) >= QUEUE_LENGTH:
                dropped = self._calls.popleft()
                self._fault(
                    dropped[0],
                    type(dropped[2]).__name__,
                    OverflowError("too many calls wait; one was dropped"),
                )
            self._calls.append((name, hook, event))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="dotflow-network", daemon=True)
                self._thread.start()
                atexit.register(self.flush, EXIT_PATIENCE)
            self._changed.notify_all()

    def flush(self, patience: float) -> None:
        """Wait until every call is done, at most *patience* seconds, and no longer for a call that takes that long."""
        until = time.monotonic() + patience
        with self._changed:
            while self._calls or self._since is not None:
                now = time.monotonic()
                stuck = self._since + patience if self._since is not None else until
                if now >= min(until, stuck):
                    return
                self._changed.wait(min(until, stuck) - now)

    def release(self) -> None:
        """Let the thread end as soon as nothing is left to call."""
        with self._changed:
            self._released = True
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._since = None
                self._changed.notify_all()
                while not self._calls and not self._released:
                    self._changed.wait()
                if not self._calls:
                    atexit.unregister(self.flush)
                    return
                name, hook, event = self._calls.popleft()
                self._since = time.monotonic()
            try:
                hook(event)
            except Exception as error:
                self._fault(name, type(event).__name__, error)
