"""Prefect 3 with its ephemeral server (SQLite), logging errors only. Its start is counted by W1 only."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from benchmarks.case import Case, Cases, Measured, Peer, chain_program, measured, measured_cpu
from benchmarks.work import below, burn, burn_seconds, counted_to, growth, now, payload, step, whole

PROGRAM = chain_program("from prefect import flow, task", "@task", "print(etl())").replace(
    "if __name__", "@flow\ndef etl(): return load(transform(extract()))\nif __name__"
)
SETTINGS = {
    "PREFECT_HOME": "{folder}/prefect",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
}
PEER = Peer("Prefect", "prefect", SETTINGS, seed=PROGRAM, seeded="prefect")


def warm() -> None:
    """Run a flow first, which starts the server."""
    from prefect import flow, task

    @flow
    def once() -> int:
        return int(task(step)(1))

    once()


def chain(n: int, durable: bool = False) -> Measured:
    from prefect import flow, task

    warm()
    one = task(persist_result=True)(step) if durable else task(step)

    @flow(persist_result=durable or None)
    def chained() -> int:
        x = 0
        for _ in range(n):
            x = one(x)
        return x

    start = now()
    x = chained()
    seconds, ok = now() - start, x == n
    if durable:
        ok = ok and len(os.listdir(Path(os.environ["PREFECT_HOME"]) / "storage")) >= n
    return measured(seconds, n, ok)


def resume(n: int, phase: str) -> Measured:
    """Run again with cached results, keyed by their inputs: what Prefect has for a resume."""
    from prefect import flow, task
    from prefect.cache_policies import INPUTS

    ran: list[int] = []

    def body(x: int) -> int:
        ran.append(x)
        return x + 1

    one = task(persist_result=True, cache_policy=INPUTS)(body)

    @flow(persist_result=True)
    def chained() -> int:
        x = 0
        for _ in range(n):
            x = one(x)
        return x

    if phase == "prepare":
        return measured(0, n, chained() == n)
    warm()
    start = now()
    x = chained()
    return measured(now() - start, n, x == n and not ran, note="200 steps, cached results")


def fanned(n: int, cpu: bool, processes: bool) -> Measured:
    from prefect import flow, task
    from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

    warm()
    serial, work = (burn_seconds(), task(burn)) if cpu else (0.0, task(step))
    runner = ProcessPoolTaskRunner if processes else ThreadPoolTaskRunner

    @flow(task_runner=runner(max_workers=2))
    def fan() -> tuple[int, float]:
        for future in work.map(range(2)):
            future.result()
        start = now()
        return sum(future.result() for future in work.map(range(n))), now() - start

    total, seconds = fan()
    if cpu:
        return measured_cpu(seconds, n, total == below(n), serial)
    return measured(seconds, n, total == counted_to(n))


def handed(kind: str, processes: bool = False) -> Measured:
    from prefect import flow, task
    from prefect.task_runners import ProcessPoolTaskRunner

    warm()
    produce, consume = task(payload), task(whole)

    @flow(**({"task_runner": ProcessPoolTaskRunner(max_workers=2)} if processes else {}))
    def pair() -> tuple[bool, float]:
        if not processes:
            start = now()
            return consume(kind, produce(kind)), now() - start
        produce.submit(kind, 1).result()
        start = now()
        return consume.submit(kind, produce.submit(kind)).result(), now() - start

    ok, seconds = pair()
    return measured(seconds, 1, ok, note="with making the payload")


def groups(count: int, length: int) -> Measured:
    from prefect import flow, task

    warm()
    one = task(step)

    @flow
    def all_groups() -> list[int]:
        last: list[Any] = list(range(count))
        for _ in range(length):
            last = [one.submit(x) for x in last]
        return [x.result() for x in last]

    start = now()
    found = all_groups()
    return measured(now() - start, count * length, found == [number + length for number in range(count)])


def async_chain(n: int) -> Measured:
    from prefect import flow, task

    warm()

    @task
    async def one(x: int) -> int:
        return x + 1

    @flow
    async def chained() -> int:
        x = 0
        for _ in range(n):
            x = await one(x)
        return x

    start = now()
    x = asyncio.run(chained())
    return measured(now() - start, n, x == n)


def sleeping(n: int, pause: float = 0.1) -> Measured:
    from prefect import flow, task

    warm()

    @task
    async def one(i: int) -> int:
        await asyncio.sleep(pause)
        return i

    @flow
    async def all_at_once() -> int:
        return sum(await asyncio.gather(*(one(i) for i in range(n))))

    start = now()
    total = asyncio.run(all_at_once())
    return measured(now() - start, n, total == below(n), note="200 steps")


def repeated() -> Measured:
    from prefect import flow, task

    warm()
    one = task(step)

    @flow
    def three() -> int:
        return int(one(one(one(0))))

    def run() -> None:
        assert three() == 3

    return growth(run, first=30, last=150)


CASES: Cases = {
    "W1a": {"import": Case(source="import prefect", repeat=5)},
    "W1b": {
        "database migrated before": Case(source=PROGRAM, prints="12", repeat=2),
        "fresh home": Case(source=PROGRAM, prints="12", repeat=1, fresh=True),
    },
    "W2": {"1k": Case(chain, {"n": 1_000}, repeat=1)},
    "W3d": {"persist_result 200": Case(chain, {"n": 200, "durable": True}, repeat=2)},
    "W4": {"cached run": Case(resume, {"n": 200}, phases=("prepare", "resume"), repeat=1)},
    "W5a": {"threads 200": Case(fanned, {"n": 200, "cpu": False, "processes": False}, repeat=2)},
    "W5b": {"processes, 50 tasks": Case(fanned, {"n": 50, "cpu": True, "processes": True}, repeat=1)},
    "W6a": {kind: Case(handed, {"kind": kind}, repeat=2) for kind in ("bytes", "numpy")},
    "W6b": {kind: Case(handed, {"kind": kind, "processes": True}, repeat=2) for kind in ("bytes", "numpy")},
    "W7": {"20 x 10": Case(groups, {"count": 20, "length": 10}, repeat=2)},
    "W8a": {"200": Case(async_chain, {"n": 200}, repeat=2)},
    "W8b": {"200 steps": Case(sleeping, {"n": 200}, repeat=2)},
    "W10": {"ephemeral": Case(repeated)},
}
