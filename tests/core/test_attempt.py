"""One attempt: what the step is called with, class-based steps, and that nothing it raises gets out."""

from __future__ import annotations

import asyncio
import inspect
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from doubles import Place, flow, statuses

from dotflow import Context, action
from dotflow.core.around import arrive, surround, surroundings
from dotflow.core.attempt import attempt, attempt_async
from dotflow.core.messages import Attempt, Outcome
from dotflow.core.types import WorkflowStatus

PATIENCE = 30


def order(step: Any, *, previous: Any = None, initial: Any = None, timeout: float = 0) -> Attempt:
    """Return an order for the first attempt of *step*."""
    return Attempt(0, 1, step, timeout, Context(initial), Context(previous), "t", "w", "r:t")


def make(step: Any, **given: Any) -> Outcome:
    """Make one attempt, on an event loop if the step is a coroutine function."""
    if getattr(step, "is_async", False):
        return asyncio.run(attempt_async(order(step, **given)))
    return attempt(order(step, **given))


def values(outcome: Outcome) -> list[Any]:
    """Return what the methods of a class-based step gave."""
    assert outcome.error is None, outcome.error.traceback
    return [context.storage for context in outcome.value]


# -- functions ------------------------------------------------------------------------------------------------


def test_step_is_called_with_what_it_asks_for() -> None:
    """Contexts and ``task`` by name; ``task`` tells id, workflow, attempt and idempotency key."""

    @action
    def asks(task: Any, *, previous_context: Context, initial_context: Context) -> Any:
        return previous_context.storage, initial_context.storage, tuple(task)

    assert make(asks, previous=1, initial=2).value == (1, 2, ("t", "w", 1, "r:t"))


@pytest.mark.parametrize("value", [None, 0, "", [], Decimal("1.5"), {"a": (1,)}, ValueError("returned, not raised")])
def test_any_value_is_a_result(value: Any) -> None:
    """Whatever a step returns is its result; an object is never looked into."""

    @action
    def gives() -> Any:
        return value

    outcome = make(gives)

    assert outcome.value is value
    assert outcome.error is None


@pytest.mark.parametrize("shape", ["function", "coroutine"])
def test_context_that_a_step_returns_is_unwrapped(shape: str) -> None:
    """A step that wraps its own result has given the value inside, wherever it goes from there."""

    def gives() -> Any:
        return Context({"a": 1}, "mine")

    async def gives_later() -> Any:
        return Context({"a": 1}, "mine")

    assert make(action(gives if shape == "function" else gives_later)).value == {"a": 1}


class Touchy:
    """An object whose every property is a trap."""

    @property
    def trap(self) -> None:
        raise AssertionError("a property of a result was read")

    def __getattr__(self, name: str) -> None:
        raise AssertionError(f"{name} of a result was read")


def test_result_is_not_inspected() -> None:
    """X2: no attribute of what a step returned is read to see whether it is a class-based step."""
    assert isinstance(make(action(lambda: Touchy())).value, Touchy)


class Broken(BaseException):
    """Not even an ``Exception``."""


