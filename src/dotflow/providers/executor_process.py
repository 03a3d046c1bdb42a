"""Attempts in worker processes that can be killed."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import socket
import threading
import time
from collections import deque
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, ClassVar

from dotflow.abc.executor import Executor
from dotflow.core.around import carriers
from dotflow.core.attempt import failure, timed_out
from dotflow.core.context import Later
from dotflow.core.exception import ConfigurationError, UnsupportedOption, WorkerDied
from dotflow.core.messages import Outcome, make
from dotflow.providers._common import tell_of_forks
from dotflow.providers._link import Job, Worker, not_portable, pack, pack_by_value
from dotflow.providers._parcel import LARGE, LostParcel, Packed, Parcel, crowded, receive
from dotflow.providers._start import Forks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dotflow.core.action import Action
    from dotflow.core.messages import Attempt
    from dotflow.providers._parcel import Layout

STEPS_KEPT = 1000  # pickled steps remembered by an executor that outlives many runs
BATCH_SECONDS = 0.002  # of work that one message carries; a step that takes longer than half of it travels alone
LARGEST_BATCH = 256
STILLBORN = 3  # workers that died while they started, one after the other, before a step fails for it
START_METHODS = ("spawn", "forkserver")
AHEAD_BELOW = 0.05  # seconds; while steps take less, the next one waits at the worker, so that it is never idle


class ExecutorProcess(Executor):
    """Run steps in worker processes: started once, reused, killed one by one when a step must stop.

    A step that exceeds its timeout is killed together with the processes it started. Workers die with this
    process, whatever ends it. They are started afresh (not forked) and do not run the main module again: steps of
    ``__main__`` and closures are sent by value. Very short steps travel in batches; a worker that is killed loses
    the outcomes of at most its last millisecond, and those steps are run again. In a process that is forked from this
    one it starts workers of its own.

    Args:
        workers: Processes at most, at least 1; ``None`` for one per usable core.
        start_method: ``"spawn"`` starts an interpreter for each worker; ``"forkserver"`` starts one interpreter,
            without threads, and copies it for each worker, which makes a new one within milliseconds after a
            timeout. ``None`` means ``"spawn"``. Both are safe when this process has threads (ADR 0039).

    Raises:
        ConfigurationError: a number of workers or a start method that makes no sense.
        UnsupportedOption: ``"fork"``, which is not safe with threads.
    """

    stops: ClassVar[bool] = True

    def __init__(self, workers: int | None = None, *, start_method: str | None = None) -> None:
        if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
            raise ConfigurationError(f"ExecutorProcess(workers=...) needs a whole number, at least 1, got {workers!r}")
        self.workers = workers or usable_cores()
        self.start_method = _start_method(start_method)
        self._forks: Forks | None = None
        self._stillborn = 0
        self._lock = threading.Lock()
        self._jobs: deque[Job] = deque()
        self._workers: list[Worker] = []
        self._steps: dict[int, tuple[Any, int, bytes]] = {}
        self._epoch = self._counter = 0
        self._batch = 1
        self._seconds = 1.0  # that a step takes, as measured lately
        self._thread: threading.Thread | None = None
        self._asleep = self._closed = self._stopping = False
        tell_of_forks(self)

    @property
    def slots(self) -> int:  # type: ignore[override]  # it grows when steps turn out to be short
        """Attempts it takes at once: one a worker, more while steps are short."""
        return self.workers * (1 if self._seconds > AHEAD_BELOW else 2 * self._batch)

    def check(self, step: Action[..., Any]) -> None:
        """Raise ``StepNotPortable`` if *step* cannot be sent to a process."""
        self._refuse_if_closed()
        if not hasattr(os, "killpg"):
            raise UnsupportedOption("worker processes need a POSIX system; run this without a timeout and in one group")
        self._blob(step)

    def submit(self, order: Attempt, report: Callable[[Outcome], None]) -> Callable[[], None]:
        """Queue the attempt for a free worker."""
        job = Job(order, report)

        def stop() -> None:
            job.stopped = self._stopping = True
            self._poke()

        try:
            with self._lock:
                self._refuse_if_closed()
                if self._thread is None:
                    self._thread = self._begin()
                self._jobs.append(job)
        except (OSError, RuntimeError) as error:  # the system has no descriptor or thread left
            report(failure(order, error))
            return stop
        self._poke()
        return stop

    def close(self) -> None:
        """Kill the workers and wait until they are gone."""
        with self._lock:
            self._closed = True
            thread = self._thread
        if thread is None:
            return
        self._asleep = True
        self._poke()
        if thread is not threading.current_thread():
            thread.join()

    def after_fork(self) -> None:
        """Leave the workers to the parent, and whoever waits for them; the child starts its own."""
        self._lock = threading.Lock()
        self._jobs, self._workers, self._forks = deque(), [], None
        self._stopping = self._asleep = False
        if self._thread is not None:
            self._thread = None
            self._close_ends()

    def _begin(self) -> threading.Thread:
        """Start the thread that serves."""
        wake, woken = socket.socketpair()
        with contextlib.ExitStack() as made:
            made.callback(wake.close)
            made.callback(woken.close)
            self._lifeline = os.pipe()
            for fd in self._lifeline:
                made.callback(os.close, fd)
            self._wake, self._woken = wake, woken
            thread = threading.Thread(target=self._serve, name="dotflow-processes", daemon=True)
            thread.start()
            made.pop_all()
        return thread

    def _close_ends(self) -> None:
        for end in (self._wake, self._woken):
            end.close()
        for fd in self._lifeline:
            os.close(fd)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise ConfigurationError("this ExecutorProcess is closed; make a new one")

    def _poke(self) -> None:
        if self._asleep:
            self._asleep = False
            try:
                self._wake.send(b"!")
            except OSError:
                pass  # the thread has ended already

    # -- on the executor's own thread ---------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            while not self._closed:
                self._asleep = True  # from here on whoever adds something says so
                self._enforce()
                self._assign()  # after that: a worker may have been killed, and jobs wait for its successor
                deadlines = [worker.deadline for worker in self._workers if worker.deadline]
                pause = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
                ready = wait([self._woken, *(worker.connection for worker in self._workers)], pause)
                if self._woken in ready:
                    self._woken.recv(4096)
                for worker in [worker for worker in self._workers if worker.connection in ready]:
                    self._receive(worker)
        finally:
            self._end()

    def _end(self) -> None:
        """Kill every worker; whoever still waits for an outcome gets one."""
        self._closed = True
        for worker in self._workers:
            worker.kill()
            self._jobs.extend(worker.jobs)
        self._end_forks()
        with self._lock:
            self._close_ends()
        while self._jobs:
            self._jobs.popleft().abandon()

    def _assign(self) -> None:
        while self._jobs:
            worker = self._free_worker()
            if worker is None:
                starting = sum(not worker.ready for worker in self._workers)
                if len(self._workers) < self.workers and starting < len(self._jobs):
                    try:
                        self._workers.append(self._start())
                    except OSError as error:  # the system has no process, file or memory left
                        if self._workers:
                            return  # those that there are will do
                        job = self._jobs.popleft()
                        job.report(failure(job.order, error))
                    continue
                return
            jobs, blob, parcels = self._next_batch(worker)
            if not jobs:
                continue
            if worker.jobs and len(blob) > LARGE:  # to send it would wait for the end of what the worker does
                worker.epoch = -1
                self._jobs.extendleft(reversed(jobs))
                return
            try:
                worker.send(jobs, blob, parcels)
            except (BrokenPipeError, ConnectionResetError):  # it has died; what it answered is still to be read
                worker.gone = True
                self._jobs.extendleft(reversed(jobs))
            except OSError as error:  # the system has no room for a segment on its way; half a message was sent
                self._workers.remove(worker)
                worker.kill()
                self._jobs.extendleft(reversed(worker.jobs))
                if isinstance(error, BlockingIOError):  # it was stopped, and read nothing
                    self._jobs.extendleft(reversed(jobs))
                    continue
                for job in jobs:
                    job.report(failure(job.order, error))

    def _start(self) -> Worker:
        lifeline = self._lifeline[0]
        if self.start_method == "spawn":
            return Worker(lifeline)
        if self._forks is not None:
            try:
                return Worker(lifeline, self._forks)
            except ConnectionError:  # somebody has killed what starts workers
                self._end_forks()
        self._forks = Forks(lifeline)
        return Worker(lifeline, self._forks)

    def _end_forks(self) -> None:
        forks, self._forks = self._forks, None
        if forks is not None:
            forks.close()

    def _free_worker(self) -> Worker | None:
        """Return a worker that has nothing to do, or will have nothing very soon."""
        ready = [worker for worker in self._workers if worker.ready and not worker.gone]
        for worker in ready:
            if not worker.jobs:
                return worker
        if self._batch > 1 or self._seconds > AHEAD_BELOW or self._jobs[0].order.timeout:
            return None
        return next((w for w in ready if len(w.jobs) == 1 == w.sent and not w.jobs[0].order.step.limited), None)

    def _next_batch(self, worker: Worker) -> tuple[list[Job], bytes, list[Parcel]]:
        """Take the jobs of one message from the queue."""
        forget = worker.epoch != self._epoch
        if forget:
            worker.epoch, worker.known = self._epoch, set()
        most = min(self._batch, max(1, len(self._jobs) // self.workers))
        jobs: list[Job] = []
        parcels: list[Parcel] = []  # of the last job: one that has some travels alone
        steps: dict[int, bytes] = {}
        parts = []
        while self._jobs and len(jobs) < most:
            job = self._jobs[0]
            if jobs and not job.small:
                break
            self._jobs.popleft()
            if job.stopped:
                job.abandon()
                continue
            try:
                key, blob = self._blob(job.order.step)
                about = carriers.get((job.order.workflow_id, job.order.task_id)) if carriers else None
                content, parcels = pack(job)
                layouts = [parcel.layout for parcel in parcels]
                parts.append((key, job.order.position, job.order.number, content, layouts, about))
            except Exception as error:  # whatever an input does when it is pickled (ADR 0010)
                job.report(failure(job.order, not_portable("input", job.order.step, error)))
                continue
            if key not in worker.known:
                steps[key] = blob
                worker.known.add(key)
            jobs.append(job)
            if not job.small:
                break
        return jobs, pickle.dumps((forget, steps, parts), 5), parcels

    def _blob(self, step: Action[..., Any]) -> tuple[int, bytes]:
        found = self._steps.get(id(step))
        if found is None:
            if len(self._steps) >= STEPS_KEPT:
                self._steps.clear()
                self._epoch += 1
            try:
                blob = pack_by_value(step)
            except Exception as error:  # whatever a step holds (ADR 0010)
                raise not_portable("code", step, error) from error
            self._counter += 1
            found = self._steps[id(step)] = (step, self._counter, blob)
        return found[1], found[2]

    def _receive(self, worker: Worker) -> None:
        try:
            blob = worker.connection.recv_bytes()
        except (EOFError, OSError):
            self._bury(worker)
            return
        if not blob:
            worker.begin()
            self._stillborn = 0
            return
        seconds, outcomes = pickle.loads(blob)
        parcels = self._parcels(worker, [found.layout for found in outcomes if type(found) is Packed and found.layout])
        if parcels is None:
            return
        worker.deadline = None
        self._measure(seconds / len(outcomes))
        for found in outcomes:
            job = worker.jobs.popleft()
            job.report(make(Outcome, found) if type(found) is tuple else _unpacked(job, found, parcels))

    def _parcels(self, worker: Worker, layouts: list[Layout]) -> Iterator[Parcel] | None:
        """Return the segments that follow a message, ``None`` if the worker has died."""
        try:
            return iter(receive(worker.connection.fileno(), layouts))
        except LostParcel:
            return iter(())
        except (EOFError, OSError):
            self._bury(worker)
            return None

    def _measure(self, seconds: float) -> None:
        """Adapt the size of batches to how long steps take."""
        self._seconds = seconds if seconds > self._seconds else 0.7 * self._seconds + 0.3 * seconds
        fits = int(BATCH_SECONDS / max(self._seconds, 1e-6))
        self._batch = max(1, min(fits if fits > 1 else 1, 2 * self._batch, LARGEST_BATCH))

    def _bury(self, worker: Worker) -> None:
        """A worker has died: the step it was in fails, those after it go to another."""
        self._workers.remove(worker)
        victim = worker.victim()
        output = worker.printed(worker.jobs[victim].order) if worker.jobs else ""
        code = worker.reap()
        if worker.jobs:
            job = worker.jobs[victim]
            del worker.jobs[victim]
            self._jobs.extendleft(reversed(worker.jobs))
            job.report(failure(job.order, WorkerDied(code), worker.started)._replace(output=output))
        elif not worker.ready:
            self._stillborn += 1
            if self._stillborn >= STILLBORN and self._jobs:
                job = self._jobs.popleft()  # workers that cannot start must not be started for ever
                job.report(failure(job.order, WorkerDied(code)))

    def _enforce(self) -> None:
        """Stop what has been asked to stop, and what is over its time."""
        now, stopping = time.monotonic(), self._stopping
        if stopping:
            self._stopping = False  # before the look at what is stopped
        for worker in list(self._workers):
            late = worker.deadline is not None and now >= worker.deadline
            if not worker.jobs or not (late or (stopping and any(job.stopped for job in worker.jobs))):
                continue
            if wait([worker.connection], 0):  # it has answered, and that is read next
                self._stopping = self._stopping or stopping
                continue
            self._workers.remove(worker)
            output = worker.printed(worker.jobs[0].order)
            worker.kill()
            innocent = []
            for job in worker.jobs:
                order = job.order
                if job.stopped:
                    job.abandon()
                elif late:
                    failed = failure(order, timed_out(order.step, order.timeout), worker.started)
                    job.report(failed._replace(output=output))
                else:
                    innocent.append(job)
            self._jobs.extendleft(reversed(innocent))
        if stopping:
            waiting = list(self._jobs)
            for job in waiting:
                if job.stopped:
                    self._jobs.remove(job)
                    job.abandon()


def _start_method(name: str | None) -> str:
    if name == "fork":
        raise UnsupportedOption(
            "ExecutorProcess(start_method='fork') would copy this process with its locks but without its threads, "
            "which can hang; use 'forkserver', which is as quick, or 'spawn'"
        )
    if name is not None and name not in START_METHODS:
        raise ConfigurationError(f"ExecutorProcess(start_method=...) needs 'spawn', 'forkserver' or None, got {name!r}")
    return name or START_METHODS[0]


def usable_cores() -> int:
    """Cores this process may use, at least 1."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _unpacked(job: Job, found: Packed, parcels: Iterator[Parcel]) -> Outcome:
    try:
        if found.content is not None:
            return found.outcome._replace(value=pickle.loads(found.content))
        parcel = next(parcels, None)
        if parcel is None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        later = Later(parcel)
        if crowded():
            later.get()
        elif not found.sure:
            parcel()
        return found.outcome._replace(value=later)
    except OSError as error:
        return failure(job.order, error)
    except Exception as error:  # whatever a result does when it is rebuilt (ADR 0010)
        return failure(job.order, not_portable("result", job.order.step, error))
