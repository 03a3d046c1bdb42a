"""Two worker processes."""

from __future__ import annotations

from typing import Any

from benchmarks.case import Case, Cases, Measured, measured, measured_cpu
from benchmarks.work import burn, burn_seconds, now, payload, whole
from dotflow import Config, DotFlow, action
from dotflow.providers import ExecutorProcess


@action
def step(initial_context: Any) -> int:
    return int(initial_context.storage) + 1


@action
def burning(initial_context: Any) -> int:
    return burn(initial_context.storage)


@action
def produce(initial_context: Any) -> Any:
    return payload(*initial_context.storage)


@action
def consume(previous_context: Any) -> bool:
    value = previous_context.storage
    return whole("bytes" if isinstance(value, bytes) else "numpy", value)


def fan(executor: ExecutorProcess, work: Any, n: int) -> tuple[float, list[int]]:
    start = now()
    workflow = DotFlow(Config(executor=executor))
    for i in range(n):
        workflow.task.add(work, initial_context=i)
    workflow.start(mode="parallel")
    return now() - start, workflow.result_storage()


def fanned(n: int, cpu: bool) -> Measured:
    serial, work = (burn_seconds(), burning) if cpu else (0.0, step)
    executor = ExecutorProcess(workers=2)
    try:
        fan(executor, work, 4)
        seconds, found = fan(executor, work, n)
    finally:
        executor.close()
    if cpu:
        return measured_cpu(seconds, n, found == list(range(n)), serial)
    return measured(seconds, n, found == list(range(1, n + 1)))


def carry(executor: ExecutorProcess, kind: str, mib: int) -> tuple[float, DotFlow]:
    start = now()
    workflow = DotFlow(Config(executor=executor))
    workflow.task.add(produce, initial_context=[kind, mib])
    workflow.task.add(consume)
    workflow.start()
    return now() - start, workflow


def carried(kind: str) -> Measured:
    """Make 100 MiB in one worker process and check it in one; workers are warm, as those of the limit."""
    executor = ExecutorProcess(workers=2)
    try:
        carry(executor, kind, 1)
        seconds, workflow = carry(executor, kind, 100)
    finally:
        executor.close()
    return measured(seconds, 1, workflow.result_storage()[-1] is True, note="with making the payload")


CASES: Cases = {
    "W5a": {"1k": Case(fanned, {"n": 1_000, "cpu": False}), "10k": Case(fanned, {"n": 10_000, "cpu": False})},
    "W5b": {"2 workers": Case(fanned, {"n": 200, "cpu": True})},
    "W6b": {kind: Case(carried, {"kind": kind}) for kind in ("bytes", "numpy")},
}
