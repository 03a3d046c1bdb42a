"""Calls in one process."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter_ns

from benchmarks.case import Case, Cases, Measured, measured
from benchmarks.work import growth, now, step


def plain(n: int, times: int = 50) -> Measured:
    start = now()
    for _ in range(times):
        x = 0
        for _ in range(n):
            x = step(x)
    return measured((now() - start) / times, n, x == n)


@dataclass(slots=True)
class Record:
    name: int
    status: int = 0
    start: int = 0
    end: int = 0
    result: int | None = None
    error: Exception | None = None


def least_engine(n: int, times: int = 20) -> Measured:
    """Do the least that an engine must: a record and a status for each step, two clock readings, an error guard."""
    start = now()
    for _ in range(times):
        records = [Record(name) for name in range(n)]
        previous = 0
        for record in records:
            record.status = 1
            record.start = perf_counter_ns()
            try:
                previous = step(previous)
            except Exception as error:
                record.error = error
                break
            record.result = previous
            record.end = perf_counter_ns()
            record.status = 2
    return measured((now() - start) / times, n, previous == n and all(record.status == 2 for record in records))


def groups(count: int, length: int) -> Measured:
    start = now()
    found = []
    for group in range(count):
        x = group
        for _ in range(length):
            x = step(x)
        found.append(x)
    return measured(now() - start, count * length, found == [group + length for group in range(count)])


def repeated() -> Measured:
    def run() -> None:
        assert step(step(step(0))) == 3

    return growth(run)


CASES: Cases = {
    "W2": {
        "plain calls 10k": Case(plain, {"n": 10_000}),
        "least engine 1k": Case(least_engine, {"n": 1_000}),
        "least engine 10k": Case(least_engine, {"n": 10_000}),
    },
    "W7": {"plain": Case(groups, {"count": 100, "length": 10})},
    "W10": {"plain": Case(repeated)},
}
