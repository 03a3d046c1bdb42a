"""Lines on the console or in a file."""

from __future__ import annotations

import functools
import os
import sys
import weakref
from typing import TYPE_CHECKING, Any

from dotflow.abc.log import LEVELS, Log
from dotflow.core.exception import ConfigurationError

if TYPE_CHECKING:
    import logging
    from pathlib import Path

LINE = "%(asctime)s - %(levelname)s [%(name)s]: %(message)s"
OUTPUTS = ("console", "file", "both", "logger")
FORMATS = ("simple", "json", "logfmt")
BARE = "%(message)s"  # a line that is for programs stands alone


class LogDefault(Log):
    """Write one line for each status change.

    Args:
        level: ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``, in any case: the least that is written.
        output: ``console`` (stderr), ``file``, ``both``, or ``logger``: hand records to the standard logger
            ``dotflow`` and leave everything else to the application.
        path: The file; its folders are made, lines are appended.
        format: ``simple``, ``json`` (one object a line) or ``logfmt`` (``name=value``).
        max_bytes: The file is put aside as ``<path>.1`` before it grows beyond that; 0 lets it grow.
        backups: How many files that were put aside are kept.

    Raises:
        ConfigurationError: an unknown level, output or format, or a size that makes no sense.

    .. versionchanged:: 2.0
        ``logfmt``, ``max_bytes`` and ``backups`` are new; a line in ``json`` has nothing before the object.
    """

    def __init__(
        self,
        level: str = "INFO",
        output: str = "console",
        path: str | Path = ".output/flow.log",
        format: str = "simple",
        *,
        max_bytes: int = 0,
        backups: int = 5,
    ) -> None:
        name = level.upper() if isinstance(level, str) else level
        for label, value, known in (
            ("level", name, LEVELS),
            ("output", output, OUTPUTS),
            ("format", format, FORMATS),
        ):
            if value not in known:
                raise ConfigurationError(f"LogDefault({label}={value!r}) is unknown; use one of {', '.join(known)}")
        for label, number, least in (("max_bytes", max_bytes, 0), ("backups", backups, 1)):
            if isinstance(number, bool) or not isinstance(number, int) or number < least:
                raise ConfigurationError(f"LogDefault({label}=...) needs a number from {least} on, got {number!r}")
        self._max_bytes, self._backups = max_bytes, backups
        self._level, self._format, self._output, self._path = LEVELS[name], format, output, path
        self._opened: Any = None

    masks = True

    def warning(self, **kwargs: Any) -> None:
        """Write that an attempt failed and another follows; to the standard logger as information only."""
        self._write("INFO" if self._output == "logger" else "WARNING", **kwargs)

    @property
    def quiet(self) -> bool:
        """Whether nothing below a warning would be written anywhere."""
        if self._output != "logger" or self._level > LEVELS["INFO"]:
            return self._level > LEVELS["INFO"]
        return "logging" not in sys.modules or not self._logger.isEnabledFor(LEVELS["INFO"])

    @property
    def _logger(self) -> Any:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        opened, self._opened = self._opened, None
        if opened is not None and self._output != "logger":
            _close(opened.handlers)

    def _open(self) -> Any:
        import logging

        if self._output == "logger":
            return _standard()
        logger = logging.Logger("dotflow", self._level)  # of its own: it shares no handler with anybody
        handlers: list[logging.Handler] = []
        if self._output in ("console", "both"):
            handlers.append(logging.StreamHandler())
        if self._output in ("file", "both"):
            os.makedirs(os.path.dirname(os.path.abspath(self._path)), exist_ok=True)
            handlers.append(self._file())
        for handler in handlers:
            handler.setFormatter(logging.Formatter(LINE if self._format == "simple" else BARE))
            logger.addHandler(handler)
        weakref.finalize(self, _close, logger.handlers)
        return logger

    def _file(self) -> logging.Handler:
        import logging.handlers

        if not self._max_bytes:
            return logging.FileHandler(self._path, encoding="utf-8", errors="backslashreplace")
        return logging.handlers.RotatingFileHandler(
            self._path,
            maxBytes=self._max_bytes,
            backupCount=self._backups,
            encoding="utf-8",
            errors="backslashreplace",
        )


@functools.cache
def _standard() -> Any:
    import logging

    return logging.getLogger("dotflow")


def _close(handlers: list[logging.Handler]) -> None:
    for handler in handlers:
        handler.close()
