"""The contract of schedulers, for pytest."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar

from dotflow.abc.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable

POLL = 0.005


class Started:
    """A scheduler that runs in a thread, and what it has called."""

    def __init__(self, scheduler: Any, patience: float) -> None:
        self.scheduler, self._patience = scheduler, patience
        self.calls: list[dict[str, Any]] = []
        self.problem: BaseException | None = None
        self._inside: Callable[[], Any] = lambda: None
        self._thread: threading.Thread | None = None

    def start(self, inside: Callable[[], Any] = lambda: None, **kwargs: Any) -> Started:
        """Start it; each tick calls *inside*."""
        self._inside = inside
        self._thread = threading.Thread(target=self._run, args=(kwargs,), daemon=True)
        self._thread.start()
        return self

    def _run(self, kwargs: dict[str, Any]) -> None:
        try:
            self.scheduler.start(workflow=self._workflow, **kwargs)
        except BaseException as error:  # told to the clause
            self.problem = error

    def _workflow(self, **kwargs: Any) -> Any:
        self.calls.append(kwargs)
        return self._inside()

    def until(self, ticks: int) -> None:
        """Wait for so many ticks."""
        limit = time.monotonic() + self._patience
        while len(self.calls) < ticks:
            assert self.running, f"start() returned after {len(self.calls)} ticks: {self.problem!r}"
            assert time.monotonic() < limit, (
                f"{len(self.calls)} ticks in {self._patience:g} s; make() should tick often"
            )
            time.sleep(POLL)

    def ended(self) -> bool:
        """Whether ``start`` returns within the time that is given."""
        assert self._thread is not None
        self._thread.join(self._patience)
        assert self.problem is None, f"start() raised {self.problem!r}"
        return not self._thread.is_alive()

    @property
    def running(self) -> bool:
        """Whether ``start`` has not returned."""
        return self._thread is not None and self._thread.is_alive()


class SchedulerContract:
    """The promises of a scheduler, each as a test.

    Subclass it, and say how one that ticks often is made::

        class TestSchedulerMine(SchedulerContract):
            def make(self):
                return SchedulerMine(seconds=0.05)

    Attributes:
        patience: Seconds within which a few ticks come, and within which ``start`` returns after ``stop``.
    """

    patience: ClassVar[float] = 10.0

    def make(self) -> Any:
        """Return a new scheduler that ticks at least once a second."""
        raise NotImplementedError(f"{type(self).__name__} needs a method make() that returns a scheduler")

    def _begin(self, inside: Callable[[], Any] = lambda: None, **kwargs: Any) -> Started:
        return Started(self.make(), self.patience).start(inside, **kwargs)

    def test_it_is_a_scheduler(self) -> None:
        """``Config`` takes it."""
        assert isinstance(self.make(), Scheduler), "it must inherit from dotflow.abc.scheduler.Scheduler"

    def test_start_blocks_and_ticks_again_and_again(self) -> None:
        """``start`` does not return by itself after a tick or two."""
        started = self._begin()
        started.until(3)
        assert started.running
        started.scheduler.stop()
        assert started.ended()

    def test_each_tick_gets_the_arguments(self) -> None:
        """The workflow is called with the keywords of ``start``, and nothing else."""
        started = self._begin(mode="sequential", keep_going=True)
        started.until(2)
        started.scheduler.stop()
        assert started.ended()
        assert all(call == {"mode": "sequential", "keep_going": True} for call in started.calls)

    def test_stop_from_another_thread_ends_start(self) -> None:
        """No tick comes after ``start`` has returned."""
        started = self._begin()
        started.until(1)
        started.scheduler.stop()
        assert started.ended(), "start() must return soon after stop()"
        calls = len(started.calls)
        time.sleep(0.2)
        assert len(started.calls) == calls

    def test_stop_twice_is_harmless(self) -> None:
        """The second call finds nothing to do."""
        started = self._begin()
        started.until(1)
        started.scheduler.stop()
        started.scheduler.stop()
        assert started.ended()

    def test_stop_before_start_does_not_raise(self) -> None:
        """A signal may come before the loop."""
        self.make().stop()

    def test_stop_from_inside_a_run_ends_start(self) -> None:
        """The tick that calls ``stop`` is the last one, and it finishes."""
        scheduler, finished = self.make(), list[bool]()

        def inside() -> None:
            scheduler.stop()
            finished.append(True)

        started = Started(scheduler, self.patience).start(inside)
        started.until(1)
        assert started.ended(), "start() must return soon after stop(), when a run calls it too"
        assert finished == [True]

    def test_the_run_in_progress_finishes(self) -> None:
        """``start`` does not return before it has."""
        begun, go, finished = threading.Event(), threading.Event(), list[bool]()

        def inside() -> None:
            begun.set()
            go.wait(self.patience)
            finished.append(True)

        started = self._begin(inside)
        assert begun.wait(self.patience)
        stopper = threading.Thread(target=started.scheduler.stop, daemon=True)
        stopper.start()
        go.set()
        assert started.ended()
        stopper.join(self.patience)
        assert finished
