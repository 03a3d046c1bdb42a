"""Dagster: ``execute_in_process``; with a SQLite instance and files where results are durable."""

from __future__ import annotations

import logging
import sys
from typing import Any

from benchmarks.case import Case, Cases, Measured, Peer, measured, measured_cpu
from benchmarks.work import burn_seconds, growth, now, payload, scratch, whole

PEER = Peer(
    "Dagster", "dagster", {"DAGSTER_DISABLE_TELEMETRY": "yes", "DAGSTER_HOME": "{folder}"}
)  # its home must be absolute and exist


def built(n: int, durable: bool = False) -> Any:
    """Return a job that is a chain of *n* ops."""
    logging.disable(logging.ERROR)
    sys.setrecursionlimit(100_000)  # a chain of 1,000 ops exceeds the default
    from dagster import fs_io_manager, job, mem_io_manager, op

    @op
    def first() -> Any:
        return 1

    @op
    def following(x: Any) -> Any:
        return x + 1

    kept = fs_io_manager.configured({"base_dir": str(scratch() / "io")}) if durable else mem_io_manager

    @job(resource_defs={"io_manager": kept})
    def chain() -> None:
        x = first()
        for number in range(1, n):
            x = following.alias(f"n{number}")(x)

    return chain


def instance() -> Any:
    from dagster import DagsterInstance

    return DagsterInstance.local_temp(str(scratch()))


def chain(n: int) -> Measured:
    built(3).execute_in_process()
    start = now()
    result = built(n).execute_in_process()
    seconds = now() - start
    return measured(seconds, n, result.success and result.output_for_node(f"n{n - 1}") == n)


def filed(n: int) -> Measured:
    kept = instance()
    built(3, True).execute_in_process(instance=kept)
    job = built(n, True)
    start = now()
    result = job.execute_in_process(instance=kept)
    seconds, ok = now() - start, result.success and result.output_for_node(f"n{n - 1}") == n
    return measured(seconds, n, ok, note="without building the graph")


def fanned(n: int, cpu: bool) -> Measured:
    from dagster import execute_job, reconstructable

    from benchmarks.adapters import dagster_jobs as jobs

    serial = burn_seconds() if cpu else 0.0
    settings = {"execution": {"config": {"multiprocess": {"max_concurrent": 2}}}}
    with instance() as kept:
        start = now()
        result = execute_job(reconstructable(jobs.burning if cpu else jobs.stepping), kept, run_config=settings)
        seconds = now() - start
    if cpu:
        return measured_cpu(seconds, n, result.success, serial, note="10 tasks, a process each")
    return measured(seconds, n, result.success, note="a process each")


def handed(kind: str) -> Measured:
    logging.disable(logging.ERROR)
    from dagster import job, mem_io_manager, op

    checked: list[bool] = []
    times: list[float] = []

    @op
    def produce() -> Any:
        value = payload(kind)
        times.append(now())
        return value

    @op
    def consume(value: Any) -> None:
        checked.append(whole(kind, value))
        times.append(now())

    @job(resource_defs={"io_manager": mem_io_manager})
    def pair() -> None:
        consume(produce())

    result = pair.execute_in_process()
    return measured(times[1] - times[0], 1, result.success and checked == [True], note="from end to end of the steps")


def groups(count: int, length: int) -> Measured:
    logging.disable(logging.ERROR)
    from dagster import job, op

    @op
    def first() -> int:
        return 1

    @op
    def following(x: int) -> int:
        return x + 1

    @job
    def all_groups() -> None:
        for group in range(count):
            x = first.alias(f"g{group}_0")()
            for number in range(1, length):
                x = following.alias(f"g{group}_{number}")(x)

    start = now()
    result = all_groups.execute_in_process()
    seconds = now() - start
    found = [result.output_for_node(f"g{group}_{length - 1}") for group in range(count)]
    return measured(seconds, count * length, found == [length] * count, note="without building the graph")


def repeated() -> Measured:
    job = built(3)

    def run() -> None:
        assert job.execute_in_process().output_for_node("n2") == 3

    return growth(run, first=50, last=1_000)


PIPELINE = """
from dagster import job, op
@op
def extract(): return [1, 2, 3]
@op
def transform(x): return [v * 2 for v in x]
@op
def load(x): return sum(x)
@job
def etl(): load(transform(extract()))
print("RESULT", etl.execute_in_process(raise_on_error=True).output_for_node("load"))
"""
CASES: Cases = {
    "W1a": {"import": Case(source="import dagster", repeat=5)},
    "W1b": {"in process": Case(source=PIPELINE, prints="RESULT 12", repeat=3)},
    "W2": {"in process 1k": Case(chain, {"n": 1_000}, repeat=2)},
    "W3b": {"SQLite and files, 200": Case(filed, {"n": 200}, repeat=2)},
    "W5a": {"multiprocess 10": Case(fanned, {"n": 10, "cpu": False}, repeat=1)},
    "W5b": {"multiprocess 10": Case(fanned, {"n": 10, "cpu": True}, repeat=1)},
    "W6a": {kind: Case(handed, {"kind": kind}, repeat=3) for kind in ("bytes", "numpy")},
    "W7": {"100 x 10": Case(groups, {"count": 100, "length": 10}, repeat=2)},
    "W10": {"in process": Case(repeated)},
}
