"""``schedule()``: what a scheduler gets, what each tick is, and how signals end it. Schedulers have their own tests."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from doubles import Plain, flow, statuses

from dotflow import Context, DotFlow, action
from dotflow.abc.scheduler import Scheduler
from dotflow.core import checkpoint, ticking
from dotflow.core.exception import StorageError, WorkflowFailed
from dotflow.core.types import WorkflowStatus

PATIENCE = 30


class Times(Scheduler):
    """Calls the workflow a number of times, and keeps what it gives."""

    def __init__(self, times: int) -> None:
        self.times, self.runs, self.kwargs, self.stops = times, list[Any](), dict[str, Any](), 0

    def start(self, workflow: Callable[..., Any], **kwargs: Any) -> str:
        self.kwargs = kwargs
        for _ in range(self.times):
            self.runs.append(workflow(**kwargs))
        return "done"

    def stop(self) -> None:
        self.stops += 1


class Sleeper(Times):
    """Sleeps after its first tick, as the seed page's own scheduler does."""

    def start(self, workflow: Callable[..., Any], **kwargs: Any) -> str:
        super().start(workflow, **kwargs)
        signal.raise_signal(signal.SIGTERM)
        time.sleep(60)
        raise AssertionError("the signal did not end the sleep")


@action
def one() -> int:
    return 1


def scheduled(scheduler: Scheduler, *steps: Any, **config: Any) -> DotFlow:
    """Make a workflow ``w`` with a scheduler."""
    return flow(*steps, workflow_id="w", scheduler=scheduler, **config)


def test_every_tick_runs_the_whole_workflow() -> None:
    """T1: each tick is a run of its own with fresh records; ``schedule`` returns what the scheduler returns."""
    calls: list[int] = []
    scheduler = Times(3)

    found = scheduled(scheduler, action(lambda: calls.append(1)), one).schedule(keep_going=True)

    assert found == "done"
    assert scheduler.kwargs == {"keep_going": True}
    assert len(calls) == 3
    assert [statuses(run) for run in scheduler.runs] == [["Completed", "Completed"]] * 3
    assert len({id(run.tasks[0]) for run in scheduler.runs}) == 3


def test_failing_run_does_not_end_the_schedule() -> None:
    """T1: a tick whose step fails gives a failed handle, and the next tick comes."""
    calls: list[int] = []

    @action
    def flaky() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("first")

    scheduler = Times(2)
    scheduled(scheduler, flaky).schedule()

    assert [str(run.status) for run in scheduler.runs] == ["Failed", "Completed"]


def test_tick_that_cannot_read_its_storage_is_failed_and_the_next_one_comes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """T1: a storage that is down fails that tick, with the cause in its handle; nothing is raised at the scheduler."""
    monkeypatch.setattr(checkpoint, "FEW_PAUSES", ())
    states = iter([True, False])

    class Down(Plain):
        down = False

        def get(self, key: str) -> Context:
            if self.down:
                raise OSError("no route")
            return super().get(key)

    storage = Down()

    class Breaking(Times):
        def start(self, workflow: Callable[..., Any], **kwargs: Any) -> str:
            def tick(**kwargs: Any) -> Any:
                storage.down = next(states)
                return workflow(**kwargs)

            return super().start(tick, **kwargs)

    scheduler = Breaking(2)
    scheduled(scheduler, one, storage=storage).schedule(resume=True)

    down, up = scheduler.runs
    assert (down.status, up.status) == (WorkflowStatus.FAILED, WorkflowStatus.COMPLETED)
    assert "this tick of workflow w could not run" in caplog.text
    assert down.wait(0)
    assert down.observer_faults == []
    with pytest.raises(WorkflowFailed, match="workflow w could not run") as caught:
        down.raise_for_failure()
    assert isinstance(caught.value.__cause__, StorageError)


def test_resume_finishes_an_interrupted_run_first_and_then_starts_afresh() -> None:
    """R4: the first tick with ``resume=True`` continues, every further one runs everything."""
    kept: dict[str, str] = {}
    calls: list[str] = []
    state = {"broken": True}

    @action
    def first() -> None:
        calls.append("first")

    @action
    def second() -> None:
        calls.append("second")
        if state["broken"]:
            raise ValueError("not yet")

    flow(first, second, workflow_id="w", storage=Plain(kept)).start()
    state["broken"] = False
    calls.clear()

    scheduler = Times(2)
    scheduled(scheduler, first, second, storage=Plain(kept)).schedule(resume=True)

    assert calls == ["second", "first", "second"]
    assert [run.tasks[0].restored for run in scheduler.runs] == [True, False]


def test_finished_run_is_not_given_back_to_a_tick() -> None:
    """R4: if the last run is complete, the first tick is a new run although it says ``resume=True``."""
    kept: dict[str, str] = {}
    calls: list[int] = []
    counted = action(lambda: calls.append(1))
    flow(counted, workflow_id="w", storage=Plain(kept)).start()

    scheduled(Times(1), counted, storage=Plain(kept)).schedule(resume=True)

    assert calls == [1, 1]


