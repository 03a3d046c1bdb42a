"""A run whenever a cron line says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.core.agenda import make_policy
from dotflow.core.when import Cron, When
from dotflow.providers._paced import Paced

if TYPE_CHECKING:
    from datetime import datetime, timedelta, tzinfo


class SchedulerCron(Paced):
    """Run the workflow at each tick of a cron line, each run on a thread.

    With a storage that outlives the process and a workflow id that was given, what has been run is remembered there,
    and any number of processes may run the same schedule: each tick is run by one of them, and the runs of one that
    dies are taken over.

    Args:
        cron: Five fields, six with the second in front, a name such as ``@daily``, or any rule of
            ``dotflow.core.when``.
        overlap: What becomes of a tick while a run is active: ``skip``, ``queue`` (one), ``queue_all``,
            ``cancel_previous``, ``parallel`` (up to ten) or ``parallel(3)``.
        tz: Name of the time zone of the line, or a ``tzinfo``; ``None`` is the machine's.
        catch_up: What becomes of ticks that nobody was there for: ``none``, ``latest`` or ``all`` is run.
        window: How late a tick may be to be caught up: seconds or a ``timedelta``; ``None``: any.
        grace: How late a tick may be to count as on time, in seconds.
        pause_after: Pause after so many failed runs in a row.
        max_runs: End after so many runs.
        until: The last instant that may be due, a ``datetime`` with a zone or its text.
        name: Name of the schedule; by default the workflow id.
        lease: Seconds without a sign of life after which the runs of a process are taken over.
        clock: Stands in for the module ``time``, for tests.

    Attributes:
        cron: As given.
        overlap: As given.
        running: Whether the loop goes on.

    Raises:
        ConfigurationError: a line, zone, word or number that cannot be; it is a ``ValueError`` too.
    """

    def __init__(
        self,
        cron: str | When,
        overlap: str = "skip",
        *,
        tz: str | tzinfo | None = None,
        catch_up: str = "none",
        window: float | timedelta | None = None,
        grace: float | timedelta = 5.0,
        pause_after: int | None = None,
        max_runs: int | None = None,
        until: datetime | str | None = None,
        name: str | None = None,
        lease: float = 30.0,
        clock: Any = None,
    ) -> None:
        rule = cron if isinstance(cron, When) else Cron(cron, tz)
        policy = make_policy(type(self).__name__, overlap, catch_up, window, grace, pause_after, max_runs, until)
        super().__init__(rule, policy, name, lease, clock)
        self.cron, self.overlap = cron, overlap
