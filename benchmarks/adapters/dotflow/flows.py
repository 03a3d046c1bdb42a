"""The workflows that several workloads use."""

from __future__ import annotations

import gc
from typing import Any

from dotflow import Config, DotFlow, action


def warm(**providers: Any) -> None:
    """Run one step first: what is imported at the first start is counted by W1.

    What that leaves is collected, so that its database is not closed in the time that is measured.
    """

    @action
    def one() -> int:
        return 1

    workflow = DotFlow(Config(**providers), workflow_id="warm")
    workflow.task.add(one)
    workflow.start()
    del workflow
    gc.collect()


@action
def first() -> int:
    return 1


@action
def following(previous_context: Any) -> int:
    return int(previous_context.storage) + 1


@action
def seeded(initial_context: Any) -> int:
    return int(initial_context.storage) + 1


def add_chain(workflow: DotFlow, n: int) -> DotFlow:
    """Add *n* no-op steps, the last of which returns *n*."""
    workflow.task.add(first)
    for _ in range(n - 1):
        workflow.task.add(following)
    return workflow