@pytest.mark.parametrize(
    "error",
    [
        ValueError("plain"),
        AssertionError("not so"),
        SystemExit(3),
        asyncio.CancelledError("cancelled"),
        GeneratorExit("gone"),
        StopIteration(5),
        TimeoutError("own"),
        Broken("base"),
        Exception("run() missing 1 required positional argument: 'self' previous_context initial_context"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("shape", ["function", "coroutine", "method"])
def test_what_a_step_raises_is_recorded_as_it_is(error: BaseException, shape: str) -> None:
    """S2: type, text and traceback, whatever it is; never renamed, never matched by its text."""

    def fails() -> None:
        raise error

    async def fails_async() -> None:
        raise error

    @action
    class Fails:
        @action
        def run(self) -> None:
            raise error

    if isinstance(error, StopIteration) and shape == "coroutine":
        error = RuntimeError("coroutine raised StopIteration")
    outcome = make({"function": action(fails), "coroutine": action(fails_async), "method": Fails}[shape])

    assert outcome.error is not None
    assert outcome.error.exception == type(error).__name__
    assert outcome.error.message == str(error)
    assert outcome.error.attempt == 1
    assert not outcome.interrupted
    assert "core/attempt.py" not in outcome.error.traceback.replace(__file__, "here")
    assert __file__ in outcome.error.traceback


def test_keyboard_interrupt_is_an_interruption() -> None:
    """S2: ``KeyboardInterrupt`` ends the run; it is not a failure that a policy could retry."""

    @action(retry=3)
    def stops() -> None:
        raise KeyboardInterrupt

    assert make(stops).interrupted


def test_retry_on_decides_whether_another_attempt_is_worth_it() -> None:
    """``retry_on`` is matched by type, subclasses included."""

    @action(retry=3, retry_on=(OSError, KeyError))
    def fails(initial_context: Context) -> None:
        raise initial_context.storage

    assert [make(fails, initial=error).again for error in (ConnectionError(), KeyError(), ValueError())] == [
        True,
        True,
        False,
    ]


# -- coroutines -----------------------------------------------------------------------------------------------


def test_coroutine_runs_to_its_end_without_a_loop() -> None:
    """A coroutine step in a worker gets a loop of its own."""

    @action
    async def slow(previous_context: Context) -> Any:
        await asyncio.sleep(0)
        return previous_context.storage

    assert attempt(order(slow, previous=5)).value == 5


def test_coroutine_runs_to_its_end_beside_a_running_loop() -> None:
    """Where the thread already runs a loop, the coroutine gets another one in a thread."""

    @action
    async def slow() -> int:
        await asyncio.sleep(0)
        return 5

    async def main() -> Outcome:
        return attempt(order(slow))

    assert asyncio.run(main()).value == 5


def test_coroutine_that_takes_too_long_is_cancelled() -> None:
    """S4: at its timeout the coroutine is cancelled, and its ``finally`` runs."""
    seen = []

    @action
    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            seen.append("cleaned")

    outcome = make(slow, timeout=0.01)

    assert outcome.error is not None
    assert outcome.error.exception == "TimeoutError"
    assert "step 'slow' took longer than its timeout of 0.01 s" in outcome.error.message
    assert seen == ["cleaned"]


def test_coroutine_that_swallows_its_cancellation_has_timed_out_all_the_same() -> None:
    """A result that comes after the timeout does not count."""

    @action
    async def stubborn() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass
        return "too late"

    outcome = make(stubborn, timeout=0.01)

    assert outcome.error is not None
    assert outcome.error.exception == "TimeoutError"


def test_timeout_error_of_the_coroutine_itself_is_its_own() -> None:
    """S2: a ``TimeoutError`` that the step raises before its limit keeps its text."""

    @action
    async def fails() -> None:
        raise TimeoutError("the database")

    outcome = make(fails, timeout=60)

    assert outcome.error is not None
    assert outcome.error.message == "the database"


# -- classes --------------------------------------------------------------------------------------------------


def test_methods_run_in_order_and_hand_on_their_results() -> None:
    """The first method gets the task's previous context, each further one the result of the one before it."""

    @action
    class Steps:
        def __init__(self, initial_context: Context) -> None:
            self.base = initial_context.storage

        @action
        def zeta(self, previous_context: Context) -> Any:
            return self.base + previous_context.storage

        def plain(self) -> None:
            raise AssertionError("an undecorated method ran")

        @action
        def alpha(self, initial_context: Context, previous_context: Context) -> Any:
            return initial_context.storage, previous_context.storage, previous_context.task_id

        @action
        def last(previous_context: Context) -> Any:  # noqa: N805 -- a step may leave self out
            return len(previous_context.storage)

        @action
        def bare():  # type: ignore[misc, no-untyped-def]
            return "done"

    outcome = make(Steps, initial=10, previous=5)

    assert values(outcome) == [15, (10, 15, "t.zeta"), 3, "done"]
    assert [(context.task_id, context.workflow_id) for context in outcome.value] == [
        ("t.zeta", "w"),
        ("t.alpha", "w"),
        ("t.last", "w"),
        ("t.bare", "w"),
    ]


def test_inherited_methods_run_too() -> None:
    """§19-12: steps of a base class are steps of the class, and come first."""

    class Base:
        @action
        def extract(self) -> str:
            return "base"

        @action
        def load(self) -> str:
            return "base"

    @action
    class Child(Base):
        @action
        def extract(self) -> str:
            return "child"

        @action
        def report(self) -> str:
            return "child"

    assert values(make(Child)) == ["child", "base", "child"]


def test_function_that_returns_an_instance_is_a_class_based_step() -> None:
    """A step may give the object whose methods then run; one without ``@action`` methods is simply the value."""

    class Job:
        @action
        async def run(self, previous_context: Context) -> Any:
            await asyncio.sleep(0)
            return previous_context.storage

    class Bare:
        pass

    @action
    def gives() -> Any:
        return Job()

    @action
    async def gives_later() -> Any:
        return Job()

    bare = Bare()
    assert values(make(gives, previous=3)) == [3]
    assert values(make(gives_later, previous=3)) == [3]
    assert make(action(lambda: bare)).value is bare


def test_class_without_steps_gives_its_instance() -> None:
    """``@action`` on a class without ``@action`` methods makes the instance the value."""

    @action
    class Bare:
        pass

    assert type(make(Bare).value).__name__ == "Bare"


def test_method_honours_its_own_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    """§19-11: ``@action(retry=…)`` on a method tries that method again, with its pauses, not the whole class."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    calls: list[str] = []

    @action
    class Steps:
        @action
        def first(self) -> None:
            calls.append("first")

        @action(retry=3, retry_delay=7, backoff=True)
        def second(self) -> int:
            calls.append("second")
            if calls.count("second") < 3:
                raise OSError("again")
            return 1

    assert values(make(Steps)) == [None, 1]
    assert calls == ["first", "second", "second", "second"]
    assert slept == [7, 14]


@pytest.mark.parametrize(
    ("policy", "error", "expected"),
    [
        ({"retry": 2}, ValueError("v"), 2),
        ({"retry": 3, "retry_on": OSError}, ValueError("v"), 1),
        ({"retry": 3, "retry_on": OSError}, OSError("o"), 3),
        ({"retry": 3}, KeyboardInterrupt(), 1),
    ],
)
def test_method_that_keeps_failing_fails_the_task(policy: dict[str, Any], error: BaseException, expected: int) -> None:
    """The last failure of a method is the failure of the task; ``retry_on`` and an interruption are honoured."""
    calls = []

    @action
    class Steps:
        @action(retry_delay=0, **policy)
        def work(self) -> None:
            calls.append(1)
            raise error

    outcome = make(Steps)

    assert len(calls) == expected
    assert outcome.error is not None
    assert outcome.error.exception == type(error).__name__
    assert outcome.interrupted is isinstance(error, KeyboardInterrupt)


def test_policy_of_the_class_makes_a_new_instance_for_each_attempt(place: Place) -> None:
    """The class is instantiated once per attempt, in every place."""

    class Steps:
        made = 0

        def __init__(self, task: Any) -> None:
            self.attempt = task.attempt

        @action
        def work(self) -> int:
            if self.attempt < 2:
                raise ValueError("first")
            return self.attempt

    manager = place.run(place.flow(action(retry=2, retry_delay=0)(Steps)))

    assert statuses(manager) == ["Completed"]
    assert [context.storage for context in manager.tasks[0].value] == [2]
    assert manager.tasks[0].retry_count == 1


def test_timeout_of_a_method_that_cannot_be_honoured_is_refused() -> None:
    """R6: where a method cannot be stopped the error names it and says what to do."""

    class Steps:
        @action(timeout=3)
        def work(self) -> None: ...

    outcome = make(action(lambda: Steps()))

    assert outcome.error is not None
    assert outcome.error.exception == "UnsupportedOption"
    assert "timeout=3 of the method 'work' needs a worker process" in outcome.error.message


@pytest.mark.parametrize("timeout", [5, 0.05])
def test_timeout_of_a_method_is_kept_in_a_worker(timeout: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a worker's main thread an alarm stops the method; afterwards the alarm is gone."""
    monkeypatch.setattr("dotflow.core.attempt.alarms_allowed", True)
    before = signal.getsignal(signal.SIGALRM)

    class Steps:
        @action(timeout=timeout)
        def work(self) -> str:
            if timeout < 1:
                time.sleep(60)
            return "done"

    outcome = make(action(lambda: Steps()))

    if timeout < 1:
        assert outcome.error is not None
        assert "step 'work' took longer than its timeout of 0.05 s" in outcome.error.message
    else:
        assert values(outcome) == ["done"]
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_method_that_swallows_every_alarm_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """S4: the alarm rings again and again; after a few times the worker is asked to give up the whole attempt."""
    monkeypatch.setattr("dotflow.core.attempt.alarms_allowed", True)
    monkeypatch.setattr("dotflow.core.attempt.ALARM_AGAIN", 0.005)
    given_up: list[BaseException] = []
    monkeypatch.setattr("dotflow.core.attempt.give_up", given_up.append)

    class Steps:
        @action(timeout=0.005)
        def work(self) -> str:
            until = time.monotonic() + PATIENCE
            while not given_up and time.monotonic() < until:
                try:
                    time.sleep(1)
                except TimeoutError:
                    continue
            return "went on"

    make(action(lambda: Steps()))

    assert given_up
    assert "step 'work' took longer than its timeout" in str(given_up[0])


# -- what surrounds an attempt --------------------------------------------------------------------------------


def test_attempt_is_made_inside_of_what_surrounds_it() -> None:
    """A provider may put something around every attempt; it is left again, whatever the step does."""
    seen: list[str] = []

    @contextmanager
    def maker(order: Attempt) -> Iterator[None]:
        seen.append(f"enter {order.task_id}")
        yield
        seen.append("leave")

    @action
    def fails() -> None:
        seen.append("step")
        raise ValueError

    @action
    async def works() -> None:
        seen.append("step")

    surround(maker)
    surround(maker)
    try:
        make(fails)
        make(works)
    finally:
        surroundings.remove(maker)

    assert seen == ["enter t", "step", "leave"] * 2
    assert maker not in surroundings


def test_worker_joins_the_trace_that_it_is_sent() -> None:
    """What a carrier names is the current trace in the worker until it is left."""
    from opentelemetry import trace

    carrier = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}

    leave = arrive(carrier)
    inside = trace.get_current_span().get_span_context().trace_id
    leave()

    assert f"{inside:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert trace.get_current_span().get_span_context().trace_id == 0


def test_worker_without_the_library_goes_on_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker where OpenTelemetry is not installed runs the step all the same."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)

    leave = arrive({"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})

    assert leave() is None  # type: ignore[func-returns-value]  # that it can be called is the claim


# -- the same in every place ----------------------------------------------------------------------------------


def test_values_travel_through_every_place(place: Place) -> None:
    """What one step returns is what the next one gets, wherever they run, nothing at all included."""

    def first(initial_context: Context) -> Any:
        return {"rows": [initial_context.storage, None, 1.5], "pair": (1, 2)}

    def second(previous_context: Context) -> Any:
        return previous_context.storage["pair"]

    def third(previous_context: Context) -> Any:
        return None if previous_context.storage == (1, 2) else "wrong"

    def fourth(previous_context: Context) -> Any:
        return previous_context.storage is None

    workflow = place.flow()
    workflow.task.add(place.step(first), initial_context="x")
    workflow.task.add([place.step(second), place.step(third), place.step(fourth)])

    manager = place.run(workflow).raise_for_failure()

    assert [task.value for task in manager.tasks] == [{"rows": ["x", None, 1.5], "pair": (1, 2)}, (1, 2), None, True]
    assert manager.status is WorkflowStatus.COMPLETED
    for task in manager.tasks:
        assert task.duration is not None
        assert task.started_at is not None
        assert task.finished_at is not None
        assert task.started_at <= task.finished_at


@pytest.mark.parametrize("kind", ["assert", "exit", "cancel", "generator", "timeout", "base"])
def test_failures_of_every_kind_are_failures_in_every_place(place: Place, kind: str) -> None:
    """S2: a failing ``assert``, ``sys.exit()``, a cancelled coroutine … fail that step and nothing else."""

    def fails() -> None:
        if kind == "assert":
            assert "left" == "right", "not equal"
        if kind == "exit":
            sys.exit("leaving")
        if kind == "cancel":
            raise asyncio.CancelledError("stopped")
        if kind == "generator":
            raise GeneratorExit("closed")
        if kind == "timeout":
            raise TimeoutError("upstream")
        raise BaseException("base")

    manager = place.run(place.flow(place.step(fails, retry=2, retry_delay=0)))

    expected = {
        "assert": ("AssertionError", "not equal"),
        "exit": ("SystemExit", "leaving"),
        "cancel": ("CancelledError", "stopped"),
        "generator": ("GeneratorExit", "closed"),
        "timeout": ("TimeoutError", "upstream"),
        "base": ("BaseException", "base"),
    }[kind]
    [task] = manager.tasks
    assert manager.status is WorkflowStatus.FAILED
    assert statuses(manager) == ["Failed"]
    assert [(error.exception, error.message.splitlines()[0]) for error in task.errors] == [expected] * 2
    assert [error.attempt for error in task.errors] == [1, 2]
    assert all("fails" in error.traceback for error in task.errors)
    assert task.value is None


def test_interruption_in_a_coroutine_ends_the_run() -> None:
    """S2: ``KeyboardInterrupt`` in a coroutine step interrupts the run as in a plain one."""

    @action
    async def stops() -> None:
        raise KeyboardInterrupt

    workflow = flow(stops)

    with pytest.raises(KeyboardInterrupt):
        workflow.start()
    assert workflow.result_task()[0].status == "Paused"


def test_source_of_a_step_stays_readable() -> None:
    """Tools that read a step's source find the function that was decorated."""

    @action
    def documented() -> int:
        return 5

    assert "return 5" in inspect.getsource(documented.func)
