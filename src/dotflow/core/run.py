"""The run: a pure state machine, and the only writer of ``Task``.

It is asked (``next``, ``wait``) and told (``complete``, ``fail``, ``pause``, ``stop``); it has no clock, thread
or provider, and never acts. The engine acts, and never decides.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING, Any

from dotflow.core.action import ONLY_PREVIOUS
from dotflow.core.context import Context, make_context, together
from dotflow.core.messages import MISSING, Attempt, Outcome, Stop, make
from dotflow.core.task import HELD
from dotflow.core.types import TypeStatus, WorkflowStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from dotflow.core.capture import Capture
    from dotflow.core.plan import Plan
    from dotflow.core.task import LetGo, Task

COMPLETED, FAILED = TypeStatus.COMPLETED, TypeStatus.FAILED
IN_PROGRESS, NOT_STARTED = TypeStatus.IN_PROGRESS, TypeStatus.NOT_STARTED


class Run:
    """One execution of a workflow.

    Args:
        tasks: Its tasks, all of them not started.
        plan: Who waits for whom.
        workflow_id: Given to contexts.
        keep_going: Whether dependents of a failed task run, with nothing in its place.
        lanes: For each task, the lane it runs in; ``None`` puts all into lane 0.
        slots: For each lane, how many attempts it takes at once; ``None`` for any number.
        epoch: What to add to the engine's monotonic clock to get seconds since 1970.
        run_id: Makes idempotency keys of this run different from those of any other.
        chance: Gives a number from 0 to 1, for the jitter of pauses.
        scheduled_for: The tick that started the run.
        capture: How what steps print is kept, ``None`` if it is not.
        let_go: What stands in for the saved result of a task once nobody in the run needs it any more;
            ``None`` keeps every result.
        one_by_one: Whether the plan lets no two tasks run at once, and none of them on a clock of its own.
    """

    status = WorkflowStatus.NEW
    stopping: Stop | None = None
    by_step = _halted = False
    _told: int | None = None

    def __init__(
        self,
        tasks: Sequence[Task],
        plan: Plan,
        workflow_id: Any,
        *,
        keep_going: bool = False,
        lanes: Sequence[int] | None = None,
        slots: Sequence[int | None] = (1,),
        epoch: float = 0.0,
        run_id: str = "",
        chance: Callable[[], float] = lambda: 0.5,
        scheduled_for: datetime | None = None,
        capture: Capture | None = None,
        let_go: LetGo | None = None,
        one_by_one: bool = False,
    ) -> None:
        self.tasks = list(tasks)
        self.workflow_id = workflow_id
        self.run_id = run_id
        self._keep_going, self._epoch, self._chance = keep_going, epoch, chance
        self._parents, self._children = plan.parents, plan.children
        self._scheduled_for, self._capture = scheduled_for, capture
        self._lanes = lanes
        self._slots = slots
        self._busy = [0] * len(slots)
        self._blockers = [*map(len, plan.parents)]
        self._ready: list[deque[int]] = [deque() for _ in slots]
        self._later: list[tuple[float, int]] = []
        self._one_by_one = one_by_one or tuple(slots) == (1,)
        self._flying: set[int] = set()
        self._handed: dict[int, Any] = {}
        self._let_go = let_go
        self._wanted = [*map(len, plan.children)] if let_go else []
        if scheduled_for is not None:
            for task in self.tasks:
                task.scheduled_for = scheduled_for
        for position, needs in enumerate(plan.parents):
            if not needs:
                self._ready[lanes[position] if lanes else 0].append(position)

    # -- asked --------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether nothing runs and nothing will."""
        if self._flying or (self._later and self.stopping is None):
            return False
        return self._halted or not any(self._ready)

    @property
    def flying(self) -> list[int]:
        """Positions of the tasks that run now."""
        return list(self._flying)

    @property
    def alone(self) -> bool:
        """Whether one task runs, and no other could start before it ends."""
        return len(self._flying) == 1 and not self._later and not any(self._ready)

    def expects(self, index: int) -> bool:
        """Whether an attempt of that task is under way."""
        return index in self._flying

    def next(self, now: float) -> Attempt | None:
        """Return the next attempt to make, ``None`` if there is none for now."""
        if self._one_by_one and self._flying:
            return None
        later = self._later
        if later and later[0][0] <= now and self.stopping is None and self._has_slot(self._lane(later[0][1])):
            index = heapq.heappop(later)[1]
            return self._launch(index, self.tasks[index])
        if self._halted:
            return None
        for ready in self._ready:
            while ready and (self._one_by_one or self._has_slot(self._lane(ready[0]))):
                index = ready.popleft()
                task = self.tasks[index]
                if task.status is NOT_STARTED:
                    task._from = now
                    task._started = self._epoch + now
                    return self._launch(index, task)
        return None

    def wait(self, now: float) -> float | None:
        """Return the seconds until a pause ends, ``None`` if only an outcome can change anything."""
        if self._one_by_one and self._flying:
            return None
        if self._later and self.stopping is None and self._has_slot(self._lane(self._later[0][1])):
            return max(0.0, self._later[0][0] - now)
        return None

    # -- told ---------------------------------------------------------------------------------------------

    def complete(self, outcome: Outcome, now: float, handed: Any = MISSING) -> Task:
        """Note that a result is saved; *handed* is what the storage gives back for it."""
        index = outcome[0]
        task = self.tasks[index]
        if not self._one_by_one:
            self._busy[self._lane(index)] -= 1
            self._correct_start(task, outcome, now)
        if self._capture is not None:
            task._output = outcome.output
        return self.note(index, outcome[2], now, handed)

    def note(self, index: int, value: Any, now: float, handed: Any = MISSING) -> Task:
        """Note a saved result of a step that was called on the spot, as ``complete`` does for others."""
        self._flying.remove(index)
        task = self.tasks[index]
        task.duration = duration = now - task._from
        task._finished = task._started + duration
        task._current = value
        if handed is not MISSING:
            self._handed[index] = handed
        task.status = COMPLETED
        self._release(index)
        if self._let_go is not None:
            self._done_with(index)
        return task

    def fail(self, outcome: Outcome, now: float, *, final: bool = False) -> Task:
        """Note a failed attempt: another one follows after a pause (status ``Retry``), or the task failed."""
        index = outcome.position
        task = self.tasks[index]
        if outcome.error is not None:
            outcome.error.output = task._output = outcome.output
            task.errors.append(outcome.error)
        policy = task.step.policy
        if outcome.again and not final and outcome.number < policy.retry and self.stopping is None:
            self._drop(index)
            task.retry_count += 1
            task.status = TypeStatus.RETRY
            heapq.heappush(
                self._later, (now + policy.delay_after(outcome.number, self._chance() if policy.jitter else 0.5), index)
            )
            return task
        self._land(index, now)
        task.status = FAILED
        if self._let_go is not None:
            self._done_with(index)
        if self._keep_going:
            self._release(index)
        else:
            self._halted = True
        return task

    def pause(self, index: int, now: float, output: str = "") -> Task:
        """Note that a task was stopped in the middle; a resumed run starts it again."""
        task = self._land(index, now)
        task._output = output
        task.status = TypeStatus.PAUSED
        return task

    def restore(self, index: int, value: Any) -> Task:
        """Take the result of a task from its checkpoint."""
        task = self.tasks[index]
        task._current = value
        task.restored = True
        task.status = COMPLETED
        self._release(index)
        if self._let_go is not None:
            self._done_with(index)
        return task

    def stop(self, request: Stop) -> None:
        """Launch nothing more; the first request decides what the run counts as."""
        self.stopping = request if self.stopping is None else Stop(self.stopping.status, request.grace)
        self._halted = True

    def abandon(self, now: float) -> list[Task]:
        """Note that whatever still runs, or waits for another attempt, is given up."""
        if not self._flying and not self._later:
            return []
        waiting = [index for _, index in self._later]
        self._later.clear()
        for index in waiting:
            self.tasks[index].retry_count -= 1  # no other attempt follows the one that failed
        return [self.pause(index, now) for index in (*self._flying, *waiting)]

    def finish(self) -> WorkflowStatus:
        """Return what the whole run counts as: completed only if every task is."""
        self._forget(self._told)
        if [task for task in self.tasks if task.status is not COMPLETED]:
            self.status = WorkflowStatus.FAILED if self.stopping is None else self.stopping.status
        else:
            self.status = WorkflowStatus.COMPLETED
        return self.status

    # -- inside -------------------------------------------------------------------------------------------

    def _lane(self, index: int) -> int:
        return self._lanes[index] if self._lanes else 0

    def _has_slot(self, lane: int) -> bool:
        slots = self._slots[lane]
        return slots is None or self._busy[lane] < slots

    def _launch(self, index: int, task: Task) -> Attempt:
        step = task.step
        self._flying.add(index)
        if not self._one_by_one:
            self._busy[self._lane(index)] += 1
        task.status = IN_PROGRESS
        initial = previous = None
        params, key = step.params, ""
        if params is ONLY_PREVIOUS:
            previous = self._previous(index, task)
        elif params:
            if "previous_context" in params:
                previous = self._previous(index, task)
            if "initial_context" in params:
                initial = self._stamped(task.initial_context)
            if "task" in params:
                task.idempotency_key = key = _key_of(self.run_id, task.task_id)
        number = len(task._errors) + 1 if task._errors else 1
        id_, workflow_id, timeout = task.task_id, self.workflow_id, step.policy[1]
        fields = (index, number, step, timeout, initial, previous, id_, workflow_id, key, self._capture)
        return make(Attempt, fields)  # type: ignore[no-any-return]  # an Attempt

    def _previous(self, index: int, task: Task) -> Context:
        """Make the context of a step from its parents; the task remembers what it was made of."""
        parents = self._parents[index]
        if len(parents) == 1 and not self._handed:
            task._previous = parent = self.tasks[parents[0]]
            made, value = parent._finished or task._started, parent._current
            if type(value) in HELD:
                value = parent.carried
            return make_context(value, parent.task_id, self.workflow_id, made, self._scheduled_for)
        if len(parents) == 1:
            parent = self.tasks[parents[0]]
            value, task_id, made = self._value(parents[0]), parent.task_id, parent._finished or task._started
        else:
            value = together({self.tasks[parent].task_id: self._value(parent) for parent in parents})
            task_id, made = "", task._started
        task._previous = context = make_context(value, task_id, self.workflow_id, made, self._scheduled_for)
        return context

    def _value(self, index: int) -> Any:
        if self._handed and index in self._handed:
            return self._handed[index]
        return self.tasks[index].carried

    def _stamped(self, context: Context) -> Context:
        context.scheduled_for = self._scheduled_for
        return context

    def _done_with(self, index: int) -> None:
        """A task ended: let go of the results that only it still needed, and of that of the task told before it."""
        self._forget(self._told)
        self._told = None if self._wanted[index] else index  # observers are told of it now; after that nobody is
        parents = self._parents[index]
        task = self.tasks[index]
        if isinstance(task._previous, Context):  # it would keep the values
            task._previous = _tasks_of(self.tasks, parents)
        for parent in parents:
            self._wanted[parent] -= 1
            if not self._wanted[parent]:
                self._forget(parent)

    def _forget(self, index: int | None) -> None:
        if index is not None and self._let_go is not None and self.tasks[index].status is COMPLETED:
            self._handed.pop(index, None)
            self.tasks[index]._current = self._let_go

    def _land(self, index: int, now: float) -> Task:
        task = self.tasks[index]
        self._drop(index)
        task.duration = now - task._from
        task._finished = task._started + task.duration
        return task

    def _correct_start(self, task: Task, outcome: Outcome, now: float) -> None:
        """A worker knows better when the step began: the way to it does not count."""
        late = min(outcome.started - task._started, now - task._from)  # its clock may go ahead of ours
        if late > 0 and outcome.number == 1:
            task._started += late
            task._from += late

    def _drop(self, index: int) -> None:
        if index in self._flying:
            self._flying.remove(index)
            if not self._one_by_one:
                self._busy[self._lane(index)] -= 1

    def _release(self, index: int) -> None:
        blockers = self._blockers
        for child in self._children[index]:
            blockers[child] = left = blockers[child] - 1
            if not left:
                self._ready[self._lanes[child] if self._lanes else 0].append(child)


def _tasks_of(tasks: Sequence[Task], parents: Sequence[int]) -> Task | tuple[Task, ...]:
    found = tuple([tasks[parent] for parent in parents])
    return found[0] if len(found) == 1 else found


def _key_of(run_id: str, task_id: str) -> str:
    """Return an idempotency key: 32 hexadecimal digits, which any header takes, whatever the name of the task."""
    import hashlib

    return hashlib.sha256(f"{run_id}:{task_id}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
