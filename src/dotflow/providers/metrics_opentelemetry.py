"""Counters and durations in OpenTelemetry."""

from __future__ import annotations

from typing import Any

from dotflow.abc.metrics import Metrics
from dotflow.providers._otel import is_ours_to_make, resource
from dotflow.providers._require import require


class MetricsOpenTelemetry(Metrics):
    """Count runs and tasks, and measure how long they take. Needs the extra ``otel``.

    Args:
        service_name: Names the service, in a provider that is made here.
        provider: The ``MeterProvider`` to use; by default the application's. If it has set up none, one is made
            and becomes the application's.
    """

    masks = True

    def __init__(self, service_name: str = "dotflow", *, provider: Any = None) -> None:
        metrics = require("opentelemetry.metrics", extra="otel")
        if provider is None:
            provider = metrics.get_meter_provider()
            if is_ours_to_make(provider):
                provider = require("opentelemetry.sdk.metrics", extra="otel").MeterProvider(
                    resource=resource(service_name)
                )
                metrics.set_meter_provider(provider)
        meter = provider.get_meter("dotflow")
        self._workflows = meter.create_counter("dotflow_workflow_total")
        self._workflow_seconds = meter.create_histogram("dotflow_workflow_duration_seconds", unit="s")
        self._tasks = meter.create_counter("dotflow_task_total")
        self._task_seconds = meter.create_histogram("dotflow_task_duration_seconds", unit="s")
        self._retries = meter.create_counter("dotflow_task_retry_total")

    def workflow_started(self, workflow_id: Any, **kwargs: Any) -> None:
        """Count a run that begins."""
        self._workflows.add(1, {"status": "started"})

    def workflow_completed(self, workflow_id: Any, duration: float) -> None:
        """Count a run that completed."""
        self._workflow("completed", duration)

    def workflow_failed(self, workflow_id: Any, duration: float) -> None:
        """Count a run that did not."""
        self._workflow("failed", duration)

    def task_completed(self, task: Any) -> None:
        """Count a task that completed."""
        self._task("completed", task.duration)

    def task_failed(self, task: Any) -> None:
        """Count a task that failed."""
        self._task("failed", task.duration)

    def task_retried(self, task: Any) -> None:
        """Count a failed attempt that another one follows."""
        self._retries.add(1)

    def _workflow(self, status: str, duration: float) -> None:
        self._workflows.add(1, {"status": status})
        self._workflow_seconds.record(duration, {"status": status})

    def _task(self, status: str, duration: float | None) -> None:
        self._tasks.add(1, {"status": status})
        if duration is not None:
            self._task_seconds.record(duration, {"status": status})
