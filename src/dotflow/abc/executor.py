"""Where attempts run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.core.action import Action
    from dotflow.core.messages import Attempt, Outcome


class Executor(ABC):
    """Makes one attempt and reports its outcome. Retries, pauses and events belong to the run.

    Attributes:
        slots: Attempts it takes at once; ``None`` for any number.
        inline: Set by the one that runs steps in the thread of the run.
        stops: Whether a running plain function can be stopped; without that, a step with a timeout is refused.
        takes_async: Whether coroutine steps are handed to it; otherwise they run on the run's event loop.
    """

    slots: int | None = 1
    inline: ClassVar[bool] = False
    stops: ClassVar[bool] = False
    takes_async: ClassVar[bool] = False

    @abstractmethod
    def submit(self, attempt: Attempt, report: Callable[[Outcome], None]) -> Callable[[], None] | None:
        """Make *attempt*, and call *report* with its outcome exactly once, from any thread, now or later.

        ``dotflow.core.attempt.attempt`` makes it and never raises. Return what stops the attempt, from any
        thread, or ``None`` if nothing can; the outcome of a stopped attempt is ``interrupted``.
        """

    def check(self, step: Action[..., Any]) -> None:
        """Raise, before the run starts, if *step* cannot run here. The default takes every step."""

    def close(self) -> None:
        """Stop what runs and release everything. May be called twice."""
