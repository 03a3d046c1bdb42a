"""What an adapter is made of: a peer, and its cases. Standard library only: every peer's environment imports it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Measured = dict[str, Any]


@dataclass(frozen=True)
class Peer:
    """A contestant.

    Attributes:
        title: Its name in the tables.
        environment: Its environment: the name of a file in ``requirements/``.
        variables: Environment variables of its processes; ``{folder}`` becomes the scratch folder.
        seed: A program that makes, once, a folder that every measurement starts with a copy of.
        seeded: The name of that folder in the scratch folder.
        abrupt: End a measuring process without its exit handlers.
    """

    title: str
    environment: str
    variables: Mapping[str, str] = field(default_factory=dict)
    seed: str = ""
    seeded: str = ""
    abrupt: bool = False


@dataclass(frozen=True)
class Case:
    """One way to do a workload: a function to measure in a process of its own, or a program measured from outside.

    Attributes:
        run: Does the work, checks the result, and returns ``measured(...)``.
        arguments: What it is called with.
        source: The program, instead of *run*.
        prints: What the program must print.
        phases: Values of the argument ``phase``, one process each, in the same folder; the last is measured.
        repeat: Most repetitions, for a case that takes long; ``None`` for as many as the workload has.
        timeout: Seconds until it is ended and counts as failed.
        fresh: Start without the peer's seeded folder.
    """

    run: Callable[..., Measured] | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    prints: str = ""
    phases: tuple[str, ...] = ()
    repeat: int | None = None
    timeout: float = 75.0
    fresh: bool = False


Cases = dict[str, dict[str, Case]]  # workload, then variant


def measured(seconds: float, n: int, ok: bool, **more: Any) -> Measured:
    """Return a measurement: *n* items took *seconds*; *ok* says that the result was checked and is right."""
    return {"seconds": seconds, "n": n, "ok": bool(ok), **more}


def measured_cpu(seconds: float, n: int, ok: bool, serial: float, **more: Any) -> Measured:
    """Return a measurement of *n* tasks on two cores, each of which takes *serial* seconds on one."""
    return measured(seconds, n, ok, serial_ms=serial * 1e3, efficiency=n * serial / 2 / seconds, **more)


def chain_program(imports: str, decorator: str, run: str) -> str:
    """Return the program of W1b: three functions, each under *decorator*, and the statement that runs them."""
    mark = f"{decorator}\n" if decorator else ""
    return (
        f"{imports}\n"
        f"{mark}def extract(): return [1, 2, 3]\n"
        f"{mark}def transform(x): return [v * 2 for v in x]\n"
        f"{mark}def load(x): return sum(x)\n"
        f"if __name__ == '__main__':\n    {run}\n"
    )
