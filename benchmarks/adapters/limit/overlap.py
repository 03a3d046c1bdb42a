"""asyncio, and sleeping until a second begins."""

from __future__ import annotations

import asyncio
import time

from benchmarks.case import Case, Cases, Measured, measured
from benchmarks.work import below, lateness, now


async def step(x: int) -> int:
    return x + 1


def awaited(n: int) -> Measured:
    async def chain() -> int:
        x = 0
        for _ in range(n):
            x = await step(x)
        return x

    start = now()
    x = asyncio.run(chain())
    return measured(now() - start, n, x == n)


def sleeping(n: int, pause: float = 0.1) -> Measured:
    async def one(i: int) -> int:
        await asyncio.sleep(pause)
        return i

    async def all_at_once() -> int:
        return sum(await asyncio.gather(*(one(i) for i in range(n))))

    start = now()
    total = asyncio.run(all_at_once())
    return measured(now() - start, n, total == below(n))


def ticking(seconds: int) -> Measured:
    ticks, due = [], int(time.time()) + 1
    for _ in range(seconds):
        time.sleep(max(0.0, due - time.time()))
        ticks.append(time.time())
        due += 1
    return lateness(ticks, seconds)


CASES: Cases = {
    "W8a": {"await": Case(awaited, {"n": 10_000})},
    "W8b": {"gather": Case(sleeping, {"n": 1_000})},
    "W9": {
        f"time.sleep, {seconds} s": Case(ticking, {"seconds": seconds}, timeout=seconds + 30) for seconds in (20, 60)
    },
}
