"""A schedule whose storage, observers or timing lose something: it goes on."""

from __future__ import annotations

import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dotflow import Config, DotFlow, action
from dotflow.core.agenda import Tick
from dotflow.core.claims import STATE
from dotflow.core.exception import StorageUnavailable
from dotflow.providers import SchedulerInterval, StorageSQLite
from dotflow.providers._paced import Loop

PATIENCE, ANCHOR = 20, datetime(2026, 1, 1, tzinfo=UTC)


class Flaky(StorageSQLite):
    """Fails to replace the state of a schedule: for a while, or after it has done so."""

    patience = 0.05  # type: ignore[misc]  # the class variable of the one above
    down_until = 0.0
    unheard = 0

    def atomic_swap(self, key: str, expected: Any, new: Any) -> bool:
        if STATE not in key:
            return super().atomic_swap(key, expected, new)
        if time.monotonic() < self.down_until:
            raise StorageUnavailable("down")
        done = super().atomic_swap(key, expected, new)
        if done and self.unheard and new.storage["open"]:
            self.unheard -= 1
            raise StorageUnavailable("the answer is lost")
        return done


def keep(scheduler: Any, storage: Any, step: Any, **start: Any) -> Any:
    """Keep a schedule to its end, in a thread; return what happened."""
    workflow = DotFlow(Config(scheduler=scheduler, storage=storage), workflow_id="w")
    workflow.task.add(step)
    handle = workflow.schedule(background=True, **start)
    try:
        assert handle.wait(PATIENCE), "it never ends"
    finally:
        handle._ticker._stopping = True
    return handle.result


def test_end_of_a_run_that_the_storage_did_not_take_is_noted_later(tmp_path: Path) -> None:
    """Else the run would count as active for ever, and every tick be dropped."""
    storage = Flaky(tmp_path / "s.db")

    @action
    def step() -> None:
        if not storage.down_until:
            storage.down_until = time.monotonic() + 1

    happened = keep(SchedulerInterval(0.2, anchor=ANCHOR, max_runs=3), storage, step)

    assert (happened.runs, happened.completed) == (3, 3)
    storage.close()


def test_tick_whose_claim_came_through_unheard_runs_once(tmp_path: Path) -> None:
    storage, seen = Flaky(tmp_path / "s.db"), []
    storage.unheard = 1

    @action
    def step(initial_context: Any) -> None:
        seen.append(initial_context.scheduled_for)

    happened = keep(SchedulerInterval(0.2, anchor=ANCHOR, max_runs=3), storage, step)

    assert happened.completed == 3
    assert len(seen) == len(set(seen)) == 3
    storage.close()


def test_observer_that_exits_ends_its_run_and_not_the_schedule(tmp_path: Path) -> None:
    calls = []

    def leave(event: Any) -> None:
        if not calls:
            calls.append(event)
            sys.exit("enough")

    @action
    def step() -> None:
        pass

    happened = keep(SchedulerInterval(0.2, "parallel", max_runs=3), None, step, listeners=[leave])

    assert happened.runs == 3


def test_run_that_is_cancelled_before_it_has_a_handle_is_cancelled_when_it_has_one() -> None:
    """The next tick comes while the run of the last one is put together."""
    cancelled = threading.Event()

    class Handle:
        status = "Cancelled"

        def cancel(self) -> None:
            cancelled.set()

    class Workflow:
        def cell(self, name: str | None) -> None:
            return None

    scheduler = SchedulerInterval(60, "cancel_previous")
    loop = Loop(scheduler, Workflow(), {})  # type: ignore[arg-type]  # as much of one as this needs
    tick = Tick("w", datetime.now(UTC), 1, True)
    loop._mine[tick] = None

    loop._cancel(tick.at)
    assert not cancelled.is_set()
    loop._know(tick, Handle())
    assert cancelled.is_set()
