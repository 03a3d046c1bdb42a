"""The workflow of the application: count the primes below a number, in parts.

    part-1 ─┐
    part-2 ─┼▶ total
    part-3 ─┘

It is a module of its own, so that the worker processes load it without the web framework.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from dotflow import Config, DotFlow, action

if TYPE_CHECKING:
    from dotflow import Context


@action
def part(initial_context: Context) -> int:
    """Count the primes of one range, by trial division."""
    first, last = initial_context.storage
    return sum(all(number % divisor for divisor in range(2, int(number**0.5) + 1)) for number in range(first, last))


@action
def total(previous_context: Context) -> int:
    """Add up the parts."""
    return sum(previous_context.storage.values())


def build(config: Config, run_id: str, below: int, parts: int) -> DotFlow:
    """Return the workflow. The same numbers give the same tasks, so that a run can be resumed."""
    workflow = DotFlow(config, workflow_id=run_id)
    edges = [2 + (below - 2) * number // parts for number in range(parts + 1)]
    names = [f"part-{number}" for number in range(1, parts + 1)]
    for name, span in zip(names, pairwise(edges), strict=True):
        workflow.task.add(part, initial_context=span, task_id=name, depends_on=[])
    workflow.task.add(total, depends_on=names)
    return workflow
