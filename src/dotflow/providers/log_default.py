"""Lines on the console or in a file."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from dotflow.abc.log import LEVELS, Log
from dotflow.core.exception import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

LINE = "%(asctime)s - %(levelname)s [%(name)s]: %(message)s"
OUTPUTS = ("console", "file", "both", "logger")
FORMATS = ("simple", "json")


class LogDefault(Log):
    """Write one line for each status change.

    Args:
        level: ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``, in any case: the least that is written.
        output: ``console`` (stderr), ``file``, ``both``, or ``logger``: hand records to the standard logger
            ``dotflow`` and leave everything else to the application.
        path: The file; its folders are made, lines are appended.
        format: ``simple`` or ``json``.

    Raises:
        ConfigurationError: an unknown level, output or format.
    """

    def __init__(
        self,
        level: str = "INFO",
        output: str = "console",
        path: str | Path = ".output/flow.log",
        format: str = "simple",
    ) -> None:
        name = level.upper() if isinstance(level, str) else level
        for label, value, known in (
            ("level", name, LEVELS),
            ("output", output, OUTPUTS),
            ("format", format, FORMATS),
        ):
            if value not in known:
                raise ConfigurationError(f"LogDefault({label}={value!r}) is unknown; use one of {', '.join(known)}")
        self._level, self._format, self._output, self._path = LEVELS[name], format, output, path
        self._opened: Any = None

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

    def _open(self) -> Any:
        import logging

        if self._output == "logger":
            return logging.getLogger("dotflow")
        logger = logging.Logger("dotflow", self._level)  # of its own: it shares no handler with anybody
        handlers: list[logging.Handler] = []
        if self._output in ("console", "both"):
            handlers.append(logging.StreamHandler())
        if self._output in ("file", "both"):
            os.makedirs(os.path.dirname(os.path.abspath(self._path)), exist_ok=True)
            handlers.append(logging.FileHandler(self._path, encoding="utf-8"))
        for handler in handlers:
            handler.setFormatter(logging.Formatter(LINE))
            logger.addHandler(handler)
        return logger
