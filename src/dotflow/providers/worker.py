"""The worker process: reads attempts from a pipe, makes one at a time, answers.

Started as ``python -c``, so that the user's main module is not run again and nothing is inherited.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

from dotflow.core import attempt as attempts
from dotflow.core.around import arrive
from dotflow.core.exception import StepNotPortable
from dotflow.core.messages import Attempt, Outcome, TaskError
from dotflow.providers._printed import Printed

READY = b""
ANSWER_AFTER = 0.001  # seconds after which outcomes are not held back for the next ones


def main(pipe: int, lifeline: int, progress: int) -> None:
    """Serve attempts from the connection *pipe* until it closes; die when the other end of *lifeline* does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides who stops
    threading.Thread(target=_die_with_parent, args=(lifeline,), daemon=True).start()
    attempts.alarms_allowed = hasattr(signal, "setitimer")
    connection = Connection(pipe)
    _send(connection, READY)
    server = Server(connection, progress)
    attempts.give_up = server.give_up
    while True:
        try:
            blob = connection.recv_bytes()
        except (EOFError, ConnectionResetError):
            return
        server.serve(*pickle.loads(blob))


class Server:
    """Makes attempts.

    Args:
        connection: Where outcomes go.
        progress: A file where the parent can read, if this process dies, how far it had come.
    """

    def __init__(self, connection: Connection, progress: int) -> None:
        self._connection, self._progress = connection, progress
        self._steps: dict[int, Any] = {}
        self._pending: list[tuple[Outcome, Any]] = []

    def serve(self, forget: bool, steps: dict[int, bytes], jobs: list[tuple[int, int, int, bytes, Any]]) -> None:
        """Make the attempts in *jobs* one after the other; answer in good time."""
        if forget:
            self._steps.clear()
        for key, blob in steps.items():
            self._learn(key, blob)
        outcomes: list[tuple[Outcome, Any]] = []
        self._pending = outcomes
        since = time.perf_counter()
        for ordinal, job in enumerate(jobs):
            if len(jobs) > 1:
                os.pwrite(self._progress, b"%08d" % ordinal, 0)
            else:
                os.ftruncate(self._progress, 0)
            outcomes.append(self._make(*job))
            now = time.perf_counter()
            if now - since > ANSWER_AFTER:
                self._answer(outcomes, now - since)
                self._pending = outcomes = []
                since = now
        if outcomes:
            self._answer(outcomes, time.perf_counter() - since)

    def _learn(self, key: int, blob: bytes) -> None:
        try:
            self._steps[key] = pickle.loads(blob)
        except BaseException as error:  # whatever the step's module does when it is imported
            self._steps[key] = error

    def _make(
        self, key: int, position: int, number: int, blob: bytes, carrier: dict[str, str] | None
    ) -> tuple[Outcome, Any]:
        step = self._steps[key]
        try:
            if isinstance(step, BaseException):
                raise step
            order = Attempt(position, number, step, *pickle.loads(blob))
        except BaseException as error:  # a module that cannot be imported here, a value that cannot be rebuilt
            return Outcome(position, number, error=TaskError(error, number), started=time.time()), None
        if order.capture is not None:
            from dotflow.core import capture  # not needed by most workers

            capture.mirror = capture.mirror or Printed(self._progress)
        leave = arrive(carrier) if carrier else None
        if order.timeout:
            _send(self._connection, READY)  # importing the step's module does not count
        self._order = order
        outcome = attempts.attempt(order)
        if outcome.error is not None:
            outcome.error.make_portable()
        if leave is not None:
            leave()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        return outcome, step

    def give_up(self, error: BaseException) -> None:
        """Answer that the step failed, and end this process, which cannot stop it in any other way."""
        failed = attempts.failure(self._order, error)
        self._answer([*self._pending, (failed, self._order.step)], 0.0)
        os.killpg(0, signal.SIGKILL)

    def _answer(self, outcomes: list[tuple[Outcome, Any]], seconds: float) -> None:
        try:
            blob = pickle.dumps((seconds, [outcome for outcome, _ in outcomes]), protocol=5)
        except Exception:  # a result that cannot be pickled as it is: see which (ADR 0010)
            blob = pickle.dumps((seconds, [pack(outcome, step) for outcome, step in outcomes]), protocol=5)
        _send(self._connection, blob)


def pack(outcome: Outcome, step: Any) -> bytes:
    """Pickle an outcome; a result that cannot be pickled is a failure of the step."""
    try:
        return pickle.dumps(outcome, protocol=5)
    except Exception:  # a class of __main__, a lambda: what cloudpickle is for (ADR 0010)
        import cloudpickle

        try:
            return cloudpickle.dumps(outcome, protocol=5)  # type: ignore[no-any-return]  # untyped library
        except Exception as error:  # ADR 0010
            reason = StepNotPortable(
                f"the result of step {step.name!r}, a {type(outcome.value).__qualname__}, cannot be sent to the main "
                f"process ({type(error).__name__}: {error}); return plain data, or run the step inline"
            )
            failed = TaskError(reason, outcome.number)
            return pickle.dumps(Outcome(outcome.position, outcome.number, error=failed), protocol=5)


def _send(connection: Connection, blob: bytes) -> None:
    try:
        connection.send_bytes(blob)
    except (BrokenPipeError, ConnectionResetError):  # the parent is gone, and its lifeline is about to say so
        os.killpg(0, signal.SIGKILL)


def _die_with_parent(lifeline: int) -> None:
    os.read(lifeline, 1)  # returns when the last holder of the other end is gone
    os.killpg(0, signal.SIGKILL)
