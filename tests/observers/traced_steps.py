"""Steps for worker processes, with logging and tracing of their own."""

from __future__ import annotations

import logging
import os
from typing import Any

from dotflow import action
from dotflow.providers import LogContext

handler = logging.FileHandler(os.environ.get("STEPS_LOG", os.devnull), delay=True)
handler.addFilter(LogContext())
handler.setFormatter(logging.Formatter("%(workflow_id)s|%(task_id)s|%(attempt)s|%(message)s"))
logger = logging.getLogger("traced_steps")
logger.addHandler(handler)
logger.setLevel(logging.INFO)
logger.propagate = False


@action(retry=2, retry_delay=0)
def talks() -> None:
    logger.info("at work")
    raise ValueError("again")


@action
def traces() -> Any:
    from opentelemetry.sdk.trace import TracerProvider

    with TracerProvider().get_tracer("mine").start_as_current_span("mine") as span:
        assert span.parent is not None
        return os.getpid(), span.get_span_context().trace_id, span.parent.span_id


@action
def fails() -> None:
    raise ValueError("wrong")


@action
def works() -> int:
    return 1
