"""A program whose run is killed, cancelled or resumed: ``history_flow.py URL ID WHAT``."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from dotflow import Config, DotFlow, action

WHAT = sys.argv[3] if len(sys.argv) > 3 else ""


@action
def first() -> int:
    return 1


@action(retry=2, retry_delay=0)
def shaky(task) -> int:  # type: ignore[no-untyped-def]
    if task.attempt == 1:
        raise ValueError("password=hunter2hunter2 is wrong")
    return 2


@action
def waiting() -> None:
    print("waiting", flush=True)
    while not Path("go").exists():
        time.sleep(0.02)


@action
def dying() -> None:
    if WHAT == "die":
        os.kill(os.getpid(), 9)


@action
def last() -> int:
    return 3


def build(url: str, workflow_id: str) -> DotFlow:
    workflow = DotFlow(Config.from_url(url, secrets=["hunter2hunter2"]), workflow_id=workflow_id, name="Nightly")
    for step in (first, shaky, *((waiting,) if WHAT == "wait" else ()), dying, last):
        workflow.task.add(step)
    return workflow


if __name__ == "__main__":
    manager = build(sys.argv[1], sys.argv[2]).start(resume="resume" in sys.argv)
    print(manager.status, manager.run_id)
