"""redun's tasks, in a module that its worker processes can import."""

from __future__ import annotations

import asyncio
from typing import Any

from redun import task

from benchmarks.work import burn, now, payload, whole

redun_namespace = "bench"
REACHED: list[float] = []


@task(version="1")
def one(i: int) -> int:
    return i + 1


@task(version="1")
def last(i: int) -> int:
    REACHED.append(now())
    return i


@task(version="1")
def add(group: int, x: int) -> int:
    return x + 1


@task(version="1")
def burning(i: int) -> int:
    return burn(i)


@task(version="1")
def make(kind: str) -> Any:
    return payload(kind)


@task(version="1")
def check(kind: str, value: Any) -> bool:
    return whole(kind, value)


@task(version="1", cache=False)
async def asleep(i: int, pause: float) -> int:
    await asyncio.sleep(pause)
    return i
