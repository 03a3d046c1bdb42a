"""One attempt: the only place that calls the user's step."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dotflow.core.action import ONLY_PREVIOUS, Action, actions_of
from dotflow.core.around import enter, surroundings
from dotflow.core.context import Context, make_context
from dotflow.core.exception import UnsupportedOption
from dotflow.core.messages import Attempt, Outcome, StepInfo, TaskError, make

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType

LATE = 0.5  # seconds over its time for which a coroutine that ended by itself is forgiven
ALARMS = 3  # raised in a method that swallows them; after the last one its process is given up
ALARM_AGAIN = 0.1  # seconds after which a method that swallowed its TimeoutError gets another

WRITTEN_IN_PYTHON = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a type without it has no methods of a user's

_has_actions: dict[type, bool] = {}
give_up: Callable[[BaseException], None] | None = None  # set there too: answers with an error, and ends the process
alarms_allowed = False  # set in worker processes, whose main thread runs nothing but steps


def attempt(order: Attempt) -> Outcome:
    """Call the step of *order* and return what came of it. Never raises."""
    started = time.time()
    leave = enter(order) if surroundings else None
    try:
        outcome = make(Outcome, (order[0], order[1], perform(order), None, True, started, False, ""))
    except BaseException as error:
        outcome = failure(order, error, started)
    return outcome if leave is None else leave(outcome)


def perform(order: Attempt) -> Any:
    """Call the step of *order* and return its result; what it raises goes through."""
    step = order[2]
    params = step.params
    if params is ONLY_PREVIOUS:
        value = step.func(previous_context=order[5])
    elif not params:
        value = step.func()
    else:
        value = step.func(**_arguments(step, order, order.previous))
    if step.is_async:
        value = _await(value)
    kind = type(value)
    if kind is Context:
        value, kind = value.storage, type(value.storage)
    if _has_actions[kind] if kind in _has_actions else _learn(kind):
        return _unfold(value, order)
    return value


async def attempt_async(order: Attempt) -> Outcome:
    """Await the coroutine step of *order* and return what came of it. Never raises."""
    started = time.time()
    step = order.step
    leave = enter(order) if surroundings else None
    try:
        params = step.params
        kwargs = _arguments(step, order, order.previous) if params else {}
        if order.timeout:
            value = await _limited(step.func(**kwargs), step, order.timeout)
        else:
            value = await step.func(**kwargs)
        if type(value) is Context:
            value = value.storage
        if _learn(type(value)):
            import asyncio

            value = await asyncio.to_thread(_unfold, value, order)
        outcome = Outcome(order.position, order.number, value, None, True, started)
    except BaseException as error:
        outcome = failure(order, error, started)
    return outcome if leave is None else leave(outcome)


def failure(order: Attempt, error: BaseException, started: float = 0) -> Outcome:
    """Return the outcome of an attempt that raised *error*, without our frames in its traceback.

    Those are the caller's, which caught it, and the ones of this module.
    """
    trace: TracebackType | None = error.__traceback__
    while trace is not None and (trace is error.__traceback__ or trace.tb_frame.f_code.co_filename == __file__):
        trace = trace.tb_next
    error.__traceback__ = trace
    again = isinstance(error, order.step.policy.retry_on)
    interrupted = isinstance(error, KeyboardInterrupt)
    return Outcome(order.position, order.number, None, TaskError(error, order.number), again, started, interrupted)


def timed_out(step: Action[..., Any], seconds: float) -> TimeoutError:
    """Return the error of an attempt that took longer than it may."""
    return TimeoutError(f"step {step.name!r} took longer than its timeout of {seconds:g} s and was stopped")


async def _limited(work: Coroutine[Any, Any, Any], step: Action[..., Any], seconds: float) -> Any:
    """Await *work* for so long; then cancel it and the tasks it started."""
    import asyncio

    from dotflow.core.family import Family

    in_time = False
    with Family() as family:
        task = family.start(work)
        try:
            before = time.monotonic()
            await asyncio.wait({task}, timeout=seconds)
            if task.done() and time.monotonic() - before <= seconds + LATE:  # else it kept the loop from noticing
                in_time = True
                return task.result()
        finally:
            if not in_time:
                await family.end()
    raise timed_out(step, seconds)


def _arguments(step: Action[..., Any], order: Attempt, previous: Context | None) -> dict[str, Any]:
    given: dict[str, Any] = {"initial_context": order.initial, "previous_context": previous}
    if "task" in step.params:
        given["task"] = StepInfo(order.task_id, order.workflow_id, order.number, order.idempotency_key)
    return {name: given[name] for name in step.params}


def _learn(kind: type) -> bool:
    if kind not in _has_actions:
        own = kind.__flags__ & WRITTEN_IN_PYTHON
        _has_actions[kind] = bool(own and (issubclass(kind, Context) or actions_of(kind)))
    return _has_actions[kind]


def _unfold(value: Any, order: Attempt) -> Any:
    """Return what an object stands for: a context for its value, one with ``@action`` methods for their results."""
    return value.storage if isinstance(value, Context) else _run_methods(value, order)


def _run_methods(instance: Any, order: Attempt) -> list[Context]:
    """Run the ``@action`` methods of *instance* in order; each gets the result of the one before it."""
    previous, found = order.previous, []
    for name, step in actions_of(type(instance)).items():
        value = _with_retries(step, _bind(step, instance, order, previous))
        previous = make_context(value, f"{order.task_id}.{name}", order.workflow_id, time.time())
        found.append(previous)
    return found


def _bind(step: Action[..., Any], instance: Any, order: Attempt, previous: Context | None) -> Callable[[], Any]:
    kwargs = _arguments(step, order, previous)
    own = (instance,) if step.takes_self else ()

    def call() -> Any:
        value = step.func(*own, **kwargs)
        return _await(value) if step.is_async else value

    return call


def _with_retries(step: Action[..., Any], call: Callable[[], Any]) -> Any:
    """Call under the method's own policy; the step's policy, outside, starts the whole class again."""
    policy, number = step.policy, 1
    while True:
        try:
            return _with_alarm(step, call) if policy.timeout else call()
        except KeyboardInterrupt:
            raise
        except policy.retry_on:
            if number >= policy.retry:
                raise
        time.sleep(policy.delay_after(number))
        number += 1


def _with_alarm(step: Action[..., Any], call: Callable[[], Any]) -> Any:
    if not alarms_allowed:
        raise UnsupportedOption(
            f"timeout={step.policy.timeout:g} of the method {step.name!r} needs a worker process: "
            "give the step that returns the object a timeout too, or run it with mode='parallel'"
        )
    import signal

    rings = 0

    def ring(*_: object) -> None:
        nonlocal rings
        rings += 1
        if rings > ALARMS and give_up is not None:
            give_up(timed_out(step, step.policy.timeout))
        raise timed_out(step, step.policy.timeout)

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, step.policy.timeout, ALARM_AGAIN)
    try:
        return call()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _await(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end from plain code, in a thread of its own if this one has a loop."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()
