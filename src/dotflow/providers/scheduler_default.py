"""The scheduler that is there when none is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.abc.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable


class SchedulerDefault(Scheduler):
    """Run nothing, and say so."""

    def start(self, workflow: Callable[..., Any], **kwargs: Any) -> None:
        """Return at once, with a warning to the logger ``dotflow``."""
        import logging

        logging.getLogger("dotflow").warning(
            "schedule() has no scheduler and runs nothing; set one, "
            "for instance Config(scheduler=SchedulerInterval(seconds=60))"
        )

    def stop(self) -> None:
        """Do nothing."""
