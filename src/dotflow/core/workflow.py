"""Runs: putting one together, driving it, and the handle to it."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, overload

from dotflow.core import pace
from dotflow.core.checkpoint import FINGERPRINT, RECORD, Checkpoint
from dotflow.core.dispatch import Dispatcher
from dotflow.core.engine import cycle
from dotflow.core.events import TaskFailed, TaskPaused, TaskRestored, WorkflowFinished, WorkflowStarted
from dotflow.core.exception import (
    ConfigurationError,
    DotflowError,
    InputChangedError,
    InvalidOnInputChange,
    NotCallableObject,
    UnsupportedOption,
    WorkflowFailed,
)
from dotflow.core.inbox import ThreadInbox
from dotflow.core.messages import Stop
from dotflow.core.named import NamedTuple
from dotflow.core.place import Places
from dotflow.core.plan import grouper, in_order, known_mode, make_plan
from dotflow.core.run import Run
from dotflow.core.task import Task, basic_callback
from dotflow.core.types import VALID_POLICIES, TypeExecution, TypeInputChange, WorkflowStatus

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence
    from typing import Literal, Protocol, Self
    from uuid import UUID

    from dotflow.core.capture import Capture
    from dotflow.core.config import Config
    from dotflow.core.dispatch import ObserverFault
    from dotflow.core.engine import Steps
    from dotflow.core.events import Event
    from dotflow.core.journal import Journal, Origin
    from dotflow.core.plan import Plan

    class WorkflowCallback(Protocol):
        """What is called when a run has ended."""

        def __call__(self, *, tasks: list[Task]) -> object:
            """Look at *tasks*; what is returned is not used."""


__all__ = ["Manager", "Options", "grouper"]


class Options(NamedTuple):
    """What ``start`` was asked for; ``check`` refuses what makes no sense."""

    mode: str = TypeExecution.SEQUENTIAL
    on_success: WorkflowCallback = basic_callback
    on_failure: WorkflowCallback = basic_callback
    keep_going: bool = False
    resume: bool = False
    on_input_change: str = TypeInputChange.REUSE
    fingerprint: str | None = None
    wait: float = 0
    listeners: Sequence[Callable[[Event], object]] = ()
    progress: bool = False
    scheduled_for: datetime | None = None
    keep_results: bool = True
    anew: bool = False
    """Whether a resumed run that turns out to be complete is run again from the start."""
    origin: Origin | None = None
    """Where the run comes from, for its history; ``None`` if the program itself calls ``start``."""

    def check(self) -> None:
        """Raise ``ConfigurationError`` for an option that makes no sense, naming it."""
        if tuple(map(id, self)) == _DEFAULTS:  # as most runs are
            return
        known_mode(self.mode)
        for name in ("on_success", "on_failure"):
            if not callable(getattr(self, name)):
                raise NotCallableObject(
                    f"start({name}=...)", given=getattr(self, name), hint="it is called with tasks="
                )
        for name in ("keep_going", "resume", "progress", "keep_results"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(f"start({name}=...) needs True or False, got {getattr(self, name)!r}")
        if self.on_input_change not in VALID_POLICIES:
            raise InvalidOnInputChange(self.on_input_change)
        if self.fingerprint is not None and not isinstance(self.fingerprint, str):
            raise ConfigurationError(f"start(fingerprint=...) needs a text, got {self.fingerprint!r}")
        if isinstance(self.wait, bool) or not isinstance(self.wait, (int, float)) or not self.wait >= 0:
            raise ConfigurationError(f"start(wait=...) needs a number of seconds, 0 or more, got {self.wait!r}")
        if not isinstance(self.listeners, (tuple, list)):
            raise ConfigurationError(f"start(listeners=...) needs a list of callables, got {self.listeners!r}")
        for listener in self.listeners:
            if not callable(listener):
                raise NotCallableObject("start(listeners=...)", given=listener, hint="each is called with an event")


_DEFAULTS = tuple(map(id, Options()))
_waiting = threading.Lock()


class Manager:
    """The handle of one run, as ``DotFlow.start`` returns it.

    Attributes:
        tasks: Every task of the run, in the order of the queue.
        workflow_id: The workflow it belongs to.
        mode: How it runs.
        thread: The thread it runs in, ``None`` if it ran in the caller's.
        on_success: Called when it completed.
        on_failure: Called when it did not.
    """

    thread: threading.Thread | None = None
    _status = WorkflowStatus.NEW
    _inbox: ThreadInbox | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _over = _prepared = _given_up = False
    _ended: threading.Event | None = None  # made by whoever waits first: few runs are waited for
    _release: Callable[[], None] | None = None
    _problem: BaseException | None = None
    _journal: Journal | None = None
    _record: dict[str, Any] | None = None

    def __init__(
        self, tasks: Sequence[Task], workflow_id: UUID | str, options: Options, config: Config, workflow: Any
    ) -> None:
        self.tasks: list[Task] = list(tasks)
        self.workflow_id: UUID | str = workflow_id
        self.mode = options.mode
        self._clock = pace.clock
        self._made = self._clock.time()
        self.on_success, self.on_failure = options.on_success, options.on_failure
        self._options, self._config, self._workflow = options, config, workflow
        self._stops: list[Stop] = []

    # -- for users ----------------------------------------------------------------------------------------

    @property
    def started(self) -> datetime:
        """When the run was put together, in UTC."""
        return datetime.fromtimestamp(self._made, UTC)

    @property
    def run_id(self) -> str:
        """The id of the run in ``dotflow.history``: 32 hexadecimal digits that a resume keeps; empty if none began."""
        return "" if self._problem is not None else self._run.run_id

    @property
    def status(self) -> WorkflowStatus:
        """Where the run stands."""
        return self._status

    @property
    def observer_faults(self) -> list[ObserverFault]:
        """What observers raised during the run, the last thousand of it."""
        return list(self._tell.faults)

    @property
    def observer_fault_counts(self) -> dict[str, int]:
        """How often each observer failed."""
        return dict(self._tell.fault_counts)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the run has ended, at most *timeout* seconds (``None``: for ever); return whether it has."""
        with _waiting:
            ended = self._ended = self._ended or threading.Event()
        return self._over or ended.wait(timeout)

    def cancel(self, grace: float = 0) -> None:
        """Launch nothing more, and stop what runs after *grace* seconds. May be called from any thread.

        A plain step that runs inline cannot be stopped; it is awaited. The run can be resumed.
        """
        self.stop(Stop(WorkflowStatus.CANCELLED, grace))

    def stop(self, request: Stop) -> None:
        """Ask the run to end as *request* says."""
        self._stops.append(request)  # one that comes before the run does is kept for it
        if self._inbox is not None:
            self._inbox.put(request)

    def raise_for_failure(self) -> Self:
        """Raise ``WorkflowFailed``, from the first failed step's own exception, unless the run completed.

        Return the handle, so that it can be chained.
        """
        if self._problem is not None:
            raise WorkflowFailed(f"workflow {self.workflow_id} could not run") from self._problem
        if self._status is WorkflowStatus.COMPLETED:
            return self
        failed = [task for task in self.tasks if task.errors and task.status == "Failed"]
        if not failed:
            raise WorkflowFailed(f"workflow {self.workflow_id} is not complete: {self._status.lower()}")
        last = failed[0].errors[-1]
        raise WorkflowFailed(
            f"step {failed[0].task_id!r} of workflow {self.workflow_id} failed with {last.exception}: {last.message}"
            + (f" (and {len(failed) - 1} more)" if len(failed) > 1 else "")
        ) from last.error

    @overload
    def graph(self, format: Literal["png"]) -> bytes: ...

    @overload
    def graph(self, format: Literal["text", "mermaid", "svg"] = ...) -> str: ...

    @overload
    def graph(self, format: str) -> str | bytes: ...

    def graph(self, format: str = "text") -> str | bytes:
        """Return the graph of the run with the status of each task; see ``DotFlow.graph``.

        .. versionadded:: 2.0
        """
        from dotflow.views.graph import drawn, graph_of

        return drawn(graph_of(self.tasks, self.mode, stated=True), format)

    def __repr__(self) -> str:
        return f"Manager(workflow_id={str(self.workflow_id)!r}, status={str(self._status)!r}, tasks={len(self.tasks)})"

    def _repr_html_(self) -> str:
        from dotflow.views.html import run_table

        return run_table(self.tasks, self.workflow_id, str(self._status))

    # -- putting it together ------------------------------------------------------------------------------

    def prepare(self, *, untouched: bool, on_loop: bool = False) -> None:
        """Check everything that can be checked, take the lead, and read what an earlier run left.

        *untouched*: nobody can have saved anything under this workflow id. *on_loop*: the run shares an event loop
        with others, which it must not block.
        """
        options, tasks = self._options, self.tasks
        self._plan = plan = make_plan(tasks, options.mode)
        self._places = self._make_places(plan, on_loop)
        self._steps_used = dict.fromkeys([task.step for task in tasks])  # in the order of the tasks
        lanes = self._places.assign(tasks, self._steps_used)
        self._store = Checkpoint(self._config.storage, self._config.codec, self.workflow_id)
        if self._store.blocks:  # else values are kept as they are
            for step in self._steps_used:
                self._config.codec.learn(step)
        if not options.keep_results and not self._store.blocks:
            raise UnsupportedOption(
                f"start(keep_results=False): {type(self._config.storage).__name__} keeps results in the memory of this "
                "process; let them go to a file, say with Config(storage=StorageSQLite('flow.db'))"
            )
        callbacks = bool([task for task in tasks if task.callback is not basic_callback])
        listeners = (*options.listeners, _progress(tasks, self.workflow_id)) if options.progress else options.listeners
        self._tell = Dispatcher(self._config, listeners, options.on_success, options.on_failure, callbacks)
        self._release = self._store.lead(options.wait)
        try:
            found, run_id = self._history(untouched)
        except BaseException:
            self._end()
            raise
        self._run = Run(
            tasks,
            plan,
            self.workflow_id,
            keep_going=options.keep_going,
            lanes=lanes,
            slots=self._places.slots,
            epoch=self._clock.time() - self._clock.monotonic(),
            run_id=run_id,
            chance=_chance,
            scheduled_for=options.scheduled_for,
            capture=self._capture(),
            let_go=None if options.keep_results else self._store.let_go,
            one_by_one=plan.chain and self._places.on_loop,
        )
        self._found = found
        self._prepared = True
        if self._given_up:
            self._end()

    def give_up(self) -> None:
        """Let go of what ``prepare`` took, or takes yet in another thread: nobody will drive the run."""
        self._given_up = True
        if self._prepared:
            self._end()

    def _capture(self) -> Capture | None:
        if not self._config.capture_output:
            return None
        from dotflow.core.capture import prepare

        return prepare(self._config.capture_output)

    def _make_places(self, plan: Plan, on_loop: bool) -> Places:
        providers = _providers or _import_providers()

        def make_loop() -> Any:
            return providers.ExecutorAsync(self._loop)

        if self._config.executor is not None:
            return Places(self._config.executor, make_loop, None, owned=False)
        if plan.processes:
            return Places(providers.ExecutorProcess(), make_loop, None, owned=True)
        base = providers.ExecutorThread(1) if on_loop else providers.ExecutorInline()
        return Places(base, make_loop, lambda: providers.ExecutorProcess(1), owned=True)

    def _history(self, untouched: bool) -> tuple[dict[int, Any], str]:
        """Return the results to restore, and the id of the run they belong to."""
        options, store, tasks = self._options, self._store, self.tasks
        self._owed = self._open_outbox(untouched)
        recorded = store.keeps_records or bool([step for step in self._steps_used if "task" in step.params])
        found: dict[int, Any] = {}
        record: dict[str, Any] = {}
        if store.keeps_records and self._workflow is not None:
            from dotflow.core.journal import open_journal

            settle = not untouched and not options.resume
            self._journal = open_journal(self._workflow, store, settle=settle)
        if options.resume and not untouched:
            record = self._last_record() if recorded else {}
            changed = self._input_changed(record)
            if changed:
                store.forget(in_order(tasks, self._plan))
                record = {}
            found = store.load(tasks)
            if not found and not changed and self._config.storage.keeps_objects:
                self._say_why_nothing_is_found()
            if options.anew and len(found) == len(tasks):
                store.forget(in_order(tasks, self._plan))
                found, record = {}, {}
        elif not untouched:
            store.forget(in_order(tasks, self._plan))
        elif options.resume:
            self._say_why_nothing_is_found()
        if record:
            self._say_what_is_gone(record)
        if recorded:
            record = {"run_id": _new_id(), "started_at": self.started.isoformat(), **record}
            if "input" not in record:
                record["input"] = self._input()
            status, ids = WorkflowStatus.IN_PROGRESS.value, [task.task_id for task in tasks]
            self._record = {**record, "status": status, "mode": str(options.mode), "tasks": ids}
            self._record.pop("finished_at", None)
            self._begin_record(len(found))
        elif self._notes_input and store.read_record(FINGERPRINT) is None:
            store.write_record(FINGERPRINT, self._input())
        run_id = str(record.get("run_id") or _new_id())
        if self._tell.notifies(TaskFailed):
            life = _new_id()
            self._tell.origin = f"{run_id}/{life}"
            if store.outbox is not None:
                store.outbox.begin(run_id, life, [tasks[position].task_id for position in found], self._owed)
        return found, run_id

    def _open_outbox(self, untouched: bool) -> list[Event]:
        """Keep what notifiers are owed, if there are any and the storage can; return what an earlier process owed."""
        if not (self._store.keeps_records and self._tell.notifies(TaskFailed)):
            return []
        from dotflow.core.outbox import Outbox

        outbox = self._store.outbox = Outbox(self._store, self._tell.fault)
        return [] if untouched else outbox.left(self.tasks)

    def _begin_record(self, done: int) -> None:
        assert self._record is not None
        if self._journal is None:
            self._store.write_record(RECORD, self._record)
            return
        known = {"workflow_id": str(self.workflow_id), "name": self._workflow.task.workflow_name, "done": done}
        tick = self._options.scheduled_for
        known["scheduled_for"] = None if tick is None else tick.isoformat()
        self._record["chain"] = self._plan.chain and not self._options.keep_going
        self._journal.begin(self._record, self._options.origin, led=self._release is not None, **known)
        self._journal.write(self._store, self._record, [self._journal.summary()])

    def _last_record(self) -> dict[str, Any]:
        found = self._store.read_record(RECORD)
        return found if isinstance(found, dict) else {}

    @property
    def _notes_input(self) -> bool:
        """Whether a storage that keeps no run record is asked to keep what identifies the input."""
        return self._options.resume or self._options.on_input_change != TypeInputChange.REUSE

    def _input(self) -> str:
        given = self._options.fingerprint
        return given if given is not None else fingerprint(self.tasks)

    def _input_changed(self, record: dict[str, Any]) -> bool:
        """Whether the results of the run to be resumed were made from another input, and must go."""
        before = record.get("input") or self._store.read_record(FINGERPRINT)
        policy = self._options.on_input_change
        if policy == TypeInputChange.REUSE or before is None or before == self._input():
            return False
        if policy == TypeInputChange.RAISE:
            raise InputChangedError(self.workflow_id)
        return True

    def _say_why_nothing_is_found(self) -> None:
        """Warn of a resume that can find nothing."""
        kept = type(self._config.storage).__name__
        reason = (
            f"{kept} keeps results only as long as this process lives; use another storage, say "
            "Config(storage=StorageSQLite('flow.db'))"
            if self._config.storage.keeps_objects
            else "its workflow_id is random, and another one in each process; give one, DotFlow(workflow_id='...')"
        )
        _logger().warning("workflow %s has nothing to resume, and runs from the start: %s", self.workflow_id, reason)

    def _say_what_is_gone(self, record: dict[str, Any]) -> None:
        present = {task.task_id for task in self.tasks}
        gone = [str(name) for name in record.get("tasks", ()) if name not in present]
        if gone:
            _logger().warning(
                "workflow %s is resumed without %s, which an earlier run of it had; their checkpoints are ignored",
                self.workflow_id, ", ".join(map(repr, gone)),
            )  # fmt: skip

    # -- driving it ---------------------------------------------------------------------------------------

    def run(self) -> None:
        """Drive the run to its end in this thread."""
        if self._places.on_loop and not _has_loop():
            import asyncio

            asyncio.run(self.run_async())
            return
        inbox = ThreadInbox()
        self._receive(inbox)
        try:
            self._open()
            try:
                inbox.drive(self._steps())
            except BaseException:
                self._break_off()
                raise
            finally:
                self._conclude()
        finally:
            self._end()
        if self._interrupted:
            raise KeyboardInterrupt

    async def run_async(self) -> None:
        """Drive the run to its end on the event loop."""
        import asyncio

        from dotflow.core.loop import LoopInbox, to_its_end

        self._loop = asyncio.get_running_loop()
        inbox = LoopInbox(self._loop)
        self._receive(inbox)
        try:
            self._open()
            try:
                await inbox.drive_async(self._steps())
            except BaseException:
                self._break_off()
                raise
            finally:
                await to_its_end(self._conclude)
        finally:
            if self._release is None:
                self._end()
            else:
                await to_its_end(self._end)  # a storage's lock, which may be far away
        if self._interrupted:
            raise KeyboardInterrupt

    def _receive(self, inbox: ThreadInbox) -> None:
        self._inbox = inbox
        if self._clock is not time:
            inbox.pass_over = self._clock.sleep
        for request in self._stops:
            inbox.put(request)

    def _steps(self) -> Steps:
        assert self._inbox is not None
        watch = None
        if self._journal is not None:
            from dotflow.core.journal import Watch

            told = self._options.keep_going or (self._record or {}).get("chain")
            parents = () if told else self._plan.parents
            clock, real = self._clock.monotonic, self._clock is time
            watch = Watch(self._journal, self.tasks, self._store, self._tell.fault, clock, real, parents)
        return cycle(self._run, self._places, self._inbox, self._store, self._tell, self._clock.monotonic, watch)

    def run_behind(self) -> None:
        """Drive the run in a thread of its own; the interpreter waits for it at exit."""
        self.thread = threading.Thread(target=self._run_quietly, name="dotflow-background", daemon=False)
        self.thread.start()

    def _run_quietly(self) -> None:
        try:
            self.run()
        except KeyboardInterrupt:
            pass  # recorded in the status; there is nobody to raise it to
        finally:
            self._end()

    @property
    def _interrupted(self) -> bool:
        return self._status is WorkflowStatus.INTERRUPTED and self._run.by_step

    def _open(self) -> None:
        run, tell = self._run, self._tell
        self._began = self._clock.monotonic()
        self._status = run.status = WorkflowStatus.IN_PROGRESS
        if not self.tasks:
            _logger().warning("workflow %s has no tasks; add some with workflow.task.add(step=...)", self.workflow_id)
        if tell.hears(WorkflowStarted):
            tell(WorkflowStarted(self.workflow_id, str(self.mode), self.tasks, self._workflow))
        tell.outbox = self._store.outbox
        for event in self._owed:
            tell.tell_late(event)
        heard = tell.hears(TaskRestored)
        for index, value in self._found.items():
            task = run.restore(index, value)
            if heard:
                tell(TaskRestored(task))
        self._found = {}

    def _break_off(self) -> None:
        """Stop what runs after an exception that is nobody's outcome: an interruption, or a fault of ours."""
        self._run.stop(Stop(WorkflowStatus.INTERRUPTED))
        for index in self._run.flying:
            self._places.cancel(index)

    def _conclude(self) -> None:
        run, tell = self._run, self._tell
        for task in run.abandon(self._clock.monotonic()):
            tell(TaskPaused(task))
        self._places.close()
        status = self._save_record(run.finish())
        self._status = status
        outbox = tell.outbox
        if tell.hears(WorkflowFinished):
            ended = WorkflowFinished(self.workflow_id, status, self._clock.monotonic() - self._began, self.tasks)
            if outbox is not None and tell.notifies(WorkflowFinished):
                outbox.owe(ended)
            tell(ended)
        tell.flush()
        if outbox is not None:
            outbox.close()

    def _save_record(self, status: WorkflowStatus) -> WorkflowStatus:
        """Put on record that the run ended; return what it counts as."""
        if self._record is None:
            return status
        journal = self._journal
        try:
            if journal is not None and status is WorkflowStatus.INTERRUPTED and journal.cancelled():
                status = self._run.status = WorkflowStatus.CANCELLED  # the signal came with a request
            record = {**self._record, "status": status.value, "finished_at": datetime.now(UTC).isoformat()}
            if journal is None:
                self._store.write_record(RECORD, record)
            else:
                journal.write(self._store, record, journal.end(record, self.tasks, self._store))
                journal.prune()
        except DotflowError as error:  # the results are saved; only the history lacks its last line
            self._tell.fault("run record", "WorkflowFinished", error)
        return status

    def _end(self) -> None:
        release, self._release = self._release, None
        try:
            if release is not None:
                release()
        except Exception as error:  # a third party's storage, which will notice that nobody leads (ADR 0010)
            self._tell.fault("release of the lock", "WorkflowFinished", error)
        finally:
            self._over = True
            if self._ended is not None:  # looked at after *over* is set: whoever makes one later looks at that
                self._ended.set()


