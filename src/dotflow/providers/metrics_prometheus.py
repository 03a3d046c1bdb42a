"""Counters and durations for Prometheus."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from dotflow.abc.metrics import Metrics
from dotflow.providers._require import require

_made: WeakKeyDictionary[Any, tuple[Any, ...]] = WeakKeyDictionary()  # a registry takes each name once


class MetricsPrometheus(Metrics):
    """Count runs and tasks, and measure how long they take. Needs the extra ``prometheus``.

    Args:
        registry: Where the metrics are; by default the registry of ``prometheus_client``.
        port: Serve them over HTTP on that port; ``None`` leaves that to the application.
        address: Where to listen, with *port*.

    Attributes:
        port: The port that is served, ``None`` if none is.

    .. versionadded:: 2.0
    """

    masks = True

    def __init__(self, registry: Any = None, port: int | None = None, address: str = "127.0.0.1") -> None:
        client = require("prometheus_client", extra="prometheus")
        registry = client.REGISTRY if registry is None else registry
        if registry not in _made:
            names, own = ["status"], {"registry": registry}
            _made[registry] = (
                client.Counter("dotflow_workflow", "Runs", names, **own),
                client.Histogram("dotflow_workflow_duration_seconds", "Length of runs", names, **own),
                client.Counter("dotflow_task", "Tasks", names, **own),
                client.Histogram("dotflow_task_duration_seconds", "Length of tasks", names, **own),
                client.Counter("dotflow_task_retry", "Failed attempts that another one followed", **own),
            )
        self._workflows, self._workflow_seconds, self._tasks, self._task_seconds, self._retries = _made[registry]
        self._server: Any = None
        self.port = port
        if port is not None:
            self._server, self._thread = client.start_http_server(port, addr=address, registry=registry)
            self.port = self._server.server_port

    def close(self) -> None:
        """Stop serving."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            self._thread.join()

    def workflow_started(self, workflow_id: Any, **kwargs: Any) -> None:
        """Count a run that begins."""
        self._workflows.labels("started").inc()

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
        self._retries.inc()

    def _workflow(self, status: str, duration: float) -> None:
        self._workflows.labels(status).inc()
        self._workflow_seconds.labels(status).observe(duration)

    def _task(self, status: str, duration: float | None) -> None:
        self._tasks.labels(status).inc()
        if duration is not None:
            self._task_seconds.labels(status).observe(duration)
