"""Which executor makes which attempt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

from dotflow.abc.executor import Executor
from dotflow.core.exception import UnsupportedOption

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from dotflow.core.action import Action
    from dotflow.core.messages import Attempt, Outcome
    from dotflow.core.task import Task

BASE, LOOP, STOPPER = range(3)


class Places:
    """The executors of one run: plain steps, coroutines, and plain steps that may have to be stopped.

    Args:
        base: Where plain steps run.
        loop: Makes the executor for coroutines, when the first one comes.
        stopper: Makes the executor for plain steps with a timeout; ``None`` if *base* was chosen by the user, who
            is then told what it cannot do.
        owned: Whether *base* belongs to the run.
    """

    def __init__(
        self,
        base: Executor,
        loop: Callable[[], Executor],
        stopper: Callable[[], Executor] | None,
        *,
        owned: bool,
    ) -> None:
        self._base = base
        self._makers: tuple[Callable[[], Executor] | None, ...] = (None, loop, stopper)
        self._made: list[Executor | None] = [base, None, None]
        self._owned = owned
        self._lanes: list[int] | None = None
        self._stops: dict[int, Callable[[], None]] = {}

    def assign(self, tasks: Sequence[Task], steps: Collection[Action[..., Any]]) -> list[int] | None:
        """Choose a lane for each task, ``None`` if all are in the first; refuse steps that cannot run there.

        *steps* are the different steps of *tasks*.
        """
        chosen, checks = {}, type(self._base).check is not Executor.check
        for step in steps:
            lane = chosen[step] = self._lane(step)
            if lane == STOPPER or (checks and lane == BASE):
                self._executor(lane).check(step)
        if any(chosen.values()):
            self._lanes = [chosen[task.step] for task in tasks]
        return self._lanes

    @property
    def immediate(self) -> bool:
        """Whether every step of the run is called here and now, one at a time."""
        return self._lanes is None and self._base.inline

    @property
    def on_loop(self) -> bool:
        """Whether every step of the run is a coroutine."""
        return bool(self._lanes) and set(self._lanes or ()) == {LOOP}

    @property
    def slots(self) -> Sequence[int | None]:
        """For each lane, how many attempts it takes at once; asked anew each time, since it may change."""
        if self.immediate:
            return (1,)
        return _Slots(self._made if self._lanes else self._made[:1])

    def submit(self, order: Attempt, report: Callable[[Outcome], None]) -> None:
        """Hand an attempt to its executor."""
        executor = self._base if self._lanes is None else self._executor(self._lanes[order.position])
        stop = executor.submit(order, report)
        if stop is not None:
            self._stops[order.position] = stop

    def cancel(self, index: int) -> None:
        """Stop the attempt of that task, if its executor can."""
        stop = self._stops.pop(index, None)
        if stop is not None:
            stop()

    def close(self) -> None:
        """Close the executors that belong to the run."""
        for lane, executor in enumerate(self._made):
            if executor is not None and (lane != BASE or self._owned):
                executor.close()
        self._makers = (None, None, None)  # they refer to the run that this belongs to

    def _lane(self, step: Action[..., Any]) -> int:
        if step.is_async and not self._base.takes_async:
            return LOOP
        if not step.limited or self._base.stops or step.is_async:
            return BASE
        if self._makers[STOPPER] is None:
            raise UnsupportedOption(
                f"timeout={step.policy.timeout:g} of step {step.name!r}: {type(self._base).__name__} cannot stop a "
                "running step; use Config(executor=ExecutorProcess()), or leave executor= out"
            )
        return STOPPER

    def _executor(self, lane: int) -> Executor:
        made = self._made[lane]
        if made is None:
            maker = self._makers[lane]
            assert maker is not None
            made = self._made[lane] = maker()
        return made


class _Slots(Sequence[int | None]):
    """The slots of executors, as they are now."""

    def __init__(self, executors: Sequence[Executor | None]) -> None:
        self._executors = executors

    @overload
    def __getitem__(self, lane: int) -> int | None: ...
    @overload
    def __getitem__(self, lane: slice) -> Sequence[int | None]: ...
    def __getitem__(self, lane: int | slice) -> Any:
        """Return the slots of the executor of *lane*."""
        executor = self._executors[lane]
        return executor.slots if isinstance(executor, Executor) else 1

    def __len__(self) -> int:
        return len(self._executors)
