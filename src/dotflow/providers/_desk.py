"""What the loop of the schedulers works with: where its state is kept, a rule with a memory, and threads."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from dotflow.core.agenda import State
from dotflow.core.when import When

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime


def warm() -> None:
    """Load what the first run would load."""
    import dotflow.providers as known

    for name in ("ExecutorInline", "LogDefault", "MetricsDefault", "NotifyDefault", "ServerDefault", "TracerDefault"):
        getattr(known, name)


class Happened(NamedTuple):
    """What a schedule did in this process, as ``DotFlow.schedule`` returns it.

    Attributes:
        runs: Runs that ended.
        completed: Those that completed.
        failed: Those that did not.
        dropped: Ticks that came while a run was active and were dropped.
        missed: Ticks that were too late and were not caught up.
        reason: Why the schedule ended: ``stopped``, or ``over``.
    """

    runs: int = 0
    completed: int = 0
    failed: int = 0
    dropped: int = 0
    missed: int = 0
    reason: str = "stopped"


class Cell(Protocol):
    """Where a state is kept; see ``dotflow.core.claims``."""

    name: str
    shared: bool

    def read(self) -> dict[str, Any] | None:
        """Return the state; ``None`` if there is none."""

    def swap(self, before: dict[str, Any] | None, after: dict[str, Any]) -> bool:
        """Replace the state, if it is still what it was."""

    def forget_run(self, workflow_id: str) -> None:
        """Remove the checkpoints of a run."""


class Desk:
    """The state of one schedule, changed by pure functions.

    Args:
        cell: Where it is kept; ``None``: here.
        first: The state of a schedule that is new.
    """

    def __init__(self, cell: Cell | None, first: State) -> None:
        self._cell, self._state = cell, first
        self._mutex = threading.Lock()

    def look(self) -> State:
        """Return the state."""
        raw = None if self._cell is None else self._cell.read()
        return self._state if raw is None else State.read(raw)

    def update(self, change: Callable[[State], State | None]) -> tuple[State, State | None]:
        """Replace the state by what *change* makes of it; return both. ``None`` leaves it."""
        if self._cell is None:
            with self._mutex:
                before = self._state
                after = change(before)
                self._state = after or before
            return before, after
        while True:
            raw = self._cell.read()
            before = self._state if raw is None else State.read(raw)
            after = change(before)
            if after is None or (after == before and raw is not None) or self._cell.swap(raw, after.raw()):
                return before, after


class Memo(When):
    """A rule that remembers its last answers, so that a tick does not wait for the search for the next."""

    __slots__ = ("_known", "rule")

    def __init__(self, rule: When) -> None:
        self.rule = rule
        self._known: dict[datetime, datetime | None] = {}

    def next(self, after: datetime) -> datetime | None:
        """Return the first instant later than *after*."""
        if after not in self._known:
            if len(self._known) > 8:
                for known in list(self._known)[:4]:
                    del self._known[known]
            self._known[after] = self.rule.next(after)
        return self._known[after]

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """Return the last instant of a span."""
        return self.rule.latest(after, until)


class Crew:
    """Threads that run what they are given, and wait for more; they do not keep the process alive."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._mutex, self._idle, self._all = threading.Lock(), 0, 0
        self.idents: set[int] = set()

    def run(self, job: Callable[[], None]) -> None:
        """Run *job* in a thread that is idle, or a new one."""
        with self._mutex:
            if self._idle:
                self._idle -= 1
                self._jobs.put(job)
                return
            self._all += 1
        threading.Thread(target=self._work, args=(job,), name=f"dotflow-tick-{self._all}", daemon=True).start()

    def _work(self, job: Callable[[], None] | None) -> None:
        self.idents.add(threading.get_ident())
        while job is not None:
            job()
            with self._mutex:
                self._idle += 1
            job = self._jobs.get()

    def close(self) -> None:
        """Let every thread end after what it does."""
        for _ in range(self._all):
            self._jobs.put(None)
