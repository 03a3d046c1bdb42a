"""The worker process: reads attempts from a pipe, makes one at a time, answers.

Started as ``python -c``, so that the user's main module is not run again and nothing is inherited.
"""

from __future__ import annotations

import functools
import mmap
import os
import pickle
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from dotflow.core import attempt as attempts
from dotflow.core.around import arrive
from dotflow.core.context import make_context
from dotflow.core.exception import StepNotPortable
from dotflow.core.messages import Attempt, Outcome, TaskError, make
from dotflow.providers._parcel import MOST, PROGRESS, Packed, Parcel, Promise, is_small, is_sure, pack, receive, send
from dotflow.providers._printed import Printed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dotflow.providers._parcel import Layout

READY = b""
ANSWER_AFTER = 0.001  # seconds after which outcomes are not held back for the next ones


def main(pipe: int, lifeline: int, progress: int) -> None:
    """Serve attempts from the connection *pipe* until it closes; die when the other end of *lifeline* does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides who stops
    threading.Thread(target=_die_with_parent, args=(lifeline,), daemon=True).start()
    attempts.alarms_allowed = hasattr(signal, "setitimer")
    connection = Connection(pipe)
    for fd in (pipe, lifeline, progress):
        os.set_inheritable(fd, False)  # what a step starts must not keep them open when this process is killed
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=functools.partial(_after_fork, connection))
    server = Server(connection, progress)
    attempts.give_up = server.give_up
    _tell(connection, READY)
    while True:
        try:
            blob = connection.recv_bytes()
        except (EOFError, OSError):  # the parent has ended, in the middle of a message maybe
            return
        server.serve(*pickle.loads(blob))


class Server:
    """Makes attempts.

    Args:
        connection: Where outcomes go.
        progress: A file where the parent can read, if this process dies, how far it had come.
    """

    def __init__(self, connection: Connection, progress: int) -> None:
        self._connection, self._file = connection, progress
        self._progress = memoryview(mmap.mmap(progress, PROGRESS)).cast("i")
        self._steps: dict[int, Any] = {}
        self._outcomes: list[tuple[Any, ...]] = []  # not yet answered
        self._parcels: list[Parcel] = []
        self._order: Attempt | None = None

    def serve(self, forget: bool, steps: dict[int, bytes], jobs: list[tuple[Any, ...]]) -> None:
        """Make the attempts in *jobs* one after the other; answer in good time."""
        if forget:
            self._steps.clear()
        for key, blob in steps.items():
            self._learn(key, blob)
        since = time.perf_counter()
        for ordinal, job in enumerate(jobs):
            self._progress[0] = ordinal
            made = self._make(*job)
            self._outcomes.append(made if type(made) is Packed else tuple(made))  # plain ones pickle faster
            now = time.perf_counter()
            if now - since > ANSWER_AFTER or len(self._parcels) >= MOST:
                self._answer(now - since)
                since = now
        if self._outcomes:
            self._answer(time.perf_counter() - since)

    def _learn(self, key: int, blob: bytes) -> None:
        try:
            self._steps[key] = pickle.loads(blob)
        except BaseException as error:  # whatever the step's module does when it is imported
            self._steps[key] = error

    def _make(
        self,
        key: int,
        position: int,
        number: int,
        content: Any,
        layouts: list[Layout],
        carrier: dict[str, str] | None,
    ) -> Outcome | Packed:
        step = self._steps[key]
        try:
            parcels = receive(self._connection.fileno(), layouts)
            if isinstance(step, BaseException):
                raise step
            values = _values(content, parcels)
            order = make(Attempt, (position, number, step, *values))
        except BaseException as error:  # a module that cannot be imported here, a value that cannot be rebuilt
            return Outcome(position, number, error=TaskError(error, number), started=time.time())
        if order.capture is not None:
            from dotflow.core import capture  # not needed by most workers

            capture.mirror = capture.mirror or Printed(self._file)
        del parcels, values  # what the step lets go is free
        leave = arrive(carrier) if carrier else None
        if order.timeout:
            _tell(self._connection, READY)  # importing the step's module does not count
        self._order = order
        outcome = attempts.attempt(order)
        if outcome.error is not None:
            outcome.error.make_portable()
        if leave is not None:
            leave()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        if _copied:
            os._exit(0)  # the process that the step forked; the outcome is that of the other
        self._order = None
        return outcome if outcome.error is not None or is_small(outcome.value) else self._pack(outcome, step)

    def give_up(self, error: BaseException) -> None:
        """Answer that the step failed, and end this process, which cannot stop it in any other way."""
        assert self._order is not None
        self._outcomes.append(tuple(attempts.failure(self._order, error)))
        self._answer(0.0)
        os.killpg(0, signal.SIGKILL)

    def _pack(self, outcome: Outcome, step: Any) -> Outcome | Packed:
        """Pickle a result; one that cannot be pickled is a failure of the step."""
        value = outcome.value
        try:
            content = _pickled(value)
        except OSError as error:  # no memory or descriptor is left
            return _failed(outcome, error)
        except Exception as error:  # whatever a value does when it is pickled (ADR 0010)
            reason = StepNotPortable(
                f"the result of step {step.name!r}, a {type(value).__qualname__}, cannot be sent to the main "
                f"process ({type(error).__name__}: {error}); return plain data, or run the step inline"
            )
            return _failed(outcome, reason)
        bare = outcome._replace(value=None)
        if isinstance(content, bytes):
            return Packed(bare, content, None, False)
        self._parcels.append(content)
        return Packed(bare, None, content.layout, is_sure(value))

    def _answer(self, seconds: float) -> None:
        _tell(self._connection, pickle.dumps((seconds, self._outcomes), protocol=5), self._parcels)
        self._outcomes.clear()
        self._parcels.clear()


_copied = False  # whether this process is one that a step forked


def _after_fork(connection: Connection) -> None:
    global _copied
    _copied = True
    connection.close()  # else the parent would not hear of the end of the worker while this process lives


def _values(content: Any, parcels: list[Parcel]) -> tuple[Any, ...]:
    """Return what follows position, number and step in an attempt."""
    if type(content) is tuple:
        timeout, initial, previous, *rest = content
        initial = None if initial is None else make_context(*initial)
        return (timeout, initial, None if previous is None else make_context(*previous), *rest)
    values: tuple[Any, ...] = pickle.loads(content) if content is not None else parcels[-1]()
    if parcels and type(values[2]) is Promise:
        values = (*values[:2], values[2].keep(parcels), *values[3:])
    return values


def _pickled(value: Any) -> bytes | Parcel:
    try:
        return pack(value)
    except OSError:
        raise
    except Exception:  # a class of __main__, a lambda: what cloudpickle is for (ADR 0010)
        import cloudpickle

        return pack(value, cloudpickle.Pickler)


def _failed(outcome: Outcome, error: Exception) -> Outcome:
    return Outcome(outcome.position, outcome.number, error=TaskError(error, outcome.number), started=outcome.started)


def _tell(connection: Connection, blob: bytes, parcels: Sequence[Parcel] = ()) -> None:
    try:
        connection.send_bytes(blob)
        send(connection.fileno(), parcels)
    except (BrokenPipeError, ConnectionResetError):  # the parent is gone, and its lifeline is about to say so
        os.killpg(0, signal.SIGKILL)


def _die_with_parent(lifeline: int) -> None:
    os.read(lifeline, 1)  # returns when the last holder of the other end is gone
    os.killpg(0, signal.SIGKILL)
