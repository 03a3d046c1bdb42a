"""Log records in OpenTelemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.abc.log import LEVELS, Log
from dotflow.core.redact import mask, mask_error
from dotflow.providers._otel import is_ours_to_make, resource
from dotflow.providers._require import require
from dotflow.providers.log_default import LogDefault

if TYPE_CHECKING:
    from pathlib import Path


class LogOpenTelemetry(Log):
    """Emit a record for each status change, and write it to a file too if asked. Needs the extra ``otel``.

    Args:
        service_name: Names the service, in a provider that is made here.
        level: The least that is emitted, as for ``LogDefault``.
        output: ``console`` or ``both``: a provider that is made here writes to the console. ``file`` or ``both``:
            lines go to *path* as well.
        path: The file.
        format: ``simple``, ``json`` or ``logfmt``.
        provider: The ``LoggerProvider`` to use; by default the application's. If it has set up none, one is made
            and becomes the application's.
    """

    masks = True

    def __init__(
        self,
        service_name: str = "dotflow",
        level: str = "INFO",
        output: str = "console",
        path: str | Path = ".output/flow.log",
        format: str = "simple",
        *,
        provider: Any = None,
    ) -> None:
        lines = LogDefault(level, "file" if output in ("file", "both") else output, path, format)
        self._level, self._format = lines._level, format
        self._file = lines if output in ("file", "both") else None
        self._logs = require("opentelemetry._logs", extra="otel")
        if provider is None:
            provider = self._logs.get_logger_provider()
            if is_ours_to_make(provider):
                sdk = require("opentelemetry.sdk._logs", extra="otel")
                provider = sdk.LoggerProvider(resource=resource(service_name))
                if output in ("console", "both"):
                    export = require("opentelemetry.sdk._logs.export", extra="otel")
                    console = getattr(export, "ConsoleLogRecordExporter", None) or export.ConsoleLogExporter
                    provider.add_log_record_processor(export.BatchLogRecordProcessor(console()))
                self._logs.set_logger_provider(provider)
        self._emitter = provider.get_logger("dotflow")

    def warning(self, **kwargs: Any) -> None:
        """Emit that an attempt failed and another follows."""
        self._write("WARNING", **kwargs)

    def _write(self, level: str, **kwargs: Any) -> None:
        if LEVELS[level] < self._level:
            return
        if self._file is not None:
            self._file._write(level, **kwargs)
        import time

        task = kwargs.get("task")
        attributes: dict[str, Any] = {}
        if task is not None:
            attributes = {
                "dotflow.workflow_id": mask(str(task.workflow_id)),
                "dotflow.task_id": mask(task.task_id),
                "dotflow.task.status": str(task.status),
            }
            if level == "ERROR" and task.errors:
                last = mask_error(task.errors[-1])
                attributes["exception.type"] = last.exception
                attributes["exception.message"] = last.message
                attributes["exception.stacktrace"] = last.traceback
            if task.output and task.status != "In progress":
                attributes["dotflow.task.output"] = mask(task.output)
        severity = self._logs.SeverityNumber["WARN" if level == "WARNING" else level]
        self._emitter.emit(
            self._logs.LogRecord(
                timestamp=time.time_ns(),
                severity_text=level,
                severity_number=severity,
                body=mask(self._format_text(level, **kwargs)),
                attributes=attributes,
            )
        )
