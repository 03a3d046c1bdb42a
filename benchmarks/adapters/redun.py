"""redun with its scheduler in this process, on SQLite in memory, or on a file where results are durable."""

from __future__ import annotations

import logging
import sys
from typing import Any

from benchmarks.case import Case, Cases, Measured, Peer, chain_program, measured, measured_cpu
from benchmarks.work import below, burn_seconds, counted_to, growth, now, scratch

PEER = Peer("redun", "redun")


def scheduler(durable: bool = False, processes: bool = False) -> Any:
    logging.disable(logging.ERROR)
    sys.setrecursionlimit(200_000)
    from redun import Scheduler
    from redun.config import Config

    path = scratch() / "redun.db" if durable else ":memory:"
    settings: dict[str, dict[str, str]] = {"backend": {"db_uri": f"sqlite:///{path}"}}
    if processes:
        settings["executors.default"] = {"type": "local", "mode": "process", "max_workers": "2"}
    made = Scheduler(config=Config(settings))
    made.load()
    return made


def nested(task: Any, n: int) -> Any:
    expression = task(0)
    for _ in range(n - 1):
        expression = task(expression)
    return expression


def chain(n: int, durable: bool = False) -> Measured:
    from benchmarks.adapters import redun_tasks as tasks

    made = scheduler(durable)
    made.run(nested(tasks.one, 3))
    start = now()
    x = made.run(nested(tasks.one, n))
    return measured(now() - start, n, x == n)


def resume(n: int, phase: str) -> Measured:
    from benchmarks.adapters import redun_tasks as tasks

    if phase == "prepare":
        return chain(n, True)
    made = scheduler(True)
    start = now()
    x = made.run(tasks.last(nested(tasks.one, n)))
    return measured(tasks.REACHED[0] - start, n, x == n)


def fanned(n: int, cpu: bool) -> Measured:
    from benchmarks.adapters import redun_tasks as tasks

    serial, task = (burn_seconds(), tasks.burning) if cpu else (0.0, tasks.one)
    made = scheduler(processes=True)
    made.run([task(-1), task(-2)])
    start = now()
    total = sum(made.run([task(i) for i in range(n)]))
    seconds = now() - start
    if cpu:
        return measured_cpu(seconds, n, total == below(n), serial)
    return measured(seconds, n, total == counted_to(n))


def handed(kind: str, processes: bool = False) -> Measured:
    from benchmarks.adapters import redun_tasks as tasks

    made = scheduler(processes=processes)
    made.run(tasks.one(-5))
    start = now()
    ok = made.run(tasks.check(kind, tasks.make(kind)))
    return measured(now() - start, 1, ok, note="with making the payload")


def groups(count: int, length: int) -> Measured:
    from benchmarks.adapters import redun_tasks as tasks

    made = scheduler()
    made.run(tasks.one(-5))
    ends = []
    for number in range(count):
        expression = tasks.add(number, number)
        for _ in range(length - 1):
            expression = tasks.add(number, expression)
        ends.append(expression)
    start = now()
    found = made.run(ends)
    return measured(now() - start, count * length, found == [number + length for number in range(count)])


def sleeping(n: int, pause: float = 0.1) -> Measured:
    from benchmarks.adapters import redun_tasks as tasks

    made = scheduler()
    made.run(tasks.asleep(-1, 0.0))
    start = now()
    total = sum(made.run([tasks.asleep(i, pause) for i in range(n)]))
    return measured(now() - start, n, total == below(n))


def repeated() -> Measured:
    from benchmarks.adapters import redun_tasks as tasks

    made, count = scheduler(), 0

    def run() -> None:
        nonlocal count
        count += 10
        assert made.run(tasks.one(tasks.one(tasks.one(count)))) == count + 3

    return growth(run, first=50, last=3_000)


IMPORT = """import logging
logging.disable(logging.ERROR)
from redun import Scheduler, task
redun_namespace = "bench"
"""
CASES: Cases = {
    "W1a": {"import": Case(source="import redun")},
    "W1b": {
        "in memory": Case(
            source=chain_program(IMPORT, "@task()", "print(Scheduler().run(load(transform(extract()))))"),
            prints="12",
            repeat=3,
        )
    },
    "W2": {"in memory 1k": Case(chain, {"n": 1_000}, repeat=2)},
    "W3b": {"SQLite": Case(chain, {"n": 1_000, "durable": True}, repeat=2)},
    "W4": {"SQLite": Case(resume, {"n": 1_000}, phases=("prepare", "resume"), repeat=2)},
    "W5a": {"processes 1k": Case(fanned, {"n": 1_000, "cpu": False}, repeat=2)},
    "W5b": {"processes": Case(fanned, {"n": 200, "cpu": True}, repeat=2)},
    "W6a": {kind: Case(handed, {"kind": kind}, repeat=2) for kind in ("bytes", "numpy")},
    "W6b": {kind: Case(handed, {"kind": kind, "processes": True}, repeat=2) for kind in ("bytes", "numpy")},
    "W7": {"100 x 10": Case(groups, {"count": 100, "length": 10}, repeat=2)},
    "W8b": {"1k": Case(sleeping, {"n": 1_000}, repeat=2)},
    "W10": {"in memory": Case(repeated)},
}
