"""Scheduled runs: the callable a scheduler gets, and the signals that end it."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

from dotflow.core.messages import Stop
from dotflow.core.types import WorkflowStatus
from dotflow.core.wake import Wake

if TYPE_CHECKING:
    from datetime import datetime

    from dotflow.core.agenda import Tick
    from dotflow.core.claims import StorageCell
    from dotflow.core.dotflow import DotFlow
    from dotflow.core.workflow import Manager

GRACE = 10.0  # seconds that a run in progress has after the first signal
ENDING = (signal.SIGINT, signal.SIGTERM)


class _Unwind(BaseException):
    """Leaves a scheduler's loop, even out of a sleep."""


def told(name: str, due: datetime | None, paused: str) -> str:
    """Return that a schedule is kept, and what it waits for."""
    if paused:
        return f"keeping schedule {name}, which is paused: {paused}"
    when = "no tick is to come" if due is None else f"next tick {due:%Y-%m-%d %H:%M:%S} {due.tzname() or ''}".rstrip()
    return f"keeping schedule {name}, {when}"


class Ticker:
    """One call of ``DotFlow.schedule``; the callable that its scheduler gets.

    Args:
        workflow: What runs at each tick.
    """

    def __init__(self, workflow: DotFlow) -> None:
        self._workflow = workflow
        self._first = True
        self._stopping = False
        self._active: dict[int, Manager] = {}
        self._home = threading.get_ident()
        self._timer: threading.Timer | None = None
        self._spare: DotFlow | None = None
        self._prompt = workflow.config.scheduler.returns_on_stop

    def __call__(self, **kwargs: Any) -> Manager:
        """Make one run, and return its handle."""
        return self.tick(**kwargs)

    def run(self, kwargs: dict[str, Any]) -> Any:
        """Hand the workflow to its scheduler, and block until that ends."""
        main = threading.current_thread() is threading.main_thread()
        self._home = threading.get_ident()
        before = {number: signal.signal(number, self._on_signal) for number in ENDING} if main else {}
        try:
            with Wake():
                return self._workflow.config.scheduler.start(workflow=self, **kwargs)
        except _Unwind:
            return None
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for number, handler in before.items():
                signal.signal(number, handler)

    def tick(self, *, tick: Tick | None = None, on_manager: Any = None, **kwargs: Any) -> Manager:
        """Make one run, and return its handle; what a scheduler calls at each tick."""
        first, self._first = self._first, False
        me = threading.get_ident()

        def know(manager: Manager) -> None:
            self._active[me] = manager
            if on_manager is not None:
                on_manager(manager)
            if self._stopping:
                manager.stop(Stop(WorkflowStatus.INTERRUPTED, GRACE))

        try:
            if first and tick is not None and tick.own and kwargs.get("resume") and self._unfinished():
                self._workflow.tick(on_manager=know, **kwargs).wait()
            manager = self._workflow.tick(first=first, on_manager=know, tick=tick, **kwargs)
            manager.wait()  # one in the background belongs to its tick too
            return manager
        finally:
            self._active.pop(me, None)
            if self._stopping and me == self._home and not self._prompt:
                raise _Unwind

    def begun(self, name: str, due: datetime | None, paused: str) -> None:
        """Note that the schedule *name* is kept from now on; what a scheduler that knows its ticks calls.

        *due* is the next one, in the time zone of the rule, ``None`` if none will come; *paused* why nothing runs.
        """
        import logging

        logging.getLogger("dotflow").info("%s", told(name, due, paused))

    def rehearse(self) -> None:
        """Put a run together for nothing, so that what the next one needs is in the processor's caches."""
        from datetime import UTC, datetime

        from dotflow.core.checkpoint import _nothing
        from dotflow.core.dotflow import DotFlow
        from dotflow.core.workflow import Options

        if self._spare is None:
            self._spare = DotFlow(workflow_id="rehearsal")
            self._spare.task.add(_nothing)
        manager = self._spare._manager(Options(scheduled_for=datetime.now(UTC)))
        manager.prepare(untouched=True)
        manager._end()

    def cell(self, name: str | None) -> StorageCell | None:
        """Return where the state of a schedule is kept; ``None`` if it lives no longer than this process.

        *name* is that of the schedule; ``None`` takes the workflow id, if one was given.
        """
        from dotflow.core.claims import StorageCell

        workflow = self._workflow
        storage = workflow.config.storage
        if storage.keeps_objects or (name is None and not workflow.named):
            return None
        cell = StorageCell(storage, workflow.config.codec, name or str(workflow.workflow_id))
        if not cell.shared:
            import logging

            logging.getLogger("dotflow").warning(
                "schedule %s: %s lacks create() or atomic_swap(), so its ticks cannot be claimed; run it in one "
                "process only",
                cell.name,
                type(storage).__name__,
            )
        return cell

    @property
    def name(self) -> str:
        """The workflow id, which names the schedule unless it has a name of its own."""
        return str(self._workflow.workflow_id)

    def _unfinished(self) -> bool:
        """Whether a run outside the schedule was interrupted."""
        from dotflow.core.checkpoint import RECORD, Checkpoint

        workflow = self._workflow
        store = Checkpoint(workflow.config.storage, workflow.config.codec, workflow.workflow_id)
        record = store.read_record(RECORD)
        return isinstance(record, dict) and record.get("status") != WorkflowStatus.COMPLETED

    def _on_signal(self, number: int, frame: Any) -> None:
        if self._stopping:
            raise KeyboardInterrupt
        self._stopping = True
        self._workflow.config.scheduler.stop()
        for manager in list(self._active.values()):
            manager.stop(Stop(WorkflowStatus.INTERRUPTED, GRACE))
        if self._home not in self._active and not self._prompt:
            raise _Unwind
        self._timer = threading.Timer(GRACE, signal.pthread_kill, (self._home, number))
        self._timer.daemon = True
        self._timer.start()


class ScheduleHandle:
    """A schedule that runs in a thread, as ``DotFlow.schedule(background=True)`` returns it."""

    def __init__(self, ticker: Ticker, kwargs: dict[str, Any]) -> None:
        import atexit

        self._ticker, self._kwargs = ticker, kwargs
        self._result: Any = None
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="dotflow-schedule", daemon=True)
        self._thread.start()
        atexit.register(self.stop, GRACE)

    def _run(self) -> None:
        try:
            self._result = self._ticker.run(self._kwargs)
        except BaseException as error:  # raised to whoever asks for the result (ADR 0010)
            self._problem = error

    @property
    def running(self) -> bool:
        """Whether the schedule goes on."""
        return self._thread.is_alive()

    def stop(self, timeout: float | None = None) -> bool:
        """End the schedule after the runs in progress; return whether it ended within *timeout* seconds."""
        if self._thread.is_alive():
            self._ticker._workflow.config.scheduler.stop()
        return self.wait(timeout)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end of the schedule, at most *timeout* seconds; return whether it has come."""
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def result(self) -> Any:
        """What happened, once the schedule has ended; ``None`` before. Raises what ended it, if that was an error."""
        if self._problem is not None:
            raise self._problem
        return self._result
