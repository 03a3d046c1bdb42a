"""Attempts in a pool that is not ours: anything with the ``submit`` of ``concurrent.futures.Executor``."""

from __future__ import annotations

import concurrent.futures
import contextvars
import threading
from concurrent.futures import BrokenExecutor, CancelledError
from typing import TYPE_CHECKING, Any, ClassVar

from dotflow.abc.executor import Executor
from dotflow.core.attempt import attempt, failure
from dotflow.core.exception import ConfigurationError, NotCallableObject, UnsupportedOption, WorkerLost
from dotflow.core.messages import Outcome
from dotflow.providers._common import whole_number
from dotflow.providers._remote import Packer, Spares, make, unpacked
from dotflow.providers.executor_process import usable_cores

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.core.action import Action
    from dotflow.core.messages import Attempt

LOST_AGAIN = 3  # times that an attempt is made again when the pool broke under it


class ExecutorPool(Executor):
    """Run steps in any pool with the ``submit`` of ``concurrent.futures.Executor``.

    ``Config(executor=pool)`` makes one of these. A step with a timeout is run in a worker process below the thread
    or process of the pool that took it, and that process is killed. A step without one cannot be stopped: a run that
    is cancelled waits for it.

    Args:
        pool: The pool, which stays yours to shut down; or a callable without arguments that makes one, which is then
            shut down by ``close``, and made again when it breaks.
        workers: Attempts that the pool is given at once, at least 1; ``None`` for as many as it has workers.

    .. versionadded:: 2.0
    """

    stops: ClassVar[bool] = True

    def __init__(self, pool: Any, *, workers: int | None = None) -> None:
        self._make = None
        if isinstance(pool, type) or not callable(getattr(pool, "submit", None)):
            if not callable(pool):
                raise NotCallableObject("ExecutorPool(pool)", expected="an object with a submit method", given=pool)
            self._make, pool = pool, None
        self.workers = whole_number("ExecutorPool(workers=...)", workers)
        self._pool: Any = pool
        self._packer, self._spares = Packer(), Spares()
        self._lock = threading.Lock()
        self._closed = False

    @property
    def slots(self) -> int:  # type: ignore[override]  # it is known when there is a pool
        """Attempts it takes at once."""
        if self.workers is not None:
            return self.workers
        known = getattr(self._pool, "_max_workers", None)
        return known if isinstance(known, int) and known > 0 else usable_cores()

    def check(self, step: Action[..., Any]) -> None:
        """Raise if *step* cannot run here.

        Raises:
            ConfigurationError: the pool was shut down, or is broken.
            StepNotPortable: the step cannot be sent to a process.
            UnsupportedOption: the step has a timeout, which this kind of pool cannot honour.
        """
        pool = self._current()
        try:
            pool.submit(_nothing)
        except BrokenExecutor as error:
            if self._make is None:
                raise ConfigurationError(f"Config(executor=...): {_name(pool)} is broken ({error}); {FIX}") from error
            self._renew(pool)
        except RuntimeError as error:
            raise ConfigurationError(f"Config(executor=...): {_name(pool)} takes no work ({error}); {FIX}") from error
        if not _shares_memory(pool):
            self._packer.step(step)
        if step.limited and _is_interpreters(pool):
            raise UnsupportedOption(
                f"timeout={step.policy.timeout:g} of step {step.name!r}: {_name(pool)} cannot stop a running step, and "
                "an interpreter cannot start processes; use Config(executor=ExecutorProcess())"
            )

    def submit(self, order: Attempt, report: Callable[[Outcome], None]) -> Callable[[], None]:
        """Hand the attempt to the pool."""
        job = _Job(order, report)
        self._send(job)

        def stop() -> None:
            job.stopped = True
            if job.future is not None:
                job.future.cancel()

        return stop

    def close(self) -> None:
        """Shut the pool down if this made it; one that was given stays as it is."""
        with self._lock:
            self._closed = True
            pool, made = self._pool, self._make is not None
            if made:
                self._pool = None
        if made and pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)
        self._spares.close()

    def _current(self) -> Any:
        with self._lock:
            if self._closed:
                raise ConfigurationError("this ExecutorPool is closed; make a new one")
            if self._pool is None and self._make is not None:
                self._pool = self._make()
            return self._pool

    def _renew(self, broken: Any) -> None:
        with self._lock:
            if self._pool is not broken or self._make is None:
                return
            self._pool = None
        broken.shutdown(wait=False)

    def _send(self, job: _Job) -> None:
        pool = self._current()
        try:
            if _shares_memory(pool):
                future = pool.submit(contextvars.copy_context().run, self._make_here, job)
            else:
                parcel = self._packer.parcel(job.order, killable=job.order.step.limited)
                if isinstance(parcel, Outcome):
                    job.report(parcel)
                    return
                future = pool.submit(make, parcel)
        except RuntimeError as error:  # broken, or shut down in the middle of the run
            self._lose(job, pool, error)
            return
        except OSError as error:  # the pool could start no process
            job.report(failure(job.order, error))
            return
        job.future = future
        if job.stopped:  # while a broken pool was replaced
            future.cancel()
        future.add_done_callback(lambda done: self._receive(job, pool, done))

    def _make_here(self, job: _Job) -> Outcome:
        if job.order.step.limited:
            return self._spares.make(job.order, None, lambda: not job.stopped)
        return attempt(job.order)

    def _receive(self, job: _Job, pool: Any, future: Any) -> None:
        order = job.order
        try:
            error = future.exception()
        except CancelledError as cancelled:
            if job.stopped:
                job.report(Outcome(order.position, order.number, interrupted=True))
            else:
                job.report(failure(order, WorkerLost(f"{_name(pool)} dropped the attempt ({cancelled!r})")))
            return
        if isinstance(error, BrokenExecutor):
            self._lose(job, pool, error)
        elif error is not None:
            job.report(failure(order, error))
        else:
            answer = future.result()
            job.report(unpacked(order, answer) if isinstance(answer, bytes) else answer)

    def _lose(self, job: _Job, pool: Any, error: BaseException) -> None:
        """The pool broke: with a new one the attempt is made again, which does not count; else it failed."""
        if self._make is not None and isinstance(error, BrokenExecutor) and job.losses < LOST_AGAIN:
            job.losses += 1
            self._renew(pool)
            if not (self._closed or job.stopped):
                try:
                    self._send(job)
                except Exception as failed:  # of the callable that makes a pool, or of the new one (ADR 0010)
                    job.report(failure(job.order, failed))
                return
        lost = WorkerLost(f"{_name(pool)} lost the attempt ({type(error).__name__}: {error}); {FIX}")
        lost.__cause__ = error
        job.report(failure(job.order, lost))


FIX = "make a new pool, or give Config(executor=ExecutorPool(make)) a callable that makes one"


class _Job:
    """One attempt on its way."""

    __slots__ = ("future", "losses", "order", "report", "stopped")

    def __init__(self, order: Attempt, report: Callable[[Outcome], None]) -> None:
        self.order, self.report = order, report
        self.losses, self.stopped = 0, False
        self.future: Any = None


def _is_interpreters(pool: Any) -> bool:
    kind = getattr(concurrent.futures, "InterpreterPoolExecutor", None)  # Python 3.14
    return kind is not None and isinstance(pool, kind)


def _shares_memory(pool: Any) -> bool:
    return isinstance(pool, concurrent.futures.ThreadPoolExecutor) and not _is_interpreters(pool)


def _name(pool: Any) -> str:
    return type(pool).__name__


def _nothing() -> None:
    """Prove that the pool takes work."""
