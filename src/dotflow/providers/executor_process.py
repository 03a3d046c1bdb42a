"""Attempts in worker processes that can be killed."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, ClassVar

from dotflow.abc.executor import Executor
from dotflow.core.attempt import failure, timed_out
from dotflow.core.exception import ConfigurationError, StepNotPortable, WorkerDied
from dotflow.core.messages import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.core.action import Action
    from dotflow.core.messages import Attempt

LOAD_PATIENCE = 60.0  # seconds that importing a step's modules may take before its timeout counts
REAP_PATIENCE = 2.0
STEPS_KEPT = 1000  # pickled steps remembered by an executor that outlives many runs


class ExecutorProcess(Executor):
    """Run steps in worker processes: started once, reused, killed one by one when a step must stop.

    A step that exceeds its timeout is killed together with the processes it started. Workers die with this
    process, whatever ends it. They are started afresh (not forked) and do not run the main module again: steps
    of ``__main__`` and closures are sent by value.

    Args:
        workers: Processes at most, at least 1; ``None`` for one per usable core.
    """

    stops: ClassVar[bool] = True

    def __init__(self, workers: int | None = None) -> None:
        if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
            raise ConfigurationError(f"ExecutorProcess(workers=...) needs a whole number, at least 1, got {workers!r}")
        self.slots: int = workers or usable_cores()
        self._lock = threading.Lock()
        self._orders: deque[_Job] = deque()
        self._workers: list[_Worker] = []
        self._steps: dict[int, tuple[Any, int, bytes]] = {}
        self._epoch = self._counter = 0
        self._thread: threading.Thread | None = None
        self._closed = False

    def check(self, step: Action[..., Any]) -> None:
        """Raise ``StepNotPortable`` if *step* cannot be sent to a process."""
        if self._closed:
            raise ConfigurationError("this ExecutorProcess is closed; make a new one")
        self._blob(step)

    def submit(self, order: Attempt, report: Callable[[Outcome], None]) -> Callable[[], None]:
        """Queue the attempt for a free worker."""
        job = _Job(order, report)
        with self._lock:
            if self._closed:
                raise ConfigurationError("this ExecutorProcess is closed; make a new one")
            self._orders.append(job)
            if self._thread is None:
                self._wake, self._woken = socket.socketpair()
                self._lifeline = os.pipe()
                self._thread = threading.Thread(target=self._serve, name="dotflow-processes", daemon=True)
                self._thread.start()
        self._poke()
        return lambda: self._stop(job)

    def close(self) -> None:
        """Kill the workers and wait until they are gone."""
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
        if thread is None:
            return
        self._poke()
        if thread is not threading.current_thread():
            thread.join()

    def _poke(self) -> None:
        try:
            self._wake.send(b"!")
        except OSError:
            pass  # the thread has ended already

    def _stop(self, job: _Job) -> None:
        job.stopped = True
        self._poke()

    # -- on the executor's own thread ---------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            while not self._closed:
                self._assign()
                deadlines = [worker.deadline for worker in self._workers if worker.deadline]
                pause = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
                ready = wait([self._woken, *(worker.connection for worker in self._workers)], pause)
                if self._woken in ready:
                    self._woken.recv(4096)
                for worker in [worker for worker in self._workers if worker.connection in ready]:
                    self._receive(worker)
                self._enforce()
        finally:
            self._end()

    def _end(self) -> None:
        """Kill every worker; whoever still waits for an outcome gets one."""
        self._closed = True
        for worker in self._workers:
            worker.kill()
            if worker.job is not None:
                self._orders.append(worker.job)
        for end in (self._wake, self._woken):
            end.close()
        for fd in self._lifeline:
            os.close(fd)
        while self._orders:
            self._orders.popleft().abandon()

    def _assign(self) -> None:
        while self._orders:
            worker = next((worker for worker in self._workers if worker.ready and worker.job is None), None)
            if worker is None:
                starting = sum(not worker.ready for worker in self._workers)
                if len(self._workers) < self.slots and starting < len(self._orders):
                    self._workers.append(_Worker(self._lifeline[0]))
                    continue
                return
            job = self._orders.popleft()
            try:
                blob = self._pack(job, worker)
            except Exception as error:  # whatever an input does when it is pickled (ADR 0010)
                job.report(failure(job.order, _not_portable("input", job.order.step, error)))
                continue
            try:
                worker.start(job, blob)
            except OSError:  # it died while it was idle
                self._orders.appendleft(job)
                worker.kill()
                self._workers.remove(worker)

    def _pack(self, job: _Job, worker: _Worker) -> bytes:
        order = job.order
        key, blob = self._blob(order.step)
        forget = worker.epoch != self._epoch
        if forget:
            worker.epoch, worker.known = self._epoch, set()
        send_step = None if key in worker.known else blob
        worker.known.add(key)
        return pickle.dumps((forget, key, send_step, order.position, order.number, _dumps(order[3:])))

    def _blob(self, step: Action[..., Any]) -> tuple[int, bytes]:
        found = self._steps.get(id(step))
        if found is None:
            if len(self._steps) >= STEPS_KEPT:
                self._steps.clear()
                self._epoch += 1
            try:
                blob = _dumps(step)
            except Exception as error:  # whatever a step holds (ADR 0010)
                raise _not_portable("code", step, error) from error
            self._counter += 1
            found = self._steps[id(step)] = (step, self._counter, blob)
        return found[1], found[2]

    def _receive(self, worker: _Worker) -> None:
        job = worker.job
        try:
            blob = worker.connection.recv_bytes()
        except (EOFError, OSError):
            self._workers.remove(worker)
            code = worker.reap()
            if job is None and not worker.ready and self._orders:
                job = self._orders.popleft()  # workers that cannot start must not be started for ever
            if job is not None:
                job.report(failure(job.order, WorkerDied(code), worker.started))
            return
        if not blob:
            worker.begin()
            return
        worker.job = worker.deadline = None
        assert job is not None
        try:
            outcome: Outcome = pickle.loads(blob)
        except Exception as error:  # whatever a result does when it is rebuilt (ADR 0010)
            outcome = failure(job.order, _not_portable("result", job.order.step, error))
        job.report(outcome)

    def _enforce(self) -> None:
        now = time.monotonic()
        for job in [job for job in self._orders if job.stopped]:
            self._orders.remove(job)
            job.abandon()
        for worker in list(self._workers):
            current = worker.job
            late = worker.deadline is not None and now >= worker.deadline
            if current is None or not (late or current.stopped):
                continue
            self._workers.remove(worker)
            worker.kill()
            order = current.order
            if current.stopped:
                current.abandon()
            else:
                current.report(failure(order, timed_out(order.step, order.timeout), worker.started))


class _Job:
    """One attempt on its way."""

    def __init__(self, order: Attempt, report: Callable[[Outcome], None]) -> None:
        self.order, self.report, self.stopped = order, report, False

    def abandon(self) -> None:
        """Report that the attempt was stopped."""
        self.report(Outcome(self.order.position, self.order.number, interrupted=True))


class _Worker:
    """One worker process, seen from here."""

    def __init__(self, lifeline: int) -> None:
        ours, theirs = socket.socketpair()
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            f"from dotflow.providers.worker import main; main({theirs.fileno()}, {lifeline})"
        )
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), lifeline),
                start_new_session=True,
            )
        self.connection = Connection(ours.detach())
        self.ready = False
        self.job: _Job | None = None
        self.deadline: float | None = None
        self.started = 0.0
        self.known: set[int] = set()
        self.epoch = -1

    def start(self, job: _Job, blob: bytes) -> None:
        """Send an order."""
        self.connection.send_bytes(blob)
        self.job, self.started = job, time.time()
        limit = job.order.timeout
        self.deadline = time.monotonic() + LOAD_PATIENCE + limit if limit else None

    def begin(self) -> None:
        """Note that the process is ready, or that it is about to call a step that has a timeout."""
        self.ready = True
        if self.job is not None:
            self.deadline = time.monotonic() + self.job.order.timeout

    def reap(self) -> int:
        """Return the exit code of a process that ended by itself."""
        try:
            code = self._process.wait(REAP_PATIENCE)
        except subprocess.TimeoutExpired:  # it closed its end, and lives
            return self.kill()
        self.kill()
        return code

    def kill(self) -> int:
        """Kill the process and what it started; return its exit code."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # everything of it has ended
        self.connection.close()
        return self._process.wait()


def usable_cores() -> int:
    """Cores this process may use, at least 1."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _dumps(value: Any) -> bytes:
    import cloudpickle

    return cloudpickle.dumps(value, protocol=5)  # type: ignore[no-any-return]  # untyped library


def _not_portable(what: str, step: Action[..., Any], error: Exception) -> StepNotPortable:
    return StepNotPortable(
        f"the {what} of step {step.name!r} cannot be sent to a worker process ({type(error).__name__}: {error}); "
        "open sockets, locks and the like inside the step, or run it in mode 'sequential' without a timeout"
    )
