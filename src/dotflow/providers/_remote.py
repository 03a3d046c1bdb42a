"""An attempt that travels: packed by the process that drives the run, made by a pool or on a node of a cluster."""

from __future__ import annotations

import pickle
import sys
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from dotflow.core.around import arrive, carriers
from dotflow.core.attempt import attempt, failure
from dotflow.core.exception import StepNotPortable
from dotflow.core.messages import Attempt, Outcome, TaskError
from dotflow.providers._link import not_portable, pack_by_value
from dotflow.providers.executor_process import ExecutorProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.core.action import Action

GLANCE = 0.1  # seconds between two looks whether the outcome is still wanted
STEPS_KEPT = 1000


class Parcel(NamedTuple):
    """One attempt, ready for any process that has dotflow."""

    position: int
    number: int
    step: bytes
    values: bytes
    carrier: dict[str, str] | None
    paths: tuple[str, ...]
    killable: bool


class Packer:
    """Packs attempts; a step is pickled once."""

    def __init__(self) -> None:
        self._steps: dict[int, tuple[Any, bytes]] = {}

    def step(self, step: Action[..., Any]) -> bytes:
        """Return *step* pickled.

        Raises:
            StepNotPortable: it cannot be.
        """
        found = self._steps.get(id(step))
        if found is None:
            if len(self._steps) >= STEPS_KEPT:
                self._steps.clear()
            try:
                blob = pack_by_value(step)
            except Exception as error:  # whatever a step holds (ADR 0010)
                raise not_portable("code", step, error) from error
            found = self._steps[id(step)] = (step, blob)
        return found[1]

    def parcel(self, order: Attempt, *, killable: bool) -> Parcel | Outcome:
        """Return *order* packed, or the outcome of one whose input cannot travel."""
        try:
            step = self.step(order.step)
            values = pack_by_value(order[3:])
        except StepNotPortable as error:
            return failure(order, error)
        except Exception as error:  # whatever an input does when it is pickled (ADR 0010)
            return failure(order, not_portable("input", order.step, error))
        about = carriers.get((order.workflow_id, order.task_id)) if carriers else None
        return Parcel(order.position, order.number, step, values, about, tuple(sys.path), killable)


def unpacked(order: Attempt, blob: bytes) -> Outcome:
    """Return the outcome that ``make`` packed."""
    try:
        return pickle.loads(blob)  # type: ignore[no-any-return]  # what ``make`` packed
    except Exception as error:  # whatever a result does when it is rebuilt (ADR 0010)
        return failure(order, not_portable("result", order.step, error))


def make(parcel: Parcel, wanted: Callable[[], bool] = lambda: True) -> bytes:
    """Make the attempt in *parcel* and return its outcome, packed. Called in the other process.

    A killable one is made in a process below this one, which is killed when its time is over or when *wanted* says
    that nobody waits for it any more.
    """
    sys.path.extend(path for path in parcel.paths if path not in sys.path)
    try:
        step = _load(parcel.step)
        order = Attempt(parcel.position, parcel.number, step, *pickle.loads(parcel.values))
    except Exception as error:  # a module that cannot be imported here, a value that cannot be rebuilt (ADR 0010)
        failed = TaskError(error, parcel.number)
        return pickle.dumps(Outcome(parcel.position, parcel.number, error=failed, started=time.time()), 5)
    if parcel.killable:
        return _pack(spares.make(order, parcel.carrier, wanted), step)
    leave = arrive(parcel.carrier) if parcel.carrier else None
    try:
        return _pack(attempt(order), step)
    finally:
        if leave is not None:
            leave()


class Spares:
    """Worker processes of this one, each for one attempt at a time."""

    def __init__(self) -> None:
        self._idle: list[ExecutorProcess] = []
        self._lock = threading.Lock()

    def make(self, order: Attempt, carrier: dict[str, str] | None, wanted: Callable[[], bool]) -> Outcome:
        """Make *order* in a worker process; kill that one when the attempt is not wanted any more."""
        if not wanted():
            return Outcome(order.position, order.number, interrupted=True)
        with self._lock:
            executor = self._idle.pop() if self._idle else ExecutorProcess(1)
            if carrier is not None:
                carriers[order.workflow_id, order.task_id] = carrier
        answers: SimpleQueue[Outcome] = SimpleQueue()
        try:
            stop = executor.submit(order, answers.put)
            outcome = _wait(answers, wanted, stop)
        except BaseException:  # this process is told to stop
            executor.close()
            raise
        finally:
            if carrier is not None:
                carriers.pop((order.workflow_id, order.task_id), None)
        with self._lock:
            self._idle.append(executor)
        return outcome

    def close(self) -> None:
        """End those that do nothing."""
        with self._lock:
            idle, self._idle = self._idle, []
        for executor in idle:
            executor.close()


spares = Spares()
_steps: dict[bytes, Any] = {}


def _wait(answers: SimpleQueue[Outcome], wanted: Callable[[], bool], stop: Callable[[], None]) -> Outcome:
    while True:
        try:
            return answers.get(timeout=GLANCE)
        except Empty:
            if not wanted():
                stop()


def _load(blob: bytes) -> Any:
    if blob not in _steps:
        if len(_steps) >= STEPS_KEPT:
            _steps.clear()
        _steps[blob] = pickle.loads(blob)
    return _steps[blob]


def _pack(outcome: Outcome, step: Any) -> bytes:
    """Pickle an outcome; a result that cannot be pickled is a failure of the step."""
    if outcome.error is not None:
        outcome.error.make_portable()
    try:
        return pack_by_value(outcome)
    except Exception as error:  # whatever a result holds (ADR 0010)
        failed = TaskError(not_portable("result", step, error), outcome.number)
        return pickle.dumps(outcome._replace(value=None, error=failed), 5)
