"""Transactions in Sentry."""

from __future__ import annotations

from typing import Any

from dotflow.abc.tracer import Tracer
from dotflow.core.redact import mask, mask_error
from dotflow.providers.log_sentry import started


class TracerSentry(Tracer):
    """Make one transaction for a run, and in it one span for each task. Needs the extra ``sentry``.

    Args:
        dsn: Where to; ``None`` uses what the application, or ``LogSentry``, has initialised.
        environment: Names the environment.
        traces_sample_rate: Share of the runs that are traced.
    """

    masks = True

    def __init__(self, dsn: str | None = None, environment: str | None = None, traces_sample_rate: float = 1.0) -> None:
        self._sentry = started(dsn, environment, traces_sample_rate)
        self._runs: dict[Any, Any] = {}
        self._spans: dict[tuple[Any, str], Any] = {}

    def start_workflow(self, workflow_id: Any, **kwargs: Any) -> None:
        """Start the transaction of a run."""
        known = mask(str(workflow_id))
        found = self._sentry.start_transaction(op="workflow", name=f"workflow:{known}")
        found.set_tag("dotflow.workflow_id", known)
        for name, value in kwargs.items():
            found.set_tag(f"dotflow.{name}", mask(str(value)))
        self._runs[workflow_id] = found

    def end_workflow(self, workflow_id: Any, **kwargs: Any) -> None:
        """End the transaction of a run."""
        for key in [key for key in self._spans if key[0] == workflow_id]:
            self._spans.pop(key).finish()
        found = self._runs.pop(workflow_id, None)
        if found is not None:
            found.set_data("dotflow.duration", kwargs.get("duration"))
            found.set_status("internal_error" if kwargs.get("failed") else "ok")
            found.finish()

    def start_task(self, task: Any) -> None:
        """Start the span of a task."""
        run = self._runs.get(task.workflow_id)
        if run is not None:
            known = mask(task.task_id)
            span = run.start_child(op="task", name=f"task:{known}")
            span.set_tag("dotflow.workflow_id", mask(str(task.workflow_id)))
            span.set_tag("dotflow.task_id", known)
            self._spans[task.workflow_id, task.task_id] = span

    def end_task(self, task: Any) -> None:
        """End the span of a task; without one, do nothing."""
        span = self._spans.pop((task.workflow_id, task.task_id), None)
        if span is None:
            return
        span.set_tag("dotflow.task.status", str(task.status))
        span.set_data("dotflow.task.duration", task.duration)
        if task.retry_count:
            span.set_data("dotflow.task.retry_count", task.retry_count)
        if task.errors:
            last = mask_error(task.errors[-1])
            span.set_data("dotflow.task.exception", f"{last.exception}: {last.message}")
        span.set_status("internal_error" if task.errors else "ok")
        span.finish()
