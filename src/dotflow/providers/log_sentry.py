"""Failures in Sentry."""

from __future__ import annotations

from typing import Any

from dotflow.abc.log import Log
from dotflow.core.redact import mask, mask_error, register
from dotflow.providers._require import require


class LogSentry(Log):
    """Send a message for each task that fails; what came before are its breadcrumbs. Needs the extra ``sentry``.

    Args:
        dsn: Where to; a secret. Not used if the application has initialised Sentry already.
        environment: Names the environment.
        traces_sample_rate: Share of the runs that are traced, for ``TracerSentry``.
    """

    masks = True

    def __init__(self, dsn: str | None, environment: str | None = None, traces_sample_rate: float = 0.0) -> None:
        self._sentry = started(dsn, environment, traces_sample_rate)

    def info(self, **kwargs: Any) -> None:
        """Leave a breadcrumb."""
        self._crumb("info", kwargs.get("task"))

    def warning(self, **kwargs: Any) -> None:
        """Leave a breadcrumb."""
        self._crumb("warning", kwargs.get("task"))

    def debug(self, **kwargs: Any) -> None:
        """Do nothing."""

    def error(self, **kwargs: Any) -> None:
        """Send a message about a task that failed."""
        task = kwargs.get("task")
        if task is None or not task.errors:
            return
        last = mask_error(task.errors[-1])
        with self._sentry.new_scope() as scope:
            extras = {
                "workflow_id": mask(str(task.workflow_id)),
                "task_id": mask(task.task_id),
                "exception": last.exception,
                "attempt": last.attempt,
                "traceback": last.traceback,
                **({"output": last.output} if last.output else {}),
            }
            for name, value in extras.items():
                scope.set_extra(name, value)
            scope.capture_message(mask(f"Task {task.task_id} failed: {last.message}"), level="error")

    def _crumb(self, level: str, task: Any) -> None:
        if task is not None:
            self._sentry.add_breadcrumb(
                category="dotflow", message=mask(f"task:{task.task_id} {task.status}"), level=level
            )


def started(dsn: str | None, environment: str | None, rate: float) -> Any:
    """Return the library, initialised unless the application has done that."""
    sentry = require("sentry_sdk", extra="sentry")
    if dsn is not None and not sentry.is_initialized():
        sentry.init(dsn=dsn, environment=environment, traces_sample_rate=rate)
        key = dsn.partition("://")[2].partition("@")[0]
        if len(key) >= 8:
            register([key])
    return sentry
