"""From events to observers. Nothing else calls them, and here they are isolated.

In-process observers (log, tracer, metrics, callbacks, listeners) are called on the run's thread. Network
observers (notify, server) are called on a lane, see ``dotflow.core.lane``. Those get copies of the tasks, in which
secrets are masked; so does an in-process provider, unless it says by ``masks = True`` that it masks what it writes.
"""

from __future__ import annotations

import copy
import functools
import itertools
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

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
from dotflow.core.exception import DeliveryFailed
from dotflow.core.lane import END_PATIENCE, Call, Lane, here, lane_of
from dotflow.core.named import NamedTuple
from dotflow.core.task import basic_callback
from dotflow.core.types import WorkflowStatus

if TYPE_CHECKING:
    from dotflow.core.config import Config
    from dotflow.core.events import Event
    from dotflow.core.outbox import Outbox

FAULTS_KEPT = 1000
PIECE = 20  # tasks that one call reports to a server
_runs = itertools.count()
_counting = threading.Lock()


class ObserverFault(NamedTuple):
    """One failure of an observer: which one, at which event, and what it raised."""

    observer: str
    event: str
    error: BaseException

    def __repr__(self) -> str:
        from dotflow.core.redact import mask

        return mask(f"ObserverFault(observer={self.observer!r}, event={self.event!r}, error={self.error!r})")


# An observer or the name of one, what tells it when called with both, and its id if it gets masked copies.
Hook = tuple[Any, Callable[[Any, Any], None], frozenset[int] | None]


