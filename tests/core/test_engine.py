"""The one loop, driven by hand: a clock of plain numbers, a place that does what the test says."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest
from doubles import Listener, Plain, flow, lost, nothing, task, won

from dotflow import Config, Context, Task, action
from dotflow.core.checkpoint import Checkpoint
from dotflow.core.dispatch import Dispatcher
from dotflow.core.engine import cycle
from dotflow.core.inbox import ThreadInbox
from dotflow.core.messages import Attempt, Outcome, StepInfo, Stop, TaskError
from dotflow.core.plan import make_plan
from dotflow.core.run import Run
from dotflow.core.types import WorkflowStatus
from dotflow.providers import StorageDefault


class Hand:
    """A place where nothing happens until the test reports it; its clock is a number."""

    immediate = False
    on_loop = False

    def __init__(self) -> None:
        self.orders: dict[str, Attempt] = {}
        self.cancelled: list[int] = []
        self.now = 0.0

    def submit(self, order: Attempt, report: Callable[[Outcome], None], /) -> None:
        assert order.task_id not in self.orders or order.number > self.orders[order.task_id].number
        self.orders[order.task_id] = order

    def cancel(self, index: int) -> None:
        self.cancelled.append(index)

    def clock(self) -> float:
        return self.now


class Loop:
    """A run and its loop, one request at a time."""

    def __init__(self, *tasks: Task, mode: str = "parallel", storage: Any = None, place: Any = None, **options: Any):
        config = Config(storage=storage if storage is not None else StorageDefault())
        self.place = place if place is not None else Hand()
        self.inbox = ThreadInbox()
        self.listener = Listener()
        self.run = Run(tasks, make_plan(tasks, mode), "w", **{"slots": (4,), **options})
        store = Checkpoint(config.storage, config.codec, "w")
        tell = Dispatcher(config, (self.listener,))
        self.steps: Generator[Any, Any, None] = cycle(
            self.run,
            self.place,
            self.inbox,
            store,
            tell,
            self.place.clock,  # type: ignore[arg-type]
        )
        self.ended = False
        self.asked = self.go(None)

    def go(self, answer: Any) -> Any:
        """Answer the last request and return the next; ``"over"`` after the last."""
        try:
            self.asked = self.steps.send(answer)
        except StopIteration:
            self.ended, self.asked = True, "over"
        return self.asked

    def report(self, *outcomes: Outcome) -> Any:
        """Report outcomes, and return what is asked for next."""
        return self.go(list(outcomes))

    def order(self, task_id: str) -> Attempt:
        """Return the last attempt of a task."""
        found: Attempt = self.place.orders[task_id]
        return found


@action(retry=3, retry_delay=10)
def retried() -> None: ...


def test_loop_waits_for_an_outcome_when_nothing_else_can_happen() -> None:
    """Everything that can run is submitted; then ``None`` asks for the next outcome, however long it takes."""
    loop = Loop(task("a"), task("b"))

    assert set(loop.place.orders) == {"a", "b"}
    assert loop.asked is None
    assert loop.report(won(loop.order("a"), 1)) is None
    assert loop.report(won(loop.order("b"), 2)) == "over"
    assert [each.value for each in loop.run.tasks] == [1, 2]


def test_loop_waits_for_the_end_of_a_pause() -> None:
    """During a pause the request is the time that is left; the attempt is made when it is over, not before."""
    loop = Loop(task("a", step=retried), task("b"))

    assert loop.report(lost(loop.order("a"))) == 10
    loop.place.now = 4
    assert loop.report(won(loop.order("b"))) == 6
    assert loop.order("a").number == 1
    loop.place.now = 10
    assert loop.go([]) is None
    assert loop.order("a").number == 2
    assert loop.listener.heard.count(("TaskStarted", "a")) == 1
    assert ("TaskRetried", "a") in loop.listener.heard


@pytest.mark.parametrize("outcome", [won, lost])
def test_outcome_that_is_there_at_once_has_taken_its_time(outcome: Any) -> None:
    """A place that reports before ``submit`` returns: the clock is read again before the outcome is noted."""

    class Quick(Hand):
        def submit(self, order: Attempt, report: Callable[[Outcome], None], /) -> None:
            self.now += 3
            report(outcome(order))

    loop = Loop(task("a"), mode="sequential", place=Quick())

    assert loop.ended
    assert loop.run.tasks[0].duration == 3


def test_several_results_are_saved_in_one_request() -> None:
    """With a storage that takes time, results that arrived together are saved together, off the loop."""
    storage = Plain()
    loop = Loop(task("a"), task("b"), task("c", needs=["a", "b"]), storage=storage)

    saving = loop.report(won(loop.order("a"), 1), won(loop.order("b"), 2))

    assert callable(saving)
    assert storage.posted() == []
    assert ("TaskCompleted", "a") not in loop.listener.heard
    assert loop.go(saving()) is None
    assert storage.posted() == ["w-a", "w-b"]
    assert loop.listener.heard[-3:] == [("TaskCompleted", "a"), ("TaskCompleted", "b"), ("TaskStarted", "c")]


def test_outcome_that_nobody_expects_is_ignored() -> None:
    """R5: a result is recorded once; the second report of an attempt changes nothing."""
    loop = Loop(task("a"), task("b"))
    outcome = won(loop.order("a"), 1)

    loop.report(outcome, outcome)
    loop.report(outcome._replace(value=2, error=TaskError(ValueError("late"), 1)))

    assert loop.run.tasks[0].value == 1
    assert loop.listener.heard.count(("TaskCompleted", "a")) == 1
    assert ("TaskFailed", "a") not in loop.listener.heard


def test_stop_waits_for_the_grace_and_then_cancels_what_runs() -> None:
    """X6: after a stop nothing is launched, what runs has its grace time, and is then cancelled once."""
    loop = Loop(task("a"), task("b"), task("c", needs=["a"]))

    assert loop.report(Stop(WorkflowStatus.CANCELLED, 5)) == 5  # type: ignore[arg-type]
    loop.place.now = 2
    assert loop.report(won(loop.order("a"))) == 3
    assert "c" not in loop.place.orders
    assert loop.place.cancelled == []
    loop.place.now = 5
    assert loop.go([]) is None
    assert loop.place.cancelled == [1]
    loop.report(Outcome(1, 1, interrupted=True))
    assert loop.ended
    assert loop.listener.heard[-1] == ("TaskPaused", "b")
    assert loop.run.finish() is WorkflowStatus.CANCELLED


def test_stop_without_grace_cancels_at_once() -> None:
    """``cancel()`` stops what runs now."""
    loop = Loop(task("a"))

    assert loop.report(Stop(WorkflowStatus.CANCELLED)) is None  # type: ignore[arg-type]
    assert loop.place.cancelled == [0]


def test_second_request_shortens_the_grace() -> None:
    """X6: first SIGTERM a grace time, second now."""
    loop = Loop(task("a"))

    assert loop.report(Stop(WorkflowStatus.INTERRUPTED, 10)) == 10  # type: ignore[arg-type]
    assert loop.report(Stop(WorkflowStatus.INTERRUPTED, 0)) is None  # type: ignore[arg-type]
    assert loop.place.cancelled == [0]


def test_interrupted_step_interrupts_the_run() -> None:
    """An outcome that is an interruption stops the run; what runs beside it is cancelled."""
    loop = Loop(task("a"), task("b"))

    loop.report(Outcome(0, 1, error=TaskError(KeyboardInterrupt(), 1), interrupted=True))

    assert loop.run.by_step
    assert loop.run.stopping == Stop(WorkflowStatus.INTERRUPTED)
    assert loop.run.tasks[0].status == "Paused"


def test_place_that_is_immediate_needs_no_inbox() -> None:
    """Inline steps are made on the spot: nothing is asked for until the end."""

    class Here(Hand):
        immediate = True

    @action
    def one() -> int:
        return 1

    @action
    def more(previous_context: Context) -> int:
        return int(previous_context.storage) + 1

    tasks = [task("a", step=one), task("b", step=more)]
    loop = Loop(*tasks, mode="sequential", place=Here(), slots=(1,))

    assert loop.ended
    assert [each.value for each in tasks] == [1, 2]
    assert not loop.place.orders


def test_stop_between_two_inline_steps_is_obeyed() -> None:
    """A request that came during an inline step is looked at before the next one."""

    class Here(Hand):
        immediate = True

    made: list[str] = []

    @action
    def stops(task: StepInfo) -> None:
        made.append(task.task_id)
        inbox.put(Stop(WorkflowStatus.CANCELLED))

    inbox, place = ThreadInbox(), Here()
    tasks = [task("a", step=stops), task("b", step=stops)]
    run = Run(tasks, make_plan(tasks, "sequential"), "w")
    config = Config()
    store, tell = Checkpoint(config.storage, config.codec, "w"), Dispatcher(config)
    inbox.drive(cycle(run, place, inbox, store, tell, place.clock))  # type: ignore[arg-type]

    assert made == ["a"]
    assert run.finish() is WorkflowStatus.CANCELLED


def test_coroutine_that_is_alone_is_awaited_on_the_spot() -> None:
    """On a loop, a coroutine step beside which nothing else can happen is handed to the driver itself."""

    class OnLoop(Hand):
        on_loop = True

    place = OnLoop()
    tasks = [task("a"), task("b")]
    run = Run(tasks, make_plan(tasks, "sequential"), "w", slots=(None,))
    inbox = ThreadInbox()
    inbox.on_loop = True  # type: ignore[misc]
    config = Config()
    steps = cycle(  # type: ignore[var-annotated]
        run,
        place,
        inbox,
        Checkpoint(config.storage, config.codec, "w"),
        Dispatcher(config),
        place.clock,  # type: ignore[arg-type]
    )

    first = next(steps)
    assert isinstance(first, Attempt)
    second: Any = steps.send(won(first, 1))
    assert (first.task_id, second.task_id) == ("a", "b")
    with pytest.raises(StopIteration):
        steps.send(won(second, 2))
    assert place.orders == {}


def test_loop_raises_what_is_nobodys_outcome() -> None:
    """A fault that belongs to no step leaves the loop as it is."""

    class Broken(Hand):
        def submit(self, order: Attempt, report: Any, /) -> None:
            raise MemoryError("none left")

    with pytest.raises(MemoryError, match="none left"):
        Loop(task("a"), place=Broken())


def test_executor_that_breaks_does_not_leave_the_run_open() -> None:
    """A provider's executor that raises ends the run with that error; tasks are paused, and a resume is possible."""
    from dotflow.abc.executor import Executor

    class Breaks(Executor):
        def submit(self, attempt: Attempt, report: Any) -> None:
            raise RuntimeError("no place")

    @action
    def one(previous_context: Context) -> int:
        return 1

    workflow = flow(nothing, one, workflow_id="w", executor=Breaks())

    with pytest.raises(RuntimeError, match="no place"):
        workflow.start()
    assert [str(each.status) for each in workflow.result_task()] == ["Paused", "Not started"]
