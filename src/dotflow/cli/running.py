"""The runs that the commands start."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from dotflow.cli.interruption import GRACE, Interruption
from dotflow.cli.report import counts, report, resume_command
from dotflow.cli.target import Target, Wish, build
from dotflow.core.exception import ConfigurationError, DotflowError
from dotflow.core.journal import Origin
from dotflow.core.messages import Stop
from dotflow.core.ticking import Ticker, told
from dotflow.core.types import WorkflowStatus
from dotflow.core.workflow import Options
from dotflow.views.progress import escape, make_view, raw_write, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from types import FrameType

    from dotflow.abc.scheduler import Scheduler
    from dotflow.core.workflow import Manager


def run_once(wish: Wish, *, check: Callable[[Target], None] | None = None, **options: Any) -> int:
    """Run a workflow; return the exit code. *check* may refuse it once it is made."""
    view = make_view()
    resume = ""

    def farewell() -> None:
        view.close()
        line = f"{ended_by(signals.number)} before what ran had ended"
        raw_write(f"{line}; resume with: {resume}" if resume else line)

    with Interruption(view.say, farewell) as signals:
        try:
            target = build(wish)
            if check is not None:
                check(target)
            resume = resume_command(target, sys.argv[1:])
            listen()
            manager = drive(target, signals, view, resume=wish.resume, origin=origin(wish, listens=True), **options)
        except KeyboardInterrupt:
            found = signals.manager
            if found is None:
                write(sys.stderr, f"{ended_by(signals.number)} before anything ran")
                return signals.exit_code
            manager = found
        except DotflowError as error:
            if signals.manager is None:
                raise
            write(sys.stderr, escape(f"Error: {error}"))
            return 1
        finally:
            view.close()
        return conclude(manager, signals, resume)


def drive(target: Target, signals: Interruption, view: Any, **options: Any) -> Manager:
    """Start the run, and wait for its end."""

    def know(manager: Manager) -> None:
        signals.manager = manager

    manager = target.workflow.launch(Options(listeners=(view,), **options), on_manager=know)
    manager.wait()
    if manager.thread is not None:
        manager.thread.join()
    return manager


def conclude(manager: Manager, signals: Interruption, resume: str) -> int:
    """Say how the run ended; return the exit code."""
    took = time.time() - manager.started.timestamp()
    if manager.status is WorkflowStatus.COMPLETED:
        report(manager.tasks, manager.status, took, resume)
        return 0
    if manager.status is WorkflowStatus.INTERRUPTED:
        line = f"{ended_by(signals.number)}: {counts(manager.tasks)}"
        write(sys.stderr, f"{line}; resume with: {resume}" if resume else line)
        return signals.exit_code
    report(manager.tasks, manager.status, took, resume)
    return 1


def origin(wish: Wish, *, listens: bool) -> Origin:
    """Return where the run comes from, for its history; *listens*: SIGINT ends the run, and nothing else."""
    try:
        folder = os.getcwd()
    except FileNotFoundError:  # somebody removed it
        folder = ""
    return Origin(
        wish.workflow or "", wish.step or "", wish.callback or "", wish.initial_context, folder=folder, listens=listens
    )


def ended_by(number: int) -> str:
    """Return what happened to a run that a signal ended."""
    return "terminated" if number == signal.SIGTERM else "interrupted"


def listen() -> None:
    """Show what the library logs."""
    from dotflow.cli.notices import listen

    listen()


def run_scheduled(wish: Wish, *, scheduler: Scheduler | None, **options: Any) -> int:
    """Run a workflow again and again; return the exit code."""
    from dotflow.providers import SchedulerDefault

    if wish.step is not None and scheduler is None:
        raise ConfigurationError("schedule needs to know when: --cron LINE, --every SECONDS or --at MOMENT")
    with Interruption(raw_write, lambda: None) as signals:
        try:
            target = build(wish)
        except KeyboardInterrupt:
            write(sys.stderr, f"{ended_by(signals.number)} before anything ran")
            return signals.exit_code
    config = target.workflow.config
    if scheduler is not None:
        config.scheduler = scheduler
    elif isinstance(config.scheduler, SchedulerDefault):
        raise ConfigurationError(
            f"{wish.workflow!r} has no scheduler: add --cron LINE or --every SECONDS, or set Config(scheduler=...)"
        )
    listen()
    view = make_view()
    ticker = Ticks(target)
    try:
        ticker.run({"resume": wish.resume, "listeners": (view,), "origin": origin(wish, listens=False), **options})
    except KeyboardInterrupt:
        pass
    except DotflowError as error:
        if not ticker.began:
            raise
        write(sys.stderr, escape(f"Error: {error}"))
        return 1
    finally:
        view.close()
    ticker.settle()
    if not ticker.number:
        return 0
    resume = resume_command(target, sys.argv[1:])
    line = f"{ended_by(ticker.number)}: the schedule has ended"
    write(sys.stderr, f"{line}; go on with: {resume}" if resume else line)
    return 128 + ticker.number


class Ticks(Ticker):
    """A schedule that says how each run went, and remembers the signal that ended it."""

    def __init__(self, target: Target) -> None:
        super().__init__(target.workflow)
        self.number = 0
        self._last: Manager | None = None

    @property
    def began(self) -> bool:
        """Whether there was a run."""
        return self._last is not None

    def tick(self, **kwargs: Any) -> Manager:
        """Make one run, and say how it went."""
        self._last = manager = super().tick(**kwargs)
        manager.wait()
        report(manager.tasks, manager.status, time.time() - manager.started.timestamp(), "")
        return manager

    def begun(self, name: str, due: datetime | None, paused: str) -> None:
        """Say it, too, to whoever looks at the console."""
        super().begun(name, due, paused)
        write(sys.stderr, escape(told(name, due, paused)))

    def settle(self) -> None:
        """Stop a run in the background that the end of the schedule has left behind."""
        if self._last is None or self._last.wait(0):
            return
        self._last.stop(Stop(WorkflowStatus.INTERRUPTED, GRACE))
        try:
            ended = self._last.wait(GRACE)
        except KeyboardInterrupt:
            ended = False
        if not ended:
            os._exit(128 + (self.number or signal.SIGINT))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.number = self.number or number
        super()._on_signal(number, frame)
