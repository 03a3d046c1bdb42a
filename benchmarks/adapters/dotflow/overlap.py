"""Coroutines, and schedules."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from benchmarks.adapters.dotflow.flows import warm
from benchmarks.case import Case, Cases, Measured, measured
from benchmarks.work import lateness, now
from dotflow import Config, DotFlow, action
from dotflow.providers import SchedulerCron


@action
async def first() -> int:
    return 1


@action
async def following(previous_context: Any) -> int:
    return int(previous_context.storage) + 1


def chain(n: int, inside: bool) -> Measured:
    """Run *n* coroutines one after the other, with ``start_async`` *inside* a loop of the caller, or ``start``."""
    warm()

    def build() -> DotFlow:
        workflow = DotFlow()
        workflow.task.add(first)
        for _ in range(n - 1):
            workflow.task.add(following)
        return workflow

    seconds, found = run(build, inside)
    return measured(seconds, n, found[-1] == n)


def sleeping(n: int, inside: bool, pause: float = 0.1) -> Measured:
    warm()

    @action
    async def one() -> int:
        await asyncio.sleep(pause)
        return 1

    def build() -> DotFlow:
        workflow = DotFlow()
        for _ in range(n):
            workflow.task.add(one, depends_on=())
        return workflow

    seconds, found = run(build, inside)
    return measured(seconds, n, sum(found) == n)


def run(build: Any, inside: bool) -> tuple[float, list[int]]:
    async def main() -> tuple[float, list[int]]:
        start = now()
        workflow = build()
        await workflow.start_async()
        return now() - start, workflow.result_storage()

    if inside:
        return asyncio.run(main())
    start = now()
    workflow = build()
    workflow.start()
    return now() - start, workflow.result_storage()


def ticking(seconds: int) -> Measured:
    ticks: list[float] = []

    @action
    def tick() -> None:
        ticks.append(time.time())

    workflow = DotFlow(Config(scheduler=SchedulerCron("* * * * * *", max_runs=seconds)))
    workflow.task.add(tick)
    workflow.schedule()
    return lateness(ticks, seconds)


CASES: Cases = {
    "W8a": {
        "start_async 10k": Case(chain, {"n": 10_000, "inside": True}),
        "start 10k": Case(chain, {"n": 10_000, "inside": False}),
    },
    "W8b": {
        "start_async 1k": Case(sleeping, {"n": 1_000, "inside": True}),
        "start 1k": Case(sleeping, {"n": 1_000, "inside": False}),
    },
    "W9": {f"{seconds} s": Case(ticking, {"seconds": seconds}, timeout=seconds + 30) for seconds in (20, 60)},
}
