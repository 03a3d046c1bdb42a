"""Where network observers are called: off the run's path, in order, each call with a deadline.

A lane belongs to one observer, whatever runs use it, so that threads, queues and what is known about a receiver that
is down are bounded by the number of observers. Two daemon threads serve it: one decides, the other calls. A call that
exceeds its deadline is abandoned together with the thread that makes it.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import Counter, deque
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from dotflow.core.named import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    Fault = Callable[[str, str, BaseException], None]

QUEUE_LENGTH = 10_000  # calls that wait for a slow observer; the oldest are dropped beyond that
CALL_PATIENCE = 10.0  # seconds one call may take, unless the observer's own ``patience`` says otherwise
END_PATIENCE = 1.0  # seconds that the end of a run waits for network observers
EXIT_PATIENCE = 10.0  # seconds that the end of the program waits for them
FAILURES = 3  # calls that fail one after the other before the observer is left alone for a while
PAUSES = (1.0, 5.0, 30.0)  # seconds for which it is, the last of them from the third time on
MOST_STUCK = 4  # abandoned threads of one observer at a time

here = threading.local()  # ``observers``: the ids of those in whose calls this thread is


class Call(NamedTuple):
    """One call that waits."""

    name: str
    hook: Callable[[Any], None]
    event: Any
    fault: Fault
    run: int
    observer: int
    done: Callable[[BaseException | None], None] | None = None  # told how the call ended, if anybody wants to know


class Breaker:
    """Decides whether an observer that keeps failing is called.

    Three failures in a row open it. After a pause one call is let through: it closes the breaker, or opens it for a
    longer pause.
    """

    def __init__(self) -> None:
        self.failures = 0
        self.opened = 0
        self.until = 0.0

    def note(self, error: BaseException | None, now: float) -> None:
        """Take account of how a call ended."""
        if error is None:
            self.failures = self.opened = 0
            self.until = 0.0
            return
        self.failures += 1
        if self.failures >= FAILURES:
            self.until = now + PAUSES[min(self.opened, len(PAUSES) - 1)]
            self.opened += 1

    def pause(self, now: float) -> float:
        """Seconds until the next call may be made, 0 for now."""
        return max(0.0, self.until - now)


class Lane:
    """Calls one network observer, one call at a time.

    Args:
        patience: Seconds one call may take.
    """

    def __init__(self, patience: float = CALL_PATIENCE) -> None:
        self._patience = patience
        self._calls: deque[Call] = deque()
        self._changed = threading.Condition()
        self._since: float | None = None
        self._current: Call | None = None
        self._idle = False
        self._runs: Counter[int] = Counter()  # calls of each run that are not done
        self._open: set[int] = set()  # runs that may still add some
        self._thread: threading.Thread | None = None
        self._caller: _Caller | None = None
        self._stuck: list[_Caller] = []
        self._breaker = Breaker()

    def put(self, call: Call) -> None:
        """Queue a call; the oldest one is dropped, and counted, if too many wait."""
        dropped: Call | None = None
        with self._changed:
            if self._thread is None:  # first: where none can be started, nothing shall wait for it
                thread = threading.Thread(target=self._work, name="dotflow-network", daemon=True)
                thread.start()
                self._thread = thread
            if len(self._calls) >= QUEUE_LENGTH:
                dropped = self._calls.popleft()
            self._calls.append(call)
            self._runs[call.run] += 1
            self._open.add(call.run)
            if self._idle:  # else it looks by itself; to wake it would cost the run its turn
                self._changed.notify_all()
        if dropped is not None:
            self._settle(dropped, OverflowError(f"more than {QUEUE_LENGTH} calls wait; the oldest one was dropped"))

    def flush(self, until: float, run: int | None = None) -> None:
        """Wait for the calls of *run*, or all; not for a call that has taken as long already, nor while it is hopeless.

        *until*: when to give up, on the monotonic clock.
        """
        patience = until - time.monotonic()
        with self._changed:
            while self._runs if run is None else run in self._runs:
                now = time.monotonic()
                stuck = until if self._since is None else self._since + patience
                if now >= min(until, stuck) or (self._since is None and self._waits(now)):
                    return
                self._changed.wait(min(until, stuck) - now)

    def release(self, run: int) -> None:
        """Note that *run* adds nothing any more; the threads end when no run does and nothing is left to call."""
        with self._changed:
            self._open.discard(run)
            self._changed.notify_all()

    @property
    def waiting(self) -> Counter[str]:
        """How many calls of whom are not done."""
        with self._changed:
            found = Counter(call.name for call in self._calls)
            if self._current is not None:
                found[self._current.name] += 1
            return found

    # -- on the lane's own thread -------------------------------------------------------------------------

    def _work(self) -> None:
        while (call := self._next()) is not None:
            error = self._make(call)
            with self._changed:
                self._breaker.note(error, time.monotonic())
            self._settle(call, error)

    def _make(self, call: Call) -> BaseException | None:
        caller = self._caller
        if caller is None:
            try:
                caller = self._caller = _Caller()
            except RuntimeError as error:  # the system has no thread left
                return error
        found = caller.make(call, self._patience)
        if isinstance(found, _Stuck):
            self._stuck.append(caller)
            self._caller = None
        return found

    def _next(self) -> Call | None:
        with self._changed:
            while True:
                if self._calls:
                    wait = self._waits(time.monotonic())
                    if not wait:
                        self._since, self._current = time.monotonic(), self._calls.popleft()
                        return self._current
                    self._changed.notify_all()
                    self._changed.wait(wait)
                elif self._open:
                    self._idle = True
                    self._changed.wait()
                    self._idle = False
                else:
                    if self._caller is not None:
                        self._caller.end()
                    self._thread = self._caller = None
                    return None

    def _waits(self, now: float) -> float:
        """Seconds for which nothing can be called, 0 if something can."""
        self._stuck = [caller for caller in self._stuck if caller.busy]
        if len(self._stuck) >= MOST_STUCK:
            return PAUSES[-1]
        return self._breaker.pause(now)

    def _settle(self, call: Call, error: BaseException | None) -> None:
        """Tell how *call* ended, and only then stop the end of its run from waiting for it."""
        if call.done is not None:
            call.done(error)
        if error is not None:
            call.fault(call.name, type(call.event).__name__, error)
        with self._changed:
            if call is self._current:
                self._since = self._current = None
            self._runs[call.run] -= 1
            if self._runs[call.run] <= 0:
                del self._runs[call.run]
            self._changed.notify_all()


class _Stuck(TimeoutError):
    """A call exceeded its deadline."""


class _Caller:
    """A thread that makes calls, until one of them takes too long."""

    def __init__(self) -> None:
        self._orders: SimpleQueue[Call | None] = SimpleQueue()
        self._answers: SimpleQueue[BaseException | None] = SimpleQueue()
        self.busy = False
        threading.Thread(target=self._serve, name="dotflow-network-call", daemon=True).start()

    def make(self, call: Call, patience: float) -> BaseException | None:
        """Make *call*; return what it raised, or that it took too long."""
        self.busy = True
        self._orders.put(call)
        try:
            return self._answers.get(timeout=patience)
        except Empty:
            self.end()
            return _Stuck(f"took longer than {patience:g} s; the call was abandoned")

    def end(self) -> None:
        """Let the thread end after the call that it makes."""
        self._orders.put(None)

    def _serve(self) -> None:
        while (call := self._orders.get()) is not None:
            here.observers = frozenset({call.observer})
            found: BaseException | None = None
            try:
                call.hook(call.event)
            except BaseException as error:  # nothing else can reach this thread (ADR 0010)
                found = error
            self.busy = False
            self._answers.put(found)
            del call, found


_lanes: WeakKeyDictionary[Any, Lane] = WeakKeyDictionary()
_all: WeakSet[Lane] = WeakSet()
_lock = threading.Lock()
_at_exit = False
at_exit: set[Callable[[], None]] = set()  # called at the end of the program, after the last calls of observers


def lane_of(observer: Any) -> Lane:
    """Return the lane of *observer*; one that has no hash gets a new one at each call."""
    global _at_exit
    with _lock:
        if not _at_exit:
            atexit.register(flush_all)
            _at_exit = True
        made = Lane(float(getattr(observer, "patience", CALL_PATIENCE)))
        try:
            found = _lanes.setdefault(observer, made)
        except TypeError:  # no hash (a dataclass, say), or no weak references
            found = made
        _all.add(found)
        return found


def flush_all() -> None:
    """Give every network observer its last chance, when the program ends; say what is lost."""
    until = time.monotonic() + EXIT_PATIENCE
    left: Counter[str] = Counter()
    for lane in list(_all):
        lane.flush(until)
        left += lane.waiting
    for last in list(at_exit):
        last()
    for name, count in left.items():
        import logging

        logging.getLogger("dotflow").warning("%d calls of %s were not delivered before the program ended", count, name)


def _after_fork() -> None:
    """Leave the parent's calls to the parent: its threads are not here."""
    global _lanes, _all, _lock
    _lanes, _all, _lock = WeakKeyDictionary(), WeakSet(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
