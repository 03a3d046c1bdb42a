"""A clock that stands still until it is told to go on."""

from __future__ import annotations

import threading
from datetime import UTC, datetime


class FakeClock:
    """Stands in for the module ``time``; calling it is ``monotonic()``.

    Args:
        start: What ``time()`` gives at first, in seconds since the epoch; ``monotonic()`` begins at 0.

    Attributes:
        slept: What ``sleep`` was asked for, in order.
    """

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._start, self._passed = start, 0.0
        self._mutex = threading.Lock()
        self.slept: list[float] = []

    def __call__(self) -> float:
        """Return what ``monotonic`` does."""
        return self._passed

    def time(self) -> float:
        """Return the seconds since the epoch."""
        return self._start + self._passed

    def monotonic(self) -> float:
        """Return the seconds since the clock was made."""
        return self._passed

    def now(self) -> datetime:
        """Return the time as an aware UTC datetime."""
        return datetime.fromtimestamp(self.time(), UTC)

    def sleep(self, seconds: float) -> None:
        """Return at once, with the clock *seconds* further on."""
        if seconds < 0:
            raise ValueError(f"sleep length must be non-negative, got {seconds!r}")
        with self._mutex:
            self.slept.append(seconds)
            self._passed += seconds

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass."""
        if seconds < 0:
            raise ValueError(f"a clock does not go back, got {seconds!r}")
        with self._mutex:
            self._passed += seconds

    def __repr__(self) -> str:
        return f"FakeClock(time={self.time()!r}, monotonic={self._passed!r})"
