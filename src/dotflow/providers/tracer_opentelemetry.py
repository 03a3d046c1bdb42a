"""Spans in OpenTelemetry."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dotflow.abc.tracer import Tracer
from dotflow.core.around import carriers, surround
from dotflow.core.redact import mask, mask_error
from dotflow.core.types import TypeStatus
from dotflow.providers._otel import is_ours_to_make, resource
from dotflow.providers._require import require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dotflow.core.messages import Attempt


class TracerOpenTelemetry(Tracer):
    """Make one span for a run, and below it one for each task; what a step traces itself comes below that one.

    That holds in worker processes too: the context travels with the attempt. Needs the extra ``otel``.

    Args:
        service_name: Names the service, in a provider that is made here.
        provider: The ``TracerProvider`` to use; by default the application's. If it has set up none, one is made
            and becomes the application's.

    .. versionchanged:: 2.0
        A provider that the application has set up is used, not replaced.
    """

    masks = True

    def __init__(self, service_name: str = "dotflow", *, provider: Any = None) -> None:
        self._trace = trace = require("opentelemetry.trace", extra="otel")
        self._context = require("opentelemetry.context", extra="otel")
        self._propagator = require("opentelemetry.propagate", extra="otel")
        if provider is None:
            provider = trace.get_tracer_provider()
            if is_ours_to_make(provider):
                provider = require("opentelemetry.sdk.trace", extra="otel").TracerProvider(
                    resource=resource(service_name)
                )
                trace.set_tracer_provider(provider)
        self._tracer = provider.get_tracer("dotflow")
        self._runs: dict[Any, Any] = {}
        self._spans: dict[tuple[Any, str], Any] = {}
        self._within = self._inside  # one bound method, so that it is registered once
        surround(self._within)

    def start_workflow(self, workflow_id: Any, **kwargs: Any) -> None:
        """Start the span of a run, below whatever span the caller is in."""
        known = mask(str(workflow_id))
        span = self._tracer.start_span(f"workflow:{known}")
        span.set_attribute("dotflow.workflow_id", known)
        for name, value in kwargs.items():
            span.set_attribute(f"dotflow.{name}", mask(str(value)))
        self._runs[workflow_id] = span

    def end_workflow(self, workflow_id: Any, **kwargs: Any) -> None:
        """End the span of a run, and those of its tasks that never ended."""
        span = self._runs.pop(workflow_id, None)
        for key in [key for key in self._spans if key[0] == workflow_id]:
            self._spans.pop(key).end()
            carriers.pop(key, None)
        if span is None:
            return
        if kwargs.get("duration") is not None:
            span.set_attribute("dotflow.duration", kwargs["duration"])
        code = self._trace.StatusCode
        span.set_status(code.ERROR, "workflow failed") if kwargs.get("failed") else span.set_status(code.OK)
        span.end()

    def start_task(self, task: Any) -> None:
        """Start the span of a task."""
        parent = self._runs.get(task.workflow_id)
        context = None if parent is None else self._trace.set_span_in_context(parent)
        known = mask(task.task_id)
        span = self._tracer.start_span(f"task:{known}", context=context)
        span.set_attribute("dotflow.workflow_id", mask(str(task.workflow_id)))
        span.set_attribute("dotflow.task_id", known)
        key = (task.workflow_id, task.task_id)
        self._spans[key] = span
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, context=self._trace.set_span_in_context(span))
        carriers[key] = carrier

    def end_task(self, task: Any) -> None:
        """End the span of a task; without one, do nothing."""
        key = (task.workflow_id, task.task_id)
        carriers.pop(key, None)
        span = self._spans.pop(key, None)
        if span is None:
            return
        span.set_attribute("dotflow.task.status", str(task.status))
        if task.duration is not None:
            span.set_attribute("dotflow.task.duration", task.duration)
        if task.retry_count:
            span.set_attribute("dotflow.task.retry_count", task.retry_count)
        code = self._trace.StatusCode
        if task.status == TypeStatus.FAILED:
            if task.errors:
                last = mask_error(task.errors[-1])
                told = {"exception.type": last.exception, "exception.message": last.message}
                span.add_event("exception", told)
            span.set_status(code.ERROR, str(task.status))
        elif task.status == TypeStatus.COMPLETED:
            span.set_status(code.OK)
        span.end()

    @contextmanager
    def _inside(self, order: Attempt) -> Iterator[None]:
        span = self._spans.get((order.workflow_id, order.task_id))
        if span is None:
            yield
            return
        token = self._context.attach(self._trace.set_span_in_context(span))
        try:
            yield
        finally:
            self._context.detach(token)
