"""The one loop, and the two ways to wait: a thread, or an event loop.

``cycle`` is a generator that acts on what ``Run`` decides. It yields what only its driver can do: a number (or
``None``) asks for the items of the inbox, waiting at most so many seconds; a function asks to be called; an
attempt asks to be awaited on the spot, since nothing else can happen before it ends.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Protocol

from dotflow.core.around import surroundings
from dotflow.core.attempt import attempt, failure, perform
from dotflow.core.events import TaskCompleted, TaskFailed, TaskPaused, TaskRetried, TaskStarted
from dotflow.core.messages import Outcome, Refused, Stop
from dotflow.core.types import TypeStatus, WorkflowStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from dotflow.core.checkpoint import Checkpoint
    from dotflow.core.dispatch import Dispatcher
    from dotflow.core.events import Event
    from dotflow.core.journal import Watch
    from dotflow.core.messages import Attempt
    from dotflow.core.run import Run

Item = Outcome | Stop
if TYPE_CHECKING:
    Steps = Generator[float | Callable[[], Any] | Attempt | None, Any, None]


class Place(Protocol):
    """Where attempts run: what the loop needs of executors."""

    @property
    def immediate(self) -> bool:
        """Whether steps are called here and now, one at a time."""

    @property
    def on_loop(self) -> bool:
        """Whether every step of the run is a coroutine."""

    def submit(self, order: Attempt, report: Callable[[Outcome], None], /) -> None:
        """Make an attempt; report its outcome once."""

    def cancel(self, index: int) -> None:
        """Stop the attempt of that task, if that can be done."""


class Inbox(Protocol):
    """Where outcomes and stop requests arrive, from any thread; ``on_loop`` if an event loop waits for them."""

    on_loop: bool

    def put(self, item: Item) -> None:
        """Add an item."""

    def drain(self) -> list[Item]:
        """Return what is there now."""

    def filled(self) -> int:
        """Return how many there are."""


def cycle(
    run: Run,
    place: Place,
    inbox: Inbox,
    store: Checkpoint,
    tell: Dispatcher,
    clock: Callable[[], float],
    watch: Watch | None = None,
) -> Steps:
    """Drive *run* until nothing is left to do; *watch* looks now and then whether it shall end."""
    report, submit, step, blocks, immediate = inbox.put, place.submit, run.next, store.blocks, place.immediate
    tasks, save_one, outbox = run.tasks, store.save_one, store.outbox
    directly = inbox.on_loop and place.on_loop and watch is None
    starts, completions = tell.hears(TaskStarted), tell.hears(TaskCompleted)
    now, cancel_at = clock(), None
    while True:
        items: list[Item] = []
        if watch is not None and now >= watch.due and (asked := (yield watch.look)) is not None:
            report(asked)
        while not inbox.filled() and (order := step(now)) is not None:
            if starts and order.number == 1:
                tell(TaskStarted(run.tasks[order.position]))
            outcome: Outcome | None = None
            if not immediate:
                if not directly or order.timeout or not run.alone:
                    submit(order, report)
                    continue
                outcome = yield order
            elif blocks or surroundings:
                outcome = attempt(order)
            else:
                try:
                    value = perform(order)
                except BaseException as error:
                    outcome = failure(order, error)
            now = clock()
            if outcome is not None:
                if blocks or outcome[3] is not None:
                    items.append(outcome)
                    break
                value = outcome[2]
            index = order[0]
            answer = save_one(tasks[index], value)
            if completions or type(answer) is Refused:
                win(run, outcome or Outcome(index, order.number, value), answer, tell, now)
            elif outcome is None:
                run.note(index, value, now, answer)
            else:
                run.complete(outcome, now, answer)
        if inbox.filled():
            items += inbox.drain()
            now = clock()
        if not items and run.over:
            return
        if not items:
            pause = run.wait(now) if cancel_at is None else max(0.0, cancel_at - now)
            if watch is not None and watch.waits:
                pause = max(0.0, watch.due - now) if pause is None else min(pause, max(0.0, watch.due - now))
            items = yield pause
            now = clock()
        to_save: list[Outcome] = []
        for item in items:  # before any outcome: one that was interrupted was so because of it
            if isinstance(item, Stop):
                run.stop(item)
                cancel_at = now + item.grace
        for item in items:
            if isinstance(item, Stop):
                continue
            if not run.expects(item.position):
                continue  # of a task that was given up
            elif item.error is not None or item.interrupted:
                event = lose(run, item, now)
                if outbox is not None and type(event) is TaskFailed:
                    yield functools.partial(outbox.owe, event)
                tell(event)
                if watch is not None:
                    watch.failed = True
            elif blocks:
                to_save.append(item)
            else:
                win(run, item, store.save_one(run.tasks[item.position], item.value), tell, now)
        if to_save:
            pairs = [(run.tasks[outcome.position], outcome.value) for outcome in to_save]
            answers = yield functools.partial(store.save, pairs)
            for outcome, answer in zip(to_save, answers, strict=True):
                if type(answer) is not Refused:
                    win(run, outcome, answer, tell, now)
                    continue
                event = refuse(run, outcome, answer, now)
                if outbox is not None:
                    yield functools.partial(outbox.owe, event)
                tell(event)
                if watch is not None:
                    watch.failed = True
            now = clock()
        if cancel_at is not None and now >= cancel_at:
            cancel_at = None
            for position in run.flying:
                place.cancel(position)


def win(run: Run, outcome: Outcome, answer: Any, tell: Dispatcher, now: float) -> None:
    """Note and announce a result, or that the storage refused it."""
    if type(answer) is Refused:
        tell(refuse(run, outcome, answer, now))
        return
    task = run.complete(outcome, now, answer)
    if tell.hears(TaskCompleted):
        tell(TaskCompleted(task))


def refuse(run: Run, outcome: Outcome, answer: Refused, now: float) -> TaskFailed:
    """Note that the storage did not take a result; return what is to be announced."""
    answer.error.attempt = outcome.number
    return TaskFailed(run.fail(outcome._replace(error=answer.error), now, final=True))


def lose(run: Run, outcome: Outcome, now: float) -> Event:
    """Note a failed or interrupted attempt; return what is to be announced."""
    if outcome.interrupted:
        if run.stopping is None:
            run.stop(Stop(WorkflowStatus.INTERRUPTED))
            run.by_step = True
        return TaskPaused(run.pause(outcome.position, now, outcome.output))
    assert outcome.error is not None
    task = run.fail(outcome, now)
    return TaskRetried(task, outcome.error) if task.status is TypeStatus.RETRY else TaskFailed(task)
