"""What a schedule does with ticks that cannot run when they are due."""

from __future__ import annotations

from enum import StrEnum


class TypeOverlap(StrEnum):
    """What becomes of a tick that comes while a run is active.

    ``skip`` drops it, ``queue`` remembers one, ``queue_all`` every one, ``cancel_previous`` cancels what runs and
    starts, ``parallel`` starts another run beside, up to ten at once (``parallel(3)``: up to three).
    """

    SKIP = "skip"
    QUEUE = "queue"
    QUEUE_ALL = "queue_all"
    CANCEL_PREVIOUS = "cancel_previous"
    PARALLEL = "parallel"


class TypeCatchUp(StrEnum):
    """What becomes of ticks that nobody was there for: ``none`` is run, the ``latest``, or ``all``, in order."""

    NONE = "none"
    LATEST = "latest"
    ALL = "all"
