"""Where status changes are written."""

from __future__ import annotations

from abc import ABC
from typing import Any

LEVELS: dict[str, int] = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}


class Log(ABC):
    """Writes a record for each status change.

    Override ``info`` and ``error``; ``warning`` falls back to ``info``, and ``debug`` does nothing. Or set
    ``_logger`` (and, if wanted, ``_level`` and ``_format``) and inherit all four, which then write one line per
    change to that logger. Called on the run's thread, in order, by keyword ``task=``; what it raises is
    reported and counted.

    An override may take ``(self, task)`` or ``(self, **kwargs)``.
    """

    _logger: Any = None
    _level: int = LEVELS["INFO"]
    _format: str = "simple"

    def info(self, *args: Any, **kwargs: Any) -> None:
        """Write that a task started or completed."""
        self._write("INFO", **(_named(args, kwargs) if args else kwargs))

    def error(self, *args: Any, **kwargs: Any) -> None:
        """Write that a task failed for good."""
        self._write("ERROR", **(_named(args, kwargs) if args else kwargs))

    def warning(self, *args: Any, **kwargs: Any) -> None:
        """Write that an attempt failed and another follows. Falls back to ``info`` where that is overridden."""
        if self._logger is None:
            self.info(*args, **kwargs)
        else:
            self._write("WARNING", **(_named(args, kwargs) if args else kwargs))

    def debug(self, *args: Any, **kwargs: Any) -> None:
        """Write a detail; never called by the engine."""
        self._write("DEBUG", **(_named(args, kwargs) if args else kwargs))

    def _write(self, level: str, **kwargs: Any) -> None:
        if self._logger is not None and LEVELS[level] >= self._level:
            from dotflow.core.redact import mask  # loaded with the first line that is written

            self._logger.log(LEVELS[level], mask(self._format_text(level, **kwargs)))

    def _format_text(self, level: str, **kwargs: Any) -> str:
        """Return the text of one record; ``_format`` is ``simple``, ``json`` or ``logfmt``."""
        from dotflow.core.record import as_json, as_logfmt, as_text

        forms = {"json": as_json, "logfmt": as_logfmt}
        return forms.get(self._format, as_text)(level, **kwargs)


def _named(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    (task,) = args
    return {"task": task, **kwargs}
