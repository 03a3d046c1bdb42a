"""Steps that are named by their path."""

from __future__ import annotations

from typing import Any

from dotflow import action

CALLED: list[Any] = []


@action
def step() -> str:
    return "by path"


def called(task: Any) -> None:
    CALLED.append(task.task_id)


not_a_step = 7
