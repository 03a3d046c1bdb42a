"""The metrics that are there when none are."""

from __future__ import annotations

from typing import Any

from dotflow.abc.metrics import Metrics


class MetricsDefault(Metrics):
    """Count nothing."""

    silent = True

    def workflow_started(self, workflow_id: Any, **kwargs: Any) -> None:
        """Do nothing."""

    def workflow_completed(self, workflow_id: Any, duration: float) -> None:
        """Do nothing."""

    def workflow_failed(self, workflow_id: Any, duration: float) -> None:
        """Do nothing."""

    def task_completed(self, task: Any) -> None:
        """Do nothing."""

    def task_failed(self, task: Any) -> None:
        """Do nothing."""

    def task_retried(self, task: Any) -> None:
        """Do nothing."""
