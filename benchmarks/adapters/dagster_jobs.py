"""Dagster's jobs, in a module that its worker processes can import."""

from __future__ import annotations

from dagster import job, op

from benchmarks import work

TASKS = 10


@op
def step_op() -> int:
    return work.step(0)


@op
def burn_op() -> int:
    return work.burn()


@job
def stepping() -> None:
    for number in range(TASKS):
        step_op.alias(f"o{number}")()


@job
def burning() -> None:
    for number in range(TASKS):
        burn_op.alias(f"o{number}")()
