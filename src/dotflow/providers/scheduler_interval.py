"""A run every so many seconds."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

from dotflow.core.agenda import make_policy
from dotflow.core.types.overlap import TypeOverlap
from dotflow.core.when import Every, When, interval_of
from dotflow.providers._paced import FRESH, Paced

if TYPE_CHECKING:
    from datetime import datetime, timedelta


class SchedulerInterval(Paced):
    """Run the workflow at once, and then at every multiple of an interval after that.

    Ticks are anchored at the start and do not drift; those that pass while a run takes longer than the interval
    are dropped. With ``overlap="skip"`` runs are made in the thread that called ``schedule``.

    Args:
        seconds: The interval, more than 0: seconds or a ``timedelta``.
        overlap: What becomes of a tick while a run is active, as for ``SchedulerCron``.
        anchor: An instant that is due; the ticks are then the same in every process, which may share them.
        **policy: ``catch_up``, ``window``, ``grace``, ``pause_after``, ``max_runs`` and ``until``, as for
            ``SchedulerCron``.
        name: Name of the schedule; by default the workflow id.
        lease: Seconds without a sign of life after which the runs of a process are taken over.
        clock: Stands in for the module ``time``, for tests.
    """

    def __init__(
        self,
        seconds: float | timedelta = 60,
        overlap: str = "skip",
        *,
        anchor: datetime | None = None,
        name: str | None = None,
        lease: float = 30.0,
        clock: Any = None,
        **policy: Any,
    ) -> None:
        kind = type(self).__name__
        interval_of(seconds, kind)
        rule = None if anchor is None else Every(seconds, anchor.astimezone(UTC) if anchor.tzinfo else anchor)
        super().__init__(rule, make_policy(kind, overlap, **policy), name, lease, clock)
        self.seconds, self.overlap = seconds, overlap

    def _rule_from(self, now: datetime) -> tuple[When, datetime]:
        if self.rule is not None:
            return self.rule, now
        return Every(self.seconds, now), now - FRESH

    def _shareable(self) -> bool:
        return self.rule is not None

    def _inline(self) -> bool:
        return self.policy.overlap is TypeOverlap.SKIP