def failed_before_start(
    tasks: Sequence[Task], workflow_id: UUID | str, options: Options, config: Config, problem: BaseException
) -> Manager:
    """Return the handle of a run that could not start, for those who must not be raised at."""
    manager = Manager(tasks, workflow_id, options, config, None)
    manager._status, manager._problem = WorkflowStatus.FAILED, problem
    manager._tell = Dispatcher(config)
    manager._over = True
    return manager


def fingerprint(tasks: Sequence[Task]) -> str:
    """Return what tells these initial contexts from others."""
    import hashlib
    import json

    inputs = [task._initial.storage if hasattr(task._initial, "storage") else task._initial for task in tasks]
    try:
        text = json.dumps(inputs, sort_keys=True)
    except (TypeError, ValueError):
        text = repr(inputs)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


_providers: Any = None


def _import_providers() -> Any:
    global _providers
    import dotflow.providers

    _providers = dotflow.providers  # an import statement, even of what is there, takes as long as a few steps
    return _providers


def _has_loop() -> bool:
    import sys

    if "asyncio" not in sys.modules:
        return False
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _progress(tasks: Sequence[Task], workflow_id: Any) -> Callable[[Event], None]:
    from dotflow.views.progress import make_progress

    return make_progress(tasks, workflow_id)


def _chance() -> float:
    import random

    return random.random()


def _new_id() -> str:
    return os.urandom(16).hex()


def _logger() -> Any:
    import logging

    return logging.getLogger("dotflow")
