"""Log records in structlog."""

from __future__ import annotations

from typing import Any

from dotflow.abc.log import LEVELS, Log
from dotflow.core.exception import ConfigurationError
from dotflow.core.redact import mask, mask_error
from dotflow.providers._require import require


class LogStructlog(Log):
    """Hand each status change to structlog, with its fields; what becomes of it is the application's to configure.

    Needs the extra ``structlog``.

    Args:
        level: ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``: the least that is handed on.
        logger: A logger of your own; by default ``structlog.get_logger("dotflow")``.

    .. versionadded:: 2.0
    """

    masks = True

    def __init__(self, level: str = "INFO", *, logger: Any = None) -> None:
        if not isinstance(level, str) or level.upper() not in LEVELS:
            raise ConfigurationError(f"LogStructlog(level={level!r}) is unknown; use one of {', '.join(LEVELS)}")
        self._level = LEVELS[level.upper()]
        self._target = logger if logger is not None else require("structlog", extra="structlog").get_logger("dotflow")

    def warning(self, **kwargs: Any) -> None:
        """Hand on that an attempt failed and another follows."""
        self._write("WARNING", **kwargs)

    def _write(self, level: str, **kwargs: Any) -> None:
        if LEVELS[level] < self._level:
            return
        write = getattr(self._target, level.lower())
        task = kwargs.get("task")
        if task is None:
            write("dotflow", **{name: mask(str(value)) for name, value in kwargs.items()})
            return
        fields: dict[str, Any] = {
            "workflow_id": mask(str(task.workflow_id)),
            "task_id": mask(task.task_id),
            "status": str(task.status),
        }
        if task.duration is not None:
            fields["duration"] = task.duration
        if task.retry_count:
            fields["retry_count"] = task.retry_count
        if task.errors and level in ("ERROR", "WARNING"):
            last = mask_error(task.errors[-1])
            fields.update(exception=last.exception, message=last.message, attempt=last.attempt)
        if task.output and task.status != "In progress":
            fields["output"] = mask(task.output)
        write("task", **fields)
