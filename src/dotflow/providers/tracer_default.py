"""The tracer that is there when none is."""

from __future__ import annotations

from typing import Any

from dotflow.abc.tracer import Tracer


class TracerDefault(Tracer):
    """Follow nothing."""

    silent = True

    def start_workflow(self, workflow_id: Any, **kwargs: Any) -> None:
        """Do nothing."""

    def end_workflow(self, workflow_id: Any, **kwargs: Any) -> None:
        """Do nothing."""

    def start_task(self, task: Any) -> None:
        """Do nothing."""

    def end_task(self, task: Any) -> None:
        """Do nothing."""
