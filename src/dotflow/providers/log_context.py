"""The ids of the running attempt, for the log lines that steps write themselves."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from dotflow.core.around import surround
from dotflow.core.redact import mask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dotflow.core.messages import Attempt

running: ContextVar[Attempt | None] = ContextVar("dotflow_attempt", default=None)


class LogContext(logging.Filter):
    """Give each record ``workflow_id``, ``task_id`` and ``attempt``, and mask secrets in its text.

    Put it on a handler of your own logging, in the module of the steps, so that worker processes have it too::

        handler = logging.StreamHandler()
        handler.addFilter(LogContext())
        handler.setFormatter(logging.Formatter("%(workflow_id)s %(task_id)s %(attempt)s %(message)s"))

    Outside of a step the ids are empty, and ``attempt`` is 0.

    .. versionadded:: 2.0
    """

    def __init__(self) -> None:
        super().__init__()
        surround(_inside)

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the ids, and let the record pass."""
        order = running.get()
        record.workflow_id = "" if order is None else mask(str(order.workflow_id))
        record.task_id = "" if order is None else mask(order.task_id)
        record.attempt = 0 if order is None else order.number
        text = record.getMessage()
        clean = mask(text)
        if clean != text:
            record.msg, record.args = clean, None
        if record.exc_info and not record.exc_text:
            record.exc_text = mask(logging.Formatter().formatException(record.exc_info))
        return True


@contextmanager
def _inside(order: Attempt) -> Iterator[None]:
    token = running.set(order)
    try:
        yield
    finally:
        running.reset(token)
