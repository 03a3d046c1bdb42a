"""A run at certain moments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.core.agenda import make_policy
from dotflow.core.when import At
from dotflow.providers._paced import Paced

if TYPE_CHECKING:
    from datetime import datetime, tzinfo


class SchedulerAt(Paced):
    """Run the workflow at one or more moments, and end after the last.

    Moments that have passed when the schedule is first started are not run.

    Args:
        *moments: Datetimes, or texts such as ``2027-03-01T09:00``; without an offset they are wall clocks in *tz*.
        overlap: What becomes of a tick while a run is active, as for ``SchedulerCron``.
        tz: Name of a time zone, or a ``tzinfo``. Without it every moment needs an offset.
        **policy: ``catch_up``, ``window``, ``grace``, ``pause_after``, ``max_runs`` and ``until``, as for
            ``SchedulerCron``.
        name: Name of the schedule; by default the workflow id.
        lease: Seconds without a sign of life after which the runs of a process are taken over.
        clock: Stands in for the module ``time``, for tests.
    """

    def __init__(
        self,
        *moments: datetime | str,
        overlap: str = "skip",
        tz: str | tzinfo | None = None,
        name: str | None = None,
        lease: float = 30.0,
        clock: Any = None,
        **policy: Any,
    ) -> None:
        rule = At(*moments, tz=tz)
        super().__init__(rule, make_policy(type(self).__name__, overlap, **policy), name, lease, clock)
        self.moments, self.overlap = rule.moments, overlap
