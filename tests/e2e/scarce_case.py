"""An executor in a process that may open, start or do next to nothing."""

from __future__ import annotations

import os
import queue
import resource
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pool_steps

from dotflow.core.messages import Attempt, Outcome
from dotflow.providers import ExecutorProcess

outcomes = queue.SimpleQueue[Outcome]()


def submit(executor: ExecutorProcess, step: object) -> Callable[[], None]:
    return executor.submit(Attempt(0, 1, step, 0, None, None, "task", None, ""), outcomes.put)  # type: ignore[arg-type]


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Let this process open nothing more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 100, before[1]))
    taken = []
    try:
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    try:
        yield
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def descriptors() -> None:
    executor = ExecutorProcess(workers=2)
    with no_descriptors():
        submit(executor, pool_steps.small)
        error = outcomes.get(timeout=20).error
        assert error is not None
        assert error.exception == "OSError", error
    submit(executor, pool_steps.small)
    assert outcomes.get(timeout=20).value == 7
    stop = submit(executor, pool_steps.stays)
    while not any(worker.jobs for worker in executor._workers):
        pass
    with no_descriptors():
        submit(executor, pool_steps.small)  # no second worker can be started for it
        stop()
        first = outcomes.get(timeout=20)
        assert first.interrupted, first
    outcomes.get(timeout=20)
    submit(executor, pool_steps.small)
    assert outcomes.get(timeout=20).value == 7
    executor.close()


def processes() -> None:
    """The interpreter is gone when a second worker is wanted, as when the system has no process left."""
    executor = ExecutorProcess(workers=4)
    submit(executor, pool_steps.small)
    assert outcomes.get(timeout=20).value == 7
    known, sys.executable = sys.executable, "/nowhere/python"
    for _ in range(8):
        submit(executor, pool_steps.rests)
    assert [outcomes.get(timeout=20).value for _ in range(8)] == [5] * 8
    sys.executable = known
    executor.close()


def threads() -> None:
    """A thread that cannot be started, as the interpreter says it."""
    start = threading.Thread.start
    executor = ExecutorProcess(workers=1)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    threading.Thread.start = refuse  # type: ignore[method-assign]
    submit(executor, pool_steps.small)
    error = outcomes.get(timeout=20).error
    assert error is not None
    assert error.exception == "RuntimeError"
    threading.Thread.start = start  # type: ignore[method-assign]
    submit(executor, pool_steps.small)
    assert outcomes.get(timeout=20).value == 7
    executor.close()


if __name__ == "__main__":
    {"descriptors": descriptors, "processes": processes, "threads": threads}[sys.argv[1]]()
    assert outcomes.empty()
    print("all answered")
