"""``dotflow cancel``: a request in the storage, and a signal where the process is one of ours on this machine."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from dotflow.cli.lookup import find_runs, print_line
from dotflow.cli.resuming import way_on
from dotflow.core.exception import ConfigurationError
from dotflow.core.types import WorkflowStatus
from dotflow.history import SHORT
from dotflow.views.progress import write

if TYPE_CHECKING:
    from dotflow.history import Run, Runs

PAUSES = (0.05, 0.5)  # seconds between two looks: the first, the longest


def cancel_run(*, run: str, storage: str | None, path: str | None, wait: float, kill: bool) -> int:
    """End a run; return the exit code: 0 if it is cancelled, 1 if it goes on or had ended otherwise."""
    runs = find_runs(storage, path)
    found = runs.get(run)
    short = found.run_id[:SHORT]
    if found.status is not WorkflowStatus.IN_PROGRESS:
        print_line(f"run {short} does not run: {ended(found)}")
        return 1
    driver = runs.driver(found)
    if kill and driver is None:
        raise ConfigurationError(f"run {short} is not driven by a process of this machine; --kill cannot reach it")
    runs.request_cancel(found.run_id)
    if driver is not None and driver.listens:
        send(runs, found, signal.SIGINT)
    latest = await_end(runs, found, wait)
    if latest.status is WorkflowStatus.IN_PROGRESS and kill:
        send(runs, found, signal.SIGKILL)
        latest = await_end(runs, found, max(wait, 1.0))
        if latest.status is WorkflowStatus.INTERRUPTED:
            print_line(f"run {short} is killed\n{way_on(runs, latest, storage, path)}")
            return 0
    if latest.status is WorkflowStatus.CANCELLED:
        print_line(f"run {short} is cancelled: {latest.done} of {latest.total} completed")
        return 0
    if latest.status is WorkflowStatus.IN_PROGRESS:
        way = ", or kill its process with --kill" if driver is not None else ""
        write(sys.stderr, f"run {short} is asked to end and goes on until what runs has ended: wait longer{way}")
        return 1
    print_line(f"run {short} has ended before it was cancelled: {ended(latest)}")
    return 1


def ended(run: Run) -> str:
    """Return how a run ended."""
    gone = run.status is WorkflowStatus.INTERRUPTED and run.finished_at is None
    return "its process is gone, it was interrupted" if gone else run.status.value.lower()


def await_end(runs: Runs, run: Run, seconds: float) -> Run:
    """Wait for the end of a run, at most so many seconds; return how it stands then."""
    until, pause = time.monotonic() + seconds, PAUSES[0]
    while True:
        found = runs.get(run.run_id)
        left = until - time.monotonic()
        if found.status is not WorkflowStatus.IN_PROGRESS or left <= 0:
            return found
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, PAUSES[1])


def send(runs: Runs, run: Run, number: int) -> None:
    """Send a signal to the process that drives a run, and to no other that may have got its id since."""
    driver = runs.driver(run)
    if driver is None:
        return
    try:
        fd = os.pidfd_open(driver.pid)
    except OSError:  # it has just ended
        return
    try:
        if runs.driver(run) == driver:  # while the descriptor is open, the id means the same process
            signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        if number == signal.SIGKILL:
            raise ConfigurationError(f"process {driver.pid} belongs to another user; --kill cannot end it") from None
    finally:
        os.close(fd)
