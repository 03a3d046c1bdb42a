"""Huey: ``SqliteHuey``, immediate (in the caller, in memory), and a consumer with worker processes on a file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.case import Case, Cases, Measured, Peer, chain_program, measured, measured_cpu
from benchmarks.work import below, burn_seconds, counted_to, growth, now, payload, scratch, step, whole

PEER = Peer("Huey", "huey")

APPLICATION = """
from huey import SqliteHuey
from benchmarks import work
huey = SqliteHuey("bench", filename={file!r}, fsync={fsync})
step, burn = huey.task()(work.step), huey.task()(work.burn)
payload, whole = huey.task()(work.payload), huey.task()(work.whole)
"""
WAIT = {"blocking": True, "timeout": 60, "backoff": 1, "max_delay": 0.002}
OPTIONS = ("-k", "process", "-q", "-d", "0.001", "-m", "0.01")
LINK = 50  # steps of one pipeline; one of 1,000 exceeds the recursion limit when it is pickled


@contextmanager
def consumer(workers: int = 2, fsync: bool = False) -> Iterator[Any]:
    """Start a consumer, and lend the module of its tasks."""
    file = str(scratch() / "queue.db")
    (scratch() / "huey_tasks.py").write_text(APPLICATION.format(file=file, fsync=fsync))
    sys.path.insert(0, str(scratch()))
    variables = {**os.environ, "PYTHONPATH": f"{os.environ['PYTHONPATH']}:{scratch()}"}
    program = str(Path(sys.executable).parent / "huey_consumer")
    command = [program, "huey_tasks.huey", "-w", str(workers), *OPTIONS]
    process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        import huey_tasks

        huey_tasks.step(0)(blocking=True, timeout=20)
        yield huey_tasks
    finally:
        process.kill()
        process.wait()


def immediate() -> Any:
    from huey import SqliteHuey

    return SqliteHuey("bench", filename=str(scratch() / "queue.db"), immediate=True)


def chain(n: int) -> Measured:
    task, x = immediate().task()(step), 0
    start = now()
    for _ in range(n):
        x = task(x)()
    return measured(now() - start, n, x == n)


def queued(n: int, fsync: bool) -> Measured:
    """Run pipelines, each step of which goes through the queue."""
    with consumer(1, fsync) as tasks:
        x, start = 0, now()
        for _ in range(n // LINK):
            pipeline = tasks.step.s(x)
            for _ in range(LINK - 1):
                pipeline = pipeline.then(tasks.step)
            x = list(tasks.huey.enqueue(pipeline))[-1].get(**WAIT)
        return measured(now() - start, n, x == n, note="through the queue, 1 worker")


def fanned(n: int, cpu: bool = False) -> Measured:
    serial = burn_seconds() if cpu else 0.0
    with consumer() as tasks:
        task, start = tasks.burn if cpu else tasks.step, now()
        total = sum(result.get(**WAIT) for result in [task(i) for i in range(n)])
        seconds = now() - start
    if cpu:
        return measured_cpu(seconds, n, total == below(n), serial)
    return measured(seconds, n, total == counted_to(n))


def handed(kind: str) -> Measured:
    app = immediate()
    produce, consume = app.task()(payload), app.task()(whole)
    produce(kind, 1)()
    start = now()
    value = produce(kind)()
    ok = consume(kind, value)()
    return measured(now() - start, 1, ok, note="with making the payload")


def carried(kind: str) -> Measured:
    with consumer() as tasks:
        start = now()
        value = tasks.payload(kind).get(**WAIT)
        ok = tasks.whole(kind, value).get(**WAIT)
        return measured(now() - start, 1, ok, note="with making the payload")


def repeated() -> Measured:
    task = immediate().task()(step)

    def run() -> None:
        assert task(task(task(0)())())() == 3

    return growth(run)


IMPORT = 'from huey import SqliteHuey\nhuey = SqliteHuey("bench", filename="queue.db", immediate=True)'
CASES: Cases = {
    "W1a": {"import": Case(source="import huey")},
    "W1b": {
        "immediate": Case(
            source=chain_program(IMPORT, "@huey.task()", "print(load(transform(extract()())())())"), prints="12"
        )
    },
    "W2": {"immediate 1k": Case(chain, {"n": 1_000}), "immediate 10k": Case(chain, {"n": 10_000})},
    "W3a": {"SqliteHuey": Case(queued, {"n": 1_000, "fsync": False})},
    "W3b": {"SqliteHuey, fsync": Case(queued, {"n": 1_000, "fsync": True})},
    "W5a": {"2 workers 10k": Case(fanned, {"n": 10_000}, repeat=2)},
    "W5b": {"2 workers": Case(fanned, {"n": 200, "cpu": True})},
    "W6a": {kind: Case(handed, {"kind": kind}) for kind in ("bytes", "numpy")},
    "W6b": {kind: Case(carried, {"kind": kind}) for kind in ("bytes", "numpy")},
    "W10": {"immediate": Case(repeated)},
}