class Dispatcher:
    """Tells the observers of one run.

    Args:
        config: Where the providers are.
        listeners: Called with each event, after the providers.
        on_success: Called as ``on_success(tasks=...)`` when the run completed.
        on_failure: The same when it did not.
    """

    origin = ""  # what the ids of messages are made of, see ``record.task_event_id``
    outbox: Outbox | None = None

    def __init__(
        self,
        config: Config,
        listeners: Sequence[Callable[[Event], object]] = (),
        on_success: Callable[..., Any] = basic_callback,
        on_failure: Callable[..., Any] = basic_callback,
        callbacks: bool = True,
    ) -> None:
        self.faults: deque[ObserverFault] = deque(maxlen=FAULTS_KEPT)
        self.fault_counts: dict[str, int] = {}
        self._reported: set[tuple[str, str]] = set()
        self._lanes: dict[int, Lane] = {}
        self._run = next(_runs)
        self._hooks: dict[type, list[Hook]] = {}
        self._notified: dict[type, list[Callable[[Any, Any], None]]] = {}
        self._on_success, self._on_failure = on_success, on_failure
        self._connect(config)
        for listener in listeners:
            for kind in ALL:
                self._hook(kind, (listener, _listen, None))
        if callbacks:
            for kind in (TaskCompleted, TaskFailed):
                self._hook(kind, ("callback", _callback, None))
        if on_success is not basic_callback or on_failure is not basic_callback:
            self._hook(WorkflowFinished, ("on_success/on_failure", self._outcome, None))

    def hears(self, kind: type) -> bool:
        """Whether anybody wants events of that kind."""
        return kind in self._hooks

    def notifies(self, kind: type) -> bool:
        """Whether a notifier wants events of that kind."""
        return kind in self._notified

    def tell_late(self, event: Event) -> None:
        """Tell the notifiers, and nobody else, what an earlier process owed them."""
        for send in self._notified.get(type(event), ()):
            send(None, event)

    def __call__(self, event: Event) -> None:
        """Tell everybody, in order."""
        copied: Any = None
        for observer, tell, own in self._hooks.get(type(event), ()):
            try:
                if own is None:
                    tell(observer, event)
                    continue
                if copied is None:
                    copied = _copied(event) if type(event) in OF_TASKS else event
                before = getattr(here, "observers", NOBODY)
                here.observers = before | own if before else own  # a workflow that it starts does not tell it again
                try:
                    tell(observer, copied)
                finally:
                    here.observers = before
            except (KeyboardInterrupt, SystemExit, GeneratorExit):
                raise
            except BaseException as error:  # a CancelledError of its own making is a fault like any other
                self.fault(_name(observer), type(event).__name__, error)

    def fault(self, observer: str, event: str, error: BaseException) -> None:
        """Count a failure; report the first of each kind to the logger ``dotflow``. May be called from any thread."""
        kind = (observer, type(error).__name__)
        with _counting:
            self.faults.append(ObserverFault(observer, event, error))
            self.fault_counts[observer] = self.fault_counts.get(observer, 0) + 1
            if kind in self._reported:
                return
            self._reported.add(kind)
        import logging
        import traceback

        from dotflow.core.redact import mask_long

        logger = logging.getLogger("dotflow")
        told = mask_long("".join(traceback.format_exception(error)).rstrip())
        text = "%s failed at %s and the run goes on; further failures of this kind are only counted"
        if isinstance(error, DeliveryFailed):  # what is wrong is elsewhere
            logger.warning(f"{text}: %s", observer, event, mask_long(str(error)))
            logger.debug("%s failed at %s\n%s", observer, event, told)
        else:
            logger.warning(f"{text}\n%s", observer, event, told)

    def flush(self) -> None:
        """Give network observers a moment to finish; what is left is delivered in the background."""
        until = time.monotonic() + END_PATIENCE
        for lane in self._lanes.values():
            if not _inside():  # an observer that starts workflows waits for nobody's calls, its own least of all
                lane.flush(until, self._run)
            lane.release(self._run)
        self._hooks.clear()  # nothing is told after the end, and hooks refer to the dispatcher

    def _hook(self, kind: type, hook: Hook) -> None:
        self._hooks.setdefault(kind, []).append(hook)

    def _connect(self, config: Config) -> None:
        nested, parties = _inside(), {}
        for name in OBSERVERS.intersection(vars(config)):  # the other defaults do nothing
            provider = getattr(config, name)
            if not getattr(provider, "silent", False):
                members = getattr(provider, "members", None) or (provider,)
                parties[name] = provider, [each for each in members if id(each) not in nested] if nested else members
        for name, kinds, call in _routes(tuple(parties)):
            provider, members = parties[name]
            if kinds is INFORMED and getattr(provider, "quiet", False):
                continue
            for each in members:
                self._join(name, kinds, call, each)
        _refresh()

    def _join(self, name: str, kinds: Kinds, call: Callable[[Any, Any], None], provider: Any) -> None:
        own = None
        if name not in NETWORK:
            if not getattr(provider, "masks", False):
                own = frozenset((id(provider),))
        elif name == "server":
            call = self._sent(provider, call)
        elif call is not _notify_end or _tells_ends(provider):
            call = self._notifying(provider, call)
            for kind in kinds:
                self._notified.setdefault(kind, []).append(call)
        else:
            return
        hook = provider, call, own
        for kind in kinds:
            self._hook(kind, hook)

    def _sent(
        self, provider: Any, call: Callable[[Any, Any], None], freeze: Callable[[Any], Any] | None = None
    ) -> Callable[..., None]:
        lane = self._lanes.get(id(provider))
        if lane is None:
            lane = self._lanes[id(provider)] = lane_of(provider)
        name, fault, run, own = _name(provider), self.fault, self._run, id(provider)
        frozen, hook = freeze or _frozen, functools.partial(call, provider)

        def send(_: Any, event: Any, done: Any = None) -> None:
            if type(event) is not WorkflowStarted:
                lane.put(Call(name, hook, frozen(event), fault, run, own, done))
                return
            for piece in _pieces(_frozen(event)):
                lane.put(Call(name, hook, piece, fault, run, own))

        return send

    def _notifying(self, provider: Any, call: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
        put = self._sent(provider, call, self._stamped)

        def send(_: Any, event: Any) -> None:
            outbox = self.outbox
            put(_, event, None if outbox is None else outbox.ticket(event, len(self._notified[type(event)])))

        return send

    def _stamped(self, event: Any) -> Any:
        """Return a copy of *event* as ``_frozen`` does, with the id of the message about it."""
        copied = _frozen(event)
        if type(event) is WorkflowFinished:
            from dotflow.core.record import run_event_id

            return copied._replace(event_id=event.event_id or run_event_id(event.status, self.origin))
        if not copied.task._origin:
            copied.task._origin = self.origin
        return copied

    def _outcome(self, _: Any, event: WorkflowFinished) -> None:
        chosen = self._on_success if event.status is WorkflowStatus.COMPLETED else self._on_failure
        if chosen is not basic_callback:
            chosen(tasks=event.tasks)


Kinds = tuple[type, ...]
ENDS: Kinds = (TaskCompleted, TaskFailed, TaskPaused)
INFORMED: Kinds = (TaskStarted, TaskCompleted, TaskRestored, TaskPaused)
NOTIFIED: Kinds = (TaskStarted, TaskRetried, *ENDS)
ALL: Kinds = (WorkflowStarted, TaskStarted, TaskRetried, *ENDS, TaskRestored, WorkflowFinished)
OF_TASKS = frozenset(ALL) - {WorkflowStarted, WorkflowFinished}  # their first field is the task
NETWORK = ("notify", "server")


def _report_start(server: Any, event: WorkflowStarted) -> None:
    if event.workflow is not None:  # the first of the calls that this event is cut into
        server.create_workflow(workflow=event.workflow)
        server.update_workflow(workflow=event.workflow_id, status=WorkflowStatus.IN_PROGRESS)
    for task in event.tasks:
        server.create_task(task=task)


def _pieces(event: Any) -> Iterator[Any]:
    """Cut the event that reports many tasks into calls that keep their deadline each."""
    if len(event.tasks) <= PIECE:
        yield event
        return
    yield event._replace(tasks=[])
    for start in range(0, len(event.tasks), PIECE):
        yield event._replace(tasks=event.tasks[start : start + PIECE], workflow=None)


def _trace_start(tracer: Any, event: WorkflowStarted) -> None:
    tracer.start_workflow(workflow_id=event.workflow_id, mode=event.mode, tasks_count=len(event.tasks))


def _trace_end(tracer: Any, event: WorkflowFinished) -> None:
    failed = event.status is not WorkflowStatus.COMPLETED
    tracer.end_workflow(workflow_id=event.workflow_id, duration=event.duration, failed=failed)


def _measure(metrics: Any, event: WorkflowFinished) -> None:
    completed = event.status is WorkflowStatus.COMPLETED
    (metrics.workflow_completed if completed else metrics.workflow_failed)(event.workflow_id, event.duration)


def _notify_end(notify: Any, event: WorkflowFinished) -> None:
    notify.hook_status_workflow(run=event)


OBSERVERS = frozenset({"notify", "log", "server", "tracer", "metrics"})

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
    ("notify", (WorkflowFinished,), _notify_end),
    ("server", (WorkflowFinished,), lambda server, e: server.update_workflow(workflow=e.workflow_id, status=e.status)),
)


