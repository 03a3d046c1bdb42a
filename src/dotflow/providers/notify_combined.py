"""Notifiers made of notifiers."""

from __future__ import annotations

import fnmatch
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from dotflow.abc.notify import Notify
from dotflow.core.exception import ConfigurationError, NotCallableObject
from dotflow.core.types import TypeStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def _checked(place: str, notify: object) -> Notify:
    if not isinstance(notify, Notify):
        raise NotCallableObject(place, expected="an instance of dotflow.abc.notify.Notify", given=notify)
    return notify


class NotifyMany(Notify):
    """Tell several notifiers. Each is called by itself: one that fails or hangs does not keep the others waiting.

    Args:
        *notifiers: Whom to tell.

    .. versionadded:: 2.0
    """

    def __init__(self, *notifiers: Notify) -> None:
        if not notifiers:
            raise ConfigurationError("NotifyMany needs at least one notifier")
        self.members = tuple(_checked("NotifyMany(...)", notify) for notify in notifiers)

    def hook_status_task(self, task: Any) -> None:
        """Tell all of them; what some raise comes together afterwards."""
        self._all(lambda notify: notify.hook_status_task(task=task))

    def hook_status_workflow(self, run: Any) -> None:
        """Tell all of them how the run ended."""
        self._all(lambda notify: notify.hook_status_workflow(run=run))

    def tell_run(self, run: Any) -> None:
        """Have all of them send a message about the run."""
        self._all(lambda notify: _teller(notify)(run))

    def _all(self, call: Callable[[Notify], Any]) -> None:
        errors = []
        for notify in self.members:
            try:
                call(notify)
            except Exception as error:  # a notifier of somebody else (ADR 0010)
                errors.append(error)
        if errors:
            raise ExceptionGroup(f"{len(errors)} of {len(self.members)} notifiers failed", errors)


class NotifyFilter(Notify):
    """Tell a notifier of some changes only.

    Args:
        notify: Whom to tell.
        statuses: The statuses that are told; ``None`` for every one.
        steps: Task ids, or patterns such as ``load-*``, that are told; ``None`` for all.
        runs: Whether the end of a run is passed on.

    .. versionadded:: 2.0
    """

    def __init__(
        self,
        notify: Notify,
        *,
        statuses: Iterable[str] | None = None,
        steps: Iterable[str] | None = None,
        runs: bool = True,
    ) -> None:
        self._notify = _checked("NotifyFilter(...)", notify)
        self.statuses = _texts("statuses", statuses)
        self.steps = _texts("steps", steps)
        self.runs = runs
        for status in self.statuses or ():
            if status not in list(TypeStatus):
                raise ConfigurationError(
                    f"NotifyFilter(statuses=...) has {status!r}, which is none of {', '.join(TypeStatus)}"
                )

    def hook_status_task(self, task: Any) -> None:
        """Tell the notifier, if status and step are wanted."""
        if self.statuses is not None and task.status not in self.statuses:
            return
        if self.steps is None or any(fnmatch.fnmatchcase(task.task_id, step) for step in self.steps):
            self._notify.hook_status_task(task=task)

    def hook_status_workflow(self, run: Any) -> None:
        """Pass on how the run ended."""
        if self.runs:
            self._notify.hook_status_workflow(run=run)


class NotifyThrottle(Notify):
    """Tell a notifier at most so many changes in so many seconds; the rest are dropped and counted.

    Failures are told all the same, unless *failures* says no.

    Args:
        notify: Whom to tell.
        most: Messages in any span of *seconds*, at least 1.
        seconds: Length of the span.
        failures: Whether failures are exempt.
        clock: Tells the time.

    Attributes:
        dropped: How many messages were not sent.

    .. versionadded:: 2.0
    """

    def __init__(
        self,
        notify: Notify,
        most: int = 20,
        seconds: float = 60,
        *,
        failures: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._notify = _checked("NotifyThrottle(...)", notify)
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise ConfigurationError(f"NotifyThrottle(most=...) needs a whole number, at least 1, got {most!r}")
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds > 0:
            raise ConfigurationError(f"NotifyThrottle(seconds=...) needs a number above 0, got {seconds!r}")
        self.most, self.seconds, self.failures, self._clock = most, seconds, failures, clock
        self._sent: deque[float] = deque()
        self._lock = threading.Lock()
        self.dropped = 0

    def hook_status_task(self, task: Any) -> None:
        """Tell the notifier, if there is room for a message."""
        if self._room(exempt=self.failures and task.status == TypeStatus.FAILED):
            self._notify.hook_status_task(task=task)

    def hook_status_workflow(self, run: Any) -> None:
        """Pass on how the run ended; that is never dropped."""
        self._notify.hook_status_workflow(run=run)

    def _room(self, *, exempt: bool) -> bool:
        with self._lock:
            now = self._clock()
            while self._sent and self._sent[0] <= now - self.seconds:
                self._sent.popleft()
            if len(self._sent) >= self.most and not exempt:
                self.dropped += 1
                return False
            if len(self._sent) < self.most:
                self._sent.append(now)
            return True


class NotifyDigest(Notify):
    """Send one message for a run, when it has ended.

    Args:
        notify: Who sends it: a notifier of dotflow's, or one with a ``hook_status_workflow``.
        failures_only: Only if the run did not complete.

    .. versionadded:: 2.0
    """

    def __init__(self, notify: Notify, *, failures_only: bool = False) -> None:
        self._tell = _teller(_checked("NotifyDigest(...)", notify))
        self.failures_only = failures_only

    def hook_status_task(self, task: Any) -> None:
        """Wait for the end."""

    def hook_status_workflow(self, run: Any) -> None:
        """Send the message."""
        if not self.failures_only or run.status != "Completed":
            self._tell(run)


def _teller(notify: Notify) -> Callable[[Any], Any]:
    tell = getattr(notify, "tell_run", None)
    if tell is not None:
        return tell  # type: ignore[no-any-return]  # of our own notifiers
    if getattr(type(notify), "hook_status_workflow", Notify.hook_status_workflow) is Notify.hook_status_workflow:
        raise ConfigurationError(
            f"NotifyDigest needs a notifier that can tell of runs; {type(notify).__name__} has no hook_status_workflow"
        )
    return lambda run: notify.hook_status_workflow(run=run)


def _texts(name: str, given: Iterable[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    if isinstance(given, str):
        raise ConfigurationError(f"NotifyFilter({name}=...) needs a list of texts, got the text {given!r}")
    return tuple(given)
