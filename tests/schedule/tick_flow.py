"""A process that keeps a schedule: ``python tick_flow.py URL ID LOG SECONDS TICKS LEASE NAP``.

Every step writes a line when it begins: tick, step, process, and what it was given. What the first step returns is
different at every attempt, so that the lines show which attempt was recorded. It does not end while ``LOG.hold``
exists.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime

from dotflow import Config, DotFlow, action
from dotflow.providers import SchedulerInterval

URL, ID, LOG, SECONDS, TICKS, LEASE, NAP = [*sys.argv[1:8], *[""] * 7][:7]
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def note(*words: object) -> None:
    line = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(line, (" ".join(map(str, words)) + "\n").encode())
    os.close(line)


@action
def one(initial_context: object) -> str:
    tick = initial_context.scheduled_for.isoformat()  # type: ignore[attr-defined]
    attempt = f"{os.getpid()}-{time.monotonic_ns()}"
    note(tick, "one", os.getpid(), attempt)
    time.sleep(float(NAP))
    while os.path.exists(f"{LOG}.hold"):
        time.sleep(0.01)
    return attempt


@action
def two(initial_context: object, previous_context: object) -> str:
    given = previous_context.storage  # type: ignore[attr-defined]
    note(initial_context.scheduled_for.isoformat(), "two", os.getpid(), given)  # type: ignore[attr-defined]
    time.sleep(float(NAP))
    return str(given)


def make() -> DotFlow:
    scheduler = SchedulerInterval(
        float(SECONDS), "parallel(20)", anchor=EPOCH, max_runs=int(TICKS), lease=float(LEASE), grace=60
    )
    workflow = DotFlow(Config.from_url(URL, scheduler=scheduler), workflow_id=ID)
    workflow.task.add(step=[one, two])
    return workflow


if __name__ == "__main__":
    print(make().schedule(), flush=True)
