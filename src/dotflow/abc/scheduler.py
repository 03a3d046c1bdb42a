"""When a workflow runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable


class Scheduler(ABC):
    """Runs a workflow again and again.

    Attributes:
        returns_on_stop: Set by a scheduler that never sleeps through ``stop``: ``start`` then returns by itself, after
            the runs in progress. Any other is left at once by an exception when a signal comes while nothing runs.
    """

    returns_on_stop: ClassVar[bool] = False

    @abstractmethod
    def start(self, workflow: Callable[..., Any], **kwargs: Any) -> Any:
        """Block, and call ``workflow(**kwargs)`` at each tick.

        Called by ``DotFlow.schedule`` in the caller's thread. Each call of *workflow* is a new run and returns
        its ``Manager``; it does not raise when a step fails. Must return soon after ``stop``.
        """

    @abstractmethod
    def stop(self) -> None:
        """End the loop after the tick in progress.

        May be called from any thread, from a signal handler, more than once, and before ``start``.
        """
