"""By what clock runs wait: the module ``time``, unless a test puts another in its place (ADR 0053)."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class Clock(Protocol):
    """What runs need of a clock; the module ``time`` is one."""

    def time(self) -> float:
        """Return the seconds since the epoch."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""

    def sleep(self, seconds: float, /) -> None:
        """Return when so many seconds have passed."""


clock: Any = time


@contextmanager
def paced_by(other: Clock) -> Iterator[None]:
    """Let runs that are made in here wait by *other*, whose ``sleep`` takes the place of every pause."""
    global clock
    before, clock = clock, other
    try:
        yield
    finally:
        clock = before
