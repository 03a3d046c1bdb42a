"""Two processes and pipes."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections.abc import Callable
from multiprocessing.connection import Connection, wait

from benchmarks.case import Case, Cases, Measured, measured, measured_cpu
from benchmarks.work import burn, burn_seconds, counted_to, now, step

WORKERS = 2
AHEAD = 4  # tasks that a worker may have before it answers


def in_halves(n: int, work: Callable[[int], int]) -> tuple[float, int]:
    """Fork two processes that do half each and send back one pickle: nothing is cheaper with processes."""
    start, children = now(), []
    for worker in range(WORKERS):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            results = [work(i) for i in range(worker, n, WORKERS)]
            with os.fdopen(writing, "wb") as file:
                file.write(pickle.dumps(results, 5))
            os._exit(0)
        os.close(writing)
        children.append((pid, reading))
    count = 0
    for pid, reading in children:
        with os.fdopen(reading, "rb") as file:
            count += len(pickle.loads(file.read()))
        os.waitpid(pid, 0)
    return now() - start, count


def halves(n: int) -> Measured:
    seconds, count = in_halves(n, step)
    return measured(seconds, n, count == n)


def burning_halves(n: int) -> Measured:
    serial = burn_seconds()
    seconds, count = in_halves(n, burn)
    return measured_cpu(seconds, n, count == n, serial)


def answer(pipe: Connection) -> None:
    while (message := pipe.recv()) is not None:
        pipe.send(step(message))


def messages(n: int) -> Measured:
    """Send one message for each task and one back, a few ahead: the cheapest dispatch of single tasks."""
    context, pipes = multiprocessing.get_context("fork"), []
    for _ in range(WORKERS):
        ours, theirs = context.Pipe()
        context.Process(target=answer, args=(theirs,), daemon=True).start()
        pipes.append(ours)
    start, sent, received, total = now(), 0, 0, 0
    for _ in range(AHEAD):
        for pipe in pipes:
            pipe.send(sent)
            sent += 1
    while received < n:
        for ready in wait(pipes):
            assert isinstance(ready, Connection)
            total += ready.recv()
            received += 1
            if sent < n:
                ready.send(sent)
                sent += 1
    seconds = now() - start
    for pipe in pipes:
        pipe.send(None)
    return measured(seconds, n, total == counted_to(n))


CASES: Cases = {
    "W5a": {
        "fork in halves 10k": Case(halves, {"n": 10_000}),
        "pipe message a task 1k": Case(messages, {"n": 1_000}),
        "pipe message a task 10k": Case(messages, {"n": 10_000}),
    },
    "W5b": {"fork in halves": Case(burning_halves, {"n": 200})},
}
