"""The schedulers: on a clock that jumps, and for a few seconds on the real one."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dotflow import Config, DotFlow, action
from dotflow.core.exception import ConfigurationError
from dotflow.core.when import Between, Cron
from dotflow.providers import SchedulerAt, SchedulerCron, SchedulerInterval, StorageFile, StorageSQLite
from dotflow.testing import FakeClock


def flow(scheduler: Any, *steps: Any, storage: Any = None, **kwargs: Any) -> DotFlow:
    workflow = DotFlow(Config(scheduler=scheduler, storage=storage), **kwargs)
    workflow.task.add(step=list(steps))
    return workflow


def noting(seen: list[Any], what: Callable[[Any], Any] = lambda context: context.scheduled_for) -> Any:
    @action
    def step(initial_context: Any) -> None:
        seen.append(what(initial_context))

    return step


def test_a_year_of_days_in_a_moment() -> None:
    """On a fake clock a year of daily ticks takes no time, and steps see the tick they belong to."""
    seen: list[datetime] = []
    start = datetime(2026, 1, 1, 12, tzinfo=UTC)
    scheduler = SchedulerCron(
        "30 2 * * *", tz="America/New_York", until=start + timedelta(days=365), clock=FakeClock(start.timestamp())
    )

    happened = flow(scheduler, noting(seen)).schedule()

    assert (happened.runs, happened.completed, happened.reason) == (365, 365, "over")
    assert seen == list(Cron("30 2 * * *", "America/New_York").coming(start, start + timedelta(days=365)))


def test_interval_starts_at_once_and_is_anchored() -> None:
    seen: list[datetime] = []
    clock = FakeClock()
    happened = flow(SchedulerInterval(60, max_runs=4, clock=clock), noting(seen)).schedule()
    assert happened.runs == 4
    assert [(tick - seen[0]).total_seconds() for tick in seen] == [0, 60, 120, 180]
    assert seen[0] == datetime.fromtimestamp(1_700_000_000, UTC)


def test_interval_drops_what_passes_during_a_run() -> None:
    """A run longer than the interval drops ticks, and what follows is still anchored."""
    clock, seen = FakeClock(), list[float]()

    @action
    def slow() -> None:
        seen.append(clock.monotonic())
        clock.sleep(25)

    happened = flow(SchedulerInterval(10, max_runs=3, clock=clock), slow).schedule()
    assert seen == [0, 30, 60]
    assert happened.dropped == 4


def test_at_ends_after_the_last_moment() -> None:
    clock, seen = FakeClock(), list[datetime]()
    moments = [clock.now() + timedelta(seconds=seconds) for seconds in (-5, 30, 5)]
    happened = flow(SchedulerAt(*moments, clock=clock), noting(seen)).schedule()
    assert seen == [moments[2], moments[1]]
    assert happened.reason == "over"


def test_any_rule_will_do() -> None:
    clock, seen = FakeClock(datetime(2026, 1, 1, tzinfo=UTC).timestamp()), list[datetime]()
    rule = Between(Cron("0 * * * *", "UTC"), "09:00", "11:00")
    flow(SchedulerCron(rule, max_runs=3, clock=clock), noting(seen)).schedule()
    assert [tick.hour for tick in seen] == [9, 10, 9]


@pytest.mark.parametrize(("catch_up", "hours"), [("none", []), ("latest", [3]), ("all", [1, 2, 3])])
@pytest.mark.parametrize("lasting", ["sqlite", "file", "three methods"])
def test_state_survives_and_is_caught_up(tmp_path: Path, lasting: str, catch_up: str, hours: list[int]) -> None:
    """A process ends, three ticks pass, another starts: it knows the last tick, and catches up as it is told."""
    clock, seen = FakeClock(datetime(2026, 1, 1, 0, 30, tzinfo=UTC).timestamp()), list[int]()

    def storage() -> Any:
        if lasting == "sqlite":
            return StorageSQLite(tmp_path / "s.db")
        return Three(tmp_path) if lasting == "three methods" else StorageFile(tmp_path)

    def run(**words: Any) -> Any:
        scheduler = SchedulerCron("0 * * * *", tz="UTC", clock=clock, catch_up=catch_up, **words)
        step = noting(seen, lambda context: context.scheduled_for.hour)
        return flow(scheduler, step, storage=storage(), workflow_id="w").schedule()

    class Three(StorageFile):
        def can(self, ability: str) -> bool:
            return False

    run(until="2026-01-01T00:45+00:00")
    clock.advance(3 * 3600)
    run(until="2026-01-01T03:45+00:00")

    assert seen == hours


def test_a_failing_run_does_not_end_the_schedule_and_pauses_it_after_three() -> None:
    clock = FakeClock()

    @action
    def bad() -> None:
        raise ValueError("no")

    scheduler = SchedulerInterval(1, pause_after=3, clock=clock)
    handle = flow(scheduler, bad).schedule(background=True)
    while (state := scheduler.state()) is None or not state.paused:
        time.sleep(0.005)
    assert "3 runs failed in a row" in state.paused
    scheduler.resume()
    while (state := scheduler.state()) is None or state.failed < 6:
        time.sleep(0.005)
    assert handle.stop(10)
    assert handle.result.failed == 6


def test_a_workflow_that_cannot_start_ends_the_schedule() -> None:
    """What can never run is told at once."""
    workflow = DotFlow(Config(scheduler=SchedulerCron("* * * * *", clock=FakeClock(), max_runs=1)))
    workflow.task.add(step=noting([]), depends_on="nobody")
    with pytest.raises(ConfigurationError, match="nobody"):
        workflow.schedule()


def test_every_second_on_time() -> None:
    """Runs on threads, no drift, none missed; what is measured here is bounded loosely, for machines under load."""
    late: list[float] = []

    def measure(context: Any) -> float:
        return (datetime.now(UTC) - context.scheduled_for).total_seconds()

    happened = flow(SchedulerCron("* * * * * *", max_runs=3), noting(late, measure)).schedule()
    assert happened == (3, 3, 0, 0, 0, "over")
    assert min(late) >= 0
    assert statistics.median(late) < 0.2


@pytest.mark.parametrize("overlap", ["skip", "parallel", "cancel_previous"])
def test_runs_of_one_schedule_overlap_without_meeting(tmp_path: Path, overlap: str) -> None:
    """Neither the leader's lock nor checkpoints are shared by the runs of several ticks."""
    begun: list[Any] = []
    together = threading.Barrier(2, timeout=20)

    @action
    async def step(initial_context: Any) -> str:
        import asyncio

        begun.append(initial_context.workflow_id)
        if overlap == "parallel":
            await asyncio.to_thread(together.wait)
        elif overlap == "cancel_previous" and len(begun) < 2:
            await asyncio.sleep(60)
        return "done"

    scheduler = SchedulerInterval(0.2, overlap, max_runs=2)
    storage = StorageSQLite(tmp_path / "s.db")
    happened = flow(scheduler, step, storage=storage, workflow_id="w").schedule()

    assert happened.completed == (1 if overlap == "cancel_previous" else 2)
    assert len(set(begun)) == (1 if overlap == "skip" else 2)
    storage.close()


