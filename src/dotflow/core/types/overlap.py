"""What a schedule does with a tick that comes while a run is active."""

from __future__ import annotations

from enum import StrEnum


class TypeOverlap(StrEnum):
    """``skip`` drops the tick, ``queue`` remembers one, ``parallel`` starts another run beside."""

    SKIP = "skip"
    QUEUE = "queue"
    PARALLEL = "parallel"
