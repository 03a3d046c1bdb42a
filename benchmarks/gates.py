"""What every workload has to reach, as data: the gate must hold, the goal is where dotflow is going."""

from __future__ import annotations

from dataclasses import dataclass

Row = tuple[str, str]  # contestant and variant


@dataclass(frozen=True)
class Bound:
    """A figure that must not be exceeded.

    Attributes:
        value: The figure, or the factor if *beside* is given.
        beside: The row whose figure, of the same run, is multiplied by it.
        workload: Of that row, if it is another one.
    """

    value: float
    beside: Row | None = None
    workload: str = ""


@dataclass(frozen=True)
class Gate:
    """One line of the verdict.

    Attributes:
        name: Of the line.
        workload: What is measured.
        row: The variant of dotflow.
        gate: What must hold.
        goal: Where it is going; ``None`` for nowhere beyond the gate.
        field: The field of the measurement, or the workload's figure.
        unit: Of the figure.
        at_least: The bounds must be reached instead of not exceeded.
    """

    name: str
    workload: str
    row: str
    gate: Bound
    goal: Bound | None
    field: str = ""
    unit: str = ""
    at_least: bool = False


BARE = ("limit", "bare Python")
PLAIN = ("limit", "plain")
HUEY_1K, HUEY_10K = ("huey", "immediate 1k"), ("huey", "immediate 10k")
OURS_1K = ("dotflow", "1k")
POOL = ("ppe", "submit 10k")
MESSAGES = ("limit", "pipe message a task 10k")
HALVES = ("limit", "fork in halves")
HAMILTON = ("hamilton", "100 x 10")
HAMILTON_ASYNC = ("hamilton", "AsyncDriver 1k")
FRESH = {kind: ("limit", f"fresh shared memory, {kind}") for kind in ("bytes", "numpy")}
FLAT = 1.25  # 100 times as many steps may cost each of them a quarter more


def times(row: Row, gate: float, goal: float) -> tuple[Bound, Bound]:
    """Return gate and goal as factors of the same row."""
    return Bound(gate, row), Bound(goal, row)


def durable(name: str, ours: str, limit: str, gate: float, goal: float) -> Gate:
    return Gate(name, name, ours, *times(("limit", limit), gate, goal))


def late(seconds: int) -> list[Gate]:
    """Return the gates of an every-second schedule that is watched for that long."""
    row, theirs = f"{seconds} s", ("apscheduler", f"cron, {seconds} s")
    return [
        Gate(f"W9 median, {row}", "W9", row, Bound(1, theirs), Bound(0.4)),
        Gate(f"W9 maximum, {row}", "W9", row, Bound(1, theirs), Bound(1.5), "max_ms", "ms"),
        Gate(f"W9 missed, {row}", "W9", row, Bound(0), None, "missed", "ticks"),
    ]


GATES: tuple[Gate, ...] = (
    Gate("W1a", "W1a", "import", *times(BARE, 3, 2)),
    Gate("W1b", "W1b", "default", *times(PLAIN, 4, 3)),
    Gate("W1c", "W1b", "default", Bound(18), Bound(14), "rss_mib", "MiB"),
    Gate("W1d", "W1d", "--help", Bound(150), Bound(80)),
    Gate("W2 1k", "W2", "1k", *times(HUEY_1K, 0.5, 0.25)),
    Gate("W2 10k", "W2", "10k", *times(HUEY_10K, 0.5, 0.25)),
    Gate("W2 flat", "W2", "100k", Bound(FLAT, OURS_1K), None),
    Gate("W2 observed", "W2o", "log + tracer + metrics that count", Bound(1, HUEY_10K, "W2"), None),
    durable("W3a", "SQLite NORMAL", "SQLite NORMAL", 2.5, 2),
    durable("W3b", "SQLite FULL", "SQLite FULL", 1.4, 1.25),
    durable("W3c", "PostgreSQL", "PostgreSQL", 1.6, 1.3),
    durable("W3d", "file", "file, fsync", 1.4, 1.2),
    durable("W4", "SQLite", "one SELECT", 4, 2.2),
    Gate("W5a", "W5a", "10k", Bound(0.33, POOL), Bound(0.5, MESSAGES)),
    Gate("W5b", "W5b", "2 workers", *times(HALVES, 0.93, 0.97), at_least=True),
    Gate("W6a bytes", "W6a", "bytes", Bound(0.3), Bound(0.1)),
    Gate("W6a NumPy", "W6a", "numpy", Bound(0.3), Bound(0.1)),
    Gate("W6b bytes", "W6b", "bytes", *times(FRESH["bytes"], 1.4, 1.2)),
    Gate("W6b NumPy", "W6b", "numpy", *times(FRESH["numpy"], 1.4, 1.2)),
    Gate("W6b memory, bytes", "W6b", "bytes", Bound(350), Bound(250), "tree_mib", "MiB"),
    Gate("W6b memory, NumPy", "W6b", "numpy", Bound(350), Bound(250), "tree_mib", "MiB"),
    Gate("W7", "W7", "100 x 10", *times(HAMILTON, 0.3, 0.12)),
    Gate("W8a", "W8a", "start_async 10k", *times(HAMILTON_ASYNC, 0.25, 0.08)),
    Gate("W8b", "W8b", "start_async 1k", Bound(0.13), Bound(0.115)),
    *late(20),
    *late(60),
    Gate("W10", "W10", "default", Bound(32), Bound(10)),
)