@pytest.mark.alone
def test_stop_from_any_thread_twice_and_before_start() -> None:
    scheduler = SchedulerCron("0 0 1 1 *")
    scheduler.stop()
    assert flow(scheduler, noting([])).schedule().runs == 0
    handle = flow(scheduler, noting([])).schedule(background=True)
    while not scheduler.running:
        time.sleep(0.005)
    with pytest.raises(ConfigurationError, match="running already"):
        scheduler.start(workflow=lambda: None)
    began = time.monotonic()
    scheduler.stop()
    assert not scheduler.running
    assert handle.wait(5)
    assert time.monotonic() - began < 1
    handle.stop()
    assert handle.result.reason == "stopped"


@pytest.mark.parametrize("make", [lambda: SchedulerCron("* * * * * *"), lambda: SchedulerInterval(0.1)])
def test_stop_from_inside_a_run(make: Callable[[], Any]) -> None:
    """The run that stops the schedule finishes, and is the last."""
    scheduler, after = make(), list[bool]()

    @action
    def step() -> None:
        scheduler.stop()
        after.append(True)

    happened = flow(scheduler, step).schedule()
    assert happened == (1, 1, 0, 0, 0, "stopped")
    assert after == [True]


def test_stop_waits_for_the_run_in_progress() -> None:
    scheduler, running, done = SchedulerCron("* * * * * *"), threading.Event(), list[bool]()

    @action
    def step() -> None:
        running.set()
        time.sleep(0.3)
        done.append(True)

    handle = flow(scheduler, step).schedule(background=True)
    assert running.wait(10)
    scheduler.stop()
    assert done == [True]
    assert handle.wait(5)


