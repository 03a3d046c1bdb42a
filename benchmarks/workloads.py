"""The workloads: what is measured, how often, and which figure is quoted."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Result = dict[str, Any]


def milliseconds(found: Result) -> float:
    return float(found["seconds"]) * 1e3


def seconds(found: Result) -> float:
    return float(found["seconds"])


def per_step(found: Result) -> float:
    return float(found["seconds"]) / int(found["n"]) * 1e6


def field(name: str) -> Callable[[Result], float]:
    """Return a function that quotes the field *name* of a measurement."""
    return lambda found: float(found[name])


@dataclass(frozen=True)
class Workload:
    """One workload.

    Attributes:
        title: What is done.
        unit: Of the figure.
        figure: The figure of one measurement.
        limit: The variant of ``limit`` that the others are compared to; empty for none.
        ours: The variant of ``dotflow`` that the others are compared to.
        repeat: Repetitions, unless the caller asks for another number.
        sampled: One more repetition comes first, in which the memory of the whole process tree is sampled; its time
            is not used.
        services: The servers it needs: ``postgres``, ``valkey``.
    """

    title: str
    unit: str
    figure: Callable[[Result], float]
    limit: str = ""
    ours: str = ""
    repeat: int = 5
    sampled: bool = False
    services: tuple[str, ...] = ()


DURABLE = "1,000 no-op steps in a chain, each result durable before the next step starts: "

WORKLOADS: dict[str, Workload] = {
    "W1a": Workload("`python -c 'import X'`, whole process", "ms", milliseconds, "bare Python", "import", 15),
    "W1b": Workload("a process that runs a pipeline of 3 no-op steps", "ms", milliseconds, "plain", "default", 15),
    "W1d": Workload("the command line's `--help`", "ms", milliseconds, "", "--help", 7),
    "W2": Workload("a chain of no-op steps in memory", "µs per step", per_step, "least engine 10k", "10k"),
    "W2o": Workload("the same with one in-process observer", "µs per step", per_step, "", "none", 5),
    "W3a": Workload(DURABLE + "SQLite, WAL, NORMAL", "µs per step", per_step, "SQLite NORMAL", "SQLite NORMAL"),
    "W3b": Workload(DURABLE + "SQLite, WAL, FULL", "µs per step", per_step, "SQLite FULL", "SQLite FULL"),
    "W3c": Workload(
        DURABLE + "PostgreSQL", "µs per step", per_step, "PostgreSQL", "PostgreSQL", services=("postgres",)
    ),
    "W3d": Workload(DURABLE + "a file each, fsync and rename", "µs per step", per_step, "file, fsync", "file"),
    "W3v": Workload(DURABLE + "Valkey", "µs per step", per_step, "Valkey", "Valkey", services=("valkey",)),
    "W3m": Workload("the same with results in memory", "µs per step", per_step, "dictionary", "memory"),
    "W4": Workload(
        "resume in a new process: 1,000 finished durable steps to the first unfinished one",
        "ms",
        milliseconds,
        "one SELECT",
        "SQLite",
        7,
    ),
    "W5a": Workload(
        "fan-out of no-op tasks to 2 worker processes", "µs per task", per_step, "pipe message a task 10k", "10k"
    ),
    "W5b": Workload(
        "200 CPU-bound tasks of 10 ms on 2 cores: share of the ideal",
        "",
        field("efficiency"),
        "fork in halves",
        "2 workers",
    ),
    "W6a": Workload(
        "100 MiB between two steps in one process", "ms", milliseconds, "reference, bytes", "bytes", 5, sampled=True
    ),
    "W6b": Workload(
        "100 MiB between two steps in two worker processes",
        "s",
        seconds,
        "fresh shared memory, bytes",
        "bytes",
        5,
        sampled=True,
    ),
    "W7": Workload(
        "100 groups of 10 steps with dependencies, one process", "µs per step", per_step, "plain", "100 x 10"
    ),
    "W8a": Workload("10,000 async no-op steps in a chain", "µs per step", per_step, "await", "start_async 10k"),
    "W8b": Workload("1,000 steps of `asyncio.sleep(0.1)` at once", "s", seconds, "gather", "start_async 1k"),
    "W9": Workload("every-second schedule: median lateness", "ms", field("median_ms"), "time.sleep, 20 s", "20 s", 1),
    "W10": Workload("growth per 1,000 runs of 3 steps", "KiB", field("kib_per_1000"), "plain", "default", 1),
}


def selected(text: str) -> list[str]:
    """Return the workloads that *text* names with commas; ``W3`` stands for W3a, W3b and so on, nothing for all.

    Raises:
        ValueError: a name that is none.
    """
    if not text:
        return list(WORKLOADS)
    found: list[str] = []
    for name in text.split(","):
        family = [name] if name in WORKLOADS else [known for known in WORKLOADS if re.fullmatch(f"{name}[a-z]", known)]
        if name == "W1c":
            family = ["W1b"]
        if not family:
            raise ValueError(f"there is no workload {name!r}; there are {', '.join(WORKLOADS)}")
        found += [known for known in family if known not in found]
    return found
