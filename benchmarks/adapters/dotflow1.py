"""dotflow 1.0.1, the public package of that name; its log, which writes two lines a step, is off unless said."""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.adapters.pipeline import PIPELINE
from benchmarks.case import Case, Cases, Measured, Peer, measured, measured_cpu
from benchmarks.work import burn, burn_seconds, growth, now, payload, scratch, whole

PEER = Peer("dotflow 1.0.1", "dotflow1")


def workflow(storage: Any = None, *, loud: bool = False) -> Any:
    from dotflow import Config, DotFlow
    from dotflow.providers import LogDefault

    given: dict[str, Any] = {} if loud else {"log": LogDefault(level="ERROR")}
    if storage is not None:
        given["storage"] = storage
    return DotFlow(config=Config(**given))


def add_chain(made: Any, n: int) -> Any:
    from dotflow import action

    @action
    def first() -> int:
        return 1

    @action
    def following(previous_context: Any) -> int:
        return int(previous_context.storage) + 1

    made.task.add(step=first)
    for _ in range(n - 1):
        made.task.add(step=following)
    return made


def chain(n: int, loud: bool) -> Measured:
    start = now()
    made = add_chain(workflow(loud=loud), n)
    made.start()
    return measured(now() - start, n, made.result_storage()[-1] == n)


def filed(n: int) -> Measured:
    from dotflow.providers import StorageFile

    start = now()
    made = add_chain(workflow(StorageFile(path=str(scratch()))), n)
    made.start()
    seconds, kept = now() - start, len(list((scratch() / "tasks").iterdir()))
    return measured(seconds, n, made.result_storage()[-1] == n and kept == n, note="no fsync")


def fanned(n: int, mode: str, cpu: bool) -> Measured:
    from dotflow import action

    serial = burn_seconds() if cpu else 0.0

    @action
    def one(initial_context: Any) -> int:
        return burn(initial_context.storage) if cpu else initial_context.storage + 1

    made = workflow()
    start = now()
    for i in range(n):
        made.task.add(step=one, initial_context=i, group_name=f"g{i % 2}" if mode == "sequential_group" else "default")
    made.start(mode=mode)
    seconds, found = now() - start, sorted(made.result_storage())
    if cpu:
        return measured_cpu(seconds, n, found == list(range(n)), serial)
    return measured(seconds, n, found == list(range(1, n + 1)))


def handed(kind: str, mode: str = "sequential") -> Measured:
    from dotflow import action

    value = payload(kind)

    @action
    def produce() -> Any:
        return value

    @action
    def consume(previous_context: Any) -> bool:
        return whole(kind, previous_context.storage)

    made = workflow()
    made.task.add(step=produce)
    made.task.add(step=consume)
    start = now()
    made.start(mode=mode)
    return measured(now() - start, 1, made.result_storage()[-1] is True)


def async_chain(n: int) -> Measured:
    from dotflow import action

    @action
    async def first() -> int:
        return 1

    @action
    async def following(previous_context: Any) -> int:
        return int(previous_context.storage) + 1

    made = workflow()
    start = now()
    made.task.add(step=first)
    for _ in range(n - 1):
        made.task.add(step=following)
    made.start()
    return measured(now() - start, n, made.result_storage()[-1] == n)


def sleeping(n: int, pause: float = 0.1) -> Measured:
    from dotflow import action

    @action
    async def one() -> int:
        await asyncio.sleep(pause)
        return 1

    made = workflow()
    start = now()
    for _ in range(n):
        made.task.add(step=one)
    made.start()
    return measured(now() - start, n, sum(made.result_storage()) == n, note="50 steps, one after another")


def repeated() -> Measured:
    def run() -> None:
        made = add_chain(workflow(), 3)
        made.start()
        assert made.result_storage()[-1] == 3

    return growth(run)


CASES: Cases = {
    "W1a": {"import": Case(source="import dotflow")},
    "W1b": {"default": Case(source=PIPELINE, prints="12")},
    "W2": {
        "10k": Case(chain, {"n": 10_000, "loud": False}),
        "10k, default log": Case(chain, {"n": 10_000, "loud": True}),
    },
    "W3d": {"StorageFile": Case(filed, {"n": 1_000})},
    "W5a": {
        "parallel 50": Case(fanned, {"n": 50, "mode": "parallel", "cpu": False}),
        "parallel 1k": Case(fanned, {"n": 1_000, "mode": "parallel", "cpu": False}, repeat=1, timeout=20),
    },
    "W5b": {"2 groups, 50 tasks": Case(fanned, {"n": 50, "mode": "sequential_group", "cpu": True})},
    "W6a": {kind: Case(handed, {"kind": kind}) for kind in ("bytes", "numpy")},
    "W6b": {"parallel, bytes": Case(handed, {"kind": "bytes", "mode": "parallel"}, repeat=1, timeout=20)},
    "W8a": {"10k": Case(async_chain, {"n": 10_000})},
    "W8b": {"50 steps": Case(sleeping, {"n": 50}, repeat=1)},
    "W10": {"default": Case(repeated)},
}