def test_a_plain_callable_is_called_with_the_arguments() -> None:
    """The contract of ``start`` alone: any callable, and the keywords."""
    got: list[Any] = []
    SchedulerInterval(1, max_runs=2, clock=FakeClock()).start(workflow=lambda **kwargs: got.append(kwargs), mode="x")
    assert got == [{"mode": "x"}, {"mode": "x"}]


@pytest.mark.alone
def test_signal_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    scheduler = SchedulerCron("0 0 1 1 *")
    threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
    began = time.monotonic()
    assert flow(scheduler, noting([])).schedule().reason == "stopped"
    assert time.monotonic() - began < 1.2
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


PROGRAM = """
import sys, time
import dotflow.core.ticking as ticking
from dotflow import Config, DotFlow, action
from dotflow.providers import SchedulerCron
ticking.GRACE = 0.5

@action
def step():
    print("begun", flush=True)
    time.sleep(60)

workflow = DotFlow(Config(scheduler=SchedulerCron("* * * * * *")))
workflow.task.add(step=step)
try:
    print(workflow.schedule())
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_does_not_end_is_left_after_the_grace_time(number: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    began = time.monotonic()
    process.send_signal(number)
    process.communicate(timeout=20)
    assert 0.4 < time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: SchedulerCron("61 * * * *"), "minute"),
        (lambda: SchedulerCron("* * * * *", overlap="maybe"), "overlap='maybe'"),
        (lambda: SchedulerCron("* * * * *", tz="Mars/Olympus"), "Mars/Olympus"),
        (lambda: SchedulerCron("* * * * *", lease=0), "lease"),
        (lambda: SchedulerCron("* * * * *", name=" "), "name"),
        (lambda: SchedulerInterval(0), "above 0"),
        (lambda: SchedulerInterval(1, anchor=datetime(2026, 1, 1)), "time zone"),
        (lambda: SchedulerAt(datetime(2026, 1, 1)), "time zone"),
        (lambda: SchedulerAt(), "at least one"),
    ],
)
def test_bad_input_is_a_value_error_at_construction(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        make()
    assert said in str(caught.value)


@pytest.mark.parametrize("claimed", [False, True])
def test_resume_first_finishes_an_interrupted_run(tmp_path: Path, claimed: bool) -> None:
    """A run that was cut off outside the schedule is finished, without the step that had completed; then ticks."""
    ran: list[tuple[str, str]] = []
    broken = [True]

    @action
    def first(initial_context: Any) -> None:
        ran.append(("first", str(initial_context.workflow_id)))

    @action
    def second(initial_context: Any) -> None:
        if broken.pop() if broken else False:
            raise KeyboardInterrupt
        ran.append(("second", str(initial_context.workflow_id)))

    clock = FakeClock()
    start = Cron("* * * * *", "UTC") if claimed else None
    scheduler = (
        SchedulerCron(start, max_runs=2, clock=clock) if start else SchedulerInterval(60, max_runs=2, clock=clock)
    )
    workflow = flow(scheduler, first, second, storage=StorageSQLite(tmp_path / "s.db"), workflow_id="w")
    with pytest.raises(KeyboardInterrupt):
        workflow.start()

    happened = workflow.schedule(resume=True)

    assert happened.completed == 2
    assert [name for name, _ in ran[:2]] == ["first", "second"]
    assert ran[1][1] == "w"
    assert len(ran) == (6 if claimed else 4)
    workflow.config.storage.close()


def test_the_documented_cron_scheduler() -> None:
    """API.md §16.4: the constructor, its attributes, and ``stop``."""
    scheduler = SchedulerCron("*/5 * * * *", overlap="queue")
    assert (scheduler.cron, scheduler.overlap, scheduler.running) == ("*/5 * * * *", "queue", False)
    scheduler.stop(timeout=1)
    for words in ({"cron": "bad"}, {"cron": "* * * * *", "overlap": "bad"}):
        with pytest.raises(ValueError):
            SchedulerCron(**words)  # type: ignore[arg-type]
