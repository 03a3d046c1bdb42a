"""The log of the library, for those who have not set up logging: warnings, on standard error."""

from __future__ import annotations

import logging
import os
import sys

from dotflow.views.progress import escape, write

TASK_RECORDS = os.path.join("dotflow", "abc", "log.py")


class Notices(logging.Handler):
    """Writes warnings of the logger ``dotflow``, but for failed tasks: those the view shows."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        if not record.pathname.endswith(TASK_RECORDS):
            write(sys.stderr, escape(f"{record.levelname.lower()}: {self.format(record)}"))


def listen() -> None:
    """Show warnings, unless the user's code has set up logging itself."""
    logger = logging.getLogger("dotflow")
    if not logger.hasHandlers():
        logger.addHandler(Notices(logging.WARNING))
