"""A program whose tasks take as long as they are told: ``standing_flow.py URL ID SHAPE [resume]``."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from dotflow import Config, DotFlow, action


@action
def quick() -> int:
    return 1


@action
def held() -> int:
    os.write(1, b"held\n")
    while not Path("go").exists():
        time.sleep(0.02)
    return 2


def build(url: str, workflow_id: str, shape: str) -> DotFlow:
    workflow = DotFlow(Config.from_url(url), workflow_id=workflow_id)
    add = workflow.task.add
    if shape == "chain":
        add([quick, held, quick])
    elif shape == "parallel":
        add([quick, held, held])
    else:
        add(quick, task_id="source")
        add(held, task_id="left", depends_on=["source"])
        add(held, task_id="right", depends_on=["source"])
        add(quick, task_id="sink", depends_on=["left", "right"])
    return workflow


if __name__ == "__main__":
    url, workflow_id, shape = sys.argv[1:4]
    mode = "parallel" if shape in ("parallel", "diamond") else "sequential"
    build(url, workflow_id, shape).start(mode=mode, resume="resume" in sys.argv)