def test_step_can_see_which_tick_it_is_for() -> None:
    """A scheduled run stamps its tasks and contexts; a run by hand does not."""
    seen: list[Any] = []

    @action
    def looks(initial_context: Context, previous_context: Context) -> None:
        seen.append((initial_context.scheduled_for, previous_context.scheduled_for))

    scheduler = Times(1)
    workflow = scheduled(scheduler, looks)
    workflow.schedule()
    workflow.start()

    first, second = seen
    assert isinstance(first[0], datetime)
    assert first[0] == first[1] == scheduler.runs[0].tasks[0].scheduled_for
    assert second == (None, None)


def test_tick_in_the_background_ends_with_its_run() -> None:
    """A tick waits for a run in the background, so that ticks do not pile up."""
    scheduler = Times(2)

    scheduled(scheduler, one).schedule(mode="background")

    assert [run.status for run in scheduler.runs] == [WorkflowStatus.COMPLETED] * 2


def test_signal_ends_the_schedule_at_once_though_it_sleeps() -> None:
    """T2: the scheduler is told to stop and its sleep is left; the handlers of before are back."""
    before = signal.getsignal(signal.SIGTERM)
    scheduler = Sleeper(1)
    began = time.monotonic()

    assert scheduled(scheduler, one).schedule() is None

    assert time.monotonic() - began < 10
    assert scheduler.stops == 1
    assert signal.getsignal(signal.SIGTERM) is before


def test_run_in_progress_finishes_its_step_and_is_interrupted() -> None:
    """T2: a signal during a run lets the step finish, launches nothing more, and ends the schedule after it."""
    scheduler = Times(5)
    listener: list[Any] = []

    @action
    def signals() -> str:
        signal.raise_signal(signal.SIGINT)
        return "finished"

    workflow = scheduled(scheduler, signals, one)

    assert workflow.schedule(listeners=[listener.append]) is None

    assert scheduler.runs == []  # the loop was left when the first tick ended
    assert [str(task.status) for task in workflow.result_task()] == ["Completed", "Not started"]
    assert workflow.result_storage()[0] == "finished"
    assert listener[-1].status is WorkflowStatus.INTERRUPTED


def test_second_signal_ends_the_run_now() -> None:
    """X6: first signal a grace time, second now: ``KeyboardInterrupt`` in the step."""

    @action
    def signals() -> None:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("the second signal did not end the step")

    workflow = scheduled(Times(2), signals)

    workflow_ended(workflow)
    assert [str(task.status) for task in workflow.result_task()] == ["Paused"]


def test_step_that_outlasts_the_grace_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """T2: after the grace time the run is cancelled, an inline step included."""
    monkeypatch.setattr(ticking, "GRACE", 0.05)

    @action
    def signals() -> None:
        signal.raise_signal(signal.SIGTERM)
        time.sleep(60)
        raise AssertionError("the end of the grace time did not end the step")

    workflow = scheduled(Times(2), signals)

    workflow_ended(workflow)
    assert [str(task.status) for task in workflow.result_task()] == ["Paused"]


def workflow_ended(workflow: DotFlow) -> None:
    """Run a schedule that a signal ends in the middle of a step; it may tell by ``KeyboardInterrupt``."""
    began = time.monotonic()
    try:
        assert workflow.schedule() is None
    except KeyboardInterrupt:
        pass
    assert time.monotonic() - began < 10


def test_schedule_outside_the_main_thread_takes_no_signals() -> None:
    """In another thread the schedule runs; signals stay what they were."""
    before = signal.getsignal(signal.SIGTERM)
    seen: list[Any] = []
    scheduler = Times(1)
    workflow = scheduled(scheduler, action(lambda: seen.append(signal.getsignal(signal.SIGTERM))))
    thread = threading.Thread(target=workflow.schedule)
    thread.start()
    thread.join(PATIENCE)

    assert [run.status for run in scheduler.runs] == [WorkflowStatus.COMPLETED]
    assert seen == [before]


class Waits(Times):
    """Ticks once, and then waits until it is stopped."""

    def __init__(self) -> None:
        super().__init__(1)
        self.stopped = threading.Event()

    def start(self, workflow: Callable[..., Any], **kwargs: Any) -> str:
        super().start(workflow, **kwargs)
        assert self.stopped.wait(PATIENCE)
        return "stopped"

    def stop(self) -> None:
        super().stop()
        self.stopped.set()


def test_schedule_in_the_background_gives_a_handle() -> None:
    """``background=True``: the handle comes at once, stops the schedule, and has what the scheduler returned."""
    scheduler = Waits()

    handle = scheduled(scheduler, one).schedule(background=True)
    handle.stop(PATIENCE)

    assert handle.wait(PATIENCE)
    assert handle.result == "stopped"
    assert scheduler.stops >= 1
    assert [run.status for run in scheduler.runs] == [WorkflowStatus.COMPLETED]


def test_schedule_in_the_background_that_breaks_says_so() -> None:
    """What a scheduler raises in its thread is raised where its result is asked for."""

    class Breaks(Times):
        def start(self, workflow: Callable[..., Any], **kwargs: Any) -> str:
            raise RuntimeError("no clock")

    handle = scheduled(Breaks(0), one).schedule(background=True)

    assert handle.wait(PATIENCE)
    with pytest.raises(RuntimeError, match="no clock"):
        _ = handle.result
