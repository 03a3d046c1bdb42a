"""The worker process: reads orders from a pipe, makes one attempt at a time, answers.

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
from dotflow.core.exception import StepNotPortable
from dotflow.core.messages import Attempt, Outcome, TaskError

READY = b""


def main(pipe: int, lifeline: int) -> None:
    """Serve orders from the connection *pipe* until it closes; die when the other end of *lifeline* does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides who stops
    threading.Thread(target=_die_with_parent, args=(lifeline,), daemon=True).start()
    attempts.alarms_allowed = hasattr(signal, "setitimer")
    connection = Connection(pipe)
    steps: dict[int, Any] = {}
    connection.send_bytes(READY)
    while True:
        try:
            blob = connection.recv_bytes()
        except EOFError:
            return
        connection.send_bytes(serve(pickle.loads(blob), steps, connection))


def serve(
    order: tuple[bool, int, bytes | None, int, int, bytes], steps: dict[int, Any], connection: Connection
) -> bytes:
    """Make one attempt; return its outcome, pickled."""
    forget, key, step_blob, index, number, rest = order
    try:
        if forget:
            steps.clear()
        if step_blob is not None:
            steps[key] = pickle.loads(step_blob)
        order_now = Attempt(index, number, steps[key], *pickle.loads(rest))
    except BaseException as error:  # a module that this process cannot import, an object that cannot be rebuilt
        return pickle.dumps(Outcome(index, number, error=TaskError(error, number), started=time.time()))
    if order_now.timeout:
        connection.send_bytes(READY)  # importing the step's module does not count
    outcome = attempts.attempt(order_now)
    _flush()
    return pack(outcome, order_now)


def pack(outcome: Outcome, order: Attempt) -> bytes:
    """Pickle an outcome; a result that cannot be pickled is a failure of the step."""
    try:
        return pickle.dumps(outcome, protocol=5)
    except Exception:  # a class of __main__, a lambda: what cloudpickle is for (ADR 0010)
        import cloudpickle

        try:
            return cloudpickle.dumps(outcome, protocol=5)  # type: ignore[no-any-return]  # untyped library
        except Exception as error:  # ADR 0010
            reason = StepNotPortable(
                f"the result of step {order.step.name!r}, a {type(outcome.value).__qualname__}, cannot be sent to "
                f"the main process ({type(error).__name__}: {error}); return plain data, or run the step inline"
            )
            return pickle.dumps(Outcome(outcome.position, outcome.number, error=TaskError(reason, outcome.number)))


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _die_with_parent(lifeline: int) -> None:
    os.read(lifeline, 1)  # returns when the last holder of the other end is gone
    os.killpg(0, signal.SIGKILL)
