"""Attempts in the thread of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dotflow.abc.executor import Executor
from dotflow.core.attempt import attempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.core.messages import Attempt, Outcome


class ExecutorInline(Executor):
    """Run each step in the thread that drives the run, one at a time."""

    inline = True

    def submit(self, order: Attempt, report: Callable[[Outcome], None]) -> None:
        """Make the attempt now."""
        report(attempt(order))