@functools.lru_cache(maxsize=64)
def _routes(told: tuple[str, ...]) -> list[tuple[str, Kinds, Callable[[Any, Any], None]]]:
    return [route for route in ROUTES if route[0] in told]


def _listen(listener: Callable[[Any], object], event: Any) -> None:
    listener(event)


def _callback(_: Any, event: TaskCompleted | TaskFailed) -> None:
    if event.task.callback is not basic_callback:
        event.task.callback(task=event.task)


def _name(observer: object) -> str:
    if type(observer) is str:
        return observer
    return getattr(observer, "__qualname__", None) or type(observer).__name__


def _tells_ends(notify: Any) -> bool:
    from dotflow.abc.notify import Notify

    found = getattr(type(notify), "hook_status_workflow", None)
    return found is not None and found is not Notify.hook_status_workflow


_redact: Any = None


def _copied(event: Any) -> Any:
    """Return a copy of the event of a task that stays as it is and tells no secret."""
    global _redact
    if _redact is None:
        import dotflow.core.redact

        _redact = dotflow.core.redact  # an import statement, even of what is there, takes as long as the rest of this
    task = event[0]
    if type(task) is not _redact.Masked:
        task = _redact.masked(task)
    return tuple.__new__(type(event), (task, *event[1:]))


def _frozen(event: Any) -> Any:
    """Return a copy of *event* that stays as it is and tells no secret."""
    if type(event) in OF_TASKS:
        return _copied(event)
    from dotflow.core.redact import masked

    tasks = [masked(task) for task in event.tasks]
    workflow = getattr(event, "workflow", None)
    if workflow is None:
        return event._replace(tasks=tasks)
    frozen = copy.copy(workflow)
    frozen.task = copy.copy(workflow.task)
    frozen.task.queue = tasks
    return event._replace(tasks=tasks, workflow=frozen)


def _inside() -> frozenset[int]:
    """The ids of the observers in whose calls this thread is."""
    return getattr(here, "observers", NOBODY)


def _refresh() -> None:
    redact = sys.modules.get("dotflow.core.redact")
    if redact is not None:  # else it looks when it is first needed
        redact.refresh()


NOBODY: frozenset[int] = frozenset()
