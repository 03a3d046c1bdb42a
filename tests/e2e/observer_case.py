"""Runs with observers that raise or take their time, in a process of their own: a program of ``test_observers``.

Prints what came of it as JSON, with the time of the last line, so that the end of the process can be measured.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

import observers

from dotflow import Config, DotFlow
from dotflow.core import lane

STEPS = 40


class Records(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def run(config: Config, callback: Any = None, **start: Any) -> tuple[float, Any, list[Any]]:
    """Run forty steps of 0.05 s; return how long it took, the handle, and the results."""
    workflow = DotFlow(config=config)
    more = {} if callback is None else {"callback": callback}
    for _ in range(STEPS):
        workflow.task.add(observers.works, **more)
    began = time.monotonic()
    manager = workflow.start(**start)
    return time.monotonic() - began, manager, workflow.result_storage()


def raising() -> dict[str, Any]:
    """Every observer raises on every call."""
    calls = observers.Calls(observers.refuse)
    config = observers.config_of(calls, *observers.KINDS)
    plain, _, wanted = run(Config())
    took, manager, found = run(config, observers.callback_of(calls), **observers.callbacks_of(calls))
    return {
        "plain": plain,
        "took": took,
        "same": found == wanted == list(range(1, STEPS + 1)),
        "status": manager.status,
        "calls": calls.counts,
        "counted": manager.observer_fault_counts,
        "faults": [(fault.observer, type(fault.error).__name__) for fault in manager.observer_faults],
    }


def hanging() -> dict[str, Any]:
    """Notifier and server take 30 s for each call."""
    calls = observers.Calls(lambda: time.sleep(30))
    plain, _, wanted = run(Config())
    took, manager, found = run(observers.config_of(calls, "notify", "server"))
    return {"plain": plain, "took": took, "same": found == wanted, "status": manager.status, "calls": calls.counts}


def slow(journal: str) -> dict[str, Any]:
    """The notifier takes longer than the run, and less than the program may take to end."""
    plain, _, wanted = run(Config())
    took, manager, found = run(Config(notify=observers.SlowNotify(0.06, journal)))
    return {"plain": plain, "took": took, "same": found == wanted, "status": manager.status}


def many(journal: str) -> dict[str, Any]:
    """Three runs whose notifiers have more to do than the end of the program allows."""
    lane.EXIT_PATIENCE = 2.0
    for _ in range(3):
        workflow = DotFlow(config=Config(notify=observers.SlowNotify(0.5, journal)))
        for _ in range(20):
            workflow.task.add(observers.counts)
        workflow.start()
    return {}


def main(case: str, *args: str) -> None:
    """Run one case."""
    records = Records()
    logging.getLogger("dotflow").addHandler(records)
    found = globals()[case](*args)
    print(json.dumps({**found, "logged": records.lines, "ended": time.monotonic()}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
