"""A worker process, seen from the process that drives it."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from dotflow.core.context import Context, Later, LaterContext, Together
from dotflow.core.exception import StepNotPortable
from dotflow.core.messages import Outcome
from dotflow.providers._common import tell_of_forks
from dotflow.providers._parcel import MOST, PROGRESS, Parcel, Promise, Slot, bare, is_small, segment, send
from dotflow.providers._parcel import pack as pack_large
from dotflow.providers._printed import printed
from dotflow.providers._start import Forked, Forks, spawn

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.core.action import Action
    from dotflow.core.messages import Attempt

LOAD_PATIENCE = 60.0  # seconds that importing a step's modules may take before its timeout counts
REAP_PATIENCE = 2.0
STALLED = 10  # seconds for which a message may stop half-way before its worker counts as dead
TIME = struct.Struct("@ll")  # a struct timeval


class Job:
    """One attempt on its way."""

    __slots__ = ("order", "report", "small", "stopped")

    def __init__(self, order: Attempt, report: Callable[[Outcome], None]) -> None:
        self.order, self.report, self.stopped = order, report, False
        self.small = not order.step.limited and _small(order.initial) and _small(order.previous)

    def abandon(self) -> None:
        """Report that the attempt was stopped."""
        self.report(Outcome(self.order.position, self.order.number, interrupted=True))


class Worker:
    """One worker process: what it was sent, and what it has not answered.

    Args:
        lifeline: A pipe's end that the process watches, to die with this one.
        forks: What starts it, ``None`` for an interpreter of its own.
    """

    def __init__(self, lifeline: int, forks: Forks | None = None) -> None:
        ours, self._theirs = socket.socketpair()
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            ours.setsockopt(socket.SOL_SOCKET, option, TIME.pack(STALLED, 0))
        self.connection = Connection(ours.detach())
        self._progress = -1
        tell_of_forks(self)
        self._process: subprocess.Popen[bytes] | Forked
        try:
            self._progress = segment()
            os.ftruncate(self._progress, PROGRESS)
            if forks is None:
                self._process = spawn("worker:main", (self._theirs.fileno(), lifeline, self._progress))
            else:
                self._process = forks.start(self._theirs.fileno(), self._progress)
        except BaseException:
            self._close()
            raise
        finally:
            self._theirs.close()
        self.ready = self.gone = False
        self.jobs: deque[Job] = deque()
        self.sent = 0
        self.deadline: float | None = None
        self.started = 0.0
        self.known: set[int] = set()
        self.epoch = -1

    def send(self, jobs: list[Job], blob: bytes, parcels: list[Parcel]) -> None:
        """Send some attempts, to be made one after the other."""
        if len(jobs) > 1:
            os.pwrite(self._progress, bytes(PROGRESS), 0)
        self.connection.send_bytes(blob)
        send(self.connection.fileno(), parcels)
        self.jobs.extend(jobs)
        self.sent, self.started = len(jobs), time.time()
        limit = jobs[0].order.timeout
        self.deadline = time.monotonic() + LOAD_PATIENCE + limit if limit else None

    def begin(self) -> None:
        """Note that the process is ready, or that it is about to call a step that has a timeout."""
        self.ready = True
        if self.jobs and self.deadline is not None:
            self.deadline = time.monotonic() + self.jobs[0].order.timeout

    def victim(self) -> int:
        """How many of the unanswered attempts the process had made before the one it died in."""
        if self.sent == 1:
            return 0
        reached = int.from_bytes(os.pread(self._progress, PROGRESS, 0), sys.byteorder)
        answered = self.sent - len(self.jobs)
        return max(0, min(reached - answered, len(self.jobs) - 1))

    def printed(self, order: Attempt) -> str:
        """What the attempt under way, which is that of *order*, has printed, if that is captured."""
        return "" if order.capture is None else printed(self._progress, order.capture.limit)

    def reap(self) -> int:
        """Return the exit code of a process that ended by itself."""
        try:
            code = self._process.wait(REAP_PATIENCE)
        except subprocess.TimeoutExpired:  # it closed its end, and lives
            return self.kill()
        self.kill()
        return code

    def kill(self) -> int:
        """Kill the process and what it started, in sessions of their own too; return its exit code."""
        self._close_progress()  # so that there is a descriptor left to look with
        for pid in _descendants(self._process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it has ended already
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # everything of it has ended
        self._close()
        return self._process.wait()

    def after_fork(self) -> None:
        """Leave the process to the parent: with copies of its connection about, nobody would hear of its end."""
        self._theirs.close()
        self._close()

    def _close(self) -> None:
        self.connection.close()
        self._close_progress()

    def _close_progress(self) -> None:
        fd, self._progress = self._progress, -1
        if fd >= 0:
            os.close(fd)


def _descendants(pid: int) -> list[int]:
    """Return the processes below *pid*, as far as the system's /proc tells."""
    children: dict[int, list[int]] = {}
    try:
        names = os.listdir("/proc") if os.path.isdir("/proc/self") else []
    except OSError:  # no descriptor is left to look with
        names = []
    for name in names:
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has just ended
            children.setdefault(parent, []).append(int(name))
    found = list(children.get(pid, ()))
    for child in found:
        found.extend(children.get(child, ()))
    return found


def pack_by_value(value: Any) -> bytes:
    """Pickle anything that can travel, classes and functions of ``__main__`` included."""
    import cloudpickle

    return cloudpickle.dumps(value, protocol=5)  # type: ignore[no-any-return]  # untyped library


def pack(job: Job) -> tuple[Any, list[Parcel]]:
    """Return what a step is called with: plain values, or its pickle, which is in the last parcel if it is large."""
    values: tuple[Any, ...] = job.order[3:]  # all but position, number and step, which travel beside it
    if job.small:
        timeout, initial, previous, *rest = values
        return (timeout, bare(initial), bare(previous), *rest), []
    import cloudpickle

    promise, parcels = _promise(values[2])
    if promise is not None:
        values = (*values[:2], promise, *values[3:])
    content = pack_large(values, cloudpickle.Pickler)
    return (content, parcels) if isinstance(content, bytes) else (None, [*parcels, content])


def _promise(context: Context | None) -> tuple[Promise | None, list[Parcel]]:
    """Stand in for a context whose value lies in segments that nobody here has looked into: they are passed on."""
    later = context.later if type(context) is LaterContext else None
    source = later.source if later is not None else None
    parcels: list[Parcel] = []
    content: Any = None
    if type(source) is Parcel:
        content = Slot(0)
        parcels.append(source)
    elif type(source) is Together and len(source.values) <= MOST:
        content = {}
        for name, value in source.values.items():
            inner = value.source if type(value) is Later else None
            if type(inner) is Parcel:
                content[name] = Slot(len(parcels))
                parcels.append(inner)
            else:
                content[name] = value.get() if type(value) is Later else value
    if not parcels or context is None:
        return None, []
    return Promise(content, context.task_id, context.workflow_id, context._made, context.scheduled_for), parcels


def not_portable(what: str, step: Action[..., Any], error: Exception) -> StepNotPortable:
    """Return the error of something that cannot travel."""
    return StepNotPortable(
        f"the {what} of step {step.name!r} cannot be sent to a worker process ({type(error).__name__}: {error}); "
        "open sockets, locks and the like inside the step, or run it in mode 'sequential' without a timeout"
    )


def _small(context: Context | None) -> bool:
    return context is None or (type(context) is not LaterContext and is_small(context.storage))
